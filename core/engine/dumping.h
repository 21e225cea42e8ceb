/*
 * All threads now, as a page: for the program (cprof_dump()), for who asks through the control
 * socket, and for the pull endpoint. Any of cprof's own threads, or one that waits outside the
 * interpreter's lock.
 */
#ifndef CPROF_ENGINE_DUMPING_H
#define CPROF_ENGINE_DUMPING_H

#include "collect/collector.h"
#include "dump/pages.h"
#include "pull/server.h"

#define DUMPING_WAIT 5.0 /* seconds, for a collector that is at something else */

/* Appends the page. 0 or a negative errno with a line for people in `why`. */
int dumping_write(struct collector *collector, enum dump_format format, struct buffer *out,
                  char *why, size_t why_size);

/* The same of a format by its name; *page is the caller's. -EINVAL for another name. */
int dumping_page(struct collector *collector, const char *format, char **page, size_t *size,
                 char *why, size_t why_size);

/* The same for a request, with the type of the page (struct pull_source). */
int dumping_answer(struct collector *collector, const struct pull_request *request,
                   struct buffer *out, const char **type, char why[PULL_WHY_SIZE]);

#endif
