#!/usr/bin/env bats
# tests/tools/checkpoint.bats: loads that were killed or stopped go on where they were.
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    export BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
    here=$(pwd -P)
}

teardown() {
    [ -z "${pid:-}" ] || kill -9 "$pid" 2>/dev/null || true
}

# lines FIRST N
lines() {
    awk -v from="$1" -v n="$2" 'BEGIN {for (i = from; i < from + n; i++) printf "m,host=h%d f=%d %d\n", i % 7, i, i + 1}'
}

# load FILE...: one run; its figures in rows and rejected.
load() {
    run --separate-stderr tsm-ingest -d data -b db --precision s --checkpoint cp --summary json "$@"
    # shellcheck disable=SC2154 # set by run
    echo "$stderr"
    rows=$(sed -n 's/.*"rows":\([0-9]*\),.*/\1/p' <<<"$stderr")
}

stored() {
    tsm-inspect export -b db data | grep -v '^#' | sort
}

# place FILE: offset and lines
place() {
    awk -F '\t' -v path="$here/$1" '$6 == path {print $1, $3}' cp
}

@test "a file that is complete is passed over, one that grows goes on, further ones are added" {
    lines 0 1000 >a
    load a
    [ "$status" -eq 0 ]
    [ "$rows" -eq 1000 ]
    [ "$(place a)" = "$(wc -c <a) 1000" ]
    [ "$(head -n 1 cp)" = "$(printf 'tsmkit checkpoint 1\t%s/data\tdb\tautogen' "$here")" ]
    load a
    [ "$status" -eq 0 ]
    [ "$rows" -eq 0 ]
    lines 1000 500 >>a
    lines 1500 200 | gzip >b.gz
    load a b.gz
    [ "$rows" -eq 700 ]
    lines 1700 100 | gzip >>b.gz
    load b.gz a
    [ "$rows" -eq 100 ]
    [ "$(stored | wc -l)" -eq 1800 ]
    [ "$(tail -n +2 cp | wc -l)" -eq 2 ]
}

@test "a last line without an end is loaded, and again only when it has become longer" {
    printf 'm f=1 1\nm f=2 2' >a
    load a
    [ "$rows" -eq 2 ]
    load a
    [ "$rows" -eq 0 ]
    echo >>a
    load a
    [ "$rows" -eq 0 ]
    printf 'm f=3 3\nm f=4 4' >>a
    load a
    [ "$rows" -eq 2 ]
    printf '4\nx\n' >>a
    load a
    [ "$status" -eq 3 ]
    [ "$rows" -eq 1 ]
    [[ $stderr == *"a:5: "* ]]
    [ "$(stored | wc -l)" -eq 5 ]
    [ "$(place a)" = "$(wc -c <a) 5" ]
}

@test "CSV: the header is read again, numbers of lines go on" {
    printf 'time,f\n1,1\n2,2\n' >a
    load -f csv --measurement m a
    [ "$rows" -eq 2 ]
    printf '3,3\nbad,1\n4,4' >>a
    load -f csv --measurement m a
    [ "$status" -eq 3 ]
    [ "$rows" -eq 2 ]
    [[ $stderr == *"a:5: "* ]]
    load -f csv --measurement m a
    [ "$status" -eq 0 ]
    [ "$rows" -eq 0 ]
    printf '\n5,5\n' >>a
    load -f csv --measurement m a
    [ "$rows" -eq 1 ]
    [ "$(stored | wc -l)" -eq 5 ]
}

@test "a file that was replaced is loaded from its start" {
    lines 0 1000 >a
    lines 0 1000 | gzip >b.gz
    load a b.gz
    lines 5000 2000 >a
    lines 8000 2000 | gzip >b.gz
    load a b.gz
    [ "$status" -eq 0 ]
    [ "$rows" -eq 4000 ]
    [[ $stderr == *"warning: a is not the file that the checkpoint knows"* ]]
    [[ $stderr == *"warning: b.gz is not the file that the checkpoint knows"* ]]
    lines 5000 100 >a # smaller
    load a
    [ "$rows" -eq 100 ]
    [ "$(place a)" = "$(wc -c <a) 100" ]
}

@test "rejected lines are appended when a load goes on" {
    { lines 0 10; echo bad1; } >a
    load --rejects r a
    [ "$status" -eq 3 ]
    { lines 10 10; echo bad2; } >>a
    load --rejects r a
    [ "$(grep -v '^#' r | tr '\n' ' ')" = "bad1 bad2 " ]
}

