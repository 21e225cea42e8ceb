# shellcheck shell=sh disable=SC2034 # what it sets is for whoever sources it
# Shared by the commands in this folder; sourced, not run. Works with any POSIX shell.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        die "needs root or sudo to install: $*"
    fi
}

# need_packages NAME…: installs those of Debian's packages that are missing.
need_packages() {
    missing=
    for package in "$@"; do
        case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -z "$missing" ] && return 0
    command -v apt-get >/dev/null 2>&1 || die "please install:$missing"
    say "installing$missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null ||
        say "the package lists could not be renewed; trying with those at hand"
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        die "could not install:$missing"
}

# drop_foreign_cache: CMake refuses build folders that came along with a copy of the clone.
# In a shell of its own, which keeps its variables from the caller's.
drop_foreign_cache() (
    for found in "$root"/build*/CMakeCache.txt; do
        [ ! -e "$found" ] || grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$found" ||
            rm -rf "$(dirname "$found")"
    done
)

# need_node: Node and npm, from Debian unless they came from elsewhere.
need_node() {
    { command -v node && command -v npm; } >/dev/null 2>&1 || need_packages nodejs npm libnode-dev
}

# What cprof is built from, and what a Python package is built with.
build_packages="build-essential cmake ninja-build pkg-config
    libprotobuf-c-dev protobuf-c-compiler libcurl4-openssl-dev zlib1g-dev libzstd-dev libiberty-dev
    libelf-dev libdw-dev libunwind-dev"
python_packages="python3-dev python3-venv python3-pip python3-setuptools python3-wheel"
ruby_packages="ruby ruby-dev ruby-rack ruby-minitest puma"
