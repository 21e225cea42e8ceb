#!/bin/sh
# wheels.sh OUTPUT PYTHON...: a wheel for each Python, with the libraries it needs bundled in
# cprof.libs. Needs setuptools and wheel in each Python, auditwheel and patchelf on the path.
set -e
here=$(dirname "$(realpath "$0")")
output=$(realpath -m "$1")
shift
raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
mkdir -p "$output"
for python in "$@"; do
    "$python" -m pip wheel -q --no-build-isolation --no-deps -w "$raw" "$here"
done
for wheel in "$raw"/*.whl; do
    auditwheel repair --lib-sdir .libs -w "$output" "$wheel"
done
