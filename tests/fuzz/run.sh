#!/usr/bin/env bash
# tests/fuzz/run.sh SECONDS FUZZER...: runs each fuzzer that long, two at a time. Speaks TAP. A finding is
# kept in $FUZZ_BUILD/findings/. The corpus grows in $FUZZ_BUILD/corpus/NAME, from the seeds in
# tests/fuzz/seeds/NAME.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${FUZZ_BUILD:=build-fuzz}"
seconds=$1
shift
echo "1..$#"
mkdir -p "$FUZZ_BUILD/findings"

fuzz_one() {
    local name=$1 number=$2 seeds=()
    local corpus=$FUZZ_BUILD/corpus/$name log=$FUZZ_BUILD/$name.log
    mkdir -p "$corpus"
    [ -d "tests/fuzz/seeds/${name#fuzz_}" ] && seeds=("tests/fuzz/seeds/${name#fuzz_}")
    if "$FUZZ_BUILD/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -verbosity=1 \
        -artifact_prefix="$FUZZ_BUILD/findings/$name-" "$corpus" "${seeds[@]}" >"$log" 2>&1; then
        echo "ok $number - $name: $(grep -o 'Done.*' "$log" | tail -1)"
    else
        echo "not ok $number - $name"
        tail -30 "$log" | sed 's/^/# /'
        return 1
    fi
}

number=0 status=0
for name in "$@"; do
    number=$((number + 1))
    fuzz_one "$name" "$number" &
    if [ $((number % 2)) -eq 0 ]; then
        for pid in $(jobs -p); do wait "$pid" || status=1; done
    fi
done
for pid in $(jobs -p); do wait "$pid" || status=1; done
exit $status
