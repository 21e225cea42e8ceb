# Makes a static library of some sources, for what has no build that suits. Run by CMake -P with
# cc, ar, flags, sources (paths), archive and headers (paths), folder (of the headers).
set(objects)
foreach(source IN LISTS sources)
  get_filename_component(object ${source} NAME_WE)
  execute_process(COMMAND ${cc} -Os -fPIC -fvisibility=hidden -fasynchronous-unwind-tables
    -D_GNU_SOURCE ${flags} -c ${source} -o ${object}.o COMMAND_ERROR_IS_FATAL ANY)
  list(APPEND objects ${object}.o)
endforeach()
get_filename_component(libraries ${archive} DIRECTORY)
file(MAKE_DIRECTORY ${libraries} ${folder})
execute_process(COMMAND ${ar} rcs ${archive} ${objects} COMMAND_ERROR_IS_FATAL ANY)
file(COPY ${headers} DESTINATION ${folder})
