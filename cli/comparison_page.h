/* A comparison as a flame graph page, and what two files must have in common for any. */
#ifndef CPROF_CLI_COMPARISON_PAGE_H
#define CPROF_CLI_COMPARISON_PAGE_H

#include "comparison.h"
#include "format/html.h"

/* Both sides must have the value that is looked at, NEW's own default, in units of one kind.
 * The summaries are filled in. GO_ON, or an exit code after having said why. */
int comparison_match(struct comparison_side sides[SIDES], const char *const names[SIDES]);

/* 0 or -errno. */
int comparison_write_page(const struct comparison *comparison,
                          const struct comparison_side sides[SIDES],
                          const char *const names[SIDES], const struct html_options *layout,
                          struct buffer *out);

#endif
