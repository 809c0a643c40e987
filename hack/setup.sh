#!/bin/sh
# Gets everything that tests and demo need: Node 24 where the machine's is older, the npm dependencies, Kafka, PostgreSQL.
# May be run at any time and interrupted at any time; when all is there it takes a second.
set -eu
cd -- "$(dirname -- "$0")/.."

# What this machine's administrator trusts, npm should trust too: a proxy may have a certificate of its own.
trusted=/etc/ssl/certs/ca-certificates.crt
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r "$trusted" ]; then export NODE_EXTRA_CA_CERTS="$trusted"; fi

missing=
need() { missing="$missing
  $1
      fix: $2"; }

java_version() {
  java -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p' | sed 's/^1\.//; s/[^0-9].*//'
}

check_prerequisites() {
  node --version >/dev/null 2>&1 || need "node (any version: Node 24 is fetched with its npm)" "apt install nodejs, or https://nodejs.org"
  npm --version >/dev/null 2>&1 || need "npm" "apt install npm (comes with Node from https://nodejs.org)"
  java=$(java_version) || java=
  if [ "${java:-0}" -lt 17 ]; then
    need "java 17 or newer (found: ${java:-none})" "apt install openjdk-17-jdk-headless, and put its bin folder first in the PATH"
  elif ! command -v javac >/dev/null 2>&1; then
    need "javac (a Java runtime is here, but no JDK)" "apt install openjdk-$java-jdk-headless"
  fi
  command -v mvn >/dev/null 2>&1 || need "mvn (Apache Maven)" "apt install maven"
  [ -z "$missing" ] || { printf 'Missing:%s\n' "$missing" >&2; exit 1; }
}

# Runs a command quietly, with a sign of life every five seconds, and shows what it said only when it fails.
step() {
  what=$1
  shift
  log=$(mktemp)
  echo "$what ..." >&2
  ( while sleep 5 >/dev/null 2>&1; do echo "$what ... still at it" >&2; done ) &
  ticker=$!
  trap 'kill $ticker 2>/dev/null; rm -f "$log"' EXIT
  trap 'exit 130' INT TERM
  start=$(date +%s)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "$what: failed" >&2
    exit 1
  fi
  kill $ticker 2>/dev/null
  rm -f "$log"
  trap - EXIT INT TERM
  echo "$what: done in $(($(date +%s) - start)) s" >&2
}

# Installs a folder's lockfile, unless the stamp says that exactly this was installed already.
install_packages() {
  folder=$1
  what=$2
  shift 2
  stamp=$folder/node_modules/.installed
  wanted=$(cat "$folder/package.json" "$folder/package-lock.json" | cksum)
  [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
  rm -f "$stamp"
  step "$what" "$@" ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --prefer-offline
  echo "$wanted" >"$stamp"
}

get_node() {
  hack/node.sh true 2>/dev/null && return 0
  install_packages hack/node "Getting Node 24 from npm (70 MB)" npm
  hack/node.sh true
}

check_prerequisites
get_node
install_packages . "Installing npm dependencies" hack/node.sh npm
hack/node.sh node hack/servers/install.ts
hack/verify/verify --help >/dev/null
echo "Ready, on Node $(hack/node.sh node --version)" >&2
