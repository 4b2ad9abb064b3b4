#!/usr/bin/env bats
# tests/tools/signals.bats: what kills a tool, and what closes its output: kill -9 at any moment, SIGINT, a reader that
# goes away, an output that is closed or full.
# shellcheck disable=SC2154 # stderr is set by run
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    export BUILD=${BUILD:-$root/build}
    PATH=$BUILD:$PATH
    unset TSM_DATA TSM_DB
    cd "$BATS_TEST_TMPDIR" || exit 1
}

# Answers of some megabytes, which fit into no pipe.
large_data() {
    awk 'BEGIN {for (i = 0; i < 60000; i++) printf "m,host=h%d f=%d.5,s=\"some text %d\" %d\n", i % 500, i, i, 1500000000 + i}' |
        tsm-ingest -d data -b db --precision s
    large=("tsm-query -d data -b db -f "{csv,tsv,json,jsonl,line,table}" 'SELECT * FROM m'"
        "tsm-query -d data -b db -f csv 'SELECT count(f) FROM m WHERE time >= 1500000000s AND time < 1500060000s GROUP BY time(1s)'"
        "tsm-inspect export -b db data" "tsm-inspect dump --blocks -f jsonl data/data/db/autogen/1/000000001-000000001.tsm")
}

@test "kill -9 at random moments: what was acknowledged is there, the rest is whole or not there" {
    python3 "$root/tests/tools/kill.py"
}

@test "a reader that goes away ends every command with large output quietly, by SIGPIPE" {
    large_data
    local command
    set +o pipefail
    for command in "${large[@]}"; do
        (eval "$command" 2>err || echo $? >status) | head -c 10 >/dev/null
        echo "$command: $(cat status err)"
        [ "$(cat status)" -eq 141 ]
        [ ! -s err ]
    done
}

@test "an output that is closed, full or not for writing is a failure with its cause, for small output and large" {
    large_data
    local command cause
    for command in "${large[@]}" "tsm-query -d data 'SHOW DATABASES'" "tsm-inspect report data"; do
        for to in '>&-:Bad file descriptor' '>/dev/full:No space left on device' '1</dev/null:Bad file descriptor'; do
            cause=${to#*:}
            run --separate-stderr bash -c "$command ${to%%:*}"
            echo "$command ${to%%:*}: $status $stderr"
            [ "$status" -eq 1 ]
            [[ $stderr == *"standard output: $cause" ]]
            [ "${#stderr_lines[@]}" -eq 1 ]
        done
    done
    echo 'm f=1 1' >a # which writes nothing there
    for to in '>&-' '>/dev/full' '1</dev/null'; do
        bash -c "tsm-ingest -d data -b db a $to"
    done
    # Nor does it need the others.
    bash -c 'tsm-ingest -d data -b db a <&- 2>&-'
    bash -c 'tsm-ingest -v -d data -b db a 2>/dev/full'
    run bash -c 'tsm-ingest -d data -b db <&-'
    [ "$status" -eq 1 ]
    [[ $output == *"stdin: "* ]]
}

@test "SIGINT ends every command that waits for its reader, and the output has no hole" {
    large_data
    printf '%s\n' "${large[@]}" >commands
    python3 - <<'EOF'
import os, shlex, signal, subprocess, time
for command in open("commands").read().splitlines():
    args = shlex.split(command)
    whole = subprocess.run(args, stdout=subprocess.PIPE, check=True).stdout
    process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    part = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT, (command, process.returncode)
    assert error == b"", (command, error)
    part += rest
    assert len(part) < len(whole) and whole.startswith(part), (command, len(part), len(whole))
EOF
}
