#!/usr/bin/env bash
# tests/unit/golden/make_influxd.sh: makes meta.db and the *.wal files anew with the influxd that is installed (they
# were made by 1.6.7). The tests compare texts and numbers in them, so run this only to extend them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
port=${1:-28086}
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
cat >"$dir/conf" <<X
reporting-disabled = true
bind-address = "127.0.0.1:$((port + 1))"
[meta]
  dir = "$dir/meta"
[data]
  dir = "$dir/data"
  wal-dir = "$dir/wal"
  cache-snapshot-write-cold-duration = "1h"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:$port"
  log-enabled = false
[continuous_queries]
  enabled = false
X

start() {
    influxd -config "$dir/conf" >"$dir/log" 2>&1 &
    pid=$!
    for _ in $(seq 100); do
        curl -s -o /dev/null "http://127.0.0.1:$port/ping" && return
        sleep 0.1
    done
    cat "$dir/log"
    exit 1
}
stop() {
    { kill "$1" && wait "$1"; } || true
    pid=
}
query() {
    curl -s -G -XPOST "http://127.0.0.1:$port/query" --data-urlencode "q=$1" --data-urlencode "db=${2:-}"
}
post() { # DATABASE RP LINES
    curl -s -XPOST "http://127.0.0.1:$port/write?db=$1&rp=$2" --data-binary "$3"
}

# ---- meta.db: several databases and policies, groups of all kinds, a query, a subscription, users ----
start
query 'CREATE DATABASE alpha'
query 'CREATE DATABASE "zeta db" WITH DURATION 30d REPLICATION 1 NAME "monat"'
query 'CREATE DATABASE beta WITH DURATION 3h SHARD DURATION 1h NAME kurz'
query 'CREATE RETENTION POLICY "zwei" ON alpha DURATION 52w REPLICATION 1 SHARD DURATION 2d'
query 'CREATE RETENTION POLICY "hour" ON alpha DURATION 1h REPLICATION 2 DEFAULT'
query "CREATE USER jo WITH PASSWORD 'secret' WITH ALL PRIVILEGES"
query "CREATE USER reader WITH PASSWORD 'x'"
query 'GRANT READ ON alpha TO reader'
query 'CREATE CONTINUOUS QUERY cq ON alpha BEGIN SELECT mean(v) INTO alpha.zwei.m FROM alpha.autogen.cpu GROUP BY time(1h) END'
query "CREATE SUBSCRIPTION s0 ON alpha.autogen DESTINATIONS ALL 'udp://127.0.0.1:9999'"
for t in 0 1500000000000000000 1600000000000000000 -1 -9000000000000000000 9223372036854775806; do
    post alpha autogen "cpu v=1 $t"
done
query 'DROP SHARD 3'
query 'DROP DATABASE beta'
stop "$pid"
cp "$dir/meta/meta.db" "$here/meta.db"
rm -rf "$dir/meta" "$dir/data" "$dir/wal"

# ---- logs: every type, deletes of a range and of everything, rewriting, order of times, long and odd strings ----
start
query 'CREATE DATABASE w'
post w autogen 'all,host=a f=1.5,i=-7i,b=true,s="text" 1000
all,host=a f=-0.25,i=9223372036854775807i,b=false,s="" 3000
all,host=a f=1e300,i=-9223372036854775808i,b=T,s="ä \"q\" \\ end" 2000'
post w autogen 'all,host=b f=1 1000
all,host=b f=2 2000
all,host=b f=3 3000
all,host=b f=4 4000'
post w autogen 'all,host=a f=99 2000'
post w autogen 'gone v=1i 1
gone v=2i 2'
query "DELETE FROM \"all\" WHERE host = 'b' AND time >= 2000 AND time <= 3000" w
query 'DROP MEASUREMENT gone' w
post w autogen 'all,host=b f=33 3000'
long=$(printf 'x%.0s' $(seq 3000))
post w autogen "long s=\"$long\" 5"
stop "$pid"
cp "$dir"/wal/w/autogen/*/_00001.wal "$here/all.wal"
ls -l "$here"
