#!/usr/bin/env bash
# tests/run.sh: runs every test and counts. Each program speaks TAP; one that dies, or gives fewer results than
# it planned, counts as failed; one that is skipped counts as neither. The last line is "N passed, N failed".
# Environment: BUILD (absolute), SANITIZER. Arguments: names of suites (default: all).
set -u
cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=$PWD/build}" "${SANITIZER:=}"
export BUILD SANITIZER
suites=${*:-unit tools interop fuzz}
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# run NAME COMMAND…: runs it and adds its results.
run() {
    local name=$1 start=$SECONDS
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null
    local status=$? ok skipped bad planned
    ok=$(grep -c '^ok ' "$work/out")
    skipped=$(grep -ci '^ok .*# skip' "$work/out")
    bad=$(grep -c '^not ok ' "$work/out")
    planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$work/out" | awk '{n += $1} END {print n + 0}')
    if [ $((ok + bad)) -lt "$planned" ] || { [ $status -ne 0 ] && [ "$bad" -eq 0 ]; } || [ $((ok + bad)) -eq 0 ]; then
        bad=$((bad + 1))
        echo "not ok - $name: exit status $status after $((ok + bad - 1)) of $planned results"
    fi
    passed=$((passed + ok - skipped)) failed=$((failed + bad))
    printf '%-40s %5d passed %3d failed  %4ds\n' "$name" $((ok - skipped)) "$bad" $((SECONDS - start))
    [ "$skipped" -eq 0 ] || printf '%40s %5d skipped\n' "" "$skipped"
    if [ "$bad" -gt 0 ]; then
        grep -A25 '^not ok ' "$work/out" | head -150
        tail -40 "$work/err"
    fi
}

for suite in $suites; do
    case $suite in
    unit)
        for t in "$BUILD"/unit/test_*; do
            case $t in *.d) continue ;; esac
            run "unit/${t##*/}" timeout 600 env CMOCKA_MESSAGE_OUTPUT=TAP "$t"
        done
        ;;
    tools)
        for t in tests/tools/*.bats; do
            run "tools/$(basename "$t")" timeout 600 bats --tap "$t"
        done
        ;;
    interop)
        for t in tests/interop/*.test; do
            run "interop/$(basename "$t")" timeout 900 "$t"
        done
        ;;
    fuzz)
        [ -n "$SANITIZER" ] || run fuzz bash tests/fuzz/short.sh
        ;;
    *) echo "tests/run.sh: no suite named '$suite'" >&2 && exit 2 ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
