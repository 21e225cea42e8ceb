#include "pull/server.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "pull/request.h"

#define HEAD_TIMEOUT (10 * NS_PER_SECOND)
#define ANSWER_TIMEOUT (60 * NS_PER_SECOND)
#define PAUSE NS_PER_SECOND /* between two looks: descriptors that are closed wake nobody */

enum state { FREE, READING, RECORDING, ANSWERING };

struct connection {
    enum state state;
    int fd;            /* -1: none */
    uint64_t deadline; /* CLOCK_MONOTONIC: of the state */
    char head[PULL_MAX_HEAD];
    size_t head_size;
    void *recording;
    struct buffer answer;
    size_t answered;
};

struct pull_server {
    struct pull_source source;
    pthread_t thread;
    pthread_mutex_t descriptors; /* held while one comes or goes */
    int listener, wake;
    ino_t listener_inode;
    uint64_t deaf_until; /* CLOCK_MONOTONIC: none is accepted, as the last could not be */
    bool started;        /* `thread` is to be joined */
    bool lost;           /* the program has closed our descriptors */
    _Atomic bool ended;  /* the thread has */
    bool local;          /* for this host alone */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of a unix socket, or "" */
    ino_t path_inode;
    struct connection connections[PULL_CONNECTIONS];
};

/* ---- one connection ---- */

static void drop(struct pull_server *server, struct connection *c)
{
    if (c->recording != NULL)
        server->source.end(server->source.context, c->recording, NULL);
    buffer_free(&c->answer);
    pthread_mutex_lock(&server->descriptors);
    if (!server->lost)
        close(c->fd);
    *c = (struct connection){.fd = -1};
    pthread_mutex_unlock(&server->descriptors);
}

static void take(struct pull_server *server, uint64_t now)
{
    struct connection *c = server->connections;
    while (c->state != FREE)
        c++;
    pthread_mutex_lock(&server->descriptors);
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        *c = (struct connection){.state = READING, .fd = fd, .deadline = now + HEAD_TIMEOUT};
    else if (errno != EAGAIN) /* no descriptors are left: poll() would not wait */
        server->deaf_until = now + PAUSE;
    pthread_mutex_unlock(&server->descriptors);
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Bad Request";
    }
}

static void answer(struct connection *c, int status, const char *type, const void *body,
                   size_t size)
{
    char head[512];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.0 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
                          "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
                          status, reason(status), type, size,
                          status == 405   ? "Allow: GET\r\n"
                          : status == 503 ? "Retry-After: 10\r\n"
                                          : "");
    buffer_append(&c->answer, head, (size_t)length);
    buffer_append(&c->answer, body, size);
    c->state = ANSWERING;
    c->deadline = clock_ns(CLOCK_MONOTONIC) + ANSWER_TIMEOUT;
}

