#!/usr/bin/env bats
# tests/tools/wal.bats: live pipes: the log of tsm-ingest, seen by others while it runs, replayed after a kill.
# shellcheck disable=SC2154 # stderr is what run has set
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
    export TSM_DATA=data TSM_DB=db
    mkfifo pipe
}

teardown() {
    exec 7>&- 2>/dev/null || true
    [ -z "${writer:-}" ] || kill -9 "$writer" 2>/dev/null || true
}

# start OPTION...: a writer that reads what comes into descriptor 7.
start() {
    tsm-ingest --summary json "$@" <pipe 2>errors &
    writer=$!
    exec 7>pipe
}

# The end of its input; it has to succeed.
finish() {
    exec 7>&-
    local status=0
    wait "$writer" || status=$?
    writer=
    cat errors
    [ "$status" -eq 0 ]
}

killed() {
    kill -9 "$writer"
    wait "$writer" || true
    writer=
    exec 7>&-
}

# until_true COMMAND...: tries for up to 20 seconds.
until_true() {
    local left=400
    while [ $((left--)) -gt 0 ]; do
        "$@" && return 0
        sleep 0.05
    done
    echo "never true: $*"
    return 1
}

count() {
    tsm-query -f csv --no-header 'SELECT count(v) FROM m' | cut -d, -f2
}

counts() {
    [ "$(count 2>/dev/null)" = "$1" ]
}

# lines N [FIRST]: N lines of one series, a second apart.
lines() {
    awk -v n="$1" -v from="${2:-0}" 'BEGIN {for (i = 0; i < n; i++) printf "m,host=a v=%d %d000000000\n", from + i, 1600000000 + from + i}'
}

stored() {
    tsm-inspect export -b db data | grep -v '^#' | sort
}

segments() {
    find data/wal -name '*.log' | wc -l
}

has_no_segments() {
    [ "$(segments)" -eq 0 ]
}

has_files() {
    [ "$(find data -name '*.tsm' | wc -l)" -eq "$1" ]
}

# json FIELD: of the summary in errors.
json() {
    grep '^{' errors | jq -r ".$1"
}

@test "what a pipe gave is seen by a query at once, and is in TSM files at the end" {
    start
    lines 10 >&7
    until_true counts 10
    [ -z "$(find data -name '*.tsm')" ]
    lines 10 10 >&7
    until_true counts 20
    tsm-inspect verify data
    finish
    [ "$(segments)" -eq 0 ]
    [ "$(json rows)" -eq 20 ]
    [ "$(json durable_rows)" -eq 20 ]
    [ "$(json log_records)" -ge 2 ]
    [ "$(json replayed)" -eq 0 ]
    counts 20
}

@test "after kill -9 the log is read by all, and replayed by the next run" {
    start --sync always
    lines 10 >&7
    until_true counts 10
    killed
    [ "$(segments)" -eq 1 ]
    counts 10
    [ "$(stored)" = "$(lines 10 | sort | sed 's/ v=\([0-9]*\)/ v=\1/')" ]
    tsm-inspect verify data
    start
    lines 5 5 >&7
    until_true counts 10
    lines 5 10 >&7
    until_true counts 15
    finish
    [ "$(json replayed)" -eq 10 ]
    [ "$(json rows)" -eq 10 ]
    [ "$(segments)" -eq 0 ]
    counts 15
}

@test "a run without a log replays what another has left, an empty one too" {
    for option in off on auto; do
        start
        lines 10 >&7
        until_true counts 10
        killed
        run -0 --separate-stderr tsm-ingest --wal "$option" --summary json /dev/null
        [ "$(jq .replayed <<<"$stderr")" -eq 10 ]
        [ "$(segments)" -eq 0 ]
        counts 10
        rm -r data
    done
}

@test "a dry run leaves the log alone" {
    start
    lines 10 >&7
    until_true counts 10
    killed
    lines 3 | tsm-ingest -n
    [ "$(segments)" -eq 1 ]
    counts 10
}

@test "--wal: auto means a pipe, on a file too, off not even a pipe" {
    lines 10 >file
    lines 10 10 | tsm-ingest --summary json 2>errors
    [ "$(json log_records)" -gt 0 ]
    tsm-ingest --summary json file 2>errors
    [ "$(json log_records)" -eq 0 ]
    tsm-ingest --summary json <file 2>errors
    [ "$(json log_records)" -eq 0 ]
    lines 10 20 | tsm-ingest --summary json file - 2>errors
    [ "$(json log_records)" -gt 0 ]
    tsm-ingest --wal on --summary json file 2>errors
    [ "$(json log_records)" -gt 0 ]
    lines 10 30 | tsm-ingest --wal off --summary json 2>errors
    [ "$(json log_records)" -eq 0 ]
    [ "$(json log_syncs)" -eq 0 ]
    counts 40
}

