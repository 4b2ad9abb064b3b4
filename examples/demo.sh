#!/bin/sh
# examples/demo.sh: the main job, on generated but realistic data: sensors in, InfluxDB files on disk, answers out,
# and the proof of what is in them. Called by `make demo`. Environment: BUILD (where the programs are), DEVICES
# and ROWS (the size of the data), KEEP=1 (leaves the data directory and says where it is).
set -eu
cd "$(dirname "$0")/.."
BUILD=$(cd "${BUILD:-build}" && pwd)
DEVICES=${DEVICES:-1000} ROWS=${ROWS:-1000}
PATH=$BUILD:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/tsm-demo.XXXXXX")
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
TSM_DATA=$work/data TSM_DB=plant
export TSM_DATA TSM_DB

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
title() {
    printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# show COMMAND: prints a command line as one would type it, runs it, says how long it took.
show() {
    printf '$ %s\n' "$1"
    begin=$(date +%s%N)
    (cd "$work" && eval "$1")
    printf '  (%s ms)\n' $((($(date +%s%N) - begin) / 1000000))
}

bytes() {
    find "$1" -type f -exec cat {} + | wc -c
}

title "Line protocol of $DEVICES devices, one row a second each for $ROWS seconds, compressed, and three bad lines"
{
    "$BUILD/bench/generate" --devices "$DEVICES" --rows "$ROWS" --order time
    printf 'devices,devid=0 humidity=wet 1577836800000000000\n'
    printf 'devices,devid=0 temperature=21.5 1577836800000000000\n'
    printf 'devices,devid= humidity=1 1577836800000000000\n'
} | gzip -1 >"$work/sensors.lp.gz"
raw=$(gzip -dc "$work/sensors.lp.gz" | wc -c)
awk -v raw="$raw" -v size="$(wc -c <"$work/sensors.lp.gz")" \
    'BEGIN {printf "sensors.lp.gz: %.1f MB (%.1f MB of text)\n", size / 1e6, raw / 1e6}'

title 'Ingest: exit status 3 says that everything else is durable, and some lines were not taken'
show 'tsm-ingest -q --rejects rejects.lp --summary json <sensors.lp.gz || echo "exit status $?"'
printf 'rejects.lp:\n'
cat "$work/rejects.lp"

title 'What is in it'
show "tsm-query -f table 'SHOW MEASUREMENTS; SHOW FIELD KEYS; SHOW TAG KEYS'"
show "tsm-query -f table 'SELECT count(humidity), mean(humidity), min(humidity), max(humidity), median(humidity), stddev(humidity) FROM devices'"
show "tsm-query -f table \"SELECT mean(humidity), max(temperature) FROM devices WHERE devgroup =~ /^4[0-3]/ GROUP BY devgroup\""
show "tsm-query -f table \"SELECT mean(temperature), spread(humidity) FROM devices WHERE time >= '2020-01-01T00:03:00Z' AND time < '2020-01-01T00:08:00Z' GROUP BY time(1m)\""
show "tsm-query -f csv --no-header 'SELECT last(temperature) FROM devices GROUP BY devname' | sort -t, -k3 -n -r | head -n 5"

title 'A round trip: out as line protocol, into another directory, and the same answers'
show "tsm-query -f line 'SELECT * FROM devices GROUP BY *' | tsm-ingest -q -d copy"
question='SELECT count(humidity), sum(temperature), median(humidity), stddev(humidity) FROM devices GROUP BY devgroup'
tsm-query -f json "$question" >"$work/answer"
tsm-query -d "$work/copy" -f json "$question" | cmp - "$work/answer" && echo 'the answers are the same, byte for byte'

title 'Trust: every checksum, and what the bytes are'
show 'tsm-inspect verify data'
show 'tsm-inspect report --top 3 data'

stored=$(bytes "$work/data")
title 'Figures'
awk -v rows=$((DEVICES * ROWS)) -v stored="$stored" -v raw="$raw" 'BEGIN {
    printf "%d rows (%d values): %.1f MB of text became %.1f MB, %.2f bytes a row, %.1f times smaller\n",
        rows, 2 * rows, raw / 1e6, stored / 1e6, stored / rows, raw / stored }'
[ -z "${KEEP:-}" ] || echo "kept: $work"
