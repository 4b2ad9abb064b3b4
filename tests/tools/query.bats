#!/usr/bin/env bats
# tests/tools/query.bats: tsm-query from the outside: every option, format and exit status.

setup_file() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    PATH=${BUILD:-$root/build}:$PATH
    export PATH
    export DATA=$BATS_FILE_TMPDIR/data
    unset TSM_DATA TSM_DB
    cat >"$BATS_FILE_TMPDIR/points.lp" <<'END'
cpu,host=a,region=eu usage=1.5,n=1i,ok=t,note="plain" 1577836800000000000
cpu,host=a,region=eu usage=2.5,n=2i,ok=f,note="say \"hi\", you" 1577836801000000000
cpu,host=b,region=us usage=3.5,n=3i 1577836800000000000
cpu,host=b,region=us usage=4.5,big=18446744073709551615u 1577836860500000000
disk,path=/var\ log free=100i 1577836800000000000
END
    tsm-ingest -q -d "$DATA" -b db "$BATS_FILE_TMPDIR/points.lp"
}

setup() {
    export TSM_DATA=$DATA TSM_DB=db
    work=$BATS_TEST_TMPDIR
}

# Runs with stderr apart.
query() {
    local status=0
    tsm-query "$@" >"$work/out" 2>"$work/err" || status=$?
    output=$(cat "$work/out") error=$(cat "$work/err")
    return $status
}

expect_status() {
    local want=$1 status=0
    shift
    query "$@" || status=$?
    echo "status $status, wanted $want: $error"
    [ "$status" -eq "$want" ]
}

# ---- formats ------------------------------------------------------------------------------------

@test "csv is the default in a pipe; null cells are empty, quotes are doubled" {
    query 'SELECT * FROM cpu'
    diff - "$work/out" <<'END'
time,big,host,n,note,ok,region,usage
2020-01-01T00:00:00Z,,a,1,plain,true,eu,1.5
2020-01-01T00:00:00Z,,b,3,,,us,3.5
2020-01-01T00:00:01Z,,a,2,"say ""hi"", you",false,eu,2.5
2020-01-01T00:01:00.5Z,18446744073709551615,b,,,,us,4.5
END
    [ -z "$error" ]
}

@test "csv: GROUP BY tags come first, the measurement when there may be several" {
    query 'SELECT usage FROM cpu GROUP BY host'
    diff - "$work/out" <<'END'
host,time,usage
a,2020-01-01T00:00:00Z,1.5
a,2020-01-01T00:00:01Z,2.5
b,2020-01-01T00:00:00Z,3.5
b,2020-01-01T00:01:00.5Z,4.5
END
    query 'SELECT free, usage FROM cpu, disk WHERE time < 1577836801s'
    diff - "$work/out" <<'END'
name,time,free,usage
cpu,2020-01-01T00:00:00Z,,1.5
cpu,2020-01-01T00:00:00Z,,3.5
disk,2020-01-01T00:00:00Z,100,
END
}

@test "csv: every statement has a header of its own, after an empty line" {
    query 'SHOW MEASUREMENTS; SELECT free FROM disk; SHOW TAG KEYS FROM disk'
    diff - "$work/out" <<'END'
name
cpu
disk

time,free
2020-01-01T00:00:00Z,100

tagKey
path
END
}

@test "csv --no-header" {
    query --no-header 'SHOW MEASUREMENTS; SELECT free FROM disk'
    [ "$output" = $'cpu\ndisk\n2020-01-01T00:00:00Z,100' ]
}

@test "tsv escapes instead of quoting" {
    query -f tsv "SELECT note FROM cpu WHERE host = 'a'"
    [ "$output" = $'time\tnote\n2020-01-01T00:00:00Z\tplain\n2020-01-01T00:00:01Z\tsay "hi", you' ]
}

@test "table aligns, names the series and is bare of trailing blanks" {
    query -f table 'SELECT usage, note FROM cpu GROUP BY host'
    diff - "$work/out" <<'END'
name: cpu
tags: host=a
time                  usage  note
----                  -----  ----
2020-01-01T00:00:00Z    1.5  plain
2020-01-01T00:00:01Z    2.5  say "hi", you

name: cpu
tags: host=b
time                    usage  note
----                    -----  ----
2020-01-01T00:00:00Z      3.5
2020-01-01T00:01:00.5Z    4.5
END
}

