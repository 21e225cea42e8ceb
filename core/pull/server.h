/*
 * The pull endpoint: a small HTTP/1.0 server that gives out profiles as Go's net/http/pprof
 * does, so that `go tool pprof http://…/debug/pprof/profile` and scrapers of that work.
 *
 * It has one thread, which receives no signals and waits in poll(). All is bounded: connections
 * (PULL_CONNECTIONS; more wait in the kernel's queue), the head of a request, the time that a
 * client may take to send one and to read its answer. It answers GET and no more, one request a
 * connection. A unix socket is its owner's alone, and its file goes with the server.
 *
 * A library (libmicrohttpd) was weighed: it brings a TLS library with it into the process;
 * three pages of one method do not.
 */
#ifndef CPROF_PULL_SERVER_H
#define CPROF_PULL_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "format/format.h"
#include "pull/address.h"

#define PULL_CONNECTIONS 8

/* Where profiles come from. Called on the server's thread; they may take a second. */
struct pull_source {
    void *context;
    void *(*begin)(void *context); /* a new recording; NULL: no more at the moment */
    /* Ends it; its bytes to *out, unless that is NULL. 0 or a negative errno. */
    int (*end)(void *context, void *recording, struct buffer *out);
};

struct pull_server;

/* Only memory: the caller makes it known to whoever handles forks before it starts it, and
 * forgets it after it stopped. NULL: there is none. */
struct pull_server *pull_new(const struct pull_source *source);
void pull_free(struct pull_server *server);

/* Listens and starts the thread. 0, or a negative errno and nothing is open. */
int pull_start(struct pull_server *server, const struct pull_address *address,
               int (*start_thread)(pthread_t *thread, void *(*run)(void *), void *argument));

/* Ends the thread within about a second, cuts off connections, closes everything. */
void pull_stop(struct pull_server *server);

/* Around fork: no descriptor comes or goes between the first two. The child closes the parent's
 * descriptors and leaves the rest where it lies. */
void pull_fork_lock(struct pull_server *server);
void pull_fork_unlock(struct pull_server *server);
void pull_fork_child(struct pull_server *server);

#endif
