#!/usr/bin/env bash
# tests/bench/run.sh [compare|storage|daemon]...: measures tsmkit beside influxd, VictoriaMetrics and DuckDB in one run and prints the
# ratios (also in $BUILD/bench/*.md and *.json): compare.py ingest, disk and queries, storage.py the storage engine,
# daemon.py tsm-raftd over HTTP. The whole
# data (10,000 devices x 1,000 rows) takes about 20 minutes each and 8 GB of disk; DEVICES and ROWS shrink it.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=$PWD/build}"
export BUILD
status=0
[ $# -gt 0 ] || set -- compare storage daemon
for part; do
    python3 "tests/bench/$part.py" || status=1
done
exit $status
