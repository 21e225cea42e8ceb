/*
 * The one way cprof speaks to people: single lines on standard error, "cprof: message".
 *
 * Any thread may call; never a signal handler (it formats and writes). A line is written
 * with one write(2), so lines of several threads and processes do not mix. Messages must not
 * contain secrets (header values, user:password of a URL): the caller leaves them out.
 *
 * A line that standard error does not take at once is dropped: callers may hold locks.
 *
 * A program that has closed standard error may have got a socket or file of its own under its
 * number, and what it keeps there is not to be written to. So lines go to what was there when
 * the library was loaded, and to what the program has put in its place since then, as daemons
 * do: a terminal, a pipe, a log file, but no socket, no file that is read and written, and
 * nothing that is marked close-on-exec. A socket must be a local one and the first (systemd's
 * journal): never a network connection.
 */
#ifndef CPROF_BASE_LOG_H
#define CPROF_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above this level are not written. The default is LOG_WARN. */
void log_set_level(enum log_level level);

/* Parses CPROF_LOG's words (error, warn, info, debug). 0, or -EINVAL. */
int log_parse_level(const char *word, enum log_level *level);

bool log_enabled(enum log_level level);

void log_line(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
