#!/bin/sh
# downsample.sh DATA DATABASE MEASUREMENT INTERVAL RP [TIME]: means of every field over INTERVAL, for every series, into
# the retention policy RP of the same database. TIME is a condition on time ("time > now() - 2h"); without it,
# all of the past. For cron: running it again writes the same points again, which changes nothing.
set -eu
[ $# -ge 5 ] || { echo "usage: $0 DATA DATABASE MEASUREMENT INTERVAL RP [TIME]" >&2 && exit 2; }
data=$1 db=$2 measurement=$3 interval=$4 rp=$5 when=${6:-time <= now()}
fields=$(tsm-query -d "$data" -b "$db" -f csv "SHOW FIELD KEYS FROM \"$measurement\"" |
    awk -F, 'NR > 1 && ($NF == "float" || $NF == "integer") {n = NF - 1; printf "%smean(\"%s\") AS \"%s\"", sep, $n, $n; sep = ", "}')
tsm-query -d "$data" -b "$db" -f line \
    "SELECT $fields FROM \"$measurement\" WHERE $when GROUP BY time($interval), * fill(none)" |
    tsm-ingest -q -d "$data" -b "$db" -p "$rp"
