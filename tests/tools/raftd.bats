#!/usr/bin/env bats
# tests/tools/raftd.bats: tsm-raftd as a service: start, stop, kill -9, damage to its log, a full disk, its configuration.
# shellcheck disable=SC2030,SC2031 # each test starts its own daemon
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    export BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    unset TSM_DATA TSM_DB TSM_HOST TSM_JWT_SECRET NOTIFY_SOCKET JOURNAL_STREAM
    cd "$BATS_TEST_TMPDIR" || exit 1
    pid=
}

teardown() {
    if [ -n "$pid" ]; then
        kill -9 "$pid" 2>/dev/null || true
    fi
}

# start_daemon OPTION…: in the background, on a port of its own; sets pid and url when it is ready.
start_daemon() {
    : >log
    tsm-raftd -d data --bind 127.0.0.1:0 "$@" 2>>log 3>&- &
    pid=$!
    wait_until ready_or_gone
    url=http://127.0.0.1:$(sed -n 's/.*ready on 127\.0\.0\.1:\([0-9]*\) .*/\1/p' log)
}

ready_or_gone() {
    grep -q 'ready on' log || ! kill -0 "$pid" 2>/dev/null
}

# wait_until COMMAND…: for at most 60 seconds.
wait_until() {
    for ((i = 0; i < 1200; i++)); do
        if "$@"; then
            return 0
        fi
        sleep 0.05
    done
    cat log
    return 1
}

# The exit status of the daemon when it has ended.
end_of_daemon() {
    local status=0
    wait "$pid" || status=$?
    pid=
    return "$status"
}

stop_daemon() {
    kill -TERM "$pid"
    end_of_daemon
}

kill_daemon() {
    kill -9 "$pid"
    end_of_daemon || true
}

query() {
    curl -sS "$url/query?db=db" --data-urlencode "q=$1"
}

# The status of writing lines.
write() {
    curl -sS -o answer -w '%{http_code}' "$url/write?db=db" --data-binary "$1"
}

select_all='SELECT * FROM m'

@test "what was written is answered at once, after a stop by the other tools, and after another start" {
    start_daemon
    [[ $(query 'CREATE DATABASE db') == '{"results":[{"statement_id":0}]}' ]]
    [ "$(write $'m,t=a f=1,g=2i 1000\nm,t=b s="text",b=true 2000')" = 204 ]
    live=$(query "$select_all")
    [[ $live == *'"text"'* ]]
    # The socket in the directory.
    tsm-query -d data -b db -f json "$select_all" >socket.json
    stop_daemon
    grep -q "everything is in files" log
    tsm-query -d data -b db -f json "$select_all" >files.json
    [ "$live" = "$(cat files.json)" ]
    cmp socket.json files.json
    [ ! -e data/raftd.sock ]
    [ ! -e data/raft/unflushed ]
    start_daemon
    [ "$live" = "$(query "$select_all")" ]
    stop_daemon
}

@test "after a clean stop influxd opens the directory, and gives the same answer" {
    command -v influxd >/dev/null || skip "no influxd"
    start_daemon
    query 'CREATE DATABASE db' >answer
    [ "$(write $'m,t=a f=1,g=2i 1000\nm,t=b f=2 2000\nm,t=b f=3 1600000000000000000')" = 204 ]
    query 'CREATE USER u WITH PASSWORD '\''secret'\''; DELETE FROM m WHERE time = 2000' >answer
    run -1 grep error answer
    live=$(query "$select_all")
    stop_daemon
    port=$((20000 + RANDOM % 20000))
    cat >influxd.conf <<END
reporting-disabled = true
bind-address = "127.0.0.1:$((port + 1))"
[meta]
dir = "$PWD/data/meta"
[data]
dir = "$PWD/data/data"
wal-dir = "$PWD/data/wal"
[http]
bind-address = "127.0.0.1:$port"
[monitor]
store-enabled = false
END
    influxd -config influxd.conf >influxd.log 2>&1 3>&- &
    pid=$!
    url=http://127.0.0.1:$port
    wait_until curl -sf "$url/ping"
    [ "$live" = "$(query "$select_all")" ]
    [[ $(query 'SHOW USERS') == *'["u",false]'* ]]
    kill "$pid"
    end_of_daemon || true
    # And back.
    start_daemon
    [ "$live" = "$(query "$select_all")" ]
    stop_daemon
}

