#!/usr/bin/env bats
# tests/tools/options.bats: every program's help, manual page and completion say what its option table says.
bats_require_minimum_version 1.5.0

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    BUILD=${BUILD:-$root/build}
    programs=()
    for source in "$root"/cmd/*.c; do
        programs+=("$(basename "$source" .c)")
    done
}

# The table of a program: lines of name, letter, argument, choices, separated by tabs; "-" is none.
table() {
    "$BUILD/$1" --help-options
}

# The long options that a manual page names, each once.
manual_options() {
    sed 's/\\-/-/g; s/\\f[BIRP]//g' "$root/docs/man/$1.1" | grep -oE -- '--[a-z][a-z-]+' | sort -u
}

@test "there are programs, each with a table, a manual page and a completion" {
    [ ${#programs[@]} -ge 3 ]
    for p in "${programs[@]}"; do
        echo "$p"
        [ "$(table "$p" | wc -l)" -ge 5 ]
        table "$p" | awk -F'\t' 'NF != 4 {print; bad = 1} END {exit bad}'
        [ -s "$root/docs/man/$p.1" ]
        grep -qw "$p" "$root/completions/tsmkit"
    done
}

@test "--help names every option with its letter, argument and choices" {
    for p in "${programs[@]}"; do
        help=$("$BUILD/$p" --help)
        while IFS=$'\t' read -r name letter argument choices; do
            echo "$p --$name"
            line=$(grep -E -- "--$name( |\$)" <<<"$help" | head -n 1)
            [ -n "$line" ]
            [ "$letter" = - ] || [[ $line == *"-$letter, --$name"* ]]
            [ "$argument" = - ] || [[ $line == *"--$name $argument"* ]]
            [ "$choices" = - ] || grep -qF "$choices" <<<"$help"
        done < <(table "$p")
    done
}

@test "the manual page has every option of the table" {
    for p in "${programs[@]}"; do
        missing=$(comm -23 <(table "$p" | awk -F'\t' '{print "--" $1}' | sort -u) <(manual_options "$p"))
        echo "$p: $missing"
        [ -z "$missing" ]
    done
}

@test "the manual page has no option that no table has" {
    for p in "${programs[@]}"; do
        known=$(for q in "${programs[@]}"; do table "$q"; done | awk -F'\t' '{print "--" $1}' | sort -u)
        invented=$(comm -13 <(echo "$known") <(manual_options "$p"))
        echo "$p: $invented"
        [ -z "$invented" ]
    done
}

@test "the manual page gives every letter beside its name" {
    for p in "${programs[@]}"; do
        page=$(sed 's/\\-/-/g; s/\\f[BIRP]//g; s/"//g' "$root/docs/man/$p.1")
        while IFS=$'\t' read -r name letter _ _; do
            [ "$letter" = - ] && continue
            echo "$p -$letter --$name"
            grep -qE -- "-$letter *,? *(--)?.*--$name" <<<"$page"
        done < <(table "$p")
    done
}

# complete PROGRAM WORD…: what the completion offers for the last word.
complete_words() {
    PATH=$BUILD:$PATH bash -c '
        source "$1/completions/tsmkit"
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _tsmkit "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"' - "$root" "$@"
}

@test "completion offers every option" {
    for p in "${programs[@]}"; do
        missing=$(comm -23 <(table "$p" | awk -F'\t' '{print "--" $1}' | sort) <(complete_words "$p" -- | sort))
        echo "$p: $missing"
        [ -z "$missing" ]
    done
}

@test "completion offers the choices of an option, and only those that fit" {
    run complete_words tsm-query -f ""
    echo "$output"
    for format in table csv tsv json jsonl line; do
        grep -qx "$format" <<<"$output"
    done
    run complete_words tsm-query --format j
    [ "$(sort <<<"$output" | tr '\n' ' ')" = "json jsonl " ]
}

@test "--version and --help go to stdout, exit 0, and fail when stdout does" {
    for p in "${programs[@]}"; do
        echo "$p"
        [[ $("$BUILD/$p" --version 2>/dev/null) == "$p (tsmkit) "* ]]
        [ -n "$("$BUILD/$p" -h 2>/dev/null)" ]
        run "$BUILD/$p" --help
        [ "$status" -eq 0 ]
        run bash -c '"$1" --help >/dev/full' - "$BUILD/$p"
        [ "$status" -eq 1 ]
    done
}

@test "a wrong option exits 2, says so on stderr and nothing on stdout" {
    for p in "${programs[@]}"; do
        echo "$p"
        for wrong in --nosuch -% --nosuch=1; do
            run bash -c '"$1" "$2" 2>/dev/null' - "$BUILD/$p" "$wrong"
            [ "$status" -eq 2 ]
            [ -z "$output" ]
            run bash -c '"$1" "$2" 2>&1 >/dev/null' - "$BUILD/$p" "$wrong"
            [[ $output == "$p: "* ]]
        done
    done
}

@test "an option with a table of choices refuses any other word" {
    for p in "${programs[@]}"; do
        while IFS=$'\t' read -r name _ argument choices; do
            [ "$argument" != - ] && [ "$choices" != - ] || continue
            echo "$p --$name"
            run "$BUILD/$p" "--$name" nosuchword
            [ "$status" -eq 2 ]
            [[ $output == *nosuchword* ]]
        done < <(table "$p")
    done
}

@test "a configuration file with a key that is no text is refused, at the top and in a section" {
    for text in '[a, b]: 1' $'tsm-query:\n  [a, b]: 1' $'tsm-query:\n  {a: b}: 1'; do
        echo "$text" >"$BATS_TEST_TMPDIR/c.yaml"
        run -2 "$BUILD/tsm-query" -c "$BATS_TEST_TMPDIR/c.yaml" 'SHOW DATABASES'
        [[ $output == *"c.yaml:"*"the key is not a scalar"* ]]
    done
}

@test "rejected lines go into a pipe as well, which stays where it is" {
    cd "$BATS_TEST_TMPDIR"
    mkfifo rejects
    timeout 20 cat rejects >saved &
    run -3 "$BUILD/tsm-ingest" -q -d data -b db --rejects rejects - <<<$'m f=1 1\nbad\n'
    wait $!
    [ -p rejects ]
    grep -qx bad saved
}

@test "a number of jobs that no machine has is refused by every program" {
    cd "$BATS_TEST_TMPDIR"
    run -2 "$BUILD/tsm-query" -j 4294967296 'SHOW DATABASES'
    run -2 "$BUILD/tsm-inspect" -j 1025 verify .
    run -2 "$BUILD/tsm-ingest" -j 1025 -b db /dev/null
}
