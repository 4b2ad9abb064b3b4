#!/usr/bin/env bash
# tests/fuzz/short.sh: every fuzzer for a few seconds; part of `make test`.
set -u
cd "$(dirname "$0")/../.." || exit 1
names=()
for f in tests/fuzz/fuzz_*.c; do
    names+=("$(basename "$f" .c)")
done
exec bash tests/fuzz/run.sh "${FUZZ_SHORT_SECONDS:-8}" "${names[@]}"
