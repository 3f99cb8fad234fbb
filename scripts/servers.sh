#!/usr/bin/env bash
# Fetches the server versions that the tests run against, without touching the system:
#
#   scripts/servers.sh [NAME...]     fetch all of them, or those named; quick for what is already there
#   scripts/servers.sh --list        the names, and which are there
#   scripts/servers.sh --clean       remove them all
#
# Each is unpacked from the Debian suite that carries it, with the libraries it needs, into .servers/NAME of
# the repository's root; .servers/bin/NAME starts it with its own loader and libraries, so it runs on any
# Linux that has apt. Exit status: 0 all there, 1 some could not be had (they are named; the others are
# there), 2 usage.
set -euo pipefail

# name          suite     package         program
servers=(
  'redis-6.0    bullseye  redis-server    redis-server'
  'redis-8.0    trixie    redis-server    redis-server'
  'valkey-8.1   trixie    valkey-server   valkey-server'
  'valkey-9.1   sid       valkey-server   valkey-server'
)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
base=$root/.servers

say() { printf 'servers: %s\n' "$*" >&2; }

# works NAME: it is there and really starts as that version.
works() {
  local version
  [ -x "$base/bin/$1" ] || return 1
  version=$("$base/bin/$1" --version 2>/dev/null) || return 1
  case ${version,,} in
    "${1%%-*} server v=${1#*-}."*) ;;
    *) return 1 ;;
  esac
}

# mirrors: where Debian suites are fetched from: the one this system uses, then the public ones. Suites past
# their support move to the archive.
mirrors() {
  apt-get indextargets --format '$(SITE)|$(ORIGIN)' 2>/dev/null |
    awk -F'|' '$2 == "Debian" && $1 !~ /security/ { print $1 }' | sort -u
  printf '%s\n' http://deb.debian.org/debian http://archive.debian.org/debian
}

# download WORK MIRROR SUITE PACKAGE: the package and all that it depends on, as .deb files in WORK/archives.
# apt is given directories of its own, so neither its lists nor the installed packages matter. On systems that
# lack Debian's keys the suite is fetched unsigned: it is only ever run by the tests.
download() {
  local work=$1 mirror=$2 suite=$3 package=$4 trust='' opts
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || trust='[trusted=yes]'
  mkdir -p "$work"/{etc,lists/partial,archives/partial,state}
  : >"$work/status"
  printf 'deb %s %s %s main\n' "$trust" "$mirror" "$suite" >"$work/etc/sources.list"
  opts=(
    -o "Dir::Etc::SourceList=$work/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State=$work/state" -o "Dir::State::lists=$work/lists" -o "Dir::State::status=$work/status"
    -o "Dir::Cache=$work" -o "Dir::Cache::archives=$work/archives"
    -o Acquire::Check-Valid-Until=false -o Acquire::Retries=2 -o Acquire::http::Timeout=20
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Debug::NoLocking=1
  )
  apt-get "${opts[@]}" update >"$work/log" 2>&1 &&
    apt-get "${opts[@]}" -y --download-only install "$package" >>"$work/log" 2>&1
}

# unpack WORK PROGRAM HOME: the program, its loader and its libraries into HOME.
unpack() {
  local work=$1 program=$2 home=$3 deb found loader libs
  mkdir -p "$work/x" "$home/bin"
  for deb in "$work"/archives/*.deb; do dpkg -x "$deb" "$work/x"; done
  # Debian ships the server as a link to its own checker: one program, which looks at its name.
  found=$(find "$work/x/usr/bin" -name "$program" | head -1)
  [ -e "$found" ] || found=$(find "$work/x/usr/bin" -name "${program%-server}-check-rdb" | head -1)
  [ -e "$found" ] || { say "no $program in its package"; return 1; }
  cp -L "$found" "$home/bin/$program"
  loader=$(find "$work/x" -name 'ld-linux*.so.*' ! -type d | head -1)
  [ -n "$loader" ] || { say "no loader among the libraries of $program"; return 1; }
  mkdir -p "$home/lib"
  libs=$(find "$work/x" -path '*/lib/*' -name '*.so*' ! -type d ! -path '*/gconv/*' ! -path '*/security/*')
  while read -r lib; do [ -e "$lib" ] && cp -L "$lib" "$home/lib/"; done <<<"$libs"
  cp -L "$loader" "$home/lib/loader"
}

# fetch NAME SUITE PACKAGE PROGRAM: all or nothing; a half fetched version is never left in place.
fetch() {
  local name=$1 suite=$2 package=$3 program=$4 work mirror
  work=$(mktemp -d "$base/fetch-XXXXXX")
  say "$name: fetching $package of Debian $suite"
  while read -r mirror; do
    rm -rf "$work/archives"
    download "$work" "$mirror" "$suite" "$package" && break
    say "$name: not from $mirror: $(grep -m1 '^E:' "$work/log" || tail -1 "$work/log")"
  done < <(mirrors)
  if ls "$work"/archives/*.deb >/dev/null 2>&1 && unpack "$work" "$program" "$work/home"; then
    rm -rf "${base:?}/$name"
    mv "$work/home" "$base/$name"
    mkdir -p "$base/bin"
    cat >"$base/bin/$name.new" <<WRAPPER
#!/bin/sh
home=\$(dirname "\$(readlink -f "\$0")")/../$name
exec "\$home/lib/loader" --library-path "\$home/lib" "\$home/bin/$program" "\$@"
WRAPPER
    chmod +x "$base/bin/$name.new"
    mv "$base/bin/$name.new" "$base/bin/$name"
  fi
  rm -rf "$work"
  works "$name"
}

wanted=()
case ${1:-} in
  --list)
    for s in "${servers[@]}"; do
      read -r name suite package _ <<<"$s"
      printf '%-12s %-10s %s\n' "$name" "$(works "$name" && echo there || echo missing)" "$package of Debian $suite"
    done
    exit 0 ;;
  --clean) rm -rf "$base"; exit 0 ;;
  -*) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  *) wanted=("$@") ;;
esac

known=()
for s in "${servers[@]}"; do known+=("${s%% *}"); done
for name in ${wanted[@]+"${wanted[@]}"}; do
  [[ " ${known[*]} " == *" $name "* ]] || { say "$name: not known; the names are ${known[*]}"; exit 2; }
done

missing=()
for s in "${servers[@]}"; do
  read -r name suite package program <<<"$s"
  [ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $name "* ]] || continue
  works "$name" && continue
  if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    say "$name: this system has no apt; run the tests on Debian or Ubuntu, or in a container of one"
    missing+=("$name")
    continue
  fi
  mkdir -p "$base"
  fetch "$name" "$suite" "$package" "$program" || missing+=("$name")
done
if [ ${#missing[@]} -ne 0 ]; then
  say "NOT TO BE HAD: ${missing[*]}"
  exit 1
fi
