/*
 * The source beside the frames of a page: the lines that a profile's frames name and some
 * around them, of the files that its maker has at hand.
 *
 * The names of files come from a profile that anybody may have written, and a page is made to
 * be passed on: only files are asked for whose ending says that they are source, and of them
 * only what is near a frame. At most HTML_SOURCE_MOST bytes of text; where that is spent, later
 * files are left out.
 */
#ifndef CPROF_FORMAT_HTML_SOURCE_H
#define CPROF_FORMAT_HTML_SOURCE_H

#include "format/frames.h"
#include "format/html.h"

#define HTML_SOURCE_MOST (4U << 20)

/* Appends `[[file, first line, "text", …], …]`: runs of lines, files by their string. 0 or
 * -ENOMEM. */
int html_write_source(const struct frame_table *table, const struct html_sources *sources,
                      struct buffer *json);

#endif
