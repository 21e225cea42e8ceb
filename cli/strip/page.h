/* The page's sources as bytes, made by core/format/html/embed.cmake: what stands before the
 * data and what stands after it. */
#ifndef CPROF_CLI_STRIP_PAGE_H
#define CPROF_CLI_STRIP_PAGE_H

#include <stddef.h>

extern const unsigned char strip_page_head[];
extern const size_t strip_page_head_size;
extern const unsigned char strip_page_tail[];
extern const size_t strip_page_tail_size;

#endif
