#!/usr/bin/env bash
# tests/torture/run.sh: everything that must not lose a point, at length. Exits 1 when something was lost, or went wrong.
# Environment: BUILD (absolute), SANITIZER, TORTURE_CUTS, TORTURE_SECONDS (of each of the loops with real programs).
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${TORTURE_CUTS:=10000}" "${TORTURE_SECONDS:=120}" "${SANITIZER:=}"
export BUILD ALLOCFAIL="$BUILD/torture/allocfail.so"
failed=0

step() {
    echo "== $1"
    shift
    "$@" || failed=1
}

step "loss of power" "$BUILD/torture/cuts" "$TORTURE_CUTS"
step "failures of calls by chance" "$BUILD/torture/cuts" --faults "$TORTURE_CUTS"
step "failures of every call" "$BUILD/torture/cuts" --every 1 4
step "kill -9" python3 tests/torture/kill.py "$TORTURE_SECONDS"
step "kill -9 of the daemon" python3 tests/torture/raftd.py "$TORTURE_SECONDS"
# A sanitizer has an allocator of its own.
[ -n "$SANITIZER" ] || step "no memory" python3 tests/torture/alloc.py 1 "$TORTURE_SECONDS"
if [ "$failed" -eq 0 ]; then
    echo "nothing lost"
else
    echo "FAILED"
fi
exit "$failed"
