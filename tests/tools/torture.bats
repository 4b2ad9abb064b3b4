#!/usr/bin/env bats
# tests/tools/torture.bats: short versions of what `make torture` does at length with the real programs.
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    export BUILD=${BUILD:-$root/build}
    export ALLOCFAIL=$BUILD/torture/allocfail.so
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
}

@test "no memory: a program whose allocation fails ends with status 1, and nothing is lost" {
    [ -z "${SANITIZER:-}" ] || skip "a sanitizer has an allocator of its own"
    python3 "$root/tests/torture/alloc.py" 67 30
}

@test "kill -9 of a live pipe, compactions and deletes: every answer to a reader is right" {
    python3 "$root/tests/torture/kill.py" 5
}

@test "loss of power: the long test itself works" {
    "$BUILD/torture/cuts" --jobs 1 50
    "$BUILD/torture/cuts" --jobs 1 --faults 50
    "$BUILD/torture/cuts" --jobs 1 --every 37 1
}
