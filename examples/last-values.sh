#!/bin/sh
# last-values.sh DATA DATABASE MEASUREMENT FIELD: the newest value of every series, oldest first: who has fallen silent?
set -eu
[ $# -eq 4 ] || { echo "usage: $0 DATA DATABASE MEASUREMENT FIELD" >&2 && exit 2; }
tsm-query -d "$1" -b "$2" -f csv --precision rfc3339 "SELECT last(\"$4\") FROM \"$3\" GROUP BY *" |
    { IFS= read -r header && echo "$header" && sort -t, -k3; }
