#!/usr/bin/env bash
# Makes ready what tests that are written for Node.js need: Node.js 18 or later with npm, from the system's own packages
# where they are missing (Debian and Ubuntu; elsewhere it says what to install), and the libraries of the package-lock.json
# in DIRECTORY, which go to node_modules beside it. Quick when all is there.
#
#   install-node.sh DIRECTORY
set -euo pipefail
cd "$1"
oldest=18

have() {
  command -v node >/dev/null && command -v npm >/dev/null || return 1
  local version
  version=$(node --version) && version=${version#v}
  [ "${version%%.*}" -ge "$oldest" ]
}

if ! have; then
  if ! command -v apt-get >/dev/null; then
    echo "Node.js $oldest or later and npm are missing, and this system has no apt-get to install them with: install them and run this again" >&2
    exit 1
  fi
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Node.js $oldest and npm are missing; run as root: apt-get install nodejs npm" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "installing nodejs and npm" >&2
  install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends nodejs npm)
  "${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -q >/dev/null && "${install[@]}" >/dev/null; }
  have || { echo "the system's packages have no Node.js of version $oldest or later ($(node --version 2>&1))" >&2; exit 1; }
fi

# What was installed from the same lock file is left as it is.
stamp=node_modules/.package-lock.of-tests
if ! cmp -s package-lock.json "$stamp"; then
  npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2
  cp package-lock.json "$stamp"
fi
