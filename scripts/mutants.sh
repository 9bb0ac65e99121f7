#!/usr/bin/env bash
# Breaks the source on purpose, one law at a time, and expects a red test each time: a check that never fails checks nothing.
#
# Each tests/mutants/*.patch names the law and the tests that should notice. Works on a copy of the tree (uncommitted changes too),
# with the same build folder, so that only our own crates are compiled again; the copy has another version, or cargo would take a
# mutant for the real thing: it names a workspace's crates by version, not by place. First the copy must be green as it is. Ends with
# `8 mutants, 8 killed`, or exit 1. A patch that does not apply any more, or does not compile, is an error: mend the patch.
#
#   scripts/mutants.sh [name…]      only these, without the .patch
#   scripts/mutants.sh --dry-run    only whether each patch still applies

set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
dry=0
if [ "${1:-}" = --dry-run ]; then dry=1; shift; fi
if [ $# -gt 0 ]; then names=("$@"); else mapfile -t names < <(cd "$root/tests/mutants" && ls ./*.patch | sed 's|^\./||; s|\.patch$||'); fi
for name in "${names[@]}"; do
    patch -d "$root" -p1 --fuzz=0 --dry-run --silent <"$root/tests/mutants/$name.patch" || {
        echo "$name: the patch does not apply any more; mend tests/mutants/$name.patch" >&2
        exit 1
    }
done
if [ "$dry" = 1 ]; then
    echo "${#names[@]} mutants apply"
    exit 0
fi

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
# Dependencies stay as they are; our own crates compile much faster.
export CARGO_PROFILE_UP_OPT_LEVEL=0
# Always the same place, or cargo would not know its earlier builds.
tree=${MUTANTS_TREE:-${TMPDIR:-/tmp}/tributary-mutants-$(id -u)}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

mkdir -p "$tree"
exec 9>"$tree.lock"
flock -n 9 || { echo "another run of mutants holds $tree.lock" >&2; exit 1; }

copy_tree() {
    # What has changed is copied, what is gone is removed; times stay, so that nothing unchanged is built again.
    local list
    list=$(mktemp)
    (cd "$root" && git ls-files -co --exclude-standard | while read -r file; do [ -f "$file" ] && echo "$file"; done | sort >"$list")
    (cd "$tree" && find . -type f | sed 's|^\./||' | sort | comm -13 "$list" - | tr '\n' '\0' | xargs -0 -r rm -f)
    while read -r file; do
        case $file in
            Cargo.toml) sed 's/^version = "\(.*\)"$/version = "\1-mutant"/' "$root/$file" >"$out" ;;
            Cargo.lock) sed '/^name = "tributary/{n;s/"$/-mutant"/}' "$root/$file" >"$out" ;;
            *) cp "$root/$file" "$out" ;;
        esac
        if ! cmp -s "$out" "$tree/$file"; then
            mkdir -p "$tree/$(dirname "$file")"
            cp "$out" "$tree/$file"
        fi
    done <"$list"
    rm -f "$list"
}

tests_of() { sed -n 's/^Tests: //p' "$root/tests/mutants/$1.patch"; }

# Runs the tests of one mutant; true when green.
run_tests() {
    # shellcheck disable=SC2046 # words on purpose
    (cd "$tree" && timeout 1200 nice cargo test --quiet --locked --profile up --workspace $(tests_of "$1")) >"$out" 2>&1
}

copy_tree

echo "as it is: all of these tests must be green"
for name in "${names[@]}"; do
    run_tests "$name" || { cat "$out" >&2; echo "the tests of $name are red without it" >&2; exit 1; }
done

killed=0
for name in "${names[@]}"; do
    patch -d "$tree" -p1 --fuzz=0 --silent --no-backup-if-mismatch <"$root/tests/mutants/$name.patch"
    if run_tests "$name"; then
        printf '%-28s SURVIVED: %s\n' "$name" "$(tests_of "$name")"
    elif by=$(grep -oE '^(---- .* stdout ----|test [^ ]+ \.\.\. FAILED)' "$out" | sed -E 's/^(---- |test )//; s/( stdout ----| \.\.\. FAILED)$//' | sort -u | head -3 | paste -sd, | sed 's/,/, /g') && [ -n "$by" ]; then
        printf '%-28s killed by %s\n' "$name" "$by"
        killed=$((killed + 1))
    else
        cat "$out" >&2
        echo "$name: no test failed by itself; does the patch still compile?" >&2
        exit 1
    fi
    copy_tree
done

echo "${#names[@]} mutants, $killed killed"
[ "$killed" -eq "${#names[@]}" ]
