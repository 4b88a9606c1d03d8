#!/usr/bin/env bash
# Captures access.log anew: a real nginx on 127.0.0.1:18080 under a bounded load from wrk. Needs nginx, wrk, python3.
# usage: capture.sh [SECONDS]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
# nginx drops to an unprivileged user when root starts it.
chmod 755 "$dir"
mkdir -p "$dir/www/static" "$dir/www/download" "$dir/www/items" "$dir/www/about"
for page in . items about; do head -c $((RANDOM % 9000 + 600)) /dev/zero | tr '\0' 'h' >"$dir/www/$page/index.html"; done
head -c 14200 /dev/zero >"$dir/www/static/site.css"
head -c 48000 /dev/zero >"$dir/www/static/site.js"
for n in 1 2 3 4 5; do head -c $((n * 37000)) /dev/urandom >"$dir/www/download/photo-$n.jpg"; done
sed "s,@DIR@,$dir,g" "$here/nginx.conf" >"$dir/nginx.conf"
nginx -e "$dir/error.log" -c "$dir/nginx.conf" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" || true; rm -rf "$dir"' EXIT
until [ -s "$dir/nginx.pid" ]; do kill -0 "$server"; done
# The search backend: a listener that answers one time in two, late.
python3 "$here/backend.py" &
backend=$!
trap 'kill "$server" "$backend" 2>/dev/null; wait || true; rm -rf "$dir"' EXIT
wrk -t2 -c72 -d"${1:-40}s" -s "$here/load.lua" http://127.0.0.1:18080/
kill -QUIT "$server"
wait "$server" || true
cp "$dir/access.log" "$here/access.log"
wc "$here/access.log"
