#!/usr/bin/env bats
# tests/tools/compact.bats: tsm-compact: plans and what runs them, levels, locks, damage, retention, limits, signals, exit status.
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
    export TSM_DATA=data
    shard=data/data/db/autogen/1
}

teardown() {
    exec 7>&- 2>/dev/null || true
    [ -z "${held:-}" ] || kill "$held" 2>/dev/null || true
    [ -z "${mounted:-}" ] || umount "$mounted"
}

# rows FIRST N [HOSTS]: N rows of each host, a second apart.
rows() {
    awk -v from="$1" -v n="$2" -v hosts="${3:-3}" 'BEGIN {for (i = from; i < from + n; i++) for (h = 0; h < hosts; h++)
        printf "m,host=h%d v=%d,f=%d.5 %d000000000\n", h, i * 7 + h, i % 13, 1600000000 + i}'
}

# files N [DB]: N ordered files of level 1, of 200 rows each.
files() {
    local i
    for ((i = 0; i < $1; i++)); do
        rows $((i * 200)) 200 | tsm-ingest -b "${2:-db}"
    done
}

# Rows that all files have, written again: an out-of-order file.
late() {
    rows 100 300 | sed 's/v=/v=9/' | tsm-ingest -b db
}

stored() {
    tsm-inspect export -b db data | grep -v '^#' | sort | sha256sum
}

names() {
    (cd "${1:-$shard}" && ls -- *.tsm)
}

json() {
    grep '^{' <<<"$stderr" | jq -r ".$1"
}

@test "level 1 becomes level 2, late points go where they belong, and the answers stay the same" {
    files 4
    before=$(stored)
    run --separate-stderr tsm-compact --summary json
    echo "$stderr"
    [ "$status" -eq 0 ]
    [ -z "$output" ]
    [ "$(names)" = 000000001-000000002.tsm ]
    [ "$(json compactions)" -eq 1 ]
    [ "$(json inputs)" -eq 4 ]
    [ "$(json merged_blocks)" -eq 0 ]
    [ "$(json 'flushed_bytes > 0 and .written_bytes > 0 and .write_amplification > 1 and .write_amplification < 2.1')" = true ]
    [ "$(stored)" = "$before" ]
    late
    before=$(stored)
    run --separate-stderr tsm-compact --cold 0 --summary json
    [ "$status" -eq 0 ]
    [ "$(names)" = 000000001-000000003.tsm ]
    [ "$(json 'merged_blocks > 0 and .overwritten == 1800')" = true ]
    [ "$(stored)" = "$before" ]
    tsm-inspect verify -q data
    run --separate-stderr tsm-compact --cold 0 --summary json
    [ "$status" -eq 0 ]
    [ "$(json compactions)" -eq 0 ]
}

@test "a plan is a filter: --plan, grep and --run -; and does nothing by itself" {
    files 4
    files 4 other
    before=$(stored)
    tsm-compact --plan >plan
    [ "$(wc -l <plan)" -eq 2 ]
    awk -F'\t' 'NF != 10 {exit 1}' plan
    [ "$(names | wc -l)" -eq 4 ]
    run --separate-stderr bash -o pipefail -c 'tsm-compact --plan | grep -w db | tsm-compact --run - -v'
    echo "$stderr"
    [ "$status" -eq 0 ]
    [ -z "$output" ]
    [[ $stderr == *"db.autogen shard 1: merge 4 files"*"to 000000001-000000002"* ]]
    [ "$(names | wc -l)" -eq 1 ]
    [ "$(names data/data/other/autogen/2 | wc -l)" -eq 4 ]
    [ "$(stored)" = "$before" ]
    # The same bytes from the same plan, run from a file, with comments and blank lines in it.
    rm -r data
    files 4
    cp "$shard"/000000001-000000001.tsm a.tsm
    grep -w db plan | cat <(printf '# comment\n\n') - >mine
    tsm-compact --run mine
    [ "$(stored)" = "$before" ]
    # Out of date: the inputs are gone.
    run tsm-compact --run mine
    echo "$output"
    [ "$status" -eq 75 ]
    [[ $output == *"mine: line 3: out of date"*"000000001-000000001 is gone"* ]]
    run tsm-compact -b other --run mine
    [ "$status" -eq 0 ]
}

