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
#include "pull/index.h"
#include "pull/request.h"
#include "pull/siblings.h"

#define HEAD_TIMEOUT (10 * NS_PER_SECOND)
#define ANSWER_TIMEOUT (60 * NS_PER_SECOND)
#define PAUSE NS_PER_SECOND /* between two looks: descriptors that are closed wake nobody */

enum { ADDRESS, DOOR, LISTENERS };
enum { POLLED = PULL_CONNECTIONS + LISTENERS + 1 };

enum state { FREE, READING, RECORDING, ANSWERING };

struct connection {
    enum state state;
    int fd;            /* -1: none */
    bool sibling;      /* it came through the door */
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
    struct listener {
        int fd; /* -1: none */
        ino_t inode;
    } listeners[2]; /* of the address; the door (siblings.h) */
    unsigned port;  /* 0: a unix socket's, which has no door */
    int wake;
    uint64_t deaf_until; /* CLOCK_MONOTONIC: none is accepted, as the last could not be */
    bool started;        /* `thread` is to be joined */
    bool lost;           /* the program has closed our descriptors */
    _Atomic bool ended;  /* the thread has */
    enum pull_audience audience;
    uint64_t used; /* CLOCK_MONOTONIC: when somebody was last there */
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

static void take(struct pull_server *server, size_t listener, uint64_t now)
{
    struct connection *c = server->connections;
    while (c < server->connections + PULL_CONNECTIONS && c->state != FREE)
        c++;
    if (c == server->connections + PULL_CONNECTIONS)
        return; /* both listeners at once had the last one */
    pthread_mutex_lock(&server->descriptors);
    int fd = accept4(server->listeners[listener].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    bool sibling = fd >= 0 && listener == DOOR;
    bool ours = sibling || server->audience == PULL_OWNER;
    if (fd >= 0 && ours && !siblings_trust(fd))
        close(fd);
    else if (fd >= 0)
        *c = (struct connection){
            .state = READING, .fd = fd, .sibling = sibling, .deadline = now + HEAD_TIMEOUT};
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
    case 409:
        return "Conflict";
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

/* What a page that was written holds; frees it. */
static void answer_page(struct connection *c, const char *type, struct buffer *page)
{
    if (page->error == 0)
        answer(c, 200, type, page->data, page->size);
    else
        answer_text(c, 503, "there is no memory for this page\n");
    buffer_free(page);
}

static void answer_metrics(struct pull_server *server, struct connection *c)
{
    struct buffer page = {0};
    server->source.metrics(server->source.context, &page);
    answer_page(c, "text/plain; version=0.0.4; charset=utf-8", &page);
}

static void answer_index(struct pull_server *server, struct connection *c)
{
    struct buffer page = {0};
    index_write(server->port, server->audience == PULL_LOCAL, &page);
    answer_page(c, "text/html; charset=utf-8", &page);
}

static void begin(struct pull_server *server, struct connection *c,
                  const struct pull_request *request)
{
    char why[PULL_WHY_SIZE + 1] = "";
    c->recording = server->source.begin(server->source.context, request, why);
    if (c->recording == NULL) {
        answer_text(c, 503, strcat(why, "\n"));
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

/* Another process's answer. True: that one has the connection now. */
static bool hand(struct pull_server *server, struct connection *c,
                 const struct pull_request *request)
{
    int error = server->port == 0 ? -ECONNREFUSED
                                  : siblings_hand(server->port, (pid_t)request->process, c->fd,
                                                  c->head, c->head_size);
    if (error == -EAGAIN)
        answer_text(c, 503, "that process has no time for another client; try again\n");
    else if (error != 0)
        answer_text(c, 404, "no such process listens here; see /debug/pprof/\n");
    return error == 0;
}

static void answer_status(struct pull_server *server, struct connection *c)
{
    struct buffer page = {0};
    server->source.status(server->source.context, &page);
    answer(c, page.error == 0 ? 200 : 503, "application/json", page.data, page.size);
    buffer_free(&page);
}

static void answer_threads(struct pull_server *server, struct connection *c,
                           const struct pull_request *request)
{
    char why[PULL_WHY_SIZE + 1] = "";
    struct buffer page = {0};
    const char *type = NULL;
    int error = server->source.threads(server->source.context, request, &page, &type, why);
    if (error == 0) {
        answer_page(c, type, &page);
        return;
    }
    answer_text(c, error == -EINVAL ? 400 : 503, strcat(why, "\n"));
    buffer_free(&page);
}

static void obey(struct pull_server *server, struct connection *c,
                 const struct pull_request *request)
{
    char why[PULL_WHY_SIZE + 1] = "";
    int error = server->source.order(server->source.context, request, why);
    answer_text(c, error == 0 ? 200 : error == -ETIMEDOUT ? 503 : 409, strcat(why, "\n"));
}

/* True: the connection is over. */
static bool dispatch(struct pull_server *server, struct connection *c,
                     const struct pull_request *request)
{
    log_debug("listen: request for page %d: %d", (int)request->page,
              request->error != 0 ? request->error : 200);
    if (request->error != 0)
        answer_text(c, request->error,
                    request->error == 404 ? "only /debug/pprof/profile?seconds=N, heap, "
                                            "allocs, mutex, block, threads and "
                                            "/metrics are here\n"
                    : request->error == 403
                        ? "this endpoint answers to this host's names only\n"
                    : request->error == 400
                        ? "seconds must be a number from 0 to 600, pid a process's, gc 0 or 1; "
                          "and texts have their length\n"
                        : "this can't be answered\n");
    else if (request->process != 0 && request->process != getpid())
        return hand(server, c, request);
    else if (pull_adds_up(request->page) && !server->source.memory)
        answer_text(c, 404, "only the pull endpoint (CPROF_LISTEN) has this page\n");
    else if (request->page == PULL_PROFILE || pull_adds_up(request->page))
        begin(server, c, request);
    else if (request->page == PULL_METRICS && server->source.metrics != NULL)
        answer_metrics(server, c);
    else if (request->page == PULL_THREADS && server->source.threads != NULL)
        answer_threads(server, c, request);
    else if (request->page == PULL_STATUS)
        answer_status(server, c);
    else if (request->page == PULL_START || request->page == PULL_STOP)
        obey(server, c, request);
    else
        answer_index(server, c);
    return false;
}

/* From a sibling the connection itself comes, which is to be closed under the lock as all are.
 */
static ssize_t read_head(struct pull_server *server, struct connection *c)
{
    char *to = c->head + c->head_size;
    size_t room = sizeof c->head - c->head_size;
    if (!c->sibling)
        return read(c->fd, to, room);
    pthread_mutex_lock(&server->descriptors);
    ssize_t got = siblings_read(&c->fd, to, room);
    pthread_mutex_unlock(&server->descriptors);
    return got;
}

/* True: the connection is over. */
static bool read_more(struct pull_server *server, struct connection *c)
{
    ssize_t got = read_head(server, c);
    if (got <= 0)
        return got == 0 || (errno != EAGAIN && errno != EINTR);
    c->head_size += (size_t)got;
    struct pull_request request;
    return pull_request_parse(c->head, c->head_size, server->audience, &request) &&
           dispatch(server, c, &request);
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
static int prepare(struct pull_server *server, struct pollfd polled[POLLED])
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
    for (size_t i = 0; i < LISTENERS; i++)
        polled[PULL_CONNECTIONS + i] = (struct pollfd){
            .fd = room && hears ? server->listeners[i].fd : -1, .events = POLLIN};
    polled[POLLED - 1] = (struct pollfd){.fd = server->wake, .events = POLLIN};
    return until <= now ? 0 : (int)((until - now) / 1000000 + 1);
}

/* A program that turns into a daemon closes all descriptors, and may have got a socket of its
 * own under our number since. */
static bool listeners_are_ours(const struct pull_server *server)
{
    struct stat status;
    for (size_t i = 0; i < LISTENERS; i++)
        if (server->listeners[i].fd >= 0 && (fstat(server->listeners[i].fd, &status) != 0 ||
                                             status.st_ino != server->listeners[i].inode))
            return false;
    return true;
}

static void lose(struct pull_server *server)
{
    server->lost = true;
    if (server->audience == PULL_OWNER)
        log_info("the program has closed the control socket; it can't be asked any more");
    else
        log_warn("CPROF_LISTEN: the program has closed the socket; nobody listens any more");
}

static bool is_idle(struct pull_server *server, uint64_t now)
{
    bool used = server->source.idle == NULL;
    for (size_t i = 0; i < PULL_CONNECTIONS; i++)
        used |= server->connections[i].state != FREE;
    if (used)
        server->used = now;
    return now - server->used >= PULL_PATIENCE * NS_PER_SECOND;
}

static void *run(void *argument)
{
    struct pull_server *server = argument;
    struct pollfd polled[POLLED] = {0};
    server->used = clock_ns(CLOCK_MONOTONIC);
    for (;;) {
        poll(polled, POLLED, prepare(server, polled));
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (!listeners_are_ours(server)) {
            lose(server);
            break;
        }
        if (polled[POLLED - 1].revents != 0)
            break;
        for (size_t i = 0; i < PULL_CONNECTIONS; i++)
            if (server->connections[i].state != FREE)
                step(server, &server->connections[i], polled[i].revents, now);
        for (size_t i = 0; i < LISTENERS; i++)
            if (polled[PULL_CONNECTIONS + i].revents != 0)
                take(server, i, now);
        if (is_idle(server, now)) {
            if (server->source.idle(server->source.context))
                break;
            server->used = now;
        }
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
    struct stat status = {0};
    const char *path = file ? address->to.file.sun_path : "";
    int error = bind(fd, &address->to.any, address->length) != 0 ? -errno : 0;
    if (error == 0 && file) {
        error = chmod(path, 0600) != 0 || stat(path, &status) != 0 ? -errno : 0;
        if (error == 0) {
            snprintf(server->path, sizeof server->path, "%s", path);
            server->path_inode = status.st_ino;
        }
    }
    if (error == 0 && listen(fd, PULL_CONNECTIONS) != 0)
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static unsigned port_of(const struct pull_address *address)
{
    switch (address->to.any.sa_family) {
    case AF_INET:
        return ntohs(address->to.ip4.sin_port);
    case AF_INET6:
        return ntohs(address->to.ip6.sin6_port);
    default:
        return 0;
    }
}

/* A negative errno is no descriptor. */
static void keep_listener(struct listener *listener, int fd)
{
    struct stat status;
    bool open = fd >= 0 && fstat(fd, &status) == 0;
    *listener = (struct listener){.fd = open ? fd : -1, .inode = open ? status.st_ino : 0};
}

static void close_all(struct pull_server *server)
{
    for (size_t i = 0; i < LISTENERS; i++)
        if (server->listeners[i].fd >= 0)
            close(server->listeners[i].fd);
    if (server->wake >= 0)
        close(server->wake);
}

/* Called with `descriptors` held, so that a fork finds them all or none. Without the port the
 * door is enough, if there is who hands in through it. */
static int open_descriptors(struct pull_server *server, const struct pull_address *address)
{
    int listener = open_listener(server, address);
    unsigned port = port_of(address);
    bool owner = listener >= 0;
    bool sibling = listener == -EADDRINUSE && port != 0 && siblings_have(port);
    int door = port != 0 && (owner || sibling) ? siblings_open_door(port, owner) : -1;
    keep_listener(&server->listeners[ADDRESS], listener);
    keep_listener(&server->listeners[DOOR], door);
    server->port = server->listeners[DOOR].fd >= 0 ? port : 0;
    if (!owner && server->port == 0)
        return listener;
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return server->wake < 0 ? -errno : 0;
}

void pull_close(struct pull_server *server)
{
    struct stat status;
    pthread_mutex_lock(&server->descriptors);
    if (!server->lost)
        close_all(server);
    server->listeners[ADDRESS].fd = server->listeners[DOOR].fd = server->wake = -1;
    pthread_mutex_unlock(&server->descriptors);
    if (server->path[0] != '\0' && stat(server->path, &status) == 0 &&
        status.st_ino == server->path_inode)
        unlink(server->path);
    server->path[0] = '\0';
}

struct pull_server *pull_new(const struct pull_source *source)
{
    struct pull_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return NULL;
    server->source = *source;
    server->listeners[ADDRESS].fd = server->listeners[DOOR].fd = server->wake = -1;
    pthread_mutex_init(&server->descriptors, NULL);
    for (size_t i = 0; i < PULL_CONNECTIONS; i++)
        server->connections[i].fd = -1;
    return server;
}

int pull_open(struct pull_server *server, const struct pull_address *address)
{
    server->audience = address->audience;
    server->lost = false;
    pthread_mutex_lock(&server->descriptors);
    int error = open_descriptors(server, address);
    pthread_mutex_unlock(&server->descriptors);
    if (error != 0)
        pull_close(server);
    return error;
}

bool pull_is_asked(struct pull_server *server)
{
    struct pollfd listener = {.fd = server->listeners[ADDRESS].fd, .events = POLLIN};
    if (listener.fd < 0 || server->lost)
        return false;
    if (!listeners_are_ours(server)) {
        lose(server);
        return false;
    }
    return poll(&listener, 1, 0) > 0;
}

bool pull_is_running(const struct pull_server *server)
{
    return server->started && !atomic_load(&server->ended);
}

int pull_run(struct pull_server *server, pull_starter *start_thread)
{
    if (pull_is_running(server))
        return 0;
    uint64_t old;
    pull_rest(server);
    while (read(server->wake, &old, sizeof old) > 0)
        continue; /* what ended the last thread */
    atomic_store(&server->ended, false);
    int error = start_thread(&server->thread, run, server);
    server->started = error == 0;
    return error;
}

void pull_rest(struct pull_server *server)
{
    const uint64_t one = 1;
    if (!server->started)
        return;
    while (!atomic_load(&server->ended) && listeners_are_ours(server) &&
           write(server->wake, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    pthread_join(server->thread, NULL);
    for (size_t i = 0; i < PULL_CONNECTIONS; i++)
        if (server->connections[i].state != FREE)
            drop(server, &server->connections[i]);
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
    if (!listeners_are_ours(server))
        return;
    for (size_t i = 0; i < PULL_CONNECTIONS; i++)
        if (server->connections[i].fd >= 0)
            close(server->connections[i].fd);
    close_all(server);
}

bool pull_is_sibling(const struct pull_server *server)
{
    return server->listeners[ADDRESS].fd < 0;
}
