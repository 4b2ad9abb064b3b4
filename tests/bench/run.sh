#!/usr/bin/env bash
# tests/bench/run.sh: measures tsmkit beside influxd, VictoriaMetrics and DuckDB in one run, prints the ratios
# (also in $BUILD/bench/results.md and results.json). The whole data (10,000 devices x 1,000 rows) takes about 20
# minutes and 8 GB of disk; DEVICES and ROWS shrink it. See compare.py.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=$PWD/build}"
export BUILD
exec python3 tests/bench/compare.py
