#!/usr/bin/env bash
# The demo from end to end: the files that it writes are those of tests/demo_files.txt, the BIDS validator finds no error,
# and a second run computes nothing. Nothing that was fetched or set up before is taken. Needs thalbids and bids-validator-deno on the PATH.
#   tests/demo_check.sh FOLDER            checks
#   tests/demo_check.sh FOLDER --update   writes the list anew
set -euo pipefail

folder=$1
list="$(dirname "$0")/demo_files.txt"
out="$folder/derivatives/thalbids"
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export THALBIDS_CACHE="$cache" # programs that somebody set up here would add their masks

thalbids demo "$folder" --subjects 1 --nprocs 2
# of the simulated cohort what the group level wrote, not the 42 people
files() {
  (cd "$out" && find . -type f -not -path "./logs/*" | LC_ALL=C sort)
  (cd "$folder" && find cohort -type f -path "*/thalbids/group*" | LC_ALL=C sort)
}
sums() { (cd "$out" && find . -type f -not -path "./logs/*" -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); }
if [ "${2:-}" = --update ]; then
  files >"$list"
else
  diff -u "$list" <(files)
fi
bids-validator-deno "$out" --format json -o "$folder/validator.json"
before=$(sums)
thalbids "$folder/raw" "$out" participant --nprocs 2 2>&1 | tee "$folder/again.txt"
after=$(sums)
[ "$before" = "$after" ]
grep -q ' cached' "$folder/again.txt"
if tail -n 1 "$folder/again.txt" | grep -Eq '(^|[^0-9])[1-9][0-9]* ok'; then
  echo "the second run computed something" >&2
  exit 1
fi
