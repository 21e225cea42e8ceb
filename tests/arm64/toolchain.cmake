# Builds for Debian's arm64 with Debian's cross compiler, against the root that CPROF_ARM64_ROOT
# names: its headers and libraries, and this machine's programs.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_SYSROOT $ENV{CPROF_ARM64_ROOT})
set(CMAKE_FIND_ROOT_PATH $ENV{CPROF_ARM64_ROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} $ENV{CPROF_ARM64_ROOT})
set(ENV{PKG_CONFIG_LIBDIR}
    $ENV{CPROF_ARM64_ROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:$ENV{CPROF_ARM64_ROOT}/usr/share/pkgconfig)
