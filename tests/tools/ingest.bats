#!/usr/bin/env bats
# tests/tools/ingest.bats: tsm-ingest: every option and exit status, bad lines, damaged input, full disks, signals.
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
    export TSM_DATA=data
}

teardown() {
    exec 7>&- 2>/dev/null || true
    [ -z "${held:-}" ] || kill "$held" 2>/dev/null || true
    [ -z "${mounted:-}" ] || umount "$mounted"
}

ingest() {
    tsm-ingest -b db "$@"
}

# Everything that is stored, in order.
stored() {
    tsm-inspect export -b "${1:-db}" data | grep -v '^#' | sort
}

# lines N [FIRST]: N lines of one series, a second apart.
lines() {
    awk -v n="$1" -v from="${2:-0}" 'BEGIN {for (i = 0; i < n; i++) printf "m,host=a v=%d %d000000000\n", from + i, 1600000000 + from + i}'
}

# json FIELD: of the summary in $stderr.
json() {
    grep '^{' <<<"$stderr" | jq -r ".$1"
}

@test "stdin, files and - in turn; nothing on stdout, nothing on stderr" {
    echo 'm f=1 1' >a
    echo 'm f=2 2' >b
    run --separate-stderr ingest a - b <<<'m f=3 3'
    [ "$status" -eq 0 ]
    [ -z "$output$stderr" ]
    [ "$(stored)" = $'m f=1 1\nm f=2 2\nm f=3 3' ]
    run --separate-stderr ingest <<<'m f=4 4'
    [ "$status" -eq 0 ]
    [ "$(stored | wc -l)" -eq 4 ]
}

@test "the last value of a time wins: within a file, over files, over runs" {
    printf 'm f=1 1\nm f=2 1\nm f=1 2\nm f=1 3\n' >a
    echo 'm f=3 2' >b
    ingest a b
    echo 'm f=4 3' | ingest
    [ "$(stored)" = $'m f=2 1\nm f=3 2\nm f=4 3' ]
}

@test "all five types, escapes, comments, blank lines, CRLF, a last line without an end" {
    printf '# comment\n\n m\\ 1,t\\ a=x\\,y f=1.5,i=-2i,b=true,s="a \\"q\\" b" 1\r\nm2 v=1e3 2\nm3 v=f 3' | ingest
    run stored
    echo "$output"
    [[ $output == *'m\ 1,t\ a=x\,y '*'s="a \"q\" b"'* ]]
    [[ $output == *'m2 v=1000 2'* ]]
    [[ $output == *'m3 v=false 3'* ]]
}

@test "gzip and LZ4 are recognised, on files and on stdin" {
    lines 100 | gzip >a.gz
    lines 100 100 | lz4 -q >b.lz4
    ingest a.gz b.lz4
    lines 100 200 | gzip | ingest
    [ "$(stored | wc -l)" -eq 300 ]
}

@test "--precision: every unit" {
    for unit in ns:1 us:1000 ms:1000000 s:1000000000 m:60000000000 h:3600000000000; do
        rm -rf data
        echo 'm f=1 7' | ingest --precision "${unit%%:*}"
        [ "$(stored)" = "m f=1 $((7 * ${unit#*:}))" ]
    done
}

@test "a line without a time gets the present one, in the precision" {
    before=$(date +%s)
    echo 'm f=1' | ingest --precision s
    t=$(stored | cut -d' ' -f3)
    [ $((t % 1000000000)) -eq 0 ]
    [ $((t / 1000000000)) -ge "$before" ]
    [ $((t / 1000000000)) -le "$(date +%s)" ]
}

@test "lines without a time from a pipe get that of their arrival" {
    (echo 'm f=1'; sleep 0.3; echo 'm f=2'; sleep 0.3; printf 'm f='; sleep 0.3; echo 3) | ingest
    run stored
    echo "$output"
    [ "$(cut -d' ' -f1,2 <<<"$output")" = $'m f=1\nm f=2\nm f=3' ]
    [ "$(cut -d' ' -f3 <<<"$output" | sort -u | wc -l)" -eq 3 ]
}

