#!/bin/sh
# check_handler_symbols.sh ALLOW-LIST OBJECT...
# Proves that handler code calls nothing but itself and the allow-list: every symbol that an
# object leaves undefined must be defined by another of the objects or be on the list.
set -eu
allow=$1
shift
[ $# -gt 0 ] || { echo "no objects given"; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$allow" > "$work/known"
for object in "$@"; do
    [ -s "$object" ] || { echo "no such object: $object"; exit 2; }
    nm --defined-only -g "$object" | awk 'NF >= 3 { print $3 }' >> "$work/known"
done
sort -u "$work/known" -o "$work/known"
status=0
for object in "$@"; do
    nm -u "$object" | awk '{ print $2 }' | sort -u > "$work/used"
    comm -23 "$work/used" "$work/known" > "$work/bad"
    while read -r symbol; do
        echo "$(basename "$object") calls $symbol, which is not allowed in a signal handler"
        status=1
    done < "$work/bad"
done
exit $status
