#!/bin/sh
# cardinality.sh DATA DATABASE: the number of values of every tag, most first: which tag made the series explode?
set -eu
[ $# -eq 2 ] || { echo "usage: $0 DATA DATABASE" >&2 && exit 2; }
tsm-query -d "$1" -b "$2" -f csv "SHOW TAG VALUES WITH KEY =~ /./" |
    awk -F, 'NR > 1 {n[$1 "\t" $(NF - 1)]++} END {for (k in n) print n[k] "\t" k}' | sort -rn
