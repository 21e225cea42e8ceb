#!/bin/sh
# build.sh OUTPUT INCLUDE...: the test module for the Python with those headers.
set -e
here=$(dirname "$(realpath "$0")")
source=$here/../../../bindings/python/src
output=$1
shift
flags=
for folder in "$@"; do flags="$flags -isystem $folder"; done
# shellcheck disable=SC2086
exec "${CC:-cc}" -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -fPIC -shared -pthread \
    -fvisibility=hidden -I"$here/../../../core/include" -I"$source" $flags \
    "$here/walktest.c" "$source/walk.c" "$source/awaiters.c" "$source/awaiters_310.c" \
    "$source/awaiters_314.c" "$source/tasks.c" "$source/layout.c" "$source/graves.c" \
    "$source/names.c" "$source/linetable.c" "$source/qualnames_310.c" \
    "$source/walk_context.c" "$source/labels.c" "$source/spans.c" "$source/span_hooks.c" \
    "$source/share.c" -o "$output"