@test "killed: other tools refuse the directory until its log is flushed, and nothing is lost" {
    start_daemon
    query 'CREATE DATABASE db' >answer
    [ "$(write $'m f=1 1000\nm f=2 2000')" = 204 ]
    live=$(query "$select_all")
    kill_daemon
    [ -e data/raft/unflushed ]
    for tool in "tsm-query -d data -b db 'SELECT f FROM m'" "tsm-query -d data 'CREATE DATABASE x'" \
        "tsm-ingest -d data -b db </dev/null" "tsm-compact -d data" "tsm-compact -d data --plan"; do
        echo "$tool"
        run -75 bash -c "$tool"
        [[ $output == *"tsm-raftd --flush -d data"* ]]
    done
    run -0 tsm-raftd --flush -d data
    [ ! -e data/raft/unflushed ]
    [ "$live" = "$(tsm-query -d data -b db -f json "$select_all")" ]
    tsm-compact -d data
    run -0 tsm-raftd --flush -d data
}

@test "killed again and again under eight writers, with flushes, deletes and compactions: nothing is lost or wrong" {
    python3 "$root/tests/torture/raftd.py" 12
}

@test "a second daemon, and tsm-ingest without its socket, are told who has the directory" {
    start_daemon --socket no
    run -75 tsm-raftd -d data --bind none
    [[ $output == *"tsm-raftd, process $pid"* ]]
    run -75 tsm-ingest -d data -b db /dev/null
    [[ $output == *"tsm-raftd, process $pid"* ]]
    run -75 tsm-query -d data -b db 'SELECT f FROM m'
    stop_daemon
}

@test "a socket that a killed daemon has left is replaced" {
    start_daemon
    kill_daemon
    [ -S data/raftd.sock ]
    start_daemon
    query 'CREATE DATABASE db' >answer
    [ "$(write 'm f=1 1000')" = 204 ]
    tsm-query -d data -b db -f csv "$select_all" | grep -q "000001Z,1"
    stop_daemon
}

# The segment that was written to last, of those that a kill leaves open.
open_segment() {
    find data/raft -name 'open-*' -printf '%s %T@ %p\n' | sort -k2n | while read -r _ _ path; do
        if [ "$(head -c 8 "$path" | tr -d '\0' | wc -c)" -gt 0 ]; then
            echo "$path"
        fi
    done | tail -n 1
}

@test "an entry that was cut by a kill is left out, and what comes before it is there" {
    start_daemon
    query 'CREATE DATABASE db' >answer
    [ "$(write 'm f=1.1 1000')" = 204 ]
    kill_daemon
    segment=$(open_segment)
    [ -n "$segment" ]
    # Where the zeros begin.
    end=$(python3 -c "import sys; print(len(open(sys.argv[1], 'rb').read().rstrip(b'\0')))" "$segment")
    cp -r data copy
    for cut in 1 8 16 40 100; do
        rm -rf data
        cp -r copy data
        at=$(((end + 7) / 8 * 8))
        head -c "$cut" /dev/urandom | dd of="$segment" bs=1 seek="$at" conv=notrunc status=none
        start_daemon
        [[ $(query "$select_all") == *'[["1970-01-01T00:00:00.000001Z",1.1]]'* ]]
        [ "$(write 'm f=2 2000')" = 204 ]
        kill_daemon
        start_daemon
        [[ $(query 'SELECT count(f) FROM m') == *',2]'* ]]
        kill_daemon
    done
}

@test "damage to the log is named, and ends the start with status 5" {
    start_daemon
    query 'CREATE DATABASE db' >answer
    for i in 1 2 3; do
        [ "$(write "m f=$i $i")" = 204 ]
    done
    kill_daemon
    start_daemon
    kill_daemon
    segment=$(find data/raft -name '0*-0*' | sort | tail -n 1)
    [ -n "$segment" ]
    printf 'X' | dd of="$segment" bs=1 seek=80 conv=notrunc status=none
    run -5 tsm-raftd -d data --bind none
    [[ $output == *"$(basename "$segment")"* ]]
    [[ $output == *checksum* ]]
}

