#!/bin/sh
# Runs a command under the right Node, with its npm and the tools of this repository in the PATH:
#   hack/node.sh node operator/main.ts
# The machine's own Node where it is new enough (24.6, for the Kafka client), else the one `make setup` got.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

new_enough() {
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  [ "$major" -gt 24 ] || { [ "$major" -eq 24 ] && [ "$minor" -ge 6 ]; }
}

own=
for candidate in "$root"/hack/node/node_modules/node-*/bin; do
  if [ -x "$candidate/node" ]; then own=$candidate; fi
done

if ! new_enough node; then
  if [ -z "$own" ] || ! new_enough "$own/node"; then
    echo "Node 24.6 or newer is needed and was not found. Run: make setup" >&2
    exit 1
  fi
  PATH=$own:$root/hack/node/node_modules/.bin:$PATH
fi
PATH=$root/node_modules/.bin:$PATH
export PATH
exec "$@"
