/*
 * The time strip of a service in a store (CPROF_STORE_DIR) as a page, for cprof serve: how much
 * there was when, or how high a level was, drawn from the blocks' digests, so that a month
 * takes a moment. Brushing chooses times, of which the page asks for "view", "diff" and
 * "history" (cli/strip/).
 */
#ifndef CPROF_CLI_STRIP_H
#define CPROF_CLI_STRIP_H

#include "format/format.h"
#include "history.h"

/* The services that the folder has, as items of an HTML list. GO_ON, or EXIT_FAILED after
 * having said why. */
int strip_write_services(const char *folder, struct buffer *out);

/* The page of the service for a span of time; `from` and `to` 0: all that there is. As above.
 */
int strip_write_page(const struct history *history, struct buffer *out);

#endif
