#include "server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_REQUESTS 4096

struct server {
    const struct reply *script;
    size_t script_length;
    int listener;
    int quit[2]; /* a pipe: closed to end the thread */
    char url[64];
    int port;
    pthread_t thread;
    pthread_mutex_t lock;
    struct request requests[MAX_REQUESTS];
    size_t request_count, connection_count;
};

/* Waits until `fd` can be read; false when the server is to end. */
static bool readable(const struct server *server, int fd, int timeout_ms)
{
    struct pollfd polled[] = {{.fd = server->quit[0], .events = POLLIN},
                              {.fd = fd, .events = POLLIN}};
    int ready = poll(polled, 2, timeout_ms);
    return ready > 0 && polled[0].revents == 0 && polled[1].revents != 0;
}

static bool quitting(const struct server *server)
{
    struct pollfd polled = {.fd = server->quit[0], .events = POLLIN};
    return poll(&polled, 1, 0) > 0;
}

/* Reads one request; false at the end of the connection. */
static bool receive(const struct server *server, int fd, struct request *request)
{
    size_t capacity = 1 << 16, size = 0, head = 0, length = 0;
    char *bytes = malloc(capacity + 1);
    while (head == 0 || size < head + length) {
        if (size == capacity)
            bytes = realloc(bytes, (capacity *= 2) + 1);
        ssize_t got = readable(server, fd, -1) ? read(fd, bytes + size, capacity - size) : 0;
        if (got <= 0) {
            free(bytes);
            return false;
        }
        size += (size_t)got;
        bytes[size] = '\0';
        char *end = head == 0 ? strstr(bytes, "\r\n\r\n") : NULL;
        if (end != NULL) {
            head = (size_t)(end - bytes) + 4;
            const char *field = strcasestr(bytes, "\r\nContent-Length:");
            length = field ? strtoul(field + 17, NULL, 10) : 0;
        }
    }
    request->head = strndup(bytes, head);
    request->body = malloc(length + 1);
    memcpy(request->body, bytes + head, length);
    request->body_size = length;
    free(bytes);
    return true;
}

static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* False when the connection is to be closed. */
static bool answer(const struct server *server, int fd, const struct reply *reply)
{
    char filler[1 << 16]; /* there may be several servers */
    const struct linger at_once = {.l_onoff = 1};
    memset(filler, 'x', sizeof filler);
    bool open = send_all(fd, reply->bytes, reply->size);
    switch (reply->manner) {
    case REPLY_SEND:
        return open;
    case REPLY_HANG:
        readable(server, fd, -1);
        return false;
    case REPLY_CLOSE:
        return false;
    case REPLY_RESET:
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return false;
    case REPLY_TRICKLE:
        while (open && !quitting(server)) {
            open = send_all(fd, filler, 1);
            usleep(20000);
        }
        return false;
    case REPLY_FLOOD:
        while (open && !quitting(server))
            open = send_all(fd, filler, sizeof filler);
        return false;
    }
    return false;
}

static void serve(struct server *server, int fd)
{
    struct request request;
    bool open = true;
    while (open && receive(server, fd, &request)) {
        pthread_mutex_lock(&server->lock);
        size_t index = server->request_count++;
        server->requests[index] = request;
        pthread_mutex_unlock(&server->lock);
        size_t line = index < server->script_length ? index : server->script_length - 1;
        open = answer(server, fd, &server->script[line]);
    }
    close(fd);
}

static void *run(void *argument)
{
    struct server *server = argument;
    while (readable(server, server->listener, -1)) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        pthread_mutex_lock(&server->lock);
        server->connection_count++;
        pthread_mutex_unlock(&server->lock);
        serve(server, fd);
    }
    return NULL;
}

struct server *server_start(const struct reply *script, size_t count)
{
    return server_start_at(0, script, count);
}

static struct server *start_on(int listener, const struct sockaddr *address, socklen_t size,
                               const struct reply *script, size_t count)
{
    const int yes = 1;
    struct server *server = calloc(1, sizeof *server);
    server->script = script;
    server->script_length = count;
    server->listener = listener;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, address, size) != 0 || listen(listener, 16) != 0 ||
        pipe(server->quit) != 0) {
        perror("test server");
        exit(1);
    }
    pthread_mutex_init(&server->lock, NULL);
    pthread_create(&server->thread, NULL, run, server);
    return server;
}

struct server *server_start_at(int port, const struct reply *script, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    struct server *server = start_on(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                                     (struct sockaddr *)&address, length, script, count);
    getsockname(server->listener, (struct sockaddr *)&address, &length);
    server->port = ntohs(address.sin_port);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d/v1development/profiles",
             server->port);
    return server;
}

struct server *server_start_on(const char *path, const struct reply *script, size_t count)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return start_on(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&address,
                    sizeof address, script, count);
}

const char *server_url(const struct server *server)
{
    return server->url;
}

int server_port(const struct server *server)
{
    return server->port;
}

size_t server_requests(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t count = server->request_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

size_t server_connections(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t count = server->connection_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

const struct request *server_request(struct server *server, size_t index)
{
    return index < server_requests(server) ? &server->requests[index] : NULL;
}

void server_stop(struct server *server)
{
    close(server->quit[1]);
    pthread_join(server->thread, NULL);
    close(server->quit[0]);
    close(server->listener);
    for (size_t i = 0; i < server->request_count; i++) {
        free(server->requests[i].head);
        free(server->requests[i].body);
    }
    pthread_mutex_destroy(&server->lock);
    free(server);
}
