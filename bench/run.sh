#!/usr/bin/env bash
# Runs the benchmark on a fresh machine: installs what it compares where that is missing (Debian and Ubuntu;
# elsewhere it says what to install), then hands all arguments on. `./bench/run.sh -h` lists them.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/install-redis.sh

# Debian installs nutcracker (twemproxy) and haproxy where only root's PATH leads.
missing=()
for program in nutcracker haproxy; do
  PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "bench: install ${missing[*]} (nutcracker is twemproxy), or say with --only what to measure without them" >&2
    exit 1
  fi
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
  "${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -q >/dev/null && "${install[@]}" >/dev/null; }
fi

exec go run ./bench "$@"
