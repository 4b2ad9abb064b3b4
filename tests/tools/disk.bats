#!/usr/bin/env bats
# tests/tools/disk.bats: a disk that is full at every point of a run of tsm-ingest: it waits, goes on by itself when there is
# room, and nothing is lost. A disk that takes no larger file, or a full one when it cannot wait: exit status 1, the message
# says what is durable, what was there is not harmed, and the next run with room completes the work.
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    export BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
    awk 'BEGIN {for (i = 0; i < 40; i++) printf "m,host=h%d f=%d,s=\"text %d\" %d\n", i % 4, i, i * i, 1500000000 + 60 * i}' >first
    # Late points, which change some of the first; a new shard; new series: enough for several files of some pages.
    awk 'BEGIN {srand(5); for (i = 0; i < 2500; i++) printf "m,host=h%d f=%f,s=\"%d\" %d\n", i % 20, rand(), rand() * 1e9,
                1500000000 + 30 * i; for (i = 0; i < 1500; i++) printf "n f=%f %d\n", rand(), 1600000000 + i}' >second
    tsm-ingest -d base -b db --precision s first
    stored base >before
    cp -r base both
    tsm-ingest -d both -b db --precision s second
    stored both >after
}

# Everything in a directory, in order.
stored() {
    tsm-inspect export -b db "$1" | sort
}

# in_namespace FUNCTION: runs it where it may mount what nobody else sees.
in_namespace() {
    local how
    for how in "unshare -m --propagation private" "unshare -rm --propagation private"; do
        if $how mount -t tmpfs none "$BATS_TEST_TMPDIR/mnt" 2>/dev/null; then
            export -f stored check_failure random start settle with_room each start_random "${1?}"
            # A loop that ends by an error must not look like one that has ended.
            $how bash -euc "$1; echo done" >log 2>&1 || true
            tail -30 log
            [ "$(tail -n 1 log)" = "done" ]
            return
        fi
    done
    skip "mounting is not allowed here"
}

# check_failure DIR STATUS CAUSE: after a run on DIR that gave STATUS and the file stderr. Succeeds when that run did.
check_failure() {
    tsm-inspect verify -q "$1" || { echo "not sound"; exit 1; }
    [ -z "$(find "$1" -name '*.tmp')" ] || { find "$1"; exit 1; }
    stored "$1" >now
    if [ "$2" -eq 0 ]; then
        cmp now after || exit 1
        return 0
    fi
    [ "$2" -eq 1 ] || { echo "exit status $2"; exit 1; }
    grep -q "$3" stderr || { echo "no cause in:"; cat stderr; exit 1; }
    # What is stored is what was there, or what was written. Nothing is durable before a whole flush is.
    grep -q "0 rows are durable, the rest is not" stderr || grep -q "$1/\(lock\|meta\)" stderr ||
        { echo "does not say what is durable:"; cat stderr; exit 1; }
    [ -z "$(comm -13 <(sort before after) now)" ] || { comm -13 <(sort before after) now | head; exit 1; }
    return 1
}

# start DIR INPUT: tsm-ingest in the background.
start() {
    : >stderr
    tsm-ingest -d "$1" -b db --precision s --reserve 0 "$2" 2>>stderr &
    pid=$!
}

# Until it has ended, or waits for room; then status is "waiting".
settle() {
    local _
    status=hanging
    for _ in $(seq 3000); do
        if ! jobs -rp | grep -qx "$pid"; then
            status=0
            wait "$pid" || status=$?
            return
        fi
        if [ "$(grep -c '; waiting$' stderr)" -gt "$(grep -c '; going on$' stderr)" ]; then
            status=waiting
            return
        fi
        sleep 0.02
    done
    kill -9 "$pid"
}

# with_room DIR OPTION: what was started waits for room. It either gets some, or is told to end and started again.
with_room() {
    [ -z "$(find "$1" -name '*.tmp')" ] || { find "$1"; exit 1; }
    stored "$1" >now
    [ -z "$(comm -13 <(sort before after) now)" ] || { comm -13 <(sort before after) now | head; exit 1; }
    if [ "$2" = end ]; then
        kill -TERM "$pid"
        settle
        [ "$status" = waiting ] && wait "$pid" || status=$?
        check_failure "$1" "$status" "No space left on device" || true
        mount -o "remount,$3" "$1"
        start "$1" second
    else
        mount -o "remount,$3" "$1"
    fi
    status=0
    wait "$pid" || status=$?
    cat stderr
    check_failure "$1" "$status" "No space left on device"
}

# each OPTION UNIT FROM TO STEP MORE: on a disk with OPTION=n, for n from FROM until there is room, or TO.
each() {
    local n failed=0 waited=0
    for n in $(seq "$3" "${5}" "$4"); do
        mount -t tmpfs -o "$1=$n$2" none mnt
        cp -r base/. mnt 2>/dev/null || { umount mnt; continue; }
        start mnt second
        settle
        echo "$n: $status: $(cat stderr)"
        if [ "$status" = waiting ]; then
            waited=$((waited + 1))
            with_room mnt "$([ $((waited % 3)) = 0 ] && echo end || echo go)" "$1=$6"
        elif check_failure mnt "$status" "No space left on device"; then
            umount mnt
            break
        else
            failed=$((failed + 1))
            mount -o "remount,$1=$6" mnt
            tsm-ingest -d mnt -b db --precision s second
            check_failure mnt 0
        fi
        umount mnt
    done
    echo "$failed failed, $waited waited"
    [ "$waited" -ge 3 ]
    [ "$status" = 0 ]
}

