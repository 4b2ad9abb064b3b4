#!/usr/bin/env bats
# tests/tools/examples.bats: the pipelines of README.md and examples/ do what they say.

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$root/examples:$PATH
    cd "$BATS_TEST_TMPDIR" || exit 1
}

# Ten minutes of two boilers in directory data, database plant.
some_data() {
    awk 'BEGIN {for (i = 0; i < 600; i++) for (u = 1; u <= 2; u++)
        printf "boiler,site=north,unit=%d temperature=%d.5,pressure=%di,state=\"on\" %d\n", u, 50 + i % 60 + u, u, 1600000200 + i}' |
        tsm-ingest -q -d data -b plant --precision s
}

@test "the shell blocks of README.md run, one after the other" {
    awk '/^```sh$/ {on = 1; next} /^```$/ {on = 0} on' "$root/README.md" >readme.sh
    [ "$(wc -l <readme.sh)" -gt 10 ]
    run bash -eu -o pipefail readme.sh
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"feedpump"* ]]
}

@test "demo.sh runs, finds its three bad lines and the same answers after the round trip" {
    [ -x "$BUILD/bench/generate" ] || skip "bench/generate is not built"
    DEVICES=50 ROWS=200 run demo.sh
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"exit status 3"* ]]
    [[ $output == *"the answers are the same, byte for byte"* ]]
    [[ $output == *"10000 rows (20000 values)"* ]]
    [ "$(grep -c '^devices,' <<<"$output")" -eq 3 ]
    [ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'tsm-demo.*' -newer "$BATS_TEST_TMPDIR" 2>/dev/null)" ]
}

@test "last-values.sh gives the newest value of every series" {
    some_data
    run last-values.sh data plant boiler temperature
    echo "$output"
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 3 ]
    [[ ${lines[1]} == *north* ]]
    [[ ${lines[1]} == *2020-09-13T12:39:59Z* ]]
}

@test "downsample.sh writes means, and the same ones when it is run again" {
    some_data
    tsm-query -d data -b plant 'CREATE RETENTION POLICY hours ON plant DURATION INF REPLICATION 1'
    for _ in 1 2; do
        downsample.sh data plant boiler 1m hours
        run tsm-query -d data -b plant -f csv 'SELECT count(temperature), count(pressure), mean(temperature) FROM hours.boiler'
        echo "$output"
        [[ ${lines[1]} == *,20,20,* ]]
    done
    run tsm-query -d data -b plant -f csv "SELECT temperature FROM hours.boiler WHERE unit = '1' LIMIT 1"
    [[ ${lines[1]} == *,81 ]]
}

@test "nightly-check.sh is silent about a sound directory and names a damaged file" {
    some_data
    run nightly-check.sh data
    echo "$output"
    [ "$status" -eq 0 ]
    [ -z "$output" ]
    file=$(find data -name '*.tsm' | head -n 1)
    printf '\377' | dd of="$file" bs=1 seek=20 conv=notrunc status=none
    run nightly-check.sh data
    echo "$output"
    [ "$status" -eq 5 ]
    [[ $output == *"$(basename "$file")"* ]]
}

@test "copy-database.sh copies every point, also under another name" {
    some_data
    copy-database.sh data plant other
    copy-database.sh data plant other renamed
    question='SELECT count(*), sum(temperature), sum(pressure) FROM boiler GROUP BY *'
    tsm-query -d data -b plant -f json "$question" >expected
    tsm-query -d other -b plant -f json "$question" | cmp - expected
    tsm-query -d other -b renamed -f json "$question" | cmp - expected
}

@test "forget.sh deletes every series with a tag value, and names them" {
    some_data
    echo "pump,unit=it's\\ 2 flow=1 1600000200" | tsm-ingest -q -d data -b plant --precision s
    run forget.sh data plant unit 2
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$output" = '"boiler,site=north,unit=2"' ]
    run forget.sh data plant unit "it's 2"
    [ "$output" = '"pump,unit=it'"'"'s\ 2"' ]
    run tsm-query -d data -b plant --no-header 'SHOW SERIES; SELECT count(pressure) FROM boiler'
    [ "${lines[0]}" = '"boiler,site=north,unit=1"' ]
    [[ ${lines[1]} == *,600 ]]
}

@test "cardinality.sh counts the values of every tag, most first" {
    some_data
    run cardinality.sh data plant
    echo "$output"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = "$(printf '2\tboiler\tunit')" ]
    [ "${lines[1]}" = "$(printf '1\tboiler\tsite')" ]
}

@test "compact-now.sh compacts everything to its end and prints figures" {
    some_data
    some_data
    run compact-now.sh data plant
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == "2 files became 1; write amplification "[12].* ]]
    run compact-now.sh data
    [[ $output == "1 files became 1; write amplification 1"* ]]
    run compact-now.sh data nosuch
    [ "$status" -eq 1 ]
}

@test "load-csv.sh loads CSV, saves what is rejected and exits 3" {
    printf 'time,site,unit,flow\n1600000000000000000,north,1,1.5\n1600000060000000000,north,2,2.5\n' >good.csv
    load-csv.sh data plant pump site,unit good.csv
    [ ! -e good.csv.rejects ]
    run tsm-query -d data -b plant -f csv 'SELECT sum(flow) FROM pump GROUP BY site'
    echo "$output"
    [[ ${lines[1]} == *,4 ]]
    printf 'time,site,unit,flow\nyesterday,north,1,1.5\n1600000120000000000,north,1,3\n' >bad.csv
    run load-csv.sh data plant pump site,unit bad.csv
    echo "$output"
    [ "$status" -eq 3 ]
    [ -s bad.csv.rejects ]
}

@test "every example says how it is used" {
    for script in "$root"/examples/*.sh; do
        [ "$(basename "$script")" = demo.sh ] && continue
        echo "$script"
        run "$script"
        [ "$status" -eq 2 ]
        [[ $output == usage:* ]]
    done
}

@test "daemon.sh asks a daemon in every way, and its directory after it has stopped" {
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    run daemon.sh data "$port"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *'air,,1970-01-01T00:00:00Z,24'* || $output == *'air,,0,24'* ]]
    [[ $output == *'1970-01-01T00:00:00Z,3'* ]]
    [[ $output == *'"values":[["weather"]]'* ]]
    [[ ${lines[-1]} == 'rome,2020-09-13T12:26:40Z,24' ]]
    [ ! -e data/raft/unflushed ]
}
