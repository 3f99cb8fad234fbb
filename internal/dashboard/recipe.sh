#!/usr/bin/env bash
# Fetches the charting library as its authors have published it on npm, checks it against the digest that npm records for
# that version, and puts the files that the page needs into page/vendor/uplot. Nothing is built: they are the published
# files, byte for byte. To move to another version, change both lines, run this, and renew the digests in vendor_test.go.
set -euo pipefail
version=1.6.32
integrity=sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==

cd "$(dirname "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack "uplot@$version" --pack-destination "$work" --loglevel=error >/dev/null
archive=$work/uplot-$version.tgz
got=sha512-$(openssl dgst -sha512 -binary "$archive" | base64 -w0)
[ "$got" = "$integrity" ] || { echo "uplot $version is $got, not $integrity" >&2; exit 1; }
tar -xzf "$archive" -C "$work"
mkdir -p page/vendor/uplot
cp "$work/package/dist/uPlot.iife.min.js" "$work/package/dist/uPlot.min.css" "$work/package/LICENSE" page/vendor/uplot/