@test "csv: measurement, tags, typed fields, time, separator, measurement column" {
    printf 'time,room,floor,t,n\n1,kitchen,2,20.5,3\n2,"a, b",1,21,4\n' >a.csv
    ingest -f csv --measurement air --tags room,floor --fields t,n:integer a.csv
    [ "$(stored)" = $'air,floor=1,room=a\\,\\ b n=4i 2\nair,floor=1,room=a\\,\\ b t=21 2\nair,floor=2,room=kitchen n=3i 1\nair,floor=2,room=kitchen t=20.5 1' ] ||
        [ "$(stored)" = $'air,floor=1,room=a\\,\\ b n=4i,t=21 2\nair,floor=2,room=kitchen n=3i,t=20.5 1' ]
    rm -rf data
    printf 'at;kind;x\n5;cpu;1\n6;mem;2\n' >b.csv
    ingest --format csv --measurement-column kind --time at --separator ';' --precision s b.csv
    [ "$(stored)" = $'cpu x=1 5000000000\nmem x=2 6000000000' ]
    rm -rf data
    printf 'time\tx\n5\t1\n' | ingest -f csv --measurement m --separator '\t'
    [ "$(stored)" = 'm x=1 5' ]
}

@test "csv: each file has its own header; quoted records over many pieces" {
    awk 'BEGIN {print "time,host,text"; for (i = 0; i < 30000; i++) printf "%d,h%d,\"line %d\nsecond, line\"\n", i, i % 7, i}' >a.csv
    printf 'text,time,host\nx,99999,h1\n' >b.csv
    run --separate-stderr ingest -f csv --measurement m --tags host --fields text:string --summary json a.csv b.csv
    echo "$stderr"
    [ "$status" -eq 0 ]
    [ "$(json rows)" -eq 30001 ]
    [ "$(json series)" -eq 7 ]
}

@test "rejected lines: told with file and line, saved, ingestible again, exit 3" {
    printf 'm f=1 1\nbad\nm f="x" 2\n' >a
    printf '\n\nm f=true 3\nm f=4 4\n' >b
    run --separate-stderr ingest --rejects bad.lp a b
    echo "$stderr"
    [ "$status" -eq 3 ]
    [ -z "$output" ]
    [[ $stderr == *"a:2: unable to parse 'bad': missing fields"* ]]
    [[ $stderr == *'a:3: field type conflict: input field "f" on measurement "m" is type string, already exists as type float'* ]]
    [[ $stderr == *'b:3: field type conflict: input field "f" on measurement "m" is type boolean, already exists as type float'* ]]
    [[ $stderr == *"3 lines were rejected; they are in bad.lp"* ]]
    [ "$(stored)" = $'m f=1 1\nm f=4 4' ]
    [ "$(grep -v '^#' bad.lp)" = $'bad\nm f="x" 2\nm f=true 3' ]
    [ "$(grep -c '^# [ab]:[0-9]*: ' bad.lp)" -eq 3 ]
    run --separate-stderr ingest --rejects again.lp bad.lp
    [ "$status" -eq 3 ]
    [ "$(grep -v '^#' again.lp)" = "$(grep -v '^#' bad.lp)" ]
    run --separate-stderr tsm-ingest -b other bad.lp # there the types are free; but they conflict with each other
    [ "$status" -eq 3 ]
    [ "$(stored other)" = 'm f="x" 2' ]
}

@test "rejected csv records are saved with their header" {
    printf 'time,x\n1,1\nno time,2\n3\n4,4\n' >a.csv
    run --separate-stderr ingest -f csv --measurement m --rejects bad.csv a.csv
    [ "$status" -eq 3 ]
    [[ $stderr == *"a.csv:3: unable to parse 'no time,2': bad timestamp: no time"* ]]
    [ "$(cat bad.csv)" = $'time,x\nno time,2\n3' ]
    [ "$(stored)" = $'m x=1 1\nm x=4 4' ]
}

@test "ten rejected lines are told, with -v all, with -q none" {
    for i in $(seq 25); do echo "bad$i"; done >a
    run --separate-stderr ingest a
    [ "$status" -eq 3 ]
    [ "$(grep -c '^a:' <<<"$stderr")" -eq 10 ]
    [[ $stderr == *"... and 15 more"*"25 lines were rejected"* ]]
    run --separate-stderr ingest -v a
    [ "$(grep -c '^a:' <<<"$stderr")" -eq 25 ]
    run --separate-stderr ingest -q a
    [ "$status" -eq 3 ]
    [ "$stderr" = "tsm-ingest: 25 lines were rejected" ]
}

