#!/usr/bin/env bats
# tests/tools/damage.bats: damaged, cut, foreign, missing and unreadable files: the right answer or exit status 5 and
# a message with the file and the place; never another answer, a crash or a hang.
# shellcheck disable=SC2030,SC2031,SC2154 # functions look at what run has set
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    export BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    golden=$root/tests/unit/golden
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
    shard=data/data/db/autogen/1
}

teardown() {
    cd /
    rm -rf "/tmp/tsmkit-damage-$$"
}

damage() {
    python3 "$root/tests/tools/damage.py" "$@"
}

# Two shards with values of all five types, an out-of-order file, deletes.
make_data() {
    local i t
    for i in {0..8}; do
        t=$((1500000000 + 60 * i))
        echo "m,host=h$((i % 2)) f=$((i * i)).25,i=$((7 - i))i,b=$((i % 3 > 0 ? 1 : 0))i,s=\"text $i\",u=$((1000 * i))u $t"
        echo "m,host=h$((i % 2)) f=$i $((t + 8 * 86400))"
        echo "n on=$([ $((i % 3)) -gt 0 ] && echo true || echo false) $t"
    done | tsm-ingest -d data -b db --precision s
    echo 'm,host=h0 f=-1 1500000000' | tsm-ingest -d data -b db --precision s
    make_tombstone "m,host=h0#!~#s" 1500000000 1500000200
    [ "$(find data -name '*.tsm' | wc -l)" -eq 3 ]
}

# make_tombstone KEY FROM TO: beside the first file; version 4, the times in seconds.
make_tombstone() {
    python3 - "$shard/000000001-000000001.tombstone" "$@" <<'EOF'
import gzip, struct, sys
path, key, first, last = sys.argv[1], sys.argv[2].encode(), *(int(t) * 10**9 for t in sys.argv[3:])
entry = struct.pack(">i", len(key)) + key + struct.pack(">qq", first, last)
open(path, "wb").write(struct.pack(">i", 0x1504) + gzip.compress(entry))
EOF
}

count() {
    tsm-query -d data -b db -f csv --no-header "SELECT count(f) FROM m"
}

# both STATUS MESSAGE: tsm-query's and tsm-inspect verify's answer to the directory; then what --skip-corrupt leaves.
both() {
    local tool
    for tool in "tsm-query -d data -b db -f csv" "tsm-inspect export -b db data"; do
        if [ "${tool%% *}" = tsm-query ]; then
            # shellcheck disable=SC2086
            run --separate-stderr timeout 10 $tool "SELECT * FROM m"
        else
            # shellcheck disable=SC2086
            run --separate-stderr timeout 10 $tool
        fi
        echo "$tool: $status: $stderr"
        [ "$status" -eq "$1" ]
        [[ $stderr == *"$2"* ]]
    done
    run --separate-stderr timeout 10 tsm-inspect verify data
    echo "verify: $status: $output $stderr"
    [ "$status" -eq "$1" ]
    [[ $output$stderr == *"$2"* ]]
}

skipped() {
    run --separate-stderr timeout 10 tsm-query -d data -b db -f csv --no-header --skip-corrupt "SELECT count(f) FROM m"
    echo "query: $status: $output $stderr"
    [ "$status" -eq 5 ]
    [[ $stderr == *"$2"* ]]
    [[ $output == *",$1" ]]
    run --separate-stderr timeout 10 tsm-inspect export --skip-corrupt -b db data
    echo "export: $status: $stderr"
    [ "$status" -eq 5 ]
    [[ $stderr == *"$2"* ]]
    [ "$(grep -c 'f=' <<<"$output")" -eq "$1" ]
}

@test "every byte of every file that has a seal" {
    make_data
    damage bytes data "${shard#data/}"/000000001-000000001.{tsm,tombstone} "${shard#data/}/500000001-000000001.tsm" \
        meta/meta.db
}

@test "every length of every file that has a seal" {
    make_data
    damage cuts data "${shard#data/}"/000000001-000000001.{tsm,tombstone} meta/meta.db
}

