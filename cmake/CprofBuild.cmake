# What every target of cprof is compiled with, and the one function that declares a room of
# the core.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

option(CPROF_WERROR "Warnings are errors" OFF)
set(CPROF_SANITIZE "" CACHE STRING "address, undefined, thread, fuzzer or a comma list of them")

add_library(cprof_flags INTERFACE)
target_compile_definitions(cprof_flags INTERFACE _GNU_SOURCE
                           CPROF_VERSION="${PROJECT_VERSION}")
# Frame pointers cost next to nothing and let other profilers walk us; asynchronous unwind
# tables are what our own walker compiles.
target_compile_options(cprof_flags INTERFACE -Wall -Wextra -Wconversion -Wstrict-prototypes
                       -Wmissing-prototypes -Wvla -fno-omit-frame-pointer
                       -fasynchronous-unwind-tables
                       $<$<BOOL:${CPROF_WERROR}>:-Werror>)
if(CPROF_SANITIZE)
  target_compile_options(cprof_flags INTERFACE -fsanitize=${CPROF_SANITIZE} -g -O1)
  target_link_options(cprof_flags INTERFACE -fsanitize=${CPROF_SANITIZE})
endif()

find_package(Threads REQUIRED)
include(CprofNeeds)

# cprof_room(NAME SOURCES... [LINK libraries...]): one room of the core, as the static
# library cprof_NAME. A room may include any header below core/, by its path from there
# ("unwind/walk.h"), and links what it calls.
function(cprof_room name)
  cmake_parse_arguments(ROOM "" "" "LINK" ${ARGN})
  add_library(cprof_${name} STATIC ${ROOM_UNPARSED_ARGUMENTS})
  target_include_directories(cprof_${name} PUBLIC ${PROJECT_SOURCE_DIR}/core
                             ${PROJECT_SOURCE_DIR}/core/include)
  target_link_libraries(cprof_${name} PUBLIC ${ROOM_LINK} PRIVATE cprof_flags)
endfunction()

# cprof_exports(TARGET SYMBOL...): what a module shows to the process that loads it. All else
# stays its own, also what comes from archives that others have made. What a handler calls is
# bound when the module is loaded.
function(cprof_exports target)
  set(script ${CMAKE_CURRENT_BINARY_DIR}/${target}.map)
  list(JOIN ARGN "; " symbols)
  file(WRITE ${script} "{ global: ${symbols}; local: *; };\n")
  target_link_options(${target} PRIVATE -Wl,--version-script=${script} -Wl,--gc-sections
                      -Wl,-z,now)
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${script})
endfunction()