@test "line numbers are right in a long input, parsed in pieces by several threads" {
    lines 60000 | sed -e '54321s/.*/bad/' -e '100s/.*/# comment/' -e '7s/.*/m,host=a s="two\nlines" 1/' >a
    run --separate-stderr ingest -j 4 --summary json a
    [ "$status" -eq 3 ]
    [[ $stderr == *"a:54322: unable to parse 'bad'"* ]]
    [ "$(json rows)" -eq 59998 ]
}

@test "--rejects: not over the input, not where nothing can be written; empty when there are none" {
    echo 'm f=1 1' >a
    run ingest --rejects a a
    [ "$status" -eq 2 ]
    run ingest --rejects ./a <a
    [ "$status" -eq 2 ]
    [ "$(cat a)" = 'm f=1 1' ]
    run ingest --rejects missing/dir a
    [ "$status" -eq 1 ]
    [[ $output == *"missing/dir"* ]]
    ingest --rejects none a
    [ -e none ] && [ ! -s none ]
}

@test "a line that is too long is rejected, the rest is kept" {
    {
        echo 'm f=1 1'
        head -c 6000000 /dev/zero | tr '\0' x
        echo
        echo 'm f=2 2'
        echo bad
    } >a
    run --separate-stderr ingest --memory 32M --rejects r a
    echo "$stderr"
    [ "$status" -eq 3 ]
    [[ $stderr == *"a:2: line is longer than 4194304 bytes"*"a:4: unable to parse 'bad'"* ]]
    [ "$(stored)" = $'m f=1 1\nm f=2 2' ]
    [ "$(wc -c <r)" -lt 1000 ]
}

@test "points beyond the retention policy, names that InfluxDB refuses" {
    tsm-query 'CREATE DATABASE db WITH DURATION 1d' >/dev/null
    printf 'm f=1 1\nm,time=1 f=1\nm time=1\nm time=1,f=2\n' >a
    run --separate-stderr ingest a
    echo "$stderr"
    [ "$status" -eq 3 ]
    [[ $stderr == *"a:1: points beyond retention policy"* ]]
    [[ $stderr == *'a:2: invalid tag key: input tag "time" on measurement "m" is invalid'* ]]
    [[ $stderr == *'a:3: invalid field name: input field "time" on measurement "m" is invalid'* ]]
    [[ $stderr == *'warning: a field named "time" was left out of 1 rows'* ]]
    [ "$(stored | wc -l)" -eq 1 ]
}

@test "-n writes nothing, but checks everything" {
    printf 'm f=1 1\nbad\nm f=1i 2\n' >a
    run --separate-stderr ingest -n --summary json a
    [ "$status" -eq 3 ]
    [ "$(json rejected)" -eq 2 ]
    [ "$(json rows)" -eq 1 ]
    [ ! -e data ]
    echo 'm f=1 1' | ingest
    run ingest --dry-run <<<'m f=2i 2'
    [ "$status" -eq 3 ]
    [ "$(stored)" = 'm f=1 1' ]
}

@test "-d, -b, -p, environment and configuration file" {
    mkdir one
    echo 'm f=1 1' | TSM_DB=db tsm-ingest
    echo 'm f=2 2' | tsm-ingest -d data -b db -p long
    printf 'database: db\ntsm-ingest:\n  rp: long\n  precision: ms\n' >c.yaml
    echo 'm f=3 3' | tsm-ingest -c c.yaml
    [ -d data/data/db/autogen ]
    [ -d data/data/db/long ]
    run tsm-inspect export -b db -p long data
    [[ $output == *"m f=2 2"*"m f=3 3000000"* ]]
}

@test "an empty input creates the database" {
    ingest </dev/null
    : >empty
    tsm-ingest -b second -f csv --measurement m empty
    run tsm-query -f csv 'SHOW DATABASES'
    [[ $output == *db*second* ]]
}