@test "a line that was edited wrongly is named with number and column, the others are run, exit 1" {
    files 4
    tsm-compact --plan >plan
    {
        sed 's/merge/marge/' plan
        sed 's/000000002-000000001,/2,/' plan
        sed 's/copy=/copy=many/' plan
        cat plan
    } >edited
    run tsm-compact --run edited
    echo "$output"
    [ "$status" -eq 1 ]
    [[ ${lines[0]} == "tsm-compact: edited: line 1: column action: 'marge': is none of merge, move, drop and expire" ]]
    [[ ${lines[1]} == *"line 2: column inputs: '2': is not the name of a file"* ]]
    [[ ${lines[2]} == *"line 3: column copy: 'many"*"': is not a number"* ]]
    [ "${#lines[@]}" -eq 3 ]
    [ "$(names)" = 000000001-000000002.tsm ]
}

@test "a line that would change which value wins is refused, also by -n, and nothing is changed" {
    files 3
    late
    before=$(names)
    line=$'merge\tdb\tautogen\t1\t000000001-000000001,500000001-000000001\t000000001-000000002'
    for option in "" -n; do
        # shellcheck disable=SC2086
        run tsm-compact $option --run - <<<"$line"
        echo "$output"
        [ "$status" -eq 1 ]
        [[ $output == *"standard input: line 1: file 000000002-000000001 has to be an input, too"* ]]
    done
    run tsm-compact --run - <<<"${line/000000001-000000002/000000001-000000001}"
    [ "$status" -eq 1 ]
    run tsm-compact --run - <<<"${line/autogen/nosuch}"
    [ "$status" -eq 75 ]
    [ "$(names)" = "$before" ]
}

@test "-n says what would be done, and does not" {
    files 4
    run --separate-stderr tsm-compact -n
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == "db.autogen shard 1: merge 4 files of "*" to 000000001-000000002: about "*" blocks to copy, "* ]]
    [ -z "$stderr" ]
    tsm-compact --plan >plan
    run --separate-stderr tsm-compact -n --run plan
    [ "$status" -eq 0 ]
    [[ $output == "db.autogen shard 1: merge 4 files of "* ]]
    [ "$(names | wc -l)" -eq 4 ]
}

@test "-b, -p, --shard and --level choose" {
    files 4
    files 4 other
    tsm-compact -b other
    [ "$(names | wc -l)" -eq 4 ]
    tsm-compact -p nosuch || [ $? -eq 1 ]
    tsm-compact --shard 2
    [ "$(names | wc -l)" -eq 4 ]
    run tsm-compact --shard 9
    [ "$status" -eq 1 ]
    late
    tsm-compact --cold 0 --level 2
    [ "$(names)" = 000000001-000000002.tsm ]
    late
    tsm-compact --cold 0 --level 2
    [[ $(names) == 000000001-000000002.tsm$'\n'50000000?-000000001.tsm ]]
    tsm-compact --cold 0 --level 3
    [ "$(names)" = 000000001-000000003.tsm ]
}

@test "a shard that another process works on is skipped and named, the others are not, exit 75" {
    files 4
    files 4 other
    touch "$shard/lock"
    python3 - "$shard/lock" <<'END' &
import fcntl, struct, sys, time
f = open(sys.argv[1], "r+")
fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
f.write("tsm-query, process 4711\n")
f.flush()
open("held", "w").close()
time.sleep(60)
END
    held=$!
    for _ in $(seq 100); do [ -e held ] && break || sleep 0.1; done
    run tsm-compact
    echo "$output"
    [ "$status" -eq 75 ]
    [[ $output == *"db.autogen shard 1: skipped: $shard/lock: held by tsm-query, process 4711"* ]]
    [ "$(names | wc -l)" -eq 4 ]
    [ "$(names data/data/other/autogen/2 | wc -l)" -eq 1 ]
    run --separate-stderr tsm-compact --plan
    [ "$status" -eq 0 ]
    run tsm-compact --run - <<<"$output"
    [ "$status" -eq 75 ]
    kill $held
    wait $held || true
    held=
    tsm-compact
    [ "$(names | wc -l)" -eq 1 ]
}

@test "it runs beside a writer that holds the directory" {
    files 4
    mkfifo pipe
    tsm-ingest -b db <pipe &
    held=$!
    exec 7>pipe
    rows 800 200 >&7
    before=$(names)
    tsm-compact
    [ "$(names | grep -c -- -000000002.tsm)" -eq 1 ]
    rows 1000 200 >&7
    exec 7>&-
    wait $held
    held=
    tsm-compact --cold 0
    run tsm-query -b db -f csv 'SELECT count(v) FROM m'
    [[ ${lines[1]} == *,3600 ]]
}