@test "--sync and --flush-interval: by the clock, also while nothing comes" {
    start --sync 50ms --flush-interval 200ms
    lines 10 >&7
    until_true has_files 1
    until_true has_no_segments
    lines 10 10 >&7
    until_true counts 20
    until_true has_files 2
    finish
    [ "$(json files)" -eq 2 ]
    for wrong in 1 1x -1s ''; do
        run -2 --separate-stderr tsm-ingest --sync "$wrong" /dev/null
        [[ $stderr == *"option --sync: '$wrong' is neither always nor a duration, as 1s"* ]]
    done
    run -2 tsm-ingest --flush-interval soon /dev/null
    run -2 tsm-ingest --wal perhaps /dev/null
}

@test "the options have keys in the configuration file" {
    printf 'wal: "on"\nsync: always\nflush-interval: 1h\n' >config
    lines 10 >file
    tsm-ingest -c config --summary json file 2>errors
    [ "$(json log_syncs)" -gt 0 ]
}

@test "torn and flipped bytes in a segment lose only their record" {
    start
    for i in 0 1 2 3; do
        lines 10 $((10 * i)) >&7
        until_true counts $((10 * i + 10))
    done
    killed
    segment=$(find data/wal -name '*.log')
    size=$(stat -c %s "$segment")
    cp -r data clean
    printf '\377' | dd of="$segment" bs=1 seek=$((size / 4 + size / 8)) conv=notrunc status=none # in the second record
    truncate -s $((size - 3)) "$segment"
    run -0 --separate-stderr tsm-ingest /dev/null
    echo "$stderr"
    [[ $stderr == *"warning: "*"000000001.log: "*"offset"* ]]
    [[ $stderr == *"warning: "*"000000001.log: the last record is unfinished"* ]]
    counts 20
    [ "$(find data/wal -name '*.bad' | wc -l)" -eq 1 ]
    [ "$(segments)" -eq 0 ]
}

@test "a record that is missing between others is told, and the others are replayed" {
    start
    for i in 0 1 2; do
        lines 10 $((10 * i)) >&7
        until_true counts $((10 * i + 10))
    done
    killed
    segment=$(find data/wal -name '*.log')
    python3 - "$segment" <<'END' # without the record in the middle; 36 bytes of header, the length of the rest at byte 12
import struct, sys
old = open(sys.argv[1], "rb").read()
first = 36 + struct.unpack_from(">I", old, 12)[0]
second = 36 + struct.unpack_from(">I", old, first + 12)[0]
open(sys.argv[1], "wb").write(old[:first] + old[first + second:])
END
    run -0 --separate-stderr tsm-ingest -q /dev/null
    echo "$stderr"
    [[ $stderr == *"warning: "*"000000001.log: 1 record is missing before sequence 3"* ]]
    counts 20
}

@test "a second writer gets 75 and the holder's name, whatever it reads" {
    start
    lines 10 >&7
    until_true counts 10
    run -75 --separate-stderr tsm-ingest </dev/null
    [[ $stderr == *"data/lock: held by tsm-ingest, process $writer"* ]]
    lines 10 10 >&7
    until_true counts 20
    finish
}

@test "a delete beside the writer: what came before is gone, what comes later stays" {
    start
    lines 10 >&7
    until_true counts 10
    tsm-query 'DELETE FROM m WHERE time < 1600000005s'
    counts 5
    lines 2 >&7
    until_true counts 7
    finish
    counts 7
}

@test "SIGTERM: what was read is flushed, nothing stays in the log" {
    start
    lines 10 >&7
    until_true counts 10
    kill -TERM "$writer"
    status=0
    wait "$writer" || status=$?
    writer=
    [ "$status" -eq 1 ]
    grep -q 'stopped by a signal after line 10 of stdin' errors
    grep -q '10 rows were read, all of them are durable' errors
    [ "$(segments)" -eq 0 ]
    counts 10
}

@test "a growing file, killed and followed again" {
    : >app.lp
    tail -n +1 -f app.lp 2>/dev/null | tsm-ingest --sync always 2>errors &
    writer=$!
    for i in 0 1 2 3 4; do
        lines 100 $((100 * i)) >>app.lp
        until_true counts $((100 * i + 100))
    done
    kill -9 "$writer"
    echo >>app.lp # tail finds out that nobody reads
    wait "$writer" || true
    writer=
    counts 500
    lines 100 500 >>app.lp
    tsm-ingest app.lp
    counts 600
    [ "$(segments)" -eq 0 ]
}
