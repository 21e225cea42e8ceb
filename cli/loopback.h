/*
 * A web server for one person on this machine: GET alone, one request a connection and one
 * connection at a time. It listens at 127.0.0.1 and answers only below a path that nobody can
 * guess, and only where the Host header names this machine: no other user here, and no web page
 * that plays tricks with names, gets anything. Requests are untrusted and bounded in size and
 * time.
 */
#ifndef CPROF_CLI_LOOPBACK_H
#define CPROF_CLI_LOOPBACK_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "format/format.h"

#define LOOPBACK_HEAD 16384 /* bytes of a request */
#define LOOPBACK_PATIENCE 5 /* seconds for it to come, and for each part of an answer to go */

struct loopback {
    int socket;
    char url[80];   /* of the first page */
    char token[33]; /* the path's first part */
};

/* Listens at the port, or at one of the system's choice for 0. 0 or -errno. */
int loopback_open(struct loopback *server, unsigned port);
void loopback_close(struct loopback *server);

/* What a page is made of: its name ("", "view", …) and its query ("f=a&f=b"), NUL-terminated
 * and as they came. Returns the HTTP status; the page is HTML. */
typedef int (*loopback_answer)(void *closure, const char *page, const char *query,
                               struct buffer *out);

/* Answers until *stop is set. */
void loopback_serve(struct loopback *server, loopback_answer answer, void *closure,
                    const volatile sig_atomic_t *stop);

/* The next parameter of a query, taken apart and decoded in place of what it came from: moves
 * *query behind it. False: there is none. */
bool loopback_parameter(char **query, char **name, char **value);

/* Text for between HTML's tags and within its quotes. */
void loopback_escape(struct buffer *out, const char *text);

#endif