@test "a damaged file is named once and left; everything around it is compacted; exit 5" {
    files 6
    before=$(names | wc -l)
    printf 'XX' | dd of="$shard/000000003-000000001.tsm" bs=1 seek=0 conv=notrunc status=none
    run tsm-compact --cold 0
    echo "$output"
    [ "$status" -eq 5 ]
    [ "$(grep -c 000000003-000000001.tsm <<<"$output")" -eq 1 ]
    [ "$(names)" = $'000000001-000000003.tsm\n000000003-000000001.tsm\n000000004-000000003.tsm' ]
    run tsm-compact --plan --cold 0
    [ "$status" -eq 5 ]
}

@test "a damaged block is found while it is copied; the rest goes on around the file" {
    files 6
    offset=$(tsm-inspect dump --blocks "$shard/000000003-000000001.tsm" | awk -F'\t' 'NR == 2 {print $3 + 9}')
    printf 'X' | dd of="$shard/000000003-000000001.tsm" bs=1 seek="$offset" conv=notrunc status=none
    run timeout 60 tsm-compact --cold 0
    echo "$output"
    [ "$status" -eq 5 ]
    [[ $output == *000000003-000000001.tsm*"checksum mismatch"* ]]
    [ "$(names)" = $'000000001-000000003.tsm\n000000003-000000001.tsm\n000000004-000000003.tsm' ]
    [ -z "$(find "$shard" -name '*.tmp')" ]
}

@test "what is deleted is taken out; what is deleted wholly is removed" {
    files 4
    tsm-compact
    tsm-query -b db "DELETE FROM m WHERE host = 'h1'"
    before=$(stored)
    size=$(stat -c %s "$shard/000000001-000000002.tsm")
    tsm-compact
    [ "$(names)" = 000000001-000000003.tsm ]
    [ "$(stat -c %s "$shard/000000001-000000003.tsm")" -lt $((size * 3 / 4)) ]
    [ -z "$(find data -name '*.tombstone')" ]
    [ "$(stored)" = "$before" ]
}

@test "shards that fell out of their policy are removed, in meta.db first; the others stay" {
    tsm-query 'CREATE DATABASE db'
    tsm-query 'CREATE RETENTION POLICY day ON db DURATION 1d REPLICATION 1 SHARD DURATION 1h DEFAULT'
    now=$(date +%s)
    printf 'm v=%d %d\n' 1 $((now - 60)) 2 $((now - 7200)) | tsm-ingest -b db --precision s
    tsm-query 'ALTER RETENTION POLICY day ON db DURATION 1000d'
    printf 'm v=%d %d\n' 3 $((now - 86400 * 3)) 4 $((now - 86400 * 9)) | tsm-ingest -b db --precision s
    tsm-query 'ALTER RETENTION POLICY day ON db DURATION 1d'
    [ "$(find data/data/db/day -name '*.tsm' | wc -l)" -ge 3 ]
    run --separate-stderr tsm-compact --plan
    [ "$(grep -c '^expire' <<<"$output")" -eq 2 ]
    run --separate-stderr tsm-compact -v --summary json
    echo "$stderr"
    [ "$status" -eq 0 ]
    [ "$(json expired)" -eq 2 ]
    [[ $stderr == *"expired, 1 files removed"* ]]
    run tsm-query -b db -f csv 'SELECT count(v), sum(v) FROM m'
    [[ ${lines[1]} == *,2,3 ]]
    [ "$(find data/data/db/day -name '*.tsm' | wc -l)" -eq 2 ]
    tsm-inspect dump data/meta/meta.db >groups
    [ "$(grep -c day groups)" -eq 2 ]
    run --separate-stderr tsm-compact --summary json
    [ "$(json expired)" -eq 0 ]
}

@test "beside a writer the files of an expired shard go, meta.db follows" {
    tsm-query 'CREATE DATABASE db'
    tsm-query 'CREATE RETENTION POLICY day ON db DURATION 1000d REPLICATION 1 SHARD DURATION 1h DEFAULT'
    now=$(date +%s)
    printf 'm v=%d %d\n' 1 $((now - 86400 * 3)) | tsm-ingest -b db --precision s
    tsm-query 'ALTER RETENTION POLICY day ON db DURATION 1d'
    mkfifo pipe
    tsm-ingest -b db --precision s <pipe &
    held=$!
    exec 7>pipe
    printf 'm v=5 %d\n' "$now" >&7
    for _ in $(seq 100); do grep -q . data/lock 2>/dev/null && break || sleep 0.1; done
    cp data/meta/meta.db before
    run --separate-stderr tsm-compact --summary json
    echo "$stderr"
    [ "$status" -eq 0 ]
    [ "$(json expired)" -eq 1 ]
    [ -z "$(find data/data/db/day/1 -name '*.tsm')" ]
    run --separate-stderr tsm-compact --summary json
    [ "$(json expired)" -eq 0 ]
    exec 7>&-
    wait $held
    held=
    tsm-compact
    [ ! -e data/data/db/day/1 ]
    [ "$(tsm-inspect dump data/meta/meta.db | grep -c day)" -eq 1 ]
}

