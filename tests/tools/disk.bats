#!/usr/bin/env bats
# tests/tools/disk.bats: a disk that is full, or takes no larger file, at every point of a run of tsm-ingest: exit status
# 1, the message says what is durable, what was there is not harmed, and the next run with room completes the work.
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
            export -f stored check_failure random "${1?}"
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

every_size() {
    local pages status failures=0
    for pages in $(seq 8 60); do
        mount -t tmpfs -o "size=$((pages * 4))k" none mnt
        cp -r base/. mnt 2>/dev/null || { umount mnt; continue; }
        status=0
        tsm-ingest -d mnt -b db --precision s second 2>stderr || status=$?
        echo "$pages pages: $status: $(cat stderr)"
        if check_failure mnt $status "No space left on device"; then
            umount mnt
            break
        fi
        failures=$((failures + 1))
        mount -o remount,size=1m mnt
        tsm-ingest -d mnt -b db --precision s second
        check_failure mnt 0
        umount mnt
    done
    [ "$failures" -ge 5 ]
    [ "$status" -eq 0 ]
}

every_file() {
    local files status failures=0
    for files in $(seq 8 40); do
        mount -t tmpfs -o "nr_inodes=$files" none mnt
        cp -r base/. mnt 2>/dev/null || { umount mnt; continue; }
        status=0
        tsm-ingest -d mnt -b db --precision s second 2>stderr || status=$?
        echo "$files files: $status: $(cat stderr)"
        if check_failure mnt $status "No space left on device"; then
            umount mnt
            break
        fi
        failures=$((failures + 1))
        mount -o remount,nr_inodes=100 mnt
        tsm-ingest -d mnt -b db --precision s second
        check_failure mnt 0
        umount mnt
    done
    [ "$failures" -ge 3 ]
    [ "$status" -eq 0 ]
}

# random FIRST: lines from there on; mawk's %d has 32 bits.
random() {
    awk -v n="$1" 'BEGIN {srand(6); for (i = 0; i < 1500000; i++) {f = rand(); if (i >= n) printf "m f=%f %.0f\n", f, 1500000000000 + i}}'
}

# Memory for a part of the input only: when the disk fills up, some of it has been written.
fills_up() {
    local megabytes n=0 status
    for megabytes in $(seq 7 14); do # what fits is not ours to know
        mount -t tmpfs -o size="${megabytes}m" none mnt
        status=0
        random 0 | tsm-ingest --memory 32M -d mnt -b db --precision ms 2>stderr || status=$?
        cat stderr
        n=$(sed -n 's/^tsm-ingest: \([0-9]*\) rows are durable, the rest is not$/\1/p' stderr)
        [ "${n:-0}" -gt 0 ] && break
        umount mnt
    done
    [ "$status" -eq 1 ]
    grep -q "No space left on device" stderr
    tsm-inspect verify mnt
    # The first ones, and hardly any other.
    [ "$(tsm-query -d mnt -b db -f csv --no-header "SELECT count(f) FROM m WHERE time < $((1500000000000 + n))ms")" = \
        "1970-01-01T00:00:00Z,$n" ]
    # The input from there on completes it.
    mount -o remount,size=100m mnt
    random "$n" | tsm-ingest -d mnt -b db --precision ms
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

@test "a disk that fills up in the middle: as many rows are durable as the message says" {
    mkdir mnt
    in_namespace fills_up
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