# influxd's index and log have no checksum: a changed value there cannot be told from a written one.
@test "influxd's files without a seal, and its log: no crash, no hang" {
    make_data
    mkdir -p data/wal/db/autogen/1
    cp "$golden/influxd-types.tsm" "$shard/000000002-000000001.tsm"
    cp "$golden/all.wal" data/wal/db/autogen/1/_00001.wal
    damage alive data "${shard#data/}/000000002-000000001.tsm" wal/db/autogen/1/_00001.wal
}

@test "empty and foreign files are named; --skip-corrupt leaves them out" {
    make_data
    [[ $(count) == *,18 ]]
    mkdir -p data/wal/db/autogen/1
    local new=$shard/000000009-000000001.tsm log=data/wal/db/autogen/1/_00009.wal
    local tombstone=$shard/000000001-000000001.tombstone
    echo "just a text, long enough for a header, an index and a footer of a TSM file" >text
    gzip -k text
    : >empty
    for file in empty text text.gz "$BUILD/tsm-query" "$golden/meta.db"; do
        cp "$file" "$new"
        both 5 "$new: offset 0: "
        skipped 18 "$new: offset 0: "
        rm "$new"
        cp "$tombstone" kept
        cp "$file" "$tombstone"
        both 5 "$tombstone: offset "
        skipped 10 "$tombstone: offset "
        cp kept "$tombstone"
        [ "$file" = empty ] && continue # as a log, that is one that nothing was written to
        cp "$file" "$log"
        both 5 "$log: offset 0: "
        skipped 18 "$log: offset 0: "
        rm "$log"
        cp data/meta/meta.db kept
        [ "$file" = "$golden/meta.db" ] && continue # is one
        cp "$file" data/meta/meta.db
        run --separate-stderr tsm-query -d data -b db --skip-corrupt "SELECT * FROM m"
        [ "$status" -eq 5 ]
        [[ $stderr == *"data/meta/meta.db: "* ]]
        run --separate-stderr tsm-ingest -d data -b db <<<"m f=1"
        [ "$status" -eq 5 ]
        [[ $stderr == *"data/meta/meta.db: "* ]]
        cp kept data/meta/meta.db
    done
}

@test "directories, FIFOs, devices and links to nothing in the place of files" {
    make_data
    mkdir -p data/wal/db/autogen/1
    local path
    for path in "$shard/000000009-000000001.tsm" data/wal/db/autogen/1/_00009.wal "$shard/000000007-000000001.tombstone"; do
        [[ $path == *.tombstone ]] && cp "$shard/500000001-000000001.tsm" "$shard/000000007-000000001.tsm"
        mkdir "$path"
        both 5 "$path: is a directory"
        skipped 18 "$path: is a directory"
        rmdir "$path"
        mkfifo "$path"
        both 5 "$path: not a regular file"
        skipped 18 "$path: not a regular file"
        rm "$path"
        ln -s /dev/zero "$path"
        both 5 "$path: not a regular file"
        rm "$path"
    done
    rm "$shard/000000007-000000001.tsm"
    # Perhaps another disk that is not mounted: not to be taken for nothing, nor for damage.
    path=$shard/000000009-000000001.tsm
    ln -s nowhere "$path"
    both 1 "$path: No such file or directory"
    rm "$path"
    ln -s "${path##*/}" "$path"
    both 1 "$path: Too many levels of symbolic links"
    rm "$path"
    mv "$shard" kept
    echo text >"$shard"
    both 5 "$shard: not a directory"
    skipped 9 "$shard: not a directory"
    rm "$shard"
    mkfifo "$shard"
    both 5 "$shard: not a directory"
}

@test "a missing meta.db is noticed; a missing shard or TSM file has no one to miss it" {
    make_data
    mv data/meta/meta.db kept
    run --separate-stderr tsm-query -d data -b db "SELECT * FROM m"
    [ "$status" -eq 5 ]
    [[ $stderr == *"data/meta/meta.db: missing"* ]]
    run --separate-stderr tsm-ingest -d data -b other <<<"m f=1"
    [ "$status" -eq 5 ]
    [[ $stderr == *"data/meta/meta.db: missing"* ]]
    run --separate-stderr tsm-inspect verify data
    [ "$status" -eq 5 ]
    [[ $output == *"data/meta/meta.db: missing"* ]]
    [ "$(tsm-inspect export -b db data | grep -c f=)" -eq 18 ]
    mv kept data/meta/meta.db
    rm -r "$shard"
    [[ $(count) == *,9 ]]
    rm -r data/data
    [ -z "$(count)" ]
}

