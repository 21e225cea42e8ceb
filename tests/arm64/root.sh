#!/bin/sh
# Makes a folder with Debian's arm64: interpreters, and what cprof is built with. Its packages are
# unpacked and not configured, so nothing of it runs meanwhile.
#
#   tests/arm64/root.sh FOLDER
#
# Needs root for debootstrap. What exists and is whole is left as it is.
set -eu
folder=$1
packages=python3,ruby,nodejs,libpython3-dev,ruby-dev,libnode-dev,libc6-dev,libstdc++-12-dev,libcurl4-openssl-dev,libprotobuf-c-dev,zlib1g-dev,libzstd-dev,libiberty-dev,libunwind-dev,libelf-dev,libdw-dev,libcmocka-dev

[ "$(cat "$folder/complete" 2>/dev/null)" != "$packages" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder"
debootstrap --foreign --arch=arm64 --variant=minbase "--include=$packages" bookworm "$folder" >"$folder.log" 2>&1 || {
    grep -m1 '^E:' "$folder.log" >&2 || tail -n 1 "$folder.log" >&2
    exit 1
}
for package in "$folder"/var/cache/apt/archives/*.deb; do
    dpkg-deb -x "$package" "$folder"
    rm "$package"
done
printf '%s\n' "$packages" >"$folder/complete"
