#!/usr/bin/env bash
# A newcomer's way: clones the last commit into a new folder and times `make round` and `make test` there, installs included.
#   bash benchmarks/fresh_clone.sh [FOLDER]      FOLDER must not exist; a temporary one is made, and removed, where none is given
# CPUS=2 binds everything to that many cores.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
if [ -n "${1:-}" ]; then
    folder=$1
else
    temporary=$(mktemp -d)
    trap 'rm -rf "$temporary"' EXIT
    folder=$temporary/superalign
fi
bound=()
[ -z "${CPUS:-}" ] || bound=(taskset --cpu-list "0-$((CPUS - 1))")

git clone --quiet "$source" "$folder"
cd "$folder"
export -n VIRTUAL_ENV
for target in round round test; do # the second round finds everything set up
    started=$SECONDS
    status=0
    "${bound[@]}" make --no-print-directory "$target" >"make-$target.log" 2>&1 || status=$?
    printf '| make %s | %d s | exit code %s | %s |\n' "$target" "$((SECONDS - started))" "$status" "$(tail -n 1 "make-$target.log")"
    [ "$status" = 0 ] || { tail -n 40 "make-$target.log" >&2; exit "$status"; }
done
printf '%s · %s · %s cores\n' "$(date -u +%F)" "$(git describe --always)" "${CPUS:-$(nproc)}"