@test "the example configuration has every option with its default" {
    keys=$(sed -n 's/^\([a-z-]*\):.*/\1/p' "$root/share/tsm-raftd.yaml" | sort)
    options=$(tsm-raftd --help-options | cut -f 1 | grep -vx -e config -e help -e version | sort)
    diff <(echo "$keys") <(echo "$options")
    tsm-raftd --help | grep -oE -- '--[a-z-]+ .*\(default [^)]*\)' | while read -r name rest; do
        default=${rest##*(default }
        default=${default%%[ );]*}
        value=$(sed -n "s/^${name#--}: *\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$root/share/tsm-raftd.yaml")
        echo "$name: $default: $value"
        case $name in
        --reserve) [ -z "$value" ] ;;
        *) [ "${value%s}" = "${default%s}" ] ;;
        esac
    done
    sed 's/127.0.0.1:8086/127.0.0.1:0/' "$root/share/tsm-raftd.yaml" >config.yaml
    : >log
    tsm-raftd -c config.yaml -d data 2>>log 3>&- &
    pid=$!
    wait_until ready_or_gone
    stop_daemon
}

@test "SIGHUP reads the configuration again; a fault in it changes nothing" {
    printf 'log-requests: false\nmemory: 64M\n' >config.yaml
    start_daemon -c config.yaml
    curl -sS "$url/ping?first"
    printf 'log-requests: true\nmemory: 65M\n' >config.yaml
    kill -HUP "$pid"
    wait_until grep -q "was read again" log
    grep -q -- "--memory has changed: that needs a restart" log
    curl -sS "$url/ping?second"
    wait_until grep -q "second" log
    run -1 grep -q "first" log
    printf 'log-requests: perhaps\n' >config.yaml
    kill -HUP "$pid"
    wait_until grep -q "as it was" log
    grep -q "config.yaml:1" log
    curl -sS "$url/ping?third"
    wait_until grep -q "third" log
    stop_daemon
}

@test "whoever starts the service is told when it is ready, and when it stops" {
    cat >listen.py <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("notify")
s.settimeout(60)
for _ in range(2):
    print(s.recv(100).decode(), flush=True)
END
    python3 listen.py >told 3>&- &
    listener=$!
    wait_until test -S notify
    NOTIFY_SOCKET=$PWD/notify start_daemon
    stop_daemon
    wait "$listener"
    [ "$(tr '\n' ' ' <told)" = "READY=1 STOPPING=1 " ]
}

@test "a clean stop lets a request that runs end, and more signals do no harm" {
    start_daemon
    query 'CREATE DATABASE db' >answer
    for ((i = 0; i < 20; i++)); do
        write "m f=$i $((i + 1))" >>codes &
    done
    sleep 0.05
    kill -TERM "$pid"
    kill -INT "$pid"
    kill -TERM "$pid" || true
    end_of_daemon
    wait
    stored=$(tsm-query -d data -b db -f csv --no-header 'SELECT count(f) FROM m' | sed 's/.*,//')
    answered=$(grep -o 204 codes | wc -l)
    echo "stored $stored, answered $answered"
    [ "${stored:-0}" -ge "$answered" ]
}

# in_namespace FUNCTION: runs it where it may mount what nobody else sees.
in_namespace() {
    local how
    mkdir mnt
    for how in "unshare -m --propagation private" "unshare -rm --propagation private"; do
        if $how mount -t tmpfs none mnt 2>/dev/null; then
            export -f "${1?}" start_daemon ready_or_gone wait_until stop_daemon end_of_daemon kill_daemon query write
            export select_all
            $how bash -euc "trap 'kill -9 \$pid 2>/dev/null || true' EXIT; $1; echo done" >out 2>&1 || true
            tail -30 out
            grep -qx "done" out
            return
        fi
    done
    skip "mounting is not allowed here"
}

