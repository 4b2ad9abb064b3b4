#!/bin/sh
# copy-database.sh FROM DATABASE TO [NEW NAME]: all points of a database into another directory, or under another name.
set -eu
[ $# -ge 3 ] || { echo "usage: $0 FROM DATABASE TO [NEW NAME]" >&2 && exit 2; }
tsm-inspect export -b "$2" "$1" | tsm-ingest -q -d "$3" -b "${4:-$2}"
