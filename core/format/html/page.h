/* The page's sources as bytes, made by embed.cmake: what stands before the profile
 * and what stands after it. */
#ifndef CPROF_FORMAT_HTML_PAGE_H
#define CPROF_FORMAT_HTML_PAGE_H

#include <stddef.h>

extern const unsigned char html_page_head[];
extern const size_t html_page_head_size;
extern const unsigned char html_page_tail[];
extern const size_t html_page_tail_size;

#endif
