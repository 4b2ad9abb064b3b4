#!/usr/bin/env bats
# tests/tools/inspect.bats: tsm-inspect: every command and option, exit status, damage, closed and full outputs.
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    golden=$root/tests/unit/golden
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
}

split() {
    python3 "$root/tests/tools/split_lines.py" "$@"
}

# A directory as influxd leaves it: database db, policy autogen, shard 1: a TSM file with deletes, another one, and a log.
influxd_data() {
    mkdir -p data/data/db/autogen/1 data/wal/db/autogen/1
    cp "$golden/influxd-types.tsm" data/data/db/autogen/1/000000001-000000001.tsm
    cp "$golden/influxd-drop.tombstone" data/data/db/autogen/1/000000001-000000001.tombstone
    cp "$golden/influxd-values.tsm" data/data/db/autogen/1/000000002-000000001.tsm
    cp "$golden/all.wal" data/wal/db/autogen/1/_00001.wal
    add_meta
}

# A meta.db, of other databases.
add_meta() {
    mkdir -p data/meta
    cp "$golden/meta.db" data/meta/meta.db
}

# A small file with a seal: keys m,t=0 … m,t=4, a block of 20 values each.
sealed() {
    tail -c +2 "$root/tests/fuzz/seeds/tsm/sealed-20-1-raw" >"$1"
}

# damage FILE OFFSET…: changes a byte at each.
damage() {
    local file=$1 offset
    shift
    for offset in "$@"; do
        printf 'X' | dd of="$file" bs=1 seek="$offset" conv=notrunc status=none
    done
}

@test "verify: sound files: nothing on stdout, a summary on stderr, exit 0" {
    influxd_data
    sealed 000000001-000000001.tsm
    run --separate-stderr tsm-inspect verify data 000000001-000000001.tsm
    echo "$stderr"
    [ "$status" -eq 0 ]
    [ -z "$output" ]
    [[ $stderr == *"3 TSM files of "*" bytes with "*"; 1 tombstone file; 1 log segment; meta.db: sound"* ]]
    run --separate-stderr tsm-inspect verify -q data
    [ "$status" -eq 0 ]
    [ -z "$output$stderr" ]
}

@test "verify: every damaged block is a line on stdout, exit 5, and -q changes neither" {
    sealed 000000001-000000001.tsm
    offsets=$(tsm-inspect dump --blocks 000000001-000000001.tsm | awk -F'\t' 'NR == 2 || NR == 4 {print $3 + 9}')
    # shellcheck disable=SC2086
    damage 000000001-000000001.tsm $offsets
    run --separate-stderr tsm-inspect verify 000000001-000000001.tsm
    echo "$output"
    [ "$status" -eq 5 ]
    [ "${#lines[@]}" -eq 2 ]
    [[ ${lines[0]} == "000000001-000000001.tsm: offset 5: block of 'm,t=0#!~#v' from 1970-01-01T00:00:00Z to "*": checksum mismatch" ]]
    [[ ${lines[1]} == *"block of 'm,t=2#!~#v'"*": checksum mismatch" ]]
    [[ $stderr == *"; 2 faults" ]]
    first=$output
    run --separate-stderr tsm-inspect verify -q -j 1 000000001-000000001.tsm
    [ "$status" -eq 5 ]
    [ "$output" = "$first" ]
    [ -z "$stderr" ]
}

@test "verify: a flipped bit in any byte of a sealed file is found" {
    sealed whole.tsm
    size=$(stat -c %s whole.tsm)
    for ((at = 0; at < size; at += 11)); do
        cp whole.tsm 000000001-000000001.tsm
        byte=$(od -An -tu1 -j "$at" -N 1 whole.tsm)
        # shellcheck disable=SC2059
        printf "\\x$(printf %x $((byte ^ 1 << at % 8)))" | dd of=000000001-000000001.tsm bs=1 seek="$at" conv=notrunc status=none
        run --separate-stderr tsm-inspect verify -q 000000001-000000001.tsm
        echo "byte $at: $status $output"
        [ "$status" -eq 5 ]
        [[ $output == "000000001-000000001.tsm: offset "* ]]
    done
}