fill_the_disk() {
    mount -t tmpfs -o size=96M none mnt
    ln -s mnt data
    start_daemon --memory 64M --reserve 8M
    query 'CREATE DATABASE db' >answer
    [ "$(write 'm f=1 1000')" = 204 ]
    # Others take it to below the reserve: writes are refused, queries go on, and a drop is possible.
    dd if=/dev/zero of=mnt/ballast bs=1M count=60 status=none || true
    free=$(($(stat -f -c '%a * %S / 1048576' mnt)))
    dd if=/dev/zero of=mnt/ballast2 bs=1M count=$((free - 4)) status=none || true
    sleep 0.3
    [ "$(write 'm f=2 2000')" = 503 ]
    grep -qi "reserve\|room" answer
    grep -q "writes are refused" log
    [[ $(query "$select_all") == *',1]'* ]]
    query 'CREATE DATABASE other; DROP DATABASE other' >answer
    if grep error answer; then
        exit 1
    fi
    # Nothing at all is left.
    dd if=/dev/zero of=mnt/ballast3 bs=64k status=none || true
    [ "$(write 'm f=3 3000')" = 503 ]
    # Room again: it goes on by itself.
    rm mnt/ballast*
    for ((i = 0; i < 100; i++)); do
        code=$(write 'm f=4 4000')
        [ "$code" = 204 ] && break
        sleep 0.1
    done
    [ "$code" = 204 ]
    [[ $(query 'SELECT count(f) FROM m') == *',2]'* ]]
    kill_daemon
    start_daemon --memory 64M --reserve 8M
    [[ $(query 'SELECT count(f) FROM m') == *',2]'* ]]
    stop_daemon
    tsm-inspect verify -q data
}

@test "a full disk: writes are refused, nothing acknowledged is lost, and it goes on when there is room" {
    in_namespace fill_the_disk
}

@test "a log that cannot be written: the write fails, the daemon stays, and goes on when it can again" {
    start_daemon --flush-interval 0s
    query 'CREATE DATABASE db' >answer
    [ "$(write 'm f=0 1')" = 204 ]
    prlimit --pid "$pid" --fsize=16384:
    stored=1
    for ((i = 2; i <= 1000; i++)); do
        code=$(write "m f=$i,s=\"some text that is not that short, number $i\" $i")
        [ "$code" = 204 ] || break
        stored=$i
    done
    echo "stored $stored, then $code"
    [ "$code" = 503 ]
    grep -q "the log cannot be written: " answer
    [ "$stored" -gt 1 ]
    [ "$(write 'm f=5000 5000')" = 503 ]
    grep -q "writes are refused until it can" log
    [[ $(curl -sS "$url/health") == *"cannot be written"*fail* ]]
    [[ $(query 'SELECT count(f) FROM m') == *",$stored]"* ]]
    prlimit --pid "$pid" --fsize=unlimited:
    wait_until grep -q "can be written again" log
    [ "$(write 'm f=1000 1000')" = 204 ]
    [[ $(curl -sS "$url/health") == *pass* ]]
    # What failed may have come to the disk, or not.
    live=$(query 'SELECT count(f) FROM m')
    [[ $live == *",$((stored + 1))]"* || $live == *",$((stored + 2))]"* ]]
    kill_daemon
    start_daemon
    [ "$live" = "$(query 'SELECT count(f) FROM m')" ]
    stop_daemon
}

@test "a start with a thousand shards" {
    start_daemon
    query 'CREATE DATABASE db WITH SHARD DURATION 1h' >answer
    for ((i = 0; i < 1000; i++)); do
        echo "m,t=a f=$i $((1500000000 + i * 3600))"
    done >lines
    [ "$(curl -sS -o answer -w '%{http_code}' "$url/write?db=db&precision=s" --data-binary @lines)" = 204 ]
    stop_daemon
    [ "$(find data/data/db -name '*.tsm' | wc -l)" -eq 1000 ]
    start_daemon
    grep -oE 'after [0-9.]+ s' log
    [[ $(query 'SELECT count(f) FROM m') == *',1000]'* ]]
    stop_daemon
}
