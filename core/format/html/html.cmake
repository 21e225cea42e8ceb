# The flame graph page as C: sets HTML_SOURCES for the room that includes this file.
set(html_folder ${CMAKE_CURRENT_LIST_DIR})
set(html_scripts units.js diff.js levels.js profile.js grouping.js rules.js shape.js model.js graph.js table.js filters.js timeline.js heat.js frame_menu.js
    export.js view.js beside.js listing.js address.js page.js)
list(TRANSFORM html_scripts PREPEND ${html_folder}/)
list(JOIN html_scripts "," html_script_list)
set(html_page ${CMAKE_CURRENT_BINARY_DIR}/html_page.c)
add_custom_command(
  OUTPUT ${html_page}
  COMMAND ${CMAKE_COMMAND} -DPAGE=${html_folder}/page.html -DSTYLE=${html_folder}/style.css
          -DSCRIPTS=${html_script_list} -DOUT=${html_page} -DNAME=html_page
          -DHEADER=format/html/page.h -P ${html_folder}/embed.cmake
  DEPENDS ${html_folder}/page.html ${html_folder}/style.css ${html_scripts}
          ${html_folder}/embed.cmake
  COMMENT "Embedding the flame graph page" VERBATIM)
set(HTML_SOURCES html.c html_source.c html_read.c frames.c json.c summary.c ${html_page})
