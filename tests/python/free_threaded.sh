#!/bin/sh
# free_threaded.sh FOLDER: CPython without a GIL, which no Debian release packages yet, built into
# FOLDER from Debian's source package of 3.13 (two to four minutes, once). Prints the path of its
# python; fails with one line where that source can't be had.
set -e
folder=$1
python=$folder/bin/python3.13t
if [ ! -x "$python" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    # Debian's own server, or the mirror that this machine has in its place.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
        'Label: Debian' | head -n 1)
    cat >"$work/source.sources" <<END
Types: deb-src
URIs: ${mirror:-none}
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
    cd "$work"
    apt() {
        apt-get -qq -o Dir::Etc::sourcelist="$work/source.sources" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" \
            -o APT::Sandbox::User=root "$@" >"$work/log" 2>&1
    }
    apt update && apt source --download-only python3.13 ||
        { echo "the source of python3.13 can't be had: $(tail -n 1 "$work/log")" >&2; exit 1; }
    tar xf python3.13_*.orig.tar.xz
    cd Python-3.13*
    { ./configure -q --prefix="$folder" --disable-gil --disable-test-modules --with-ensurepip=no \
        OPT="-O1 -DNDEBUG" && make -s -j"$(nproc)" && make -s install; } >"$work/log" 2>&1 ||
        { echo "python3.13 without a GIL did not build: $(tail -n 1 "$work/log")" >&2; exit 1; }
fi
echo "$python"