@test "table shows control characters instead of sending them to the terminal" {
    printf 'log text="a\033[31mb\nc\177" 1\n' | tsm-ingest -q -d "$work/control" -b db
    query -d "$work/control" -f table 'SELECT text FROM log'
    [[ $output == *'a\x1b[31mb\nc\x7f' ]]
}

@test "table is the default on a terminal" {
    run script -qec "tsm-query 'SHOW MEASUREMENTS'" /dev/null
    [[ $output == "name: measurements"* ]]
}

@test "json is influxd's document" {
    query -f json "SELECT usage FROM cpu WHERE host = 'a' GROUP BY host"
    [ "$output" = '{"results":[{"statement_id":0,"series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","usage"],"values":[["2020-01-01T00:00:00Z",1.5],["2020-01-01T00:00:01Z",2.5]]}]}]}' ]
    query -f json --pretty 'SHOW DATABASES'
    jq -e '.results[0].series[0].values == [["db"]]' "$work/out"
    grep -q '^    "results": \[$' "$work/out"
}

@test "json has errors in the document, and on stderr" {
    expect_status 1 -f json 'SELECT usage FROM nodb..cpu'
    [ "$output" = '{"results":[{"statement_id":0,"error":"database not found: nodb"}]}' ]
    [ "$error" = 'tsm-query: database not found: nodb' ]
    expect_status 2 -f json 'SELECT'
    [ "$output" = '{"error":"error parsing query: found EOF, expected identifier, string, number, bool at line 1, char 8"}' ]
}

@test "jsonl is an object a row" {
    query -f jsonl "SELECT usage, big FROM cpu WHERE host = 'b' GROUP BY host"
    [ "$(jq -c . <"$work/out" | wc -l)" -eq 2 ]
    head -n 1 "$work/out" | grep -qxF '{"name":"cpu","tags":{"host":"b"},"time":"2020-01-01T00:00:00Z","usage":3.5,"big":null}'
}

@test "line protocol goes round: the copy answers the same" {
    for clause in '' 'GROUP BY *' 'GROUP BY host'; do
        rm -rf "$work/copy"
        query -f line "SELECT * FROM /.*/ $clause"
        tsm-ingest -q -d "$work/copy" -b db <"$work/out"
        for q in 'SELECT * FROM /.*/' 'SHOW SERIES' 'SHOW FIELD KEYS'; do
            tsm-query -f json "$q" >"$work/a"
            tsm-query -d "$work/copy" -f json "$q" >"$work/b"
            diff "$work/a" "$work/b"
        done
    done
}

@test "line protocol cannot hold an answer without times" {
    expect_status 2 -f line 'SHOW MEASUREMENTS'
    [[ $error == *"line protocol"* ]]
    [ -z "$output" ]
}

@test "--precision gives epochs in every unit" {
    for pair in ns:1577836860500000000 u:1577836860500000 us:1577836860500000 ms:1577836860500 s:1577836860 m:26297281 h:438288; do
        query --no-header --precision "${pair%:*}" 'SELECT big FROM cpu'
        echo "$pair $output"
        [ "$output" = "${pair#*:},18446744073709551615" ]
    done
    query --no-header --precision rfc3339 'SELECT big FROM cpu'
    [ "$output" = 2020-01-01T00:01:00.5Z,18446744073709551615 ]
    query -f json --precision s 'SELECT big FROM cpu'
    [[ $output == *'[1577836860,18446744073709551615]'* ]]
    query -f line --precision s 'SELECT big FROM cpu'
    [ "$output" = 'cpu big=18446744073709551615u 1577836860500000000' ]
}

# ---- where the query and the data come from -----------------------------------------------------

@test "the query comes from an argument, from standard input, from a file" {
    query 'SHOW MEASUREMENTS'
    cp "$work/out" "$work/expected"
    query - <<<'SHOW MEASUREMENTS'
    diff "$work/expected" "$work/out"
    printf 'SHOW\n  MEASUREMENTS -- all\n;\n' >"$work/query"
    query --file "$work/query"
    diff "$work/expected" "$work/out"
    query --file - <"$work/query"
    diff "$work/expected" "$work/out"
    expect_status 1 --file "$work/missing"
    [[ $error == *missing* ]]
    expect_status 2
    [[ $error == *"no query given"* ]]
}

