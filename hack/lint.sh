#!/bin/sh
# Every check of the code that runs nothing; all of them, so that one run shows all there is to do.
set -u
cd -- "$(dirname -- "$0")/.."
failed=

check() {
  what=$1
  shift
  output=$("$@" 2>&1) && { echo "  ok      $what"; return; }
  failed=yes
  echo "  FAILED  $what ($*)"
  printf '%s\n' "$output" | sed 's/^/    /'
}

check "format (fix: make format)" biome check --reporter=summary
check "types" tsc --noEmit -p .
check "code and import direction" oxlint
check "unused files, exports and dependencies" knip --no-progress
[ -z "$failed" ]
