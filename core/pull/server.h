/*
 * The pull endpoint: a small HTTP/1.0 server that gives out profiles as Go's net/http/pprof
 * does, so that `go tool pprof http://…/debug/pprof/profile` and scrapers of that work.
 *
 * It has one thread, which receives no signals and waits in poll(). All is bounded: connections
 * (PULL_CONNECTIONS; more wait in the kernel's queue), the head of a request, the time that a
 * client may take to send one and to read its answer. It answers GET and no more, one request a
 * connection. A unix socket is its owner's alone, and its file goes with the server. Where
 * another process of the service has the port already, clients come through that one, which
 * lists all (siblings.h).
 *
 * A process's control socket (engine/control.h) is the same server with another door: its owner
 * and root get in, and find more pages there. It has its thread only while somebody asks:
 * between pull_open() and pull_run() the socket listens, and pull_is_asked() says when somebody
 * is there.
 *
 * A library (libmicrohttpd) was weighed: it brings a TLS library with it into the process;
 * a few pages do not.
 */
#ifndef CPROF_PULL_SERVER_H
#define CPROF_PULL_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "format/format.h"
#include "pull/address.h"

#define PULL_CONNECTIONS 8

#define PULL_WHY_SIZE 256

/* Where answers come from. Called on the server's thread; they may take some seconds. `why` is
 * for a line that says why not. */
struct pull_source {
    void *context;
    /* A new recording of PULL_PROFILE or, for those with `memory`, of one that adds up,
     * to be ended after the request's seconds; NULL: there can't be one. */
    void *(*begin)(void *context, const struct pull_request *request, char why[PULL_WHY_SIZE]);
    /* Ends it; its bytes to *out, unless that is NULL. 0 or a negative errno. */
    int (*end)(void *context, void *recording, struct buffer *out);
    bool memory;
    /* The page PULL_METRICS. NULL: the index in its place. */
    void (*metrics)(void *context, struct buffer *out);
    /* The page PULL_THREADS, and its type. 0, -EINVAL for an unknown format, or another
     * negative errno. NULL: the index in its place. */
    int (*threads)(void *context, const struct pull_request *request, struct buffer *out,
                   const char **type, char why[PULL_WHY_SIZE]);
    /* For PULL_OWNER: what PULL_STATUS shows, a JSON object; does what PULL_START or PULL_STOP
     * asks for, 0 or a negative errno. */
    void (*status)(void *context, struct buffer *out);
    int (*order)(void *context, const struct pull_request *request, char why[PULL_WHY_SIZE]);
    /* Nobody has been there for PULL_PATIENCE. True: the thread ends now; it may call
     * pull_close() before. NULL: the thread stays. */
    bool (*idle)(void *context);
};

#define PULL_PATIENCE 2 /* seconds */

struct pull_server;

/* Only memory: the caller makes it known to whoever handles forks before it starts it, and
 * forgets it after it stopped. NULL: there is none. */
struct pull_server *pull_new(const struct pull_source *source);
void pull_free(struct pull_server *server);

/* Listens. 0, or a negative errno and nothing is open. */
int pull_open(struct pull_server *server, const struct pull_address *address);

/* [open, no thread] Does somebody want to connect? */
bool pull_is_asked(struct pull_server *server);

/* [open] Starts the thread, which starts_thread as own_thread_start() does, unless it runs. 0
 * or a negative errno. */
typedef int pull_starter(pthread_t *thread, void *(*run)(void *), void *argument);
int pull_run(struct pull_server *server, pull_starter *start_thread);

/* Has it a thread, and is that at work? */
bool pull_is_running(const struct pull_server *server);

/* [open] Another process has the port, and hands in what is asked of this one. */
bool pull_is_sibling(const struct pull_server *server);

/* Ends the thread within about a second, and cuts off connections. */
void pull_rest(struct pull_server *server);

/* [no thread, or that one] Stops listening, and takes the socket's file away. */
void pull_close(struct pull_server *server);

/* Around fork: no descriptor comes or goes between the first two. The child closes the parent's
 * descriptors and leaves the rest where it lies. */
void pull_fork_lock(struct pull_server *server);
void pull_fork_unlock(struct pull_server *server);
void pull_fork_child(struct pull_server *server);

#endif
