#!/usr/bin/env bash
# A package for Debian and Ubuntu: package.sh BINARY VERSION DIRECTORY writes DIRECTORY/tandem_VERSION_ARCH.deb.
#
# BINARY is a static one for linux of the architecture ARCH (amd64), and runs here: it writes its own manual and
# completions. nfpm is run at a version of its own, and is no dependency of the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
binary=$(realpath "$1") version=$2 directory=$3
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/man"
# A manual and completions are the same for each architecture: the one that runs here makes them.
writer=${WRITER:-$binary}
"$writer" man "$stage/man"
gzip -9n "$stage"/man/*.1
"$writer" completion bash >"$stage/tandem.bash"
"$writer" completion zsh >"$stage/_tandem"
"$writer" completion fish >"$stage/tandem.fish"

mkdir -p "$directory"
# A version of a package begins with a digit and has no hyphen, and one to come sorts before it is there: v1.2.3-rc1 is
# 1.2.3~rc1, and v1.2.3-4-gabcdef, four commits after v1.2.3, is 1.2.3+4.gabcdef.
number=$(sed -E 's/^v//; s/-dirty$/.dirty/; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/-/~/g' <<<"$version")
case $number in [0-9]*) ;; *) number=0~$number ;; esac
export ARCH=${ARCH:-amd64} PACKAGE_VERSION=$number BINARY=$binary STAGE=$stage
# The module's own go.mod is left alone: -mod=mod with a version given does not look at it.
${GO:-go} run "$nfpm" package --config deploy/package/nfpm.yaml --packager deb --target "$directory/" >&2
ls "$directory/tandem_${number}_$ARCH.deb"