@test "usage errors exit 2 and write nothing" {
    check() {
        run "$@" </dev/null
        echo "$* -> $status $output"
        [ "$status" -eq 2 ]
        [[ $output == "tsm-ingest: "* ]]
        [ ! -e data ]
    }
    check tsm-ingest
    check tsm-ingest -b ''
    check ingest -f csv
    check ingest -f csv --measurement a --measurement-column b
    check ingest --tags a
    check ingest --fields a
    check ingest --time a
    check ingest --measurement a
    check ingest --measurement-column a
    check ingest --memory 1M
    check ingest --memory much
    check ingest -j 5000
    check ingest -j x
    check ingest --precision d
    check ingest -f csv --measurement m --separator ''
    check ingest -f csv --measurement m --separator ab
    check ingest -f csv --measurement m --separator '"'
    check ingest -f xml
    check ingest --summary text
    printf 'a,b\n1,2\n' >a.csv
    run ingest -f csv --measurement m --tags nosuch a.csv
    [ "$status" -eq 2 ]
    [[ $output == *"a.csv:1: csv: no column 'nosuch'"* ]]
}

@test "a database whose name would leave the directory is refused" {
    run tsm-ingest -b ../up <<<'m f=1 1'
    [ "$status" -eq 1 ]
    [ ! -e up ] && [ ! -e data/up ]
}

@test "a missing file is told before anything is written" {
    echo 'm f=1 1' >a
    run ingest a nosuch
    [ "$status" -eq 1 ]
    [[ $output == *"open nosuch: No such file or directory"* ]]
    [ ! -e data/data ]
    mkdir d
    run ingest a d
    [ "$status" -eq 1 ]
    [[ $output == *"open d: Is a directory"* ]]
    run timeout 10 bash -c 'tsm-ingest -b db <&-'
    [ "$status" -eq 1 ]
}

@test "damaged gzip: exit 5, and what came before is durable" {
    lines 100000 | gzip >a.gz
    head -c 200000 a.gz >cut.gz
    run --separate-stderr ingest --summary json cut.gz
    echo "$stderr"
    [ "$status" -eq 5 ]
    [[ $stderr == *"cut.gz: offset 200000: the compressed data ends too early"* ]]
    [[ $stderr == *"rows were read, all of them are durable"* ]]
    rows=$(json durable_rows)
    [ "$rows" -gt 10000 ]
    [ "$(stored | wc -l)" -eq "$rows" ]
    [ "$(stored)" = "$(lines 100000 | head -n "$rows" | sort)" ]
}

@test "--summary json: one line with the figures" {
    lines 1000 >a
    printf 'm,host=b v=1,w=2i 1\nbad\n' >>a
    run --separate-stderr ingest --summary json -q a
    [ "$status" -eq 3 ]
    [ "$(grep -c '^{' <<<"$stderr")" -eq 1 ]
    [ "$(json rows)" -eq 1001 ]
    [ "$(json points)" -eq 1002 ]
    [ "$(json durable_rows)" -eq 1001 ]
    [ "$(json series)" -eq 2 ]
    [ "$(json rejected)" -eq 1 ]
    [ "$(json late)" -eq 0 ]
    [ "$(json bytes)" -eq "$(wc -c <a)" ]
    [ "$(json files)" -eq "$(find data -name '*.tsm' | wc -l)" ]
    [ "$(json file_bytes)" -eq "$(find data -name '*.tsm' -printf '%s\n' | awk '{n += $1} END {print n}')" ]
    [ "$(json 'seconds >= 0')" = true ]
    [ "$(json 'rows_per_second >= 0')" = true ]
    run --separate-stderr ingest --summary json <<<'m,host=a v=1 1600000000000000000'
    [ "$(json late)" -eq 1 ]
}

@test "-v says what was done" {
    run --separate-stderr ingest -v <<<'m f=1 1'
    [[ $stderr == "tsm-ingest: 1 rows, 1 values, 1 series in "*" files, "* ]]
}