static void answer_text(struct connection *c, int status, const char *text)
{
    answer(c, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void answer_index(struct connection *c)
{
    static const char page[] =
        "<!DOCTYPE html><title>/debug/pprof/</title><h1>cprof</h1><ul>"
        "<li><a href=\"/debug/pprof/profile?seconds=10\">profile?seconds=10</a>: what ran "
        "during these seconds, as gzipped pprof</ul>\n";
    answer(c, 200, "text/html; charset=utf-8", page, sizeof page - 1);
}

static void begin(struct pull_server *server, struct connection *c,
                  const struct pull_request *request)
{
    c->recording = server->source.begin(server->source.context);
    if (c->recording == NULL) {
        answer_text(c, 503, "other profiles are being taken; try again\n");
        return;
    }
    c->state = RECORDING;
    c->deadline =
        clock_ns(CLOCK_MONOTONIC) + (uint64_t)(request->seconds * (double)NS_PER_SECOND);
}

static void finish(struct pull_server *server, struct connection *c)
{
    struct buffer profile = {0};
    int error = server->source.end(server->source.context, c->recording, &profile);
    c->recording = NULL;
    if (error == 0)
        answer(c, 200, "application/octet-stream", profile.data, profile.size);
    else
        answer_text(c, 503, "the profile could not be finished\n");
    buffer_free(&profile);
}

static void dispatch(struct pull_server *server, struct connection *c,
                     const struct pull_request *request)
{
    log_debug("listen: request for %s: %d",
              request->page == PULL_PROFILE ? "a profile" : "the index",
              request->error != 0 ? request->error : 200);
    if (request->error != 0)
        answer_text(c, request->error,
                    request->error == 404 ? "only /debug/pprof/profile?seconds=N is here\n"
                    : request->error == 403
                        ? "this endpoint answers to this host's names only\n"
                    : request->error == 400 ? "seconds must be a number from 0 to 600\n"
                                            : "this can't be answered\n");
    else if (request->page == PULL_PROFILE)
        begin(server, c, request);
    else
        answer_index(c);
}

/* True: the connection is over. */
static bool read_more(struct pull_server *server, struct connection *c)
{
    ssize_t got = read(c->fd, c->head + c->head_size, sizeof c->head - c->head_size);
    if (got <= 0)
        return got == 0 || (errno != EAGAIN && errno != EINTR);
    c->head_size += (size_t)got;
    struct pull_request request;
    if (pull_request_parse(c->head, c->head_size, server->local, &request))
        dispatch(server, c, &request);
    return false;
}

static bool write_more(struct connection *c)
{
    if (c->answer.error != 0)
        return true;
    ssize_t put =
        send(c->fd, c->answer.data + c->answered, c->answer.size - c->answered, MSG_NOSIGNAL);
    if (put < 0)
        return errno != EAGAIN && errno != EINTR;
    c->answered += (size_t)put;
    return c->answered == c->answer.size;
}

static void step(struct pull_server *server, struct connection *c, short events, uint64_t now)
{
    bool over = false;
    if (c->state == RECORDING && events != 0)
        over = true; /* the client has gone */
    else if (c->state == RECORDING && now >= c->deadline)
        finish(server, c);
    else if (c->state == READING && events != 0)
        over = read_more(server, c);
    else if (c->state == ANSWERING && events != 0)
        over = write_more(c);
    else if (now >= c->deadline)
        over = true;
    if (over)
        drop(server, c);
}

/* ---- the thread ---- */

/* A client that waits for its profile is only watched for going away. */
static short wanted_events(enum state state)
{
    return state == READING ? POLLIN : state == ANSWERING ? POLLOUT : POLLRDHUP;
}

/* Fills in what poll() waits for; the milliseconds that it may take. */
static int prepare(struct pull_server *server, struct pollfd polled[PULL_CONNECTIONS + 2])
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC), until = now + PAUSE;
    bool room = false, hears = now >= server->deaf_until;
    for (size_t i = 0; i < PULL_CONNECTIONS; i++) {
        const struct connection *c = &server->connections[i];
        polled[i] = (struct pollfd){.fd = c->fd, .events = wanted_events(c->state)};
        room |= c->state == FREE;
        if (c->state != FREE && c->deadline < until)
            until = c->deadline;
    }
    polled[PULL_CONNECTIONS] =
        (struct pollfd){.fd = room && hears ? server->listener : -1, .events = POLLIN};
    polled[PULL_CONNECTIONS + 1] = (struct pollfd){.fd = server->wake, .events = POLLIN};
    return until <= now ? 0 : (int)((until - now) / 1000000 + 1);
}

/* A program that turns into a daemon closes all descriptors, and may have got a socket of its
 * own under our number since. */
static bool listener_is_ours(const struct pull_server *server)
{
    struct stat status;
    return fstat(server->listener, &status) == 0 && status.st_ino == server->listener_inode;
}

static void *run(void *argument)
{
    struct pull_server *server = argument;
    struct pollfd polled[PULL_CONNECTIONS + 2];
    for (;;) {
        poll(polled, PULL_CONNECTIONS + 2, prepare(server, polled));
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (!listener_is_ours(server)) {
            log_warn(
                "CPROF_LISTEN: the program has closed the socket; nobody listens any more");
            server->lost = true;
            break;
        }
        if (polled[PULL_CONNECTIONS + 1].revents != 0)
            break;
        for (size_t i = 0; i < PULL_CONNECTIONS; i++)
            if (server->connections[i].state != FREE)
                step(server, &server->connections[i], polled[i].revents, now);
        if (polled[PULL_CONNECTIONS].revents != 0)
            take(server, now);
    }
    atomic_store(&server->ended, true);
    return NULL;
}

/* ---- starting and stopping ---- */

