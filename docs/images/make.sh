#!/usr/bin/env bash
# Makes the pictures in the README with embq itself; needs Chromium.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --locked --release --example terminal_picture
cargo build --locked --release
embq=target/release/embq
digits=(fixtures/digits/embeddings.npy -l fixtures/digits/labels.npy)
CLICOLOR_FORCE=1 "$embq" score "${digits[@]}" --plot --no-timing |
    target/release/examples/terminal_picture "embq score digits.npy -l labels.npy --plot" >docs/images/terminal.svg
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$embq" report "${digits[@]}" -o "$folder/page.html" --quiet
"${CHROMIUM:-chromium}" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
    --user-data-dir="$folder/profile" --window-size=1160,1380 --screenshot="$folder/page.png" "file://$folder/page.html"
cp "$folder/page.png" docs/images/page.png
