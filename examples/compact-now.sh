#!/bin/sh
# compact-now.sh DATA [DATABASE]: compacts everything to its end, and prints how many files there were and are, and how often
# each byte of them was written.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 DATA [DATABASE]" >&2 && exit 2; }
files() {
    find "$1/data${2:+/$2}" -name '*.tsm' | wc -l
}
before=$(files "$@")
figures=$(tsm-compact -q -d "$1" ${2:+-b "$2"} --cold 0 --summary json 2>&1 >/dev/null) || {
    status=$?
    echo "$figures" >&2
    exit $status
}
printf '%d files became %d; write amplification %s\n' "$before" "$(files "$@")" "$(echo "$figures" | jq .write_amplification)"
