#!/usr/bin/env bash
# Runs the benchmark on a fresh machine: installs what it compares where that is missing (Debian and Ubuntu;
# elsewhere it says what to install), then hands all arguments on. `./bench/run.sh -h` lists them.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/install-redis.sh

# Debian installs nutcracker (twemproxy) where only root's PATH leads.
if ! PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v nutcracker >/dev/null; then
  if ! command -v apt-get >/dev/null; then
    echo "bench: install nutcracker (twemproxy), or leave it out: --only direct,passthrough,synced,backfill" >&2
    exit 1
  fi
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends nutcracker)
  "${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -q >/dev/null && "${install[@]}" >/dev/null; }
fi

exec go run ./bench "$@"
