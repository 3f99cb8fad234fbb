#!/usr/bin/env bash
# Makes ready the browser that the dashboard is tested with: chromium from the system's own packages, where it is missing
# (Debian; elsewhere it says what to install), with a font to draw with. Quick when it is there. CHROMIUM names another one.
set -euo pipefail
program=${CHROMIUM:-/usr/bin/chromium}
[ -x "$program" ] && exit 0
if ! command -v apt-get >/dev/null; then
  echo "$program is missing, and this system has no apt-get to install it with: install chromium and set CHROMIUM to where it is" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "chromium is missing; run as root: apt-get install chromium fonts-dejavu-core" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing chromium" >&2
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core)
"${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update -q >/dev/null && "${install[@]}" >/dev/null; }
[ -x "$program" ] || { echo "the system's packages have put no browser at $program" >&2; exit 1; }
