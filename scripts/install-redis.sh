#!/usr/bin/env bash
# Installs redis-server, redis-cli and redis-benchmark where one of them is missing: on Debian and Ubuntu from
# their own packages; elsewhere it says how and fails. Nothing is started: a service that the package would
# start is left off.
set -euo pipefail

need() {
  local p
  for p in redis-server redis-cli redis-benchmark; do
    command -v "$p" >/dev/null || return 0
  done
  return 1
}

need || exit 0

if ! command -v apt-get >/dev/null; then
  cat >&2 <<'HOW'
redis-server is missing, and this system has no apt-get to install it with. Install it and run this again:
  Fedora, RHEL     dnf install redis (or valkey with valkey-compat-redis)
  Alpine           apk add redis
  Arch             pacman -S redis
  macOS            brew install redis
HOW
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "redis-server is missing; run as root: apt-get install redis-server redis-tools" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing redis-server and redis-tools" >&2

# A policy of 101 keeps the package from starting a service, which would take port 6379 and memory.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod +x "$policy"
  made=1
fi
cleanup() { [ -z "$made" ] || "${as_root[@]}" rm -f "$policy"; }
trap cleanup EXIT

export DEBIAN_FRONTEND=noninteractive
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends redis-server redis-tools)
"${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -q >/dev/null && "${install[@]}" >/dev/null; }

if need; then
  echo "redis-server, redis-cli or redis-benchmark is still missing after the installation" >&2
  exit 1
fi
