/*
 * The profile out of a flame graph page of ours, as html.c put it in. A page has no addresses
 * and build ids, which what is read of it lacks too; all that tables and pages show is there.
 * Pages that compare two profiles are refused: neither can be had of them.
 */
#ifndef CPROF_FORMAT_HTML_READ_H
#define CPROF_FORMAT_HTML_READ_H

#include <stdbool.h>

#include "format/format.h"

/* Is there a page with a profile in it? */
bool html_detect(const unsigned char *data, size_t size);

/* struct format's read, of pages (packed with gzip or not). */
int html_read(const unsigned char *data, size_t size, struct profile *sum,
              char error[FORMAT_ERROR_SIZE]);

/* Both halves of it: the JSON of a page, appended to `json`, and what that holds. */
int html_unpack(const unsigned char *data, size_t size, struct buffer *json,
                char error[FORMAT_ERROR_SIZE]);
int html_read_json(const unsigned char *data, size_t size, struct profile *sum,
                   char error[FORMAT_ERROR_SIZE]);

#endif