@test "data that is gone is loaded again; another target is refused" {
    lines 0 100 >a
    load a
    rm -r data
    load a
    [ "$status" -eq 0 ]
    [ "$rows" -eq 100 ]
    [[ $stderr == *"all files are loaded from the start"* ]]
    run tsm-ingest -d data -b other --checkpoint cp a
    [ "$status" -eq 2 ]
    [[ $output == *"cp is the checkpoint of another directory, database or policy"* ]]
    echo rubbish >./cp
    run tsm-ingest -d data -b db --checkpoint cp a
    [ "$status" -eq 2 ]
    [[ $output == *"cp: not a checkpoint"* ]]
    [ "$(cat cp)" = rubbish ]
}

@test "what cannot be read again is refused" {
    mkfifo pipe
    for input in "" - pipe; do
        run tsm-ingest -d data -b db --checkpoint cp $input </dev/null
        [ "$status" -eq 2 ]
        [[ $output == *"is not a regular file"* ]]
    done
    run tsm-ingest -n -d data -b db --checkpoint cp /dev/null
    [ "$status" -eq 2 ]
    [ ! -e cp ]
}

@test "a checkpoint that cannot be written is refused before anything is loaded" {
    lines 1 10 >a
    run --separate-stderr tsm-ingest -d data -b db --checkpoint missing/cp a
    [ "$status" -eq 1 ]
    [[ $stderr == *missing* ]]
    [ ! -e data/data ]
    run tsm-ingest -d data -b db --checkpoint cp --rejects cp a
    [ "$status" -eq 2 ]
    [ ! -e cp ]
}

@test "one file that is given twice is loaded once" {
    lines 0 100 >a
    ln -s a b
    load a ./a b
    [ "$status" -eq 0 ]
    [ "$rows" -eq 100 ]
}

# texts SEED MEASUREMENT N: lines that fill the memory soon
texts() {
    awk -v seed="$1" -v m="$2" -v n="$3" 'BEGIN {srand(seed); for (i = 0; i < n; i++)
        printf "%s s=\"%.9f%.9f%.9f%.9f\" %d\n", m, rand(), rand(), rand(), rand(), i + 1}'
}

# lines of all inputs that the checkpoint has
durable() {
    [ -e cp ] || { echo 0; return; }
    awk -F '\t' 'NR > 1 {n += $3} END {print n + 0}' cp
}

@test "kill -9 in a loop: in the end everything is there, and nothing that was durable is loaded twice" {
    texts 7 m 250000 >a
    texts 8 n 100000 | gzip -1 >b.gz
    texts 9 o 250000 >c
    total=600000 before=0 kills=0 advances=0
    for n in $(seq 40); do
        cksum cp >was 2>/dev/null || true
        tsm-ingest -d data -b db --precision s --memory 32M --checkpoint cp --summary json a b.gz c 2>stderr &
        pid=$!
        # Every second time soon after something became durable, else anywhere before.
        while [ $((n % 2)) -eq 0 ] && jobs -rp | grep -qx "$pid" && { cksum cp 2>/dev/null || true; } | cmp -s - was; do
            sleep 0.01
        done
        sleep "0.0$((RANDOM % 8))"
        kill -9 "$pid" 2>/dev/null || true
        status=0
        wait "$pid" || status=$?
        [ "$status" -ne 0 ] || break
        [ "$status" -eq 137 ] || { cat stderr; false; }
        kills=$((kills + 1))
        now=$(durable)
        echo "killed after $now lines"
        [ "$now" -ge "$before" ]
        advances=$((advances + (now > before)))
        before=$now
    done
    [ "$kills" -ge 2 ]
    [ "$advances" -ge 1 ]
    if [ "$status" -ne 0 ]; then
        tsm-ingest -d data -b db --precision s --memory 32M --checkpoint cp --summary json a b.gz c 2>stderr
    fi
    cat stderr
    [ "$(sed -n 's/.*"rows":\([0-9]*\),.*/\1/p' stderr)" -eq $((total - before)) ]
    [ "$(durable)" -eq "$total" ]
    { cat a c; zcat b.gz; } | sed 's/$/000000000/' | sort >want
    stored | cmp - want
    tsm-inspect verify -q data
}

@test "a signal: the next run goes on behind what was stored" {
    texts 7 m 300000 >a
    tsm-ingest -d data -b db --precision s --memory 32M --checkpoint cp a 2>stderr &
    pid=$!
    while jobs -rp | grep -qx "$pid" && [ ! -e cp ]; do
        sleep 0.01
    done
    kill -TERM "$pid" 2>/dev/null || true
    status=0
    wait "$pid" || status=$?
    cat stderr
    now=$(durable)
    [ "$now" -gt 0 ]
    if [ "$status" -ne 0 ]; then
        [ "$status" -eq 1 ]
        grep -q "stopped by a signal after line $now of a" stderr
    fi
    load a
    [ "$status" -eq 0 ]
    [ "$rows" -eq $((300000 - now)) ]
    [ "$(tsm-query -d data -b db -f csv --no-header 'SELECT count(s) FROM m')" = "1970-01-01T00:00:00Z,300000" ]
}
