#!/usr/bin/env bash
# tests/lint.sh: form, static analysis, and the rules of the house that a compiler does not know. Prints TAP;
# runs every check, whatever the ones before it found.
set -u
cd "$(dirname "$0")/.." || exit 1
number=0 failed=0
mapfile -t c_files < <(git ls-files '*.c' '*.h')
mapfile -t shell_files < <(git ls-files '*.sh' '*.bats' .ci/run completions)
mapfile -t man_pages < <(git ls-files 'docs/man/*')

# check NAME COMMAND…: the command passes when it exits 0; what it prints is shown when it does not.
check() {
    local name=$1 out
    shift
    number=$((number + 1))
    if out=$("$@" 2>&1); then
        echo "ok $number - $name"
    else
        failed=$((failed + 1))
        echo "not ok $number - $name"
        head -60 <<<"$out" | sed 's/^/#   /'
    fi
}

# Fails when stdin has a line, and prints it.
none() {
    local found
    found=$(cat)
    [ -z "$found" ] || { echo "$found" && return 1; }
}

form() {
    clang-format --dry-run -Werror "${c_files[@]}"
}

analysis() {
    cppcheck --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j 2 -Ilib -D_GNU_SOURCE \
        -DTSM_VERSION_TEXT='""' --enable=warning,performance,portability --library=posix,gnu \
        --suppressions-list=tests/cppcheck.txt lib cmd tests/bench
}

scripts() {
    shellcheck -x -e SC1091 "${shell_files[@]}"
}

# Includes run one way: base < sys, codec < format < store < query < result < net < cluster; cli above; cmd on top.
layers() {
    git grep -nE '^#include "[a-z]+/[a-z0-9_]+\.h"' -- 'lib/*.c' 'lib/*.h' | awk -F'[:"]' '
        BEGIN {
            n = split("base sys format store query result net cluster cli", order, " ")
            for (i = 1; i <= n; i++) rank[order[i]] = i
            rank["codec"] = rank["sys"]
        }
        {
            split($1, path, "/"); split($4, target, "/")
            from = path[2]; to = target[1]
            if (!(from in rank) || !(to in rank)) print $1 ":" $2 ": an unknown layer: " to
            else if (rank[to] > rank[from] || (rank[to] == rank[from] && to != from)) print $1 ":" $2 ": " from " includes " to
        }' | none
}

banned_last() {
    local file last
    for file in $(git ls-files 'lib/*.c' 'cmd/*.c'); do
        last=$(grep '^#include' "$file" | tail -n 1)
        [ "$last" = '#include "base/banned.h"' ] || echo "$file: base/banned.h is not the last include"
    done | none
}

opening_comment() {
    local file
    for file in "${c_files[@]}"; do
        [ "$(head -c 2 "$file")" = '/*' ] || echo "$file: does not say at its top what it holds"
    done | none
}

short_files() {
    wc -l "${c_files[@]}" | awk '$2 != "total" && $1 > 850 {print $2 ": " $1 " lines"}' | none
}

# Objects of the build in .data or .bss are variables; constant tables of pointers are in .data.rel.ro.
no_globals() {
    local object
    [ -d "${BUILD:=build}/lib" ] || { echo "nothing is built in $BUILD" && return 1; }
    find "$BUILD/lib" -name '*.o' | while read -r object; do
        objdump -t "$object" | awk -v o="$object" '/ O \.(data|bss)/ && !/ \.data\.rel\.ro/ {print o ": " $NF}'
    done | none
}

manual() {
    local page
    [ ${#man_pages[@]} -gt 0 ] || { echo "no manual pages" && return 1; }
    for page in "${man_pages[@]}"; do
        groff -man -Tutf8 -ww -z "$page" 2>&1
    done | none
}

links() {
    local page target
    for page in $(git ls-files '*.md'); do
        grep -oE '\]\([^)#]+\)' "$page" | sed 's/^](//; s/)$//' | while read -r target; do
            case $target in *://*) continue ;; esac
            [ -e "$(dirname "$page")/$target" ] || echo "$page: no file $target"
        done
    done | none
}

check "clang-format has nothing to change" form
check "cppcheck finds nothing" analysis
check "shellcheck finds nothing" scripts
check "includes run one way through the layers" layers
check "base/banned.h is included last" banned_last
check "every C file opens with what it holds" opening_comment
check "files are short" short_files
check "the library has no global mutable state" no_globals
check "manual pages render without warnings" manual
check "links between documents lead somewhere" links
echo "1..$number"
[ $failed -eq 0 ]