@test "on a terminal: a progress line, and in the end what was done" {
    lines 20000 >a
    run script -qec "bash -c '(cat a; sleep 0.5; cat a) | tsm-ingest -b db'" /dev/null
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *$'\r'"tsm-ingest: "*" rows, "*"B, "*" rows/s"*"tsm-ingest: 40.0k rows, 40000 values, 1 series in "* ]]
    rm -rf data
    run script -qec "bash -c '(cat a; sleep 0.5; cat a) | tsm-ingest -q -b db'" /dev/null
    [ "$status" -eq 0 ]
    [ -z "$output" ]
}

@test "the same is stored with any number of threads and any memory" {
    for order in device time; do
        "$BUILD/bench/generate" --devices 300 --rows 60 --order $order 2>/dev/null
    done >a || skip "bench/generate is not built"
    [ -s a ] || skip "bench/generate is not built"
    for options in "-j 1" "-j 2" "-j 7" "-j 3 --memory 32M"; do
        rm -rf data
        # shellcheck disable=SC2086
        ingest $options a
        tsm-inspect verify -q data
        stored | md5sum
    done >sums
    [ "$(sort -u sums | wc -l)" -eq 1 ]
}

@test "peak memory stays within --memory, with many series and in any order of time" {
    [ -z "${SANITIZER:-}" ] || skip "a sanitizer takes memory of its own"
    awk 'BEGIN {srand(1); for (i = 0; i < 150000; i++) printf "m,host=h%d,region=r%d a=%d,b=\"text %d\" %d%09d\n", i, i % 9, i, i, 1600000000 + int(rand() * 1e6), i}' >a
    awk 'BEGIN {srand(2); for (i = 0; i < 300000; i++) printf "m v=%d %d%09d\n", i, 1600000000 + int(rand() * 3e5), i}' >b
    for file in a b; do
        python3 - "$file" <<'END'
import resource, subprocess, sys
code = subprocess.call(["tsm-ingest", "-b", "db", "--memory", "32M", sys.argv[1]])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(sys.argv[1], code, peak)
sys.exit(code or peak > 32 * 1024)
END
    done
    tsm-inspect verify -q data
    [ "$(tsm-query -b db -f csv 'SELECT count(a) FROM m' | tail -n 1 | cut -d, -f2)" -eq 150000 ]
}

# Starts an ingest that reads the pipe open as descriptor 7, and waits until it has the lock. Sets held.
start_held() {
    mkfifo pipe
    tsm-ingest -b db "$@" <pipe >out 2>err 7>&- &
    held=$!
    exec 7>pipe
    for _ in $(seq 500); do
        [ -s data/lock ] && return
        sleep 0.02
    done
    return 1
}

# Waits for the held ingest; its exit status is in $status.
wait_held() {
    status=0
    wait "$held" || status=$?
    held=
}

@test "a directory that another process holds: exit 75, which names it" {
    start_held
    run ingest <<<'m f=1 1'
    echo "$output"
    [ "$status" -eq 75 ]
    [[ $output == *"data/lock: held by tsm-ingest, process $held"* ]]
    echo 'm f=2 2' >&7
    exec 7>&-
    wait_held
    [ "$status" -eq 0 ]
    [ "$(stored)" = 'm f=2 2' ]
}

@test "SIGTERM and SIGINT: what was read is stored, exit 1, and the message says how far" {
    for signal in TERM INT; do
        rm -rf data pipe
        start_held
        lines 1000 >&7
        printf 'm,host=a v=1 16000' >&7 # half a line
        for _ in $(seq 500); do # until it has been read
            [ "$(awk '/^rchar/ {print $2}' "/proc/$held/io" 2>/dev/null || echo 99999)" -gt 30000 ] && break
            sleep 0.02
        done
        sleep 0.2
        kill -$signal "$held"
        wait_held
        cat err
        [ "$status" -eq 1 ]
        grep -q "stopped by a signal after line 1000 of stdin" err
        grep -q "1000 rows were read, all of them are durable" err
        [ "$(stored)" = "$(lines 1000 | sort)" ]
        exec 7>&-
    done
}