@test "files that come and go while they are read: always the same answer" {
    make_data
    rm "$shard/500000001-000000001.tsm" # whose place in the order would change
    local expected answer i pid
    expected=$(tsm-query -d data -b db -f csv "SELECT * FROM /./")
    (
        cd "$shard" || exit 1
        for i in {2..600}; do # as a compaction does: first the new file, then the old one goes
            [ -e ../stop ] && break
            cp ../1/000000001-000000001.tombstone "$(printf '%09d-000000001.tombstone' "$i")"
            cp "$(printf '%09d-000000001.tsm' $((i - 1)))" new.tmp
            mv new.tmp "$(printf '%09d-000000001.tsm' "$i")"
            [ $((i - 1)) -gt 1 ] && rm "$(printf '%09d-000000001.tsm' $((i - 1)))" "$(printf '%09d-000000001.tombstone' $((i - 1)))"
        done
    ) 3>&- &
    pid=$!
    for i in {1..40}; do
        answer=$(tsm-query -d data -b db -f csv "SELECT * FROM /./") || break
        [ "$answer" = "$expected" ] || break
    done
    : >"$shard/../stop"
    wait "$pid" || true
    echo "after $i: $answer"
    [ "$i" -eq 40 ]
    [ "$answer" = "$expected" ]
}

@test "a file that may not be read is a failure, not damage" {
    make_data
    # Root may read anything.
    local as=() file=$shard/000000001-000000001.tsm
    if [ "$(id -u)" -eq 0 ]; then
        command -v setpriv >/dev/null || skip "root, and no setpriv"
        as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
        mkdir -m 755 /tmp/tsmkit-damage-$$
        cp -r data "$BUILD"/tsm-{query,ingest,inspect} /tmp/tsmkit-damage-$$
        chown -R 65534:65534 /tmp/tsmkit-damage-$$
        cd /tmp/tsmkit-damage-$$ || exit 1
        PATH=$PWD:$PATH
    fi
    "${as[@]}" tsm-query -d data -b db "SELECT * FROM m"
    check_unreadable
}

# In the directory of the test above.
check_unreadable() {
    local path
    for path in "$file" "$shard/000000001-000000001.tombstone" data/meta/meta.db "$shard"; do
        mode=$(stat -c %a "$path")
        chmod 0 "$path"
        run --separate-stderr "${as[@]}" tsm-query --skip-corrupt -d data -b db "SELECT * FROM m"
        echo "$path: $status: $stderr"
        [ "$status" -eq 1 ]
        [[ $stderr == *"$path: Permission denied"* ]]
        run --separate-stderr "${as[@]}" tsm-inspect verify data
        echo "$path: $status: $output$stderr"
        [ "$status" -eq 1 ]
        [[ $output$stderr == *"$path: Permission denied"* ]]
        run --separate-stderr "${as[@]}" tsm-ingest -d data -b db <<<"m,host=h0 f=1 1500000000000000000"
        echo "$path: $status: $stderr"
        [ "$status" -eq 1 ]
        [[ $stderr == *"$path: Permission denied"* ]]
        chmod "$mode" "$path"
    done
    "${as[@]}" tsm-inspect verify data
}

@test "a file that is cut short while it is read: its name, the place, exit 5" {
    python3 - <<'EOF' | tsm-ingest -d data -b db
import random
random.seed(1)
for h in range(20):
    for i in range(1500):
        print('m,host=h%d f=%r,s="%s" %d' % (h, random.random(), random.randbytes(20).hex(), i))
EOF
    mkfifo pipe
    tsm-query -d data -b db -j 1 -f csv "SELECT * FROM m GROUP BY *" >pipe 2>stderr 3>&- &
    pid=$!
    exec 4<pipe
    head -c 1 <&4 >/dev/null # it has opened the file, and waits for us
    truncate -s 4096 "$shard/000000001-000000001.tsm"
    cat <&4 >/dev/null
    exec 4<&-
    status=0
    wait "$pid" || status=$?
    cat stderr
    [ "$status" -eq 5 ]
    grep -q "$shard/000000001-000000001.tsm: offset [0-9]*: the file was cut short while it was read" stderr
}