@test "options win over the environment, and that over the configuration file" {
    tsm-ingest -q -d "$work/other" -b more <<<'m f=1 1'
    export TSM_DATA=/nonexistent TSM_DB=nodb
    query -d "$DATA" -b db --no-header 'SHOW MEASUREMENTS'
    [ "$output" = $'cpu\ndisk' ]
    printf 'data: %s\ndatabase: more\nformat: jsonl\n' "$work/other" >"$work/config.yaml"
    unset TSM_DATA TSM_DB
    query -c "$work/config.yaml" 'SHOW MEASUREMENTS'
    [ "$output" = '{"name":"m"}' ]
    TSM_DATA=$DATA TSM_DB=db query -c "$work/config.yaml" -f csv --no-header 'SHOW MEASUREMENTS'
    [ "$output" = $'cpu\ndisk' ]
}

@test "a retention policy by option and by name" {
    cp -r "$DATA" "$work/data"
    query -d "$work/data" 'CREATE RETENTION POLICY long ON db DURATION INF REPLICATION 1'
    tsm-ingest -q -d "$work/data" -b db -p long <<<'cpu usage=9 1577836800000000000'
    query -d "$work/data" --no-header -p long 'SELECT usage FROM cpu'
    [ "$output" = 2020-01-01T00:00:00Z,9 ]
    query -d "$work/data" --no-header 'SELECT usage FROM long.cpu'
    [ "$output" = 2020-01-01T00:00:00Z,9 ]
    query -d "$work/data" --no-header 'SELECT count(usage) FROM cpu'
    [ "$output" = 1970-01-01T00:00:00Z,4 ]
    expect_status 1 -d "$work/data" -p norp 'SELECT usage FROM cpu'
    [[ $error == *"retention policy not found: norp"* ]]
}

