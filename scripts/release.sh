#!/usr/bin/env bash
# What a release consists of: release.sh VERSION DIRECTORY writes, for each architecture, the static program, an archive
# of it with the manual, completions and what deploy/ holds, a package for Debian and Ubuntu, the list of its parts
# (CycloneDX), and the checksums of all.
#
# The same source, version and Go give the same bytes.
#   ARCHS="amd64 arm64"   architectures of linux
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=$1
mkdir -p "$2"
directory=$(realpath "$2")
GO=${GO:-go}
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH GO

# The manual and the completions are made by a program that runs here.
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
CGO_ENABLED=0 $GO build -trimpath -ldflags "-s -w -X main.version=$version" -o "$tools/tandem" ./cmd/tandem
$GO build -o "$tools/parts" ./scripts/parts

for arch in ${ARCHS:-amd64 arm64}; do
  name=tandem_${version#v}_linux_$arch
  stage=$tools/$name
  mkdir -p "$stage/man" "$stage/completions"
  GOOS=linux GOARCH=$arch CGO_ENABLED=0 $GO build -trimpath -ldflags "-s -w -X main.version=$version" -o "$stage/tandem" ./cmd/tandem
  "$tools/parts" "$stage/tandem" "$version" >"$directory/$name.cdx.json"

  "$tools/tandem" man "$stage/man"
  for shell in bash zsh fish; do "$tools/tandem" completion $shell >"$stage/completions/tandem.$shell"; done
  cp -r README.md CHANGELOG.md LICENSE docs deploy "$stage/"
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$tools" -cf - "$name" |
    gzip -9n >"$directory/$name.tar.gz"

  ARCH=$arch WRITER=$tools/tandem ./scripts/package.sh "$stage/tandem" "$version" "$directory" >/dev/null
done
cd "$directory"
sha256sum tandem_* >SHA256SUMS
ls -l