@test "verify: cut, empty and foreign files, in a directory with sound ones" {
    mkdir d
    sealed d/000000001-000000001.tsm
    head -c 300 d/000000001-000000001.tsm >d/000000002-000000001.tsm
    : >d/000000003-000000001.tsm
    echo 'this is text' >d/000000004-000000001.tsm
    echo 'this is text' >d/000000001-000000001.tombstone
    head -c 40 "$golden/all.wal" >d/_00001.wal
    echo half >d/000000005-000000001.tsm.tmp
    run --separate-stderr tsm-inspect verify d
    echo "$output"
    echo "$stderr"
    [ "$status" -eq 5 ]
    [ "${#lines[@]}" -eq 4 ]
    [[ $output == *"d/000000002-000000001.tsm: offset "* ]]
    [[ $output == *"d/000000003-000000001.tsm: offset 0: the file is empty"* ]]
    [[ $output == *"d/000000004-000000001.tsm: offset 0: not a TSM file"* ]]
    [[ $output == *"d/000000001-000000001.tombstone: offset 0: "* ]]
    [[ $stderr == *"note: d/_00001.wal: the last record is cut short"* ]]
    [[ $stderr == *"note: d/000000005-000000001.tsm.tmp: unfinished output"* ]]
    run --separate-stderr tsm-inspect verify -q d
    [ -z "$stderr" ]
    [ "${#lines[@]}" -eq 4 ]
}

@test "verify: what cannot be read is on stderr, exit 1, and the rest is verified" {
    sealed 000000001-000000001.tsm
    run --separate-stderr tsm-inspect verify nothing 000000001-000000001.tsm
    [ "$status" -eq 1 ]
    [ -z "$output" ]
    [[ $stderr == *"nothing: No such file or directory"* ]]
    [[ $stderr == *"1 TSM file of"*" 1 not readable"* ]]
    damage 000000001-000000001.tsm 20
    run --separate-stderr tsm-inspect verify nothing 000000001-000000001.tsm
    [ "$status" -eq 5 ]
    mkdir empty
    run --separate-stderr tsm-inspect verify empty
    [ "$status" -eq 1 ]
    [[ $stderr == *"empty: neither a data directory nor one with TSM files"* ]]
}

@test "verify: a shard that meta.db does not know is a note" {
    influxd_data
    run --separate-stderr tsm-inspect verify data
    echo "$stderr"
    [ "$status" -eq 0 ]
    [[ $stderr == *"note: data/data/db/autogen/1: a shard without an entry in meta.db"* ]]
    damage data/meta/meta.db 0
    run --separate-stderr tsm-inspect verify data
    [ "$status" -eq 5 ]
    [[ $output == "data/meta/meta.db: "* ]]
}

@test "the data directory: an operand, -d, TSM_DATA, the configuration file, else tsm-data" {
    influxd_data
    tsm-inspect verify -q -d data
    TSM_DATA=data tsm-inspect verify -q
    echo 'data: data' >conf.yaml
    tsm-inspect verify -q -c conf.yaml
    mv data tsm-data
    tsm-inspect verify -q
    rm -r tsm-data
    run tsm-inspect verify -q
    [ "$status" -eq 1 ]
}

@test "verify --summary json" {
    influxd_data
    run --separate-stderr tsm-inspect verify -q --summary json data
    echo "$stderr"
    [ "$(jq -r '[.files, .tombstones, .segments, .faults, .unreadable] | @tsv' <<<"$stderr")" = $'2\t1\t1\t0\t0' ]
    [ "$(jq .values <<<"$stderr")" -eq "$(tsm-inspect dump data | awk -F'\t' '$5 ~ /^[0-9]+$/ {n += $5} END {print n}')" ]
}

@test "verify -b and -p: a part of a data directory" {
    mkdir -p data/data/one/autogen/1 data/data/two/autogen/2
    sealed data/data/one/autogen/1/000000001-000000001.tsm
    sealed data/data/two/autogen/2/000000001-000000001.tsm
    damage data/data/two/autogen/2/000000001-000000001.tsm 20
    run --separate-stderr tsm-inspect verify -q -b one data
    [ "$status" -eq 5 ]
    [[ $output == "data/meta/meta.db: "* ]] # without it the data belongs to no database
    add_meta
    tsm-inspect verify -q -b one data
    run tsm-inspect verify -q -b two -p autogen data
    [ "$status" -eq 5 ]
    run --separate-stderr tsm-inspect verify -q -b three data
    [ "$status" -eq 1 ]
    [[ $stderr == *"data: no shards of database three"* ]]
    run tsm-inspect verify -q -b one data/data/one
    [ "$status" -eq 2 ]
    # an environment for other programs does not get in the way of files
    TSM_DB=x tsm-inspect verify -q data/data/one/autogen/1/000000001-000000001.tsm
    TSM_DB=x tsm-inspect dump data/data/one/autogen/1/000000001-000000001.tsm
}

