/*
 * Profiles of running programs by URL: Go's /debug/pprof/… and whatever else answers with a
 * profile in a format that is known. http, https and unix sockets (unix:/run/app.sock).
 *
 * A URL without a path means the CPU profile of the next REMOTE_SECONDS; one that ends in
 * /debug/pprof too. The rest is asked as it stands. Bounded: REMOTE_MOST bytes, REMOTE_PATIENCE
 * seconds more than the URL asks the program to look for. Redirections are not followed.
 *
 * libcurl comes from libcprof_http.so (export/http.h), which is loaded for the first URL. Any
 * thread may call.
 */
#ifndef CPROF_CLI_REMOTE_H
#define CPROF_CLI_REMOTE_H

#include <stdbool.h>

#include "format/format.h"

#define REMOTE_SECONDS 10
#define REMOTE_LONGEST 3600 /* seconds that a URL can ask for */
#define REMOTE_PATIENCE 30
#define REMOTE_MOST ((size_t)64 << 20) /* bytes */

/* Is that what somebody gave in place of a file? */
bool remote_is(const char *path);

/* NULL with a line in `error`. */
struct profile *remote_read(const char *url, char error[FORMAT_ERROR_SIZE]);

#endif
