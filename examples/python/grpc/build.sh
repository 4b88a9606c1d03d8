#!/bin/sh
# Makes the two artifacts of the tally, with a Python environment of their own: sh examples/python/grpc/build.sh DIR
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
proto="$here/../../../supervisor/remote/proto/teneral/module/v1"
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
"$dir/venv/bin/python" -c 'import grpc_tools' 2>/dev/null || "$dir/venv/bin/pip" install --quiet grpcio grpcio-tools
for version in 1 2; do
    app="$dir/tally-$version"
    mkdir -p "$app"
    "$dir/venv/bin/python" -m grpc_tools.protoc -I "$proto" --python_out="$app" --grpc_python_out="$app" module.proto
    cp "$here/module.py" "$app/module.py"
    cp "$here/tally_v$version.py" "$app/__main__.py"
    # One file that Python runs, with the interpreter that has grpcio.
    "$dir/venv/bin/python" -m zipapp "$app" -p "$dir/venv/bin/python" -o "$app.pyz"
    "${TENERAL:-teneral}" artifact pack "$app.pyz" --manifest "$here/tally_v$version.json" -o "$app.tnrl"
done