@test "--summary json of the other commands, and -v" {
    influxd_data
    run --separate-stderr tsm-inspect dump --summary json data
    [ "$(jq .files <<<"$stderr")" -eq 2 ]
    run --separate-stderr tsm-inspect report --summary json data
    [ "$(jq .files <<<"$stderr")" -eq 2 ]
    for command in verify export report; do
        run --separate-stderr tsm-inspect "$command" -v data
        [[ $stderr == *"ing data"* ]]
    done
}

@test "wrong usage exits 2" {
    for args in "" "check" "verify --nosuch" "report -f xml" "dump --top x" "export --start yesterday x" "verify -j" \
        "verify --top 3 x" "export -f csv x" "export --blocks x" "dump --header x" "report --end 2020-01-01 x" "verify --skip-corrupt x"; do
        # shellcheck disable=SC2086
        run --separate-stderr tsm-inspect $args
        echo "$args: $status $stderr"
        [ "$status" -eq 2 ]
        [ -z "$output" ]
        [[ $stderr == tsm-inspect:* ]]
    done
}

@test "dump: the keys of a file, in every format" {
    run tsm-inspect dump "$golden/influxd-types.tsm"
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 9 ]
    [ "${lines[0]}" = $'key\ttype\tblocks\tvalues\tfirst\tlast\tbytes' ]
    [ "${lines[1]}" = $'m\\\\ x,host=a,z=1#!~#b\tboolean\t2\t1200\t2017-07-14T02:40:00Z\t2017-07-14T02:59:59Z\t192' ]
    [ "$(tsm-inspect dump -f jsonl "$golden/influxd-types.tsm" | jq -r .key | sed -n 8p)" = 'm\ x,host=b\ c\,d,z=1#!~#s' ]
    [ "$(tsm-inspect dump -f json "$golden/influxd-types.tsm" | jq '[.[][].values] | add')" -eq 9600 ]
    [ "$(tsm-inspect dump -f csv "$golden/influxd-types.tsm" | head -n 1)" = "key,type,blocks,values,first,last,bytes" ]
    [[ $(tsm-inspect dump -f table "$golden/influxd-types.tsm") == *"key  "*"---"* ]]
}

@test "dump --blocks: encodings and sizes add up to the file" {
    file=$golden/influxd-types.tsm
    run tsm-inspect dump --blocks "$file"
    [ "${#lines[@]}" -eq 17 ]
    [ "${lines[1]}" = $'m\\\\ x,host=a,z=1#!~#b\tboolean\t5\t146\t1000\t2017-07-14T02:40:00Z\t2017-07-14T02:56:39Z\trle\t12\tpacked\t128' ]
    # blocks follow each other from the header on
    awk -F'\t' 'NR == 2 {at = 5} NR > 1 {if ($3 != at) exit 1; at += $4}' <<<"$output"
}

