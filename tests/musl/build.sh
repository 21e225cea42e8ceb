#!/bin/sh
# Builds Node's addon for musl with the compiler of this machine (Debian's musl-gcc), in seconds:
# the way of packaging/release, which brings a compiler and every library from their sources,
# takes minutes. The libraries are Debian's static ones; shim.c has what they take of glibc.
# Without libcprof_http.so: libcurl is none of them.
#
#   tests/musl/build.sh FOLDER HEADERS
#
# FOLDER receives addon/cprof.node; HEADERS is the folder of node_api.h.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
folder=$1 headers=$2
command -v musl-gcc >/dev/null || {
    echo "no addon for musl: Debian's musl-tools are missing" >&2
    exit 1
}
mkdir -p "$folder/addon"
# What musl does not have itself: the kernel's headers, and those of the libraries.
cat >"$folder/cc" <<END
#!/bin/sh
exec musl-gcc -idirafter /usr/include -idirafter /usr/include/$(uname -m)-linux-gnu "\$@"
END
chmod +x "$folder/cc"
"$folder/cc" -O1 -fPIC -c "$here/shim.c" -o "$folder/shim.o"
cmake -G Ninja -S "$here/../../bindings/node" -B "$folder/build" -DCMAKE_C_COMPILER="$folder/cc" \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS="-O1" -DCPROF_BUILD_CLI=OFF \
    -DCMAKE_MODULE_LINKER_FLAGS="$folder/shim.o" -DCPROF_WERROR=ON \
    -DCMAKE_LIBRARY_ARCHITECTURE="$(uname -m)-linux-gnu"  \
    -DZLIB_LIBRARY="$(gcc -print-file-name=libz.a)" -DCPROF_NODE_INCLUDE="$headers" \
    -DCPROF_NODE_OUTPUT="$folder/addon"
cmake --build "$folder/build" --target addon