@test "kill -9: nothing unfinished is seen, and the next run goes on" {
    lines 10 | ingest
    for delay in 0.02 0.05 0.1 0.2; do
        rm -f pipe
        start_held --memory 32M
        (lines 300000 100 >&7) 2>/dev/null &
        writer=$!
        sleep $delay
        kill -9 "$held"
        wait_held
        [ "$status" -eq 137 ]
        exec 7>&-
        wait "$writer" || true
        tsm-inspect verify -q data
        [ "$(stored | grep -cx -f <(lines 10))" -eq 10 ]
    done
    lines 10 10 | ingest
    [ -z "$(find data -name '*.tmp')" ]
    [ "$(stored | grep -cx -f <(lines 20))" -eq 20 ]
    tsm-inspect verify -q data
}

@test "a limit on the size of files: exit 1, what was there is not harmed" {
    lines 10 | ingest
    before=$(stored)
    awk 'BEGIN {srand(3); for (i = 0; i < 60000; i++) printf "m,host=h%d f=%f,s=\"%d\" %d\n", i % 500, rand(), rand() * 1e9, i}' >a
    run --separate-stderr bash -c 'ulimit -f 100; exec tsm-ingest -b db a'
    echo "$stderr"
    [ "$status" -eq 1 ]
    [[ $stderr == *"write data/data/db/autogen/"*".tsm.tmp: File too large"* ]]
    [[ $stderr == *"0 rows are durable, the rest is not"* ]]
    [ -z "$(find data -name '*.tmp')" ]
    [ "$(stored)" = "$before" ]
    ingest a
    [ "$(stored | wc -l)" -ge 60010 ]
}

@test "a signal while the disk is full: exit 1, the message says what is durable, nothing is harmed" {
    mkdir small
    mount -t tmpfs -o size=1m none small 2>/dev/null || skip "mounting is not allowed here"
    mounted=$PWD/small
    awk 'BEGIN {srand(4); for (i = 0; i < 60000; i++) printf "m,host=h%d f=%f,s=\"%d\" %d\n", i % 500, rand(), rand() * 1e9, i}' >a
    lines 10 | tsm-ingest -d small -b db
    run --separate-stderr timeout --foreground --preserve-status 2 tsm-ingest -d small -b db a
    echo "$stderr"
    [ "$status" -eq 1 ]
    [[ $stderr == *"No space left on device"* ]]
    [[ $stderr == *" rows are durable, the rest is not"* ]]
    [ -z "$(find small -name '*.tmp')" ]
    tsm-inspect verify -q small
    tsm-inspect export -b db small | grep -v '^#' | sort >now
    [ -z "$(comm -13 now <(lines 10 | sort))" ]
    mount -o remount,size=8m small
    tsm-ingest -d small -b db a
    [ "$(tsm-inspect export -b db small | grep -vc '^#')" -eq 60010 ]
}

@test "a reader of stderr that goes away costs nothing" {
    { lines 1000; for i in $(seq 500); do echo "bad$i"; done; lines 1000 1000; } >a
    { ingest -v a || echo $? >status; } 2>&1 >/dev/null | head -n 1
    [ "$(cat status)" -eq 3 ]
    [ "$(stored | wc -l)" -eq 2000 ]
}

@test "a damaged file in the shard is told, and ingest goes on" {
    echo 'm f=1 1' | ingest
    file=$(find data -name '*.tsm')
    : >"$file"
    run --separate-stderr ingest <<<'m f=2 2'
    [ "$status" -eq 0 ]
    [[ $stderr == *"warning: data/data/db/autogen/1/000000001-000000001.tsm: offset 0: the file is empty"* ]]
    rm "$file"
    [ "$(stored)" = 'm f=2 2' ]
}

@test "a name that cannot be is named, and what was not read is not spoken of" {
    run --separate-stderr tsm-ingest -d data -b a/b <<<'m v=1'
    [ "$status" -eq 1 ]
    [ "$stderr" = "tsm-ingest: database 'a/b': invalid name" ]
    run --separate-stderr tsm-ingest -d data -b db -p ../x <<<'m v=1'
    [ "$status" -eq 1 ]
    [ "$stderr" = "tsm-ingest: database 'db', policy '../x': invalid name" ]
    run --separate-stderr tsm-ingest -d data -b db missing.lp
    [ "$status" -eq 1 ]
    [ "$stderr" = "tsm-ingest: open missing.lp: No such file or directory" ]
}
