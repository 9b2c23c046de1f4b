#!/usr/bin/env bash
# Runs every fuzz target of the module for a while: ./fuzz.sh [TIME each, default 30s]
set -euo pipefail
cd "$(dirname "$0")"
grep -rlE --include='*_test.go' '^func Fuzz' . | while read -r file; do
	for target in $(grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | cut -c6-); do
		echo "--- $target ($(dirname "$file"))"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" -fuzzminimizetime 10x "$(dirname "$file")"
	done
done
