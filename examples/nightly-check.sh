#!/bin/sh
# nightly-check.sh DATA: for cron: prints nothing and exits 0 while every checksum holds; else says what is damaged.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 DATA" >&2 && exit 2; }
if report=$(tsm-inspect verify -q "$1" 2>&1); then
    exit 0
else
    status=$?
    printf '%s: damaged files\n%s\n' "$1" "$report"
    exit "$status"
fi
