#!/bin/sh
# Runs a command inside a root, with /proc, /dev and some folders of this machine, each at its own
# place, which are gone from there when the command ends.
#
#   tests/musl/enter.sh ROOT FOLDER:… COMMAND…
set -eu
[ -n "${CPROF_MUSL_ENTERED:-}" ] || exec env CPROF_MUSL_ENTERED=1 unshare --mount --propagation private "$0" "$@"
unset CPROF_MUSL_ENTERED
root=$1 folders=$2 here=$PWD
shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for folder in $(echo "$folders" | tr : ' '); do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
    case $here in "$folder" | "$folder"/*) inside=$here ;; esac
done
# shellcheck disable=SC2016 # of the shell inside
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "${inside:-/}" "$@"