/* Takes away the socket file of a process that is no more: nobody answers behind it. */
static void remove_stale(const struct pull_address *address)
{
    struct stat status;
    const char *path = address->to.file.sun_path;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return;
    if (connect(probe, &address->to.any, address->length) != 0 && errno == ECONNREFUSED &&
        lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
        unlink(path);
    close(probe);
}

/* The descriptor, or a negative errno. Nobody can connect before listen(), so the file of a
 * unix socket is its owner's by then. */
static int open_listener(struct pull_server *server, const struct pull_address *address)
{
    const int on = 1;
    bool file = address->to.any.sa_family == AF_UNIX;
    int fd = socket(address->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (file)
        remove_stale(address);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct stat status;
    const char *path = file ? address->to.file.sun_path : "";
    int error = bind(fd, &address->to.any, address->length) != 0 ? -errno : 0;
    if (error == 0 && file) {
        error = chmod(path, 0600) != 0 || stat(path, &status) != 0 ? -errno : 0;
        if (error == 0) {
            snprintf(server->path, sizeof server->path, "%s", path);
            server->path_inode = status.st_ino;
        }
    }
    if (error == 0 && (listen(fd, PULL_CONNECTIONS) != 0 || fstat(fd, &status) != 0))
        error = -errno;
    server->listener_inode = error == 0 ? status.st_ino : 0;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

/* Called with `descriptors` held, so that a fork finds them all or none. */
static int open_descriptors(struct pull_server *server, const struct pull_address *address)
{
    int listener = open_listener(server, address);
    int wake = listener < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = listener < 0 ? listener : wake < 0 ? -errno : 0;
    if (error != 0 && listener >= 0)
        close(listener);
    server->listener = error == 0 ? listener : -1;
    server->wake = error == 0 ? wake : -1;
    return error;
}

static void close_descriptors(struct pull_server *server)
{
    struct stat status;
    pthread_mutex_lock(&server->descriptors);
    if (server->listener >= 0 && !server->lost) {
        close(server->listener);
        close(server->wake);
    }
    server->listener = server->wake = -1;
    pthread_mutex_unlock(&server->descriptors);
    if (server->path[0] != '\0' && stat(server->path, &status) == 0 &&
        status.st_ino == server->path_inode)
        unlink(server->path);
}

struct pull_server *pull_new(const struct pull_source *source)
{
    struct pull_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    server->source = *source;
    server->listener = server->wake = -1;
    pthread_mutex_init(&server->descriptors, NULL);
    for (size_t i = 0; i < PULL_CONNECTIONS; i++)
        server->connections[i].fd = -1;
    return server;
}

int pull_start(struct pull_server *server, const struct pull_address *address,
               int (*start_thread)(pthread_t *thread, void *(*run)(void *), void *argument))
{
    server->local = address->loopback;
    pthread_mutex_lock(&server->descriptors);
    int error = open_descriptors(server, address);
    pthread_mutex_unlock(&server->descriptors);
    if (error == 0)
        error = start_thread(&server->thread, run, server);
    server->started = error == 0;
    if (error != 0)
        close_descriptors(server);
    return error;
}

void pull_stop(struct pull_server *server)
{
    const uint64_t one = 1;
    if (!server->started)
        return;
    while (!atomic_load(&server->ended) && listener_is_ours(server) &&
           write(server->wake, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    pthread_join(server->thread, NULL);
    for (size_t i = 0; i < PULL_CONNECTIONS; i++)
        if (server->connections[i].state != FREE)
            drop(server, &server->connections[i]);
    close_descriptors(server);
    server->started = false;
}

void pull_free(struct pull_server *server)
{
    pthread_mutex_destroy(&server->descriptors);
    free(server);
}

void pull_fork_lock(struct pull_server *server)
{
    pthread_mutex_lock(&server->descriptors);
}

void pull_fork_unlock(struct pull_server *server)
{
    pthread_mutex_unlock(&server->descriptors);
}

void pull_fork_child(struct pull_server *server)
{
    if (!listener_is_ours(server))
        return;
    for (size_t i = 0; i < PULL_CONNECTIONS; i++)
        if (server->connections[i].fd >= 0)
            close(server->connections[i].fd);
    close(server->listener);
    close(server->wake);
}
