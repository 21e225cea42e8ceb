# cmake -DPAGE=page.html -DSTYLE=style.css -DSCRIPTS=a.js,b.js -DOUT=page.c -DNAME=html_page
#       -DHEADER=format/html/page.h -P embed.cmake
#
# Puts the style sheet and the scripts into the page and writes it as two C arrays, NAME_head and
# NAME_tail, which HEADER declares: all up to the place of the profile, and all after it.

cmake_minimum_required(VERSION 3.18)
string(REPLACE "," ";" SCRIPTS "${SCRIPTS}")

# Whole files are pasted as hex: CMake's own strings would trip over semicolons and brackets.
function(read_hex path out)
  file(READ ${path} hex HEX)
  set(${out} ${hex} PARENT_SCOPE)
endfunction()

function(text_to_hex text out)
  string(HEX "${text}" hex)
  set(${out} ${hex} PARENT_SCOPE)
endfunction()

function(write_array name hex out)
  string(LENGTH "${hex}" digits)
  math(EXPR bytes "${digits} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," list "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n    "
         list "${list}")
  set(${out} "const unsigned char ${name}[] = {\n    ${list}\n};\nconst size_t ${name}_size = ${bytes};\n"
      PARENT_SCOPE)
endfunction()

read_hex(${PAGE} page)
read_hex(${STYLE} style)
set(script "")
foreach(path ${SCRIPTS})
  read_hex(${path} one)
  string(APPEND script "${one}0a")
endforeach()

text_to_hex("@STYLE@" mark)
string(REPLACE "${mark}" "${style}" page "${page}")
text_to_hex("@SCRIPT@" mark)
string(REPLACE "${mark}" "${script}" page "${page}")
text_to_hex("@PROFILE@" mark)
string(FIND "${page}" "${mark}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${PAGE} has no place for the profile")
endif()
string(LENGTH "${mark}" length)
math(EXPR after "${at} + ${length}")
string(SUBSTRING "${page}" 0 ${at} head)
string(SUBSTRING "${page}" ${after} -1 tail)
write_array(${NAME}_head "${head}" head)
write_array(${NAME}_tail "${tail}" tail)
file(WRITE ${OUT} "/* Made by embed.cmake from the sources of the page. */\n#include \"${HEADER}\"\n\n${head}\n${tail}")