every_size() {
    each size k 32 240 4 1m
}

every_file() {
    each nr_inodes "" 8 40 1 100
}

# random FIRST: lines from there on; mawk's %d has 32 bits.
random() {
    awk -v n="$1" 'BEGIN {srand(6); for (i = 0; i < 1500000; i++) {f = rand(); if (i >= n) printf "m f=%f %.0f\n", f, 1500000000000 + i}}'
}

# The input of a writer that stops before the reserve. Memory for a part of the input only.
start_random() {
    mount -t tmpfs -o size=6m none mnt
    random 0 >input
    : >stderr
    tsm-ingest --memory 32M --reserve 1M -d mnt -b db --precision ms - <input 2>>stderr &
    pid=$!
    settle
    cat stderr
    [ "$status" = waiting ]
    grep -q "^tsm-ingest: mnt: the disk has [0-9]* KiB free, and 1024 KiB are to stay free; waiting$" stderr
    tsm-inspect verify mnt
    # It has stopped near the reserve.
    free=$(df --output=avail -k mnt | tail -n 1)
    [ "$free" -gt 512 ]
    [ "$free" -lt 2048 ]
}

stops_at_reserve() {
    local n
    start_random
    kill -TERM "$pid"
    status=0
    wait "$pid" || status=$?
    cat stderr
    [ "$status" -eq 75 ]
    n=$(sed -n 's/^tsm-ingest: \([0-9]*\) rows were read, all of them are durable$/\1/p' stderr)
    [ "$n" -gt 0 ]
    [ "$n" -lt 1500000 ]
    grep -q "^tsm-ingest: stopped by a signal while there was no room, after line $n of stdin$" stderr
    [ "$(tsm-query -d mnt -b db -f csv --no-header "SELECT count(f) FROM m")" = "1970-01-01T00:00:00Z,$n" ]
    [ "$(tsm-query -d mnt -b db -f csv --no-header "SELECT count(f) FROM m WHERE time < $((1500000000000 + n))ms")" = \
        "1970-01-01T00:00:00Z,$n" ]
    # The input from there on completes it.
    mount -o remount,size=100m mnt
    random "$n" | tsm-ingest -d mnt -b db --precision ms
    [ "$(tsm-query -d mnt -b db -f csv --no-header "SELECT count(f) FROM m")" = "1970-01-01T00:00:00Z,1500000" ]
    tsm-inspect verify -q mnt
}

goes_on() {
    start_random
    mount -o remount,size=100m mnt
    wait "$pid"
    cat stderr
    [ "$(tail -n 1 stderr)" = "tsm-ingest: there is room again; going on" ]
    [ "$(wc -l <stderr)" -eq 2 ]
    [ "$(tsm-query -d mnt -b db -f csv --no-header "SELECT count(f) FROM m")" = "1970-01-01T00:00:00Z,1500000" ]
    tsm-inspect verify -q mnt
}

read_only() {
    mount -t tmpfs none mnt
    cp -r base/. mnt
    mount -o remount,ro mnt
    status=0
    tsm-ingest -d mnt -b db --precision s second 2>stderr || status=$?
    cat stderr
    [ "$status" -eq 1 ]
    grep -q "mnt/lock: Read-only file system" stderr
    stored mnt | cmp - before
    tsm-query -d mnt -b db "SELECT count(f) FROM m" >/dev/null
}

@test "a full disk, at every page" {
    mkdir mnt
    in_namespace every_size
}

@test "no room for one more file, at every file" {
    mkdir mnt
    in_namespace every_file
}

@test "a writer stops before the reserve; a signal ends the wait, and what was read is durable" {
    mkdir mnt
    in_namespace stops_at_reserve
}

@test "a writer that has stopped before the reserve goes on by itself" {
    mkdir mnt
    in_namespace goes_on
}

@test "a disk that is mounted read-only is read, not written" {
    mkdir mnt
    in_namespace read_only
}

@test "a limit on the size of files, at every size" {
    local size status failures=0
    for size in 0 1 12 13 100 $(seq 600 2000 60000); do
        rm -rf data
        cp -r base data
        echo 0 >status
        { prlimit --fsize="$size" tsm-ingest -d data -b db --precision s second || echo $? >status; } 2>&1 | cat >stderr
        status=$(cat status)
        echo "$size bytes: $status: $(cat stderr)"
        if (check_failure data "$status" "File too large"); then
            break
        fi
        failures=$((failures + 1))
        tsm-ingest -d data -b db --precision s second
        (check_failure data 0)
    done
    [ "$failures" -ge 5 ]
    [ "$status" -eq 0 ]
}
