#!/bin/sh
# daemon.sh DATA [PORT]: a daemon over a directory, and four ways to it: curl, the influx shell, tsm-query, its socket.
# Dashboards: in Grafana add a data source of type InfluxDB, query language InfluxQL, URL http://HOST:8086, and the
# database; with --auth also a user that has READ on it. Telegraf, Prometheus and the client libraries for InfluxDB 1.x
# need nothing but the same URL.
set -eu
{ [ $# -ge 1 ] && [ $# -le 2 ]; } || { echo "usage: $0 DATA [PORT]" >&2 && exit 2; }
data=$1 port=${2:-8086} url=http://127.0.0.1:${2:-8086}

tsm-raftd -q -d "$data" --bind "127.0.0.1:$port" &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || :' EXIT
curl -fsS -o /dev/null --retry 60 --retry-delay 1 --retry-connrefused "$url/ping"

# curl: any statement by POST, points as line protocol, an answer as CSV.
curl -fsS -o /dev/null "$url/query" --data-urlencode 'q=CREATE DATABASE weather'
curl -fsS "$url/write?db=weather&precision=s" --data-binary 'air,town=oslo temp=4.5 1600000000
air,town=rome temp=24 1600000000'
# shellcheck disable=SC2016 # $town is a bind parameter
curl -fsS -H 'Accept: application/csv' -G "$url/query" --data-urlencode db=weather \
    --data-urlencode 'q=SELECT mean(temp) FROM air WHERE town = $town' --data-urlencode 'params={"town": "rome"}'

# The influx shell, when it is there.
! command -v influx >/dev/null ||
    influx -host 127.0.0.1 -port "$port" -database weather -format csv -execute 'SELECT max(temp) FROM air GROUP BY town'

# The other tools: on the directory, where they find the socket, or over HTTP.
echo 'air,town=bern temp=9 1600000000000000000' | tsm-ingest -d "$data" -b weather
tsm-query -H "$url" -b weather -f csv 'SELECT count(temp) FROM air'
curl -fsS --unix-socket "$data/raftd.sock" http://localhost/query --data-urlencode 'q=SHOW DATABASES'

# A clean stop: everything is in files, which need no daemon.
kill "$daemon"
wait "$daemon"
tsm-query -d "$data" -b weather -f csv 'SELECT last(temp) FROM air GROUP BY town'
