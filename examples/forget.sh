#!/bin/sh
# forget.sh DATA DATABASE TAG VALUE: deletes everything that a sensor, host or customer ever sent, in all measurements and
# retention policies; says which series these were. Exits 75 while a compaction is at work: then run it again.
set -eu
[ $# -eq 4 ] || { echo "usage: $0 DATA DATABASE TAG VALUE" >&2 && exit 2; }
value=$(printf %s "$4" | sed "s/[\\\\']/\\\\&/g")
which="WHERE \"$3\" = '$value'"
tsm-query -d "$1" -b "$2" --no-header -f csv "SHOW SERIES $which; DROP SERIES $which"