@test "loose files are one database; a later file wins" {
    mapfile -t files < <(find "$DATA/data" -name '*.tsm')
    [ ${#files[@]} -ge 1 ]
    query --no-header 'SHOW MEASUREMENTS' "${files[@]}"
    [ "$output" = $'cpu\ndisk' ]
    tsm-ingest -q -d "$work/d" -b db <<<'disk,path=/var\ log free=7i 1577836800000000000'
    newer=$(find "$work/d/data" -name '*.tsm')
    query --no-header 'SELECT free FROM disk' "${files[@]}" "$newer"
    [ "$output" = 2020-01-01T00:00:00Z,7 ]
    query --no-header 'SELECT free FROM disk' "$newer" "${files[@]}"
    [ "$output" = 2020-01-01T00:00:00Z,100 ]
    expect_status 1 'SELECT free FROM db..disk' "$newer"
    [[ $error == *"database not found: db"* ]]
    expect_status 1 'CREATE DATABASE x' "$newer"
    [[ $error == *"needs a data directory"* ]]
    expect_status 1 'SHOW MEASUREMENTS' "$work/missing.tsm"
    [[ $error == *missing.tsm* ]]
}

@test "a directory that does not exist is an error, and is not made" {
    expect_status 1 -d "$work/nothing" 'SHOW DATABASES'
    [[ $error == *"$work/nothing"* ]]
    [ ! -e "$work/nothing" ]
    expect_status 1 -d "$work/nothing" 'DROP DATABASE x'
    [ ! -e "$work/nothing" ]
}

# ---- statements ---------------------------------------------------------------------------------

@test "databases and policies are created, altered and dropped" {
    d=$work/new
    query -d "$d" 'CREATE DATABASE one WITH DURATION 3d NAME short; CREATE DATABASE two'
    [ -z "$output" ]
    query -d "$d" --no-header 'SHOW DATABASES'
    [ "$output" = $'one\ntwo' ]
    query -d "$d" --no-header 'SHOW RETENTION POLICIES ON one'
    [ "$output" = short,72h0m0s,24h0m0s,1,true ]
    query -d "$d" 'CREATE RETENTION POLICY long ON one DURATION INF REPLICATION 1 DEFAULT'
    query -d "$d" 'ALTER RETENTION POLICY short ON one DURATION 2h SHARD DURATION 1h'
    query -d "$d" --no-header 'SHOW RETENTION POLICIES ON one'
    [ "$output" = $'short,2h0m0s,1h0m0s,1,false\nlong,0s,168h0m0s,1,true' ]
    tsm-ingest -q -d "$d" -b one <<<'m f=1 1'
    tsm-ingest -q -d "$d" -b two <<<'m f=1 1'
    query -d "$d" 'DROP RETENTION POLICY long ON one'
    [ ! -e "$d/data/one/long" ]
    query -d "$d" 'DROP DATABASE one'
    [ ! -e "$d/data/one" ]
    [ -e "$d/data/two" ]
    query -d "$d" --no-header 'SHOW DATABASES'
    [ "$output" = two ]
    query -d "$d" 'DROP DATABASE one'
}

@test "a drop that was killed before the files were gone is finished by the next one" {
    cp -r "$DATA" "$work/data"
    query -d "$work/data" 'CREATE DATABASE left'
    mkdir -p "$work/data/data/left/autogen/9"
    touch "$work/data/data/left/autogen/9/000000001-000000001.tsm"
    query -d "$work/data" 'DROP DATABASE left; DROP DATABASE left'
    [ ! -e "$work/data/data/left" ]
    [ -e "$work/data/data/db" ]
}

@test "names that would leave the directory are refused" {
    cp -r "$DATA" "$work/data"
    for name in .. . '' a/b ../../x; do
        expect_status 1 -d "$work/data" "CREATE DATABASE \"$name\""
        [[ $error == *"invalid name"* ]]
        query -d "$work/data" "DROP DATABASE \"$name\""
        query -d "$work/data" "DROP RETENTION POLICY \"$name\" ON db"
        query -d "$work/data" "DROP RETENTION POLICY autogen ON \"$name\""
    done
    query -d "$work/data" --no-header 'SELECT count(usage) FROM cpu'
    [ "$output" = 1970-01-01T00:00:00Z,4 ]
}

@test "a statement that fails ends the query" {
    expect_status 1 'SHOW MEASUREMENTS; SELECT x FROM nodb..y; SHOW DATABASES'
    [ "$output" = $'name\ncpu\ndisk' ]
    [ "$error" = 'tsm-query: database not found: nodb' ]
    # influxd hides the error and forgets the last statement; its document is the specification.
    expect_status 1 -f json 'SHOW DATABASES; SELECT x FROM nodb..y; SHOW DATABASES; SHOW DATABASES'
    [ "$(jq -c '[.results[] | [.statement_id, .error]]' <<<"$output")" = '[[0,null],[1,"not executed"],[2,"not executed"]]' ]
}

@test "a database is required" {
    unset TSM_DB
    expect_status 1 'SELECT usage FROM cpu'
    [ "$error" = 'tsm-query: database name required' ]
    query --no-header 'SELECT count(usage) FROM db..cpu'
    [ "$output" = 1970-01-01T00:00:00Z,4 ]
}

# ---- deletes ------------------------------------------------------------------------------------

@test "DELETE and DROP take series and times out of every retention policy; what is written later is there" {
    cp -r "$DATA" "$work/data"
    query -d "$work/data" 'CREATE RETENTION POLICY other ON db DURATION INF REPLICATION 1'
    tsm-ingest -q -d "$work/data" -b db -p other <<<'cpu,host=a usage=9 1577836800000000000'
    query -d "$work/data" --no-header "DELETE FROM cpu WHERE host = 'a' AND time <= '2020-01-01'; SELECT usage FROM cpu"
    [ "$output" = $'2020-01-01T00:00:00Z,3.5\n2020-01-01T00:00:01Z,2.5\n2020-01-01T00:01:00.5Z,4.5' ]
    query -d "$work/data" --no-header 'SELECT usage FROM db.other.cpu'
    [ -z "$output" ]
    tsm-ingest -q -d "$work/data" -b db <<<'cpu,host=a,region=eu usage=7 1577836800000000000'
    query -d "$work/data" --no-header "SELECT usage FROM cpu WHERE host = 'a'"
    [ "$output" = $'2020-01-01T00:00:00Z,7\n2020-01-01T00:00:01Z,2.5' ]
    query -d "$work/data" --no-header "DROP SERIES FROM cpu WHERE host = 'a'; SHOW SERIES"
    [ "$output" = $'"cpu,host=b,region=us"\n"disk,path=/var\\ log"' ]
    query -d "$work/data" --no-header 'DROP MEASUREMENT cpu; SHOW MEASUREMENTS'
    [ "$output" = disk ]
    query -d "$work/data" --no-header 'DELETE FROM /.*/; SHOW MEASUREMENTS'
    [ -z "$output" ]
    [ -z "$(find "$work/data/data" -name '*.t*')" ] # a file of which nothing is left has gone
    tsm-inspect verify -q "$work/data"
}

@test "what a delete cannot do it says before it does anything" {
    cp -r "$DATA" "$work/data"
    expect_status 1 -d "$work/data" 'DELETE FROM cpu WHERE usage > 1'
    [ "$error" = 'tsm-query: shard 1: fields not supported in WHERE clause during deletion' ]
    expect_status 1 -d "$work/data" "DROP SERIES FROM cpu WHERE time < now()"
    [ "$error" = "tsm-query: DROP SERIES doesn't support time in WHERE clause" ]
    expect_status 1 -d "$work/data" -b nodb 'DELETE FROM cpu'
    [ "$error" = 'tsm-query: database not found: nodb' ]
    expect_status 2 -d "$work/data" 'DELETE'
    expect_status 2 -d "$work/data" 'DELETE FROM db.autogen.cpu'
    mapfile -t files < <(find "$DATA/data" -name '*.tsm')
    expect_status 1 'DELETE FROM cpu' "${files[@]}"
    [ "$error" = 'tsm-query: DELETE needs a data directory' ]
    expect_status 1 'DROP SHARD 1' "${files[@]}"
    query -d "$work/data" --no-header 'SELECT count(usage) FROM cpu'
    [ "$output" = 1970-01-01T00:00:00Z,4 ]
}

@test "a shard that a compaction works on gives 75 and the name of the holder" {
    cp -r "$DATA" "$work/data"
    shard=$work/data/data/db/autogen/1
    python3 - "$shard/lock" "$work/held" <<'END' &
import fcntl, struct, sys, time
f = open(sys.argv[1], "w+")
fcntl.fcntl(f, 38, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLKW
f.write("tsm-compact, process 1\n")
f.flush()
open(sys.argv[2], "w").close()
time.sleep(60)
END
    holder=$!
    for _ in {1..500}; do
        [ -e "$work/held" ] && break
        sleep 0.02
    done
    expect_status 75 -d "$work/data" 'DELETE FROM cpu'
    kill "$holder"
    [[ $error == *"$shard/lock: held by tsm-compact, process 1"* ]]
    wait "$holder" || true
    query -d "$work/data" 'DELETE FROM cpu'
}

@test "DROP SHARD removes its files and forgets it; an unknown one is none of its business" {
    cp -r "$DATA" "$work/data"
    tsm-ingest -q -d "$work/data" -b db <<<'cpu,host=z usage=1 1000000000000000000'
    query -d "$work/data" --no-header 'DROP SHARD 1; SELECT usage FROM cpu'
    [ "$output" = 2001-09-09T01:46:40Z,1 ]
    [ ! -e "$work/data/data/db/autogen/1" ]
    query -d "$work/data" 'DROP SHARD 1; DROP SHARD 99'
    tsm-ingest -q -d "$work/data" -b db <<<'cpu,host=z usage=2 1577836800000000000'
    query -d "$work/data" --no-header 'SELECT usage FROM cpu'
    [ "$output" = $'2001-09-09T01:46:40Z,1\n2020-01-01T00:00:00Z,2' ]
    mkdir -p "$work/data/wal/db/autogen/77" "$work/data/data/db/autogen/78" # killed before they were gone
    query -d "$work/data" 'DROP SHARD 77; DROP SHARD 78'
    [ ! -e "$work/data/wal/db/autogen/77" ]
    [ ! -e "$work/data/data/db/autogen/78" ]
}

# ---- exit statuses, pipes -----------------------------------------------------------------------

@test "syntax errors exit 2 with influxd's words" {
    expect_status 2 'FOO'
    [[ $error == "tsm-query: error parsing query: found FOO, expected SELECT, DELETE, SHOW, "*" at line 1, char 1" ]]
    [ -z "$output" ]
}

@test "-e exits 4 when there is no row" {
    expect_status 4 -e "SELECT usage FROM cpu WHERE host = 'nobody'"
    expect_status 0 "SELECT usage FROM cpu WHERE host = 'nobody'"
    [ -z "$output" ]
    expect_status 0 -e 'SELECT usage FROM cpu LIMIT 1'
    expect_status 4 --exit-status 'SELECT nofield FROM cpu'
    expect_status 1 -e 'SELECT usage FROM nodb..cpu'
}

@test "a locked directory exits 75 for statements that write, and answers the others" {
    cp -r "$DATA" "$work/data"
    mkfifo "$work/pipe"
    tsm-ingest -q -d "$work/data" -b db <"$work/pipe" &
    writer=$!
    exec 9>"$work/pipe"
    for _ in $(seq 100); do
        grep -q tsm-ingest "$work/data/lock" 2>/dev/null && break
        sleep 0.05
    done
    expect_status 75 -d "$work/data" 'CREATE DATABASE x'
    [[ $error == *tsm-ingest* ]]
    expect_status 0 -d "$work/data" 'SELECT usage FROM cpu'
    exec 9>&-
    wait "$writer"
    expect_status 0 -d "$work/data" 'CREATE DATABASE x'
}

@test "damage exits 5 and names the file; --skip-corrupt goes on and still exits 5" {
    cp -r "$DATA" "$work/data"
    tsm-ingest -q -d "$work/data" -b db <<<'cpu,host=c usage=7 1577836800000000000'
    mapfile -t files < <(find "$work/data/data" -name '*.tsm' | sort)
    [ ${#files[@]} -eq 2 ]
    printf 'x' | dd of="${files[0]}" bs=1 seek=20 conv=notrunc status=none
    expect_status 5 -d "$work/data" 'SELECT * FROM /.*/'
    [[ $error == *"${files[0]##*/}"* ]]
    expect_status 5 -d "$work/data" --no-header --skip-corrupt 'SELECT * FROM /.*/'
    grep -q '^cpu,2020-01-01T00:00:00Z,.*,c,' <<<"$output"
    expect_status 0 -d "$work/data" --no-header "SELECT usage FROM cpu WHERE host = 'c'" # untouched
    : >"${files[0]}"
    expect_status 5 -d "$work/data" 'SELECT usage FROM cpu'
    expect_status 5 -d "$work/data" --skip-corrupt --no-header 'SELECT usage FROM cpu'
    [ "$output" = 2020-01-01T00:00:00Z,7 ]
    [[ $error == *"${files[0]##*/}"* ]]
}

@test "a reader that goes away ends it quietly" {
    seq 1 20000 | sed 's/.*/m f=&i &/' | tsm-ingest -q -d "$work/many" -b db
    set +o pipefail
    tsm-query -d "$work/many" 'SELECT * FROM m' 2>"$work/err" | head -n 1 >"$work/out"
    [ "$(cat "$work/out")" = time,f ]
    [ ! -s "$work/err" ]
}

@test "output that cannot be written is an error" {
    expect_status 1 'SHOW MEASUREMENTS' >/dev/full || true
    run bash -c 'tsm-query "SHOW MEASUREMENTS" >/dev/full'
    [ "$status" -eq 1 ]
    [[ $output == *"No space left on device"* ]]
    run bash -c 'tsm-query "SHOW MEASUREMENTS" >&-'
    [ "$status" -eq 1 ]
}

@test "--summary json and -v say what was done, on stderr" {
    query --summary json 'SELECT usage FROM cpu'
    jq -e '.rows == 4 and .bytes == '"$(wc -c <"$work/out")"' and .seconds >= 0' <<<"$error"
    query -v 'SELECT usage FROM cpu'
    [[ $error == "tsm-query: 4 rows, "* ]]
    query -q 'SELECT usage FROM cpu'
    [ -z "$error" ]
}

@test "any number of threads gives the same bytes" {
    for q in 'SELECT * FROM /.*/' 'SELECT mean(usage), count(n) FROM cpu GROUP BY host, time(1s) fill(none)' 'SHOW SERIES'; do
        tsm-query -j 1 -f json "$q" >"$work/a"
        tsm-query -j 4 -f json "$q" >"$work/b"
        cmp "$work/a" "$work/b"
    done
}

@test "a query that needs more than --memory fails with status 1" {
    awk 'BEGIN {for (i = 0; i < 20000; i++) print "m,t=" i " f=1 1"}' | tsm-ingest -q -d "$work/many" -b db
    expect_status 1 -d "$work/many" --memory 64k 'SHOW SERIES'
    [[ $error == *memory* ]]
    expect_status 0 -d "$work/many" --memory 64M 'SHOW SERIES'
}

@test "a regular expression that would run wild is answered" {
    tsm-ingest -q -d "$work/d" -b db <<<"m,t=$(printf 'a%.0s' $(seq 3000))b f=1 1"
    expect_status 0 -d "$work/d" 'SHOW SERIES WHERE t =~ /^(a*)*(a*)*(a*)*$/'
    [[ $output != *m,t* ]]
    expect_status 0 -d "$work/d" 'SHOW SERIES WHERE t =~ /^(a*)*(a*)*(a*)*b$/'
    [[ $output == *m,t=aaa* ]]
}
