/*
 * A process's command line as it may be shown to whoever reads profiles: without secrets.
 *
 * No rule can know every secret, so the doubtful goes as well. Replaced by "***" are: the value
 * of an option, variable or header whose name speaks of one (--db-password=x, API_TOKEN=x,
 * --key x, "Authorization: x"); user:password and the query of a URL; what is attached to -p;
 * program text and other arguments with blanks, quotes or brackets; and words that look as if
 * they had been generated. Words are joined by blanks. Thread-safe: no state.
 */
#ifndef CPROF_RESOURCE_COMMAND_LINE_H
#define CPROF_RESOURCE_COMMAND_LINE_H

#include <stddef.h>

/* `arguments` as /proc/PID/cmdline has them: each ends with a NUL. What does not fit into
 * `text` is cut off. */
void command_line_show(const char *arguments, size_t size, char *text, size_t text_size);

#endif