@test "too little room: the merge is left out, said, exit 75" {
    files 4
    run tsm-compact --reserve 1000T
    echo "$output"
    [ "$status" -eq 75 ]
    [[ $output == *"no room for an output"*"are the reserve"* ]]
    [ "$(names | wc -l)" -eq 4 ]
    run tsm-compact --reserve 100%
    [ "$status" -eq 75 ]
    tsm-compact --reserve 0
    [ "$(names | wc -l)" -eq 1 ]
}

@test "--max-time: nothing is begun afterwards, exit 0; the next run goes on" {
    files 4
    run tsm-compact --max-time 1ns
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(names | wc -l)" -eq 4 ]
    tsm-compact --max-time 1h
    [ "$(names | wc -l)" -eq 1 ]
}

@test "a plan without ends of lines is refused before it fills the memory" {
    [ -z "${SANITIZER:-}" ] || skip "a sanitizer takes memory of its own"
    files 1
    run bash -c "ulimit -v 400000; head -c 1G /dev/zero | tsm-compact --run - -j 1 --memory 32M"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"line 1: is too long"* ]]
}

@test "SIGTERM abandons cleanly: exit 1, nothing half done, the next run finishes" {
    rows 0 20000 | tsm-ingest -b db
    rows 20000 20000 | tsm-ingest -b db
    before=$(stored)
    tsm-compact --cold 0 --io-limit 1k &
    held=$!
    for _ in $(seq 100); do [ -n "$(find data -name '*.tsm.tmp')" ] && break || sleep 0.05; done
    [ -n "$(find data -name '*.tsm.tmp')" ]
    kill -TERM $held
    status=0
    wait $held || status=$?
    held=
    [ "$status" -eq 1 ]
    [ -z "$(find data -name '*.tmp')" ]
    [ "$(names | wc -l)" -eq 2 ]
    tsm-compact --cold 0
    [ "$(names | wc -l)" -eq 1 ]
    [ "$(stored)" = "$before" ]
}

@test "kill -9 leaves nothing that the next run does not finish" {
    rows 0 20000 | tsm-ingest -b db
    rows 20000 20000 | tsm-ingest -b db
    before=$(stored)
    tsm-compact --cold 0 --io-limit 1k &
    held=$!
    for _ in $(seq 100); do [ -n "$(find data -name '*.tsm.tmp')" ] && break || sleep 0.05; done
    kill -KILL $held
    wait $held || true
    held=
    [ "$(stored)" = "$before" ]
    tsm-compact --cold 0
    [ -z "$(find data -name '*.tmp')" ]
    [ "$(names | wc -l)" -eq 1 ]
    [ "$(stored)" = "$before" ]
}

@test "a full disk on stdout is an error; a reader that goes away is none" {
    files 4
    run bash -c 'tsm-compact --plan >/dev/full'
    echo "$output"
    [ "$status" -eq 1 ]
    [[ $output == *"write standard output"* ]]
    run bash -c 'tsm-compact --plan | true'
    [ "$status" -eq 0 ]
    [ -z "$output" ]
}

@test "wrong usage: operands, options that exclude each other, numbers out of range" {
    run tsm-compact data
    [ "$status" -eq 2 ]
    run tsm-compact --plan --run -
    [ "$status" -eq 2 ]
    for option in --level=1 --memory=1M --reserve=101% --reserve=much --cold=often --cold=-1h --max-time=-1s; do
        run tsm-compact "$option"
        echo "$option: $output"
        [ "$status" -eq 2 ]
    done
    run tsm-compact -d nosuch
    [ "$status" -eq 1 ]
    mkdir empty
    run tsm-compact -d empty
    [ "$status" -eq 1 ]
    run tsm-compact --run nosuch
    [ "$status" -eq 1 ]
    [[ $output == *"open nosuch: No such file"* ]]
}
