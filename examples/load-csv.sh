#!/bin/sh
# load-csv.sh DATA DATABASE MEASUREMENT TAGS FILE...: CSV with a header and a column "time" (nanoseconds) into a
# measurement; TAGS are the names of the columns that are tags. Rejected records go to FILE.rejects.
set -eu
[ $# -ge 5 ] || { echo "usage: $0 DATA DATABASE MEASUREMENT TAGS FILE..." >&2 && exit 2; }
data=$1 db=$2 measurement=$3 tags=$4
shift 4
status=0
for file; do
    tsm-ingest -q -d "$data" -b "$db" --format csv --measurement "$measurement" --tags "$tags" \
        --rejects "$file.rejects" "$file" || status=$?
    [ -s "$file.rejects" ] || rm -f "$file.rejects"
done
exit $status
