#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for FUZZTIME each (default 30s). Go fuzzes one
# target at a time, hence the loop. What a target finds is kept by Go under its package's testdata/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go=${GO:-go} time=${FUZZTIME:-30s}

found=0
while IFS=: read -r file _ line; do
  target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$line")
  echo "== $target in $(dirname "$file"), $time"
  "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$(dirname "$file")"
  found=$((found + 1))
done < <(grep -rnE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . | sort)
[ "$found" -gt 0 ] || { echo "no fuzz target found" >&2; exit 1; }
