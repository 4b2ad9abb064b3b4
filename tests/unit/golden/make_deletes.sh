#!/usr/bin/env bash
# tests/unit/golden/make_deletes.sh: makes influxd-types.tsm, its tombstones after one, two and three deletes, and
# influxd-compacted.tsm anew with the influxd that is installed (they were made by 1.6.7).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
port=${1:-$((30000 + RANDOM % 2000 * 2))}
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
  cache-snapshot-write-cold-duration = "1s"
  compact-full-write-cold-duration = "6s"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:$port"
  log-enabled = false
X
influxd -config "$dir/conf" >"$dir/log" 2>&1 &
pid=$!
query() {
    curl -s -G -XPOST "http://127.0.0.1:$port/query" --data-urlencode db=g --data-urlencode "q=$1"
}
# wait_for GLOB: until it names a file, at most a minute.
wait_for() {
    for _ in $(seq 100); do
        compgen -G "$1" >/dev/null && return
        sleep 0.1
    done
    { echo "no $1" && tail -20 "$dir/log"; } >&2
    exit 1
}
for _ in $(seq 100); do
    grep -q 'Listening on HTTP' "$dir/log" && break
    sleep 0.1
done
kill -0 "$pid" # the port was free
query 'CREATE DATABASE g'
for host in 'a' 'b\ c\,d'; do
    for k in $(seq 0 1199); do
        s="text $((k % 7))"
        [ $((k % 3)) -ne 0 ] || s=
        b=f
        [ $((k % 5)) -ne 0 ] || b=t
        half=0
        [ $((k % 2)) -eq 0 ] || half=5
        echo "m\\ x,host=$host,z=1 f=$((k / 2)).$half,i=$((k * k - 1000))i,b=$b,s=\"$s\" $((1500000000 + k))000000000"
    done
done | curl -s -S -XPOST "http://127.0.0.1:$port/write?db=g" --data-binary @-
shard=$dir/data/g/autogen/1
wait_for "$shard/*1.tsm"
cp "$shard"/*.tsm "$here/influxd-types.tsm"
query "DELETE FROM \"m x\" WHERE host = 'a' AND time >= 1500000100000000000 AND time <= 1500000199000000000"
cp "$shard"/*.tombstone "$here/influxd-one-delete.tombstone"
query "DELETE FROM \"m x\" WHERE host = 'a' AND time >= 1500000150000000000 AND time < 1500000250000000000"
cp "$shard"/*.tombstone "$here/influxd-two-deletes.tombstone"
query "DROP SERIES FROM \"m x\" WHERE host = 'b c,d'"
cp "$shard"/*.tombstone "$here/influxd-drop.tombstone"
wait_for "$shard/000000001-000000002.tsm"
cp "$shard"/000000001-000000002.tsm "$here/influxd-compacted.tsm"
ls -l "$here"