@test "dump --origins: the files that a compaction made this one from" {
    run tsm-inspect dump --origins "$golden/influxd-types.tsm"
    [ -z "$output" ]
    seq 1 3 | sed 's/.*/m v=& 157783680000000000&/' | tsm-ingest -q -d data -b db
    seq 4 6 | sed 's/.*/m v=& 157783680000000000&/' | tsm-ingest -q -d data -b db
    sizes=$(cd data/data/db/autogen/1 && stat -c '%n:%s' ./*.tsm | sed 's/^..//')
    tsm-compact -q -d data --cold 0
    [ "$(tsm-inspect dump --origins data/data/db/autogen/1/*.tsm | awk -F'\t' 'NR > 1 {print $1 ":" $2}')" = "$sizes" ]
}

@test "dump: tombstones, log segments, directories" {
    run tsm-inspect dump "$golden/influxd-drop.tombstone"
    [ "${#lines[@]}" -eq 9 ]
    [ "${lines[1]}" = $'m\\\\ x,host=a,z=1#!~#b\t2017-07-14T02:41:40Z\t2017-07-14T02:44:09.999999999Z' ]
    cp "$golden/all.wal" _00001.wal
    run tsm-inspect dump _00001.wal
    echo "$output"
    [ "${lines[0]}" = $'key\tentry\ttype\tvalues\tfirst\tlast' ]
    grep -q $'^all,host=b#!~#f\twrite\tfloat\t4\t1970' <<<"$output"
    grep -q $'^all,host=b#!~#f\tdelete\t' <<<"$output"
    run tsm-inspect dump "$golden/meta.db"
    echo "$output"
    [ "${lines[0]}" = $'database\tpolicy\tdefault\tduration\tshard_duration\tgroup\tshard\tstart\tend\tdeleted' ]
    grep -qP '^zeta db\tmonat\t1\t30d\t1d\t0\t0\t' <<<"$output"
    grep -qP '^alpha\tautogen\t0\t0s\t1w\t3\t0\t.*\t1$' <<<"$output" # its shard was dropped
    influxd_data
    run tsm-inspect dump data
    [[ ${lines[0]} == $'name\tkey\t'* ]]
    grep -q $'^data/data/db/autogen/1/000000002-000000001.tsm\t' <<<"$output"
}

@test "tsmkit's log: dump, verify, export" {
    mkdir -p data/data data/wal/db/autogen/1
    cp "$golden/log/types.log" data/wal/db/autogen/1/000000001.log
    run tsm-inspect dump data/wal/db/autogen/1/000000001.log
    echo "$output"
    [ "${#lines[@]}" -eq 7 ]
    [ "${lines[0]}" = $'sequence\tkey\tentry\ttype\tvalues\tfirst\tlast' ]
    [ "${lines[2]}" = $'1\tall,z=1,a=2#!~#i\twrite\tinteger\t1\t1970-01-01T00:00:00.000000001Z\t1970-01-01T00:00:00.000000001Z' ]
    run --separate-stderr tsm-inspect export data
    [ "${#lines[@]}" -eq 3 ]
    [ "${lines[1]}" = 'all,a=2,z=1 b=true,f=-0.5,i=-9223372036854775808i 1' ]
    run --separate-stderr tsm-inspect report -f json data
    [ "$(jq -r '.measurements[0].series' <<<"$output")" = 1 ]

    cp "$golden/log/deletes.log" 000000007.log
    run tsm-inspect dump 000000007.log
    echo "$output"
    grep -q $'^3\tnone#!~#f\tdelete\t\t0\t1970-01-01T00:00:00Z\t1970-01-01T00:00:00.000000001Z$' <<<"$output"
    cp "$golden/log/bad-payload.log" data/wal/db/autogen/1/000000001.log
    run tsm-inspect verify data
    echo "$output"
    [ "$status" -eq 5 ]
    [[ $output == *"data/wal/db/autogen/1/000000001.log: offset "*": a record whose checksum does not match"* ]]
    for command in dump export; do
        operand=data
        [ $command = export ] || operand=data/wal/db/autogen/1/000000001.log
        run --separate-stderr tsm-inspect $command $operand
        [ "$status" -eq 5 ]
        run --separate-stderr tsm-inspect $command --skip-corrupt $operand
        echo "$output"
        [ "$status" -eq 5 ]
        [[ $stderr == *"a record whose checksum does not match"* ]]
        [ "$(grep -c cpu,host=a <<<"$output")" -eq 2 ]
    done
    cp "$golden/log/torn.log" data/wal/db/autogen/1/000000001.log
    run --separate-stderr tsm-inspect dump data/wal/db/autogen/1/000000001.log
    [ "$status" -eq 0 ]
    [[ $stderr == *"note: data/wal/db/autogen/1/000000001.log: the last record is cut short"* ]]
}

@test "dump and report: damage ends with 5; --skip-corrupt shows the rest and still exits 5" {
    sealed 000000001-000000001.tsm
    sealed 000000002-000000001.tsm
    damage 000000001-000000001.tsm 20
    damage 000000002-000000001.tsm 2
    for args in "dump --blocks" report; do
        # shellcheck disable=SC2086
        run --separate-stderr tsm-inspect $args 000000001-000000001.tsm 000000002-000000001.tsm
        [ "$status" -eq 5 ]
        [[ $stderr == "tsm-inspect: 00000000"*": offset "* ]]
        # shellcheck disable=SC2086
        run --separate-stderr tsm-inspect $args -f jsonl --skip-corrupt 000000001-000000001.tsm 000000002-000000001.tsm
        echo "$output" "$stderr"
        [ "$status" -eq 5 ]
        [[ $stderr == *"left out: 000000001-000000001.tsm: offset 5: block: checksum mismatch"* ]]
        [[ $stderr == *"left out: 000000002-000000001.tsm: offset 0: not a TSM file"* ]]
    done
    [ "$(tsm-inspect dump --blocks --skip-corrupt 000000001-000000001.tsm 2>/dev/null | wc -l)" -eq 5 ]
}

@test "export: influxd's file gives back the lines that were written" {
    zcat "$golden/influxd-values.lp.gz" | split >written
    tsm-inspect export "$golden/influxd-values.tsm" >lines
    split lines >exported
    cmp written exported
    # the fields of one instant are one line
    [ "$(wc -l <lines)" -lt "$(wc -l <exported)" ]
}

@test "export: deletes are applied, the log wins, and what is exported can be read again" {
    influxd_data
    run --separate-stderr tsm-inspect export -q --summary json data
    echo "$output" >lines
    [ "$status" -eq 0 ]
    [ "$(jq .lines <<<"$stderr")" -eq "$(wc -l <lines)" ]
    [ "$(jq .values <<<"$stderr")" -eq "$(split lines | wc -l)" ]
    grep -qxF 'm\ x,host=a,z=1 b=false,f=49.5,i=8801i,s="" 1500000099000000000' lines
    run grep -cF 'm\ x,host=a,z=1 ' lines
    [ "$output" -eq 1050 ]
    run ! grep -qF 'host=b\ c' lines
    grep -qxF 'all,host=a b=true,f=99,i=-9223372036854775808i,s="ä \"q\" \\ end" 2000' lines
    grep -qxF 'all,host=b f=33 3000' lines
    run ! grep -q '^gone' lines
    run ! grep -q '^all,host=b f=2 ' lines
}

@test "export: series by series, in time order, the same with any number of threads" {
    influxd_data
    tsm-inspect export -j 1 data >one
    tsm-inspect export -j 7 data >seven
    cmp one seven
    python3 - <<'END'
seen, before, last = set(), None, None
for line in open("one"):
    head, time = line.rsplit(" ", 1)
    series = head[:head.replace("\\ ", "..").index(" ")]
    assert series != before or int(time) > last, line
    assert series == before or series not in seen, line
    seen.add(series)
    before, last = series, int(time)
END
}

@test "export --start and --end: halves make the whole" {
    file=$golden/influxd-values.tsm
    tsm-inspect export "$file" | split >whole
    middle=1500000500000000000
    { tsm-inspect export --end $middle "$file" && tsm-inspect export --start $middle "$file"; } | split >halves
    cmp whole halves
    run tsm-inspect export --start 2017-07-14T02:41:00Z --end 2017-07-14T02:41:01Z "$golden/influxd-types.tsm"
    [ "${#lines[@]}" -eq 2 ]
    [[ ${lines[0]} == *" 1500000060000000000" ]]
    [ -z "$(tsm-inspect export --end 2000-01-01 "$golden/influxd-types.tsm")" ]
    run tsm-inspect export --start 2020-01-01 --end 2020-01-01 "$file"
    [ "$status" -eq 2 ]
}

@test "export: databases and policies are chosen, or marked, but never mixed" {
    mkdir -p data/data/{one,two}/autogen/{1,10,2} data/data/two/year/3 data/data/two/_series/00
    sealed data/data/one/autogen/1/000000001-000000001.tsm
    sealed data/data/two/autogen/2/000000001-000000001.tsm
    cp "$golden/influxd-types.tsm" data/data/two/year/3/000000001-000000001.tsm
    run --separate-stderr tsm-inspect export data
    [ "$status" -eq 2 ]
    [ -z "$output" ]
    [[ $stderr == *"'one.autogen' and 'two.autogen' would be mixed"* ]]
    run tsm-inspect export -b two data
    [ "$status" -eq 2 ]
    [ "$(tsm-inspect export -b two -p year data | wc -l)" -eq 2400 ]
    [ "$(tsm-inspect export -b one data | wc -l)" -eq 100 ]
    [ "$(TSM_DB=one tsm-inspect export data | wc -l)" -eq 100 ]
    run tsm-inspect export --header data
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = "# DML" ]
    [ "${lines[1]}" = "# CONTEXT-DATABASE:one" ]
    [ "${lines[2]}" = "# CONTEXT-RETENTION-POLICY:autogen" ]
    [ "$(grep -c '^#' <<<"$output")" -eq 7 ]
    [ "$(grep -vc '^#' <<<"$output")" -eq 2600 ]
    for wrong in "-b three" "-b one -p year" "-p nosuch"; do
        # shellcheck disable=SC2086
        run --separate-stderr tsm-inspect export $wrong data
        [ "$status" -eq 1 ]
        [[ $stderr == *"data: no shards of "* ]]
    done
    # Outside of a data directory there is nothing to choose from; the name may come from the environment.
    [ "$(TSM_DB=two tsm-inspect export data/data/one | wc -l)" -eq 100 ]
    [ "$(tsm-inspect export -v -b one data 2>&1 >/dev/null)" = "tsm-inspect: exporting data/data/one/autogen/1
tsm-inspect: exporting data/data/one/autogen/2
tsm-inspect: exporting data/data/one/autogen/10" ]
}

@test "export: damage ends with 5; --skip-corrupt exports the rest and still exits 5" {
    sealed 000000001-000000001.tsm
    damage 000000001-000000001.tsm 20
    run --separate-stderr tsm-inspect export 000000001-000000001.tsm
    [ "$status" -eq 5 ]
    [[ $stderr == *"000000001-000000001.tsm: offset 5: block"*"checksum mismatch"* ]]
    run --separate-stderr tsm-inspect export --skip-corrupt 000000001-000000001.tsm
    [ "$status" -eq 5 ]
    [ "${#lines[@]}" -eq 80 ]
    [[ $stderr == *"left out: "*"checksum mismatch"* ]]
}

@test "report: series, cardinality, values, bytes; --top" {
    influxd_data
    tsm-inspect report -f json data >report.json
    jq . report.json
    [ "$(jq -r '[.total.shards, .total.files] | @tsv' report.json)" = $'1\t2' ]
    [ "$(jq '.total.bytes' report.json)" -eq "$(cat data/data/db/autogen/1/*.tsm | wc -c)" ]
    [ "$(jq '[.encodings[].values] | add' report.json)" -eq "$(jq .total.values report.json)" ]
    [ "$(jq '[.measurements[].series] | add' report.json)" -eq "$(jq .total.series report.json)" ]
    [ "$(jq '.tags | map(select(.measurement == "all")) | .[0].values' report.json)" -eq 2 ]
    [ "$(jq -r '.measurements[0].database' report.json)" = db ]
    [ "$(tsm-inspect report --top 1 -f json data | jq '(.measurements | length) + (.tags | length)')" -eq 2 ]
    run tsm-inspect report data
    [[ $output == *"name: total"*"name: encodings"*"name: measurements"*"name: tags"* ]]
    [ "$(tsm-inspect report -f jsonl data | jq -s length)" -gt 3 ]
}

@test "an output that is closed or full is a failure, one that nobody reads ends quietly" {
    sealed 000000001-000000001.tsm
    cp 000000001-000000001.tsm 000000002-000000001.tsm
    damage 000000002-000000001.tsm 20
    for args in "verify 000000002-000000001.tsm" "dump 000000001-000000001.tsm" "export 000000001-000000001.tsm" \
        "report 000000001-000000001.tsm"; do
        for to in '>&-' '>/dev/full'; do
            run --separate-stderr bash -c "tsm-inspect $args $to"
            echo "$args $to: $status $stderr"
            [ "$status" -eq 1 ]
            [[ $stderr == *"standard output"* ]]
        done
    done
    # shellcheck disable=SC2016
    run --separate-stderr bash -c 'tsm-inspect export "$1" | head -n 1; echo "${PIPESTATUS[0]}"' - "$golden/influxd-values.tsm"
    [ "${lines[1]}" -eq 141 ]
    [ -z "$stderr" ]
    # reading stdin is not its business: it works without
    tsm-inspect verify -q 000000001-000000001.tsm <&-
}

# two_directories: a and b, which have values in common, others, and others again in only one of them.
two_directories() {
    printf 'm,t=a f=1,g="x y" 1\nm,t=a f=2 2\nm,t=a f=5 5\nm,t=b i=3i 3\n' | tsm-ingest -q -d a -b db
    printf 'm,t=a f=1,g="x z" 1\nm,t=a f=2.5 2\nm,t=b i=3i 3\nm\\ n,t=c h=t 604800000000009\nm,t=a u=7i 4\n' >b.lp
    for _ in 1 2 3; do # more files
        tsm-ingest -q -d b -b db b.lp
    done
}

@test "diff: what is missing and what differs, in the form that brings one up to the other" {
    two_directories
    run --separate-stderr tsm-inspect diff a b
    [ "$status" -eq 0 ]
    [ "$output" = 'm,t=a f=2.5 2
m,t=a g="x z" 1
m,t=a u=7i 4
m\ n,t=c h=true 604800000000009' ]
    [[ $stderr == *"2 values are equal, 2 are only in b, 2 differ, 1 are only in a"* ]]
    run --separate-stderr tsm-inspect diff --summary json -q b a
    [ "$status" -eq 0 ]
    [ "$output" = 'm,t=a f=2 2
m,t=a f=5 5
m,t=a g="x y" 1' ]
    [ "$stderr" = '{"equal":2,"missing":1,"different":2,"extra":2,"left_out":0}' ]
    tsm-inspect diff -q a b | tsm-ingest -q -d a -b db
    tsm-inspect diff -q b a | tsm-ingest -q -d b -b db
    run tsm-inspect diff -q -e a b
    [ "$status" -eq 4 ]
    [ -z "$output" ]
}

@test "diff: directories of several databases, loose files, wrong operands" {
    two_directories
    printf 'm f=1 1\n' | tsm-ingest -q -d b -b other
    run tsm-inspect diff a b
    [ "$status" -eq 2 ]
    run --separate-stderr tsm-inspect diff -q --header a b
    [ "$status" -eq 0 ]
    [[ $output == *"# CONTEXT-DATABASE:other"*"m f=1 1"* ]]
    [ "$(tsm-inspect diff -q -b db a b | wc -l)" -eq 4 ]
    shard=$(echo a/data/db/autogen/*)
    run tsm-inspect diff -e -q a "$shard"
    [ "$status" -eq 4 ]
    for operands in a "a b a" ""; do
        # shellcheck disable=SC2086 # a list of operands
        run tsm-inspect diff $operands
        [ "$status" -eq 2 ]
    done
    run tsm-inspect diff a nowhere
    [ "$status" -eq 1 ]
    run tsm-inspect diff -b nothing a b
    [ "$status" -eq 1 ]
    printf 'm f=1 1\n' | tsm-ingest -q -d c -b else
    run tsm-inspect diff -q -b else a c
    [ "$status" -eq 0 ]
    [ "$output" = "m f=1 1" ]
    run tsm-inspect report -e a
    [ "$status" -eq 2 ]
}

@test "repair: the blocks that check, the damaged file beside, and nothing where nothing is wrong" {
    mkdir shard
    sealed shard/000000001-000000001.tsm
    run --separate-stderr tsm-inspect repair shard
    [ "$status" -eq 0 ]
    [[ $stderr == *"1 files are sound" ]]
    [ ! -e shard/lock ]
    cp shard/000000001-000000001.tsm whole
    offset=$(tsm-inspect dump --blocks whole | awk -F'\t' 'NR == 3 {print $3 + 9}')
    damage shard/000000001-000000001.tsm "$offset"
    cp shard/000000001-000000001.tsm damaged
    run --separate-stderr tsm-inspect repair -n -f csv shard
    [ "$status" -eq 5 ]
    [[ ${lines[1]} == shard/000000001-000000001.tsm,part,4,4,80,1,1,*,1970-01-01T*Z,\"\",* ]]
    cmp damaged shard/000000001-000000001.tsm
    run --separate-stderr tsm-inspect repair -f csv shard
    echo "$output"
    echo "$stderr"
    [ "$status" -eq 5 ]
    [[ ${lines[1]} == shard/000000001-000000001.tsm,part,4,4,80,1,1,*,shard/000000001-000000001.tsm.bad,*"checksum mismatch"* ]]
    [[ $stderr == *"lost: block of 'm,t=1#!~#v'"*"something is lost"* ]]
    cmp damaged shard/000000001-000000001.tsm.bad
    tsm-inspect verify -q shard
    [ "$(tsm-inspect export -q shard | wc -l)" -eq 80 ]
    run tsm-inspect repair -q shard
    [ "$status" -eq 0 ]
}

@test "repair: a wrong seal costs nothing, an index that is cut off everything" {
    mkdir shard
    sealed shard/000000001-000000001.tsm
    tsm-inspect export -q shard >whole
    index=$(tsm-inspect dump --blocks shard/000000001-000000001.tsm | awk -F'\t' 'END {print $3 + $4 + 16}')
    damage shard/000000001-000000001.tsm $((index - 12))
    run --separate-stderr tsm-inspect repair --summary json -f csv shard
    [ "$status" -eq 0 ]
    [[ ${lines[1]} == *,whole,5,5,100,0,0,0,* ]]
    [ "$stderr" = '{"files":1,"damaged":1,"lossy":0}' ]
    tsm-inspect export -q shard | cmp - whole
    truncate -s "$((index - 20))" shard/000000001-000000001.tsm
    run --separate-stderr tsm-inspect repair -f csv shard
    [ "$status" -eq 5 ]
    [[ ${lines[1]} == *,"nothing left",0,0,0,* ]]
    [[ $stderr == *"nothing in it can be saved"* ]]
    [ ! -e shard/000000001-000000001.tsm ]
    [ -e shard/000000001-000000001.tsm.bad.2 ]
}

@test "repair: tombstones, logs and meta.db of a data directory" {
    influxd_data
    run tsm-inspect repair -q data
    [ "$status" -eq 0 ]
    size=$(stat -c %s data/wal/db/autogen/1/_00001.wal)
    damage data/wal/db/autogen/1/_00001.wal 0
    : >data/data/db/autogen/1/000000001-000000001.tombstone
    damage data/meta/meta.db 0 1 2 3
    run --separate-stderr tsm-inspect repair -f csv data
    echo "$output"
    echo "$stderr"
    [ "$status" -eq 5 ]
    [[ $output == *"meta.db,not repaired,"* ]]
    [[ $output == *"000000001-000000001.tombstone,nothing left,"* ]]
    [[ $output == *"_00001.wal,part,"* ]]
    [[ $stderr == *"values that had been deleted may come back"* ]]
    [ "$(stat -c %s data/wal/db/autogen/1/_00001.wal.bad)" -eq "$size" ]
    run --separate-stderr tsm-inspect verify data/wal/db/autogen/1/_00001.wal data/data/db/autogen/1
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "an option of another command is refused, but for what a configuration file has" {
    echo 'm v=1 1' | tsm-ingest -d data -b db
    run tsm-inspect verify --skip-corrupt data
    [ "$status" -eq 2 ]
    printf 'skip-corrupt: true\ntop: 3\n' >tsm.yml
    run tsm-inspect -c tsm.yml verify data
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "repair: nothing is called sound when there is nothing" {
    run tsm-inspect repair nosuch
    [ "$status" -eq 1 ]
    [[ $output != *sound* ]]
}

@test "repair: operands that are none" {
    for operand in nowhere "$root/README.md"; do
        run tsm-inspect repair "$operand"
        [ "$status" -ne 0 ]
    done
    [ ! -e "$root/README.md.bad" ]
    printf 'm f=1 1\n' | tsm-ingest -q -d mine -b db
    shard=$(echo mine/data/db/autogen/*)
    damage "$shard/000000001-000000001.tsm" 20
    run tsm-inspect repair -q -b nothing mine
    [ "$status" -eq 1 ]
    run tsm-inspect repair -q -b db mine
    [ "$status" -eq 5 ]
}
