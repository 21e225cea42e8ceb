#!/bin/sh
# venv.sh PYTHON FOLDER: a virtual environment for PYTHON with cprof, built from this clone, and
# pytest. What is there already is kept; cprof is built anew.
set -e
here=$(dirname "$(realpath "$0")")
python=$1
folder=$2
if [ ! -x "$folder/bin/python" ]; then
    "$python" -m venv --system-site-packages "$folder"
    for package in setuptools wheel pytest; do
        "$folder/bin/python" -c "import $package" 2>/dev/null ||
            "$folder/bin/python" -m pip install -q "$package"
    done
fi
exec "$folder/bin/python" -m pip install -q --no-build-isolation --no-deps --force-reinstall \
    "$here/../../bindings/python"
