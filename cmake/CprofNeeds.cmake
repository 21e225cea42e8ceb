# What cprof is built from, looked for at once: what is missing is one line with the names of
# Debian's packages, before CMake stops at the first of them. The searches that use it say what
# each is for.

set(missing "")

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(CPROF_NEEDS_CURL QUIET libcurl>=7.68)
  if(NOT CPROF_NEEDS_CURL_FOUND)
    list(APPEND missing libcurl4-openssl-dev)
  endif()
else()
  list(APPEND missing pkg-config)
endif()

find_program(PROTOC_C protoc-c)
if(NOT PROTOC_C)
  list(APPEND missing protobuf-c-compiler)
endif()

find_path(PROTOBUF_C_INCLUDE protobuf-c/protobuf-c.h)
find_library(PROTOBUF_C_LIBRARY NAMES libprotobuf-c.a protobuf-c)
if(NOT PROTOBUF_C_INCLUDE OR NOT PROTOBUF_C_LIBRARY)
  list(APPEND missing libprotobuf-c-dev)
endif()

find_library(IBERTY_LIBRARY NAMES libiberty.a)
if(NOT IBERTY_LIBRARY)
  list(APPEND missing libiberty-dev)
endif()

find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
  list(APPEND missing zlib1g-dev)
endif()

if(missing)
  list(JOIN missing " " missing)
  message(NOTICE "cprof: the build lacks what Debian has as: apt install ${missing}")
  message(FATAL_ERROR "The line above says what to install.")
endif()
