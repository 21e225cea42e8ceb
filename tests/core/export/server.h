/*
 * A server for tests that misbehaves as it is told to. It listens on a free port of the
 * loopback, serves one connection at a time from a thread of its own, and answers request
 * number n with reply n of its script; the last reply repeats.
 */
#ifndef TESTS_EXPORT_SERVER_H
#define TESTS_EXPORT_SERVER_H

#include <stddef.h>

enum reply_manner {
    REPLY_SEND,    /* the bytes, as they stand */
    REPLY_HANG,    /* nothing, the connection stays open */
    REPLY_CLOSE,   /* nothing, the connection is closed in order */
    REPLY_RESET,   /* nothing, the connection is torn down */
    REPLY_TRICKLE, /* the bytes, then one more every 20 ms, for ever */
    REPLY_FLOOD,   /* the bytes, then as many more as the client takes */
};

struct reply {
    enum reply_manner manner;
    const char *bytes;
    size_t size;
};

/* A script's entry from a literal, which may hold NUL bytes. */
#define SEND(literal)                                                                          \
    {                                                                                          \
        REPLY_SEND, literal, sizeof(literal) - 1                                               \
    }
#define OK_REPLY                                                                               \
    SEND("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"                         \
         "Content-Length: 0\r\n\r\n")

struct request {
    char *head; /* request line and headers, as they came */
    unsigned char *body;
    size_t body_size;
};

struct server;

struct server *server_start(const struct reply *script, size_t count);
/* On a port that was another server's: it comes back after an outage. */
struct server *server_start_at(int port, const struct reply *script, size_t count);
/* On a unix socket. */
struct server *server_start_on(const char *path, const struct reply *script, size_t count);
int server_port(const struct server *server);
const char *server_url(const struct server *server); /* with the path for profiles */
size_t server_requests(struct server *server);       /* completely received so far */
size_t server_connections(struct server *server);    /* accepted so far */
/* Valid until server_stop(). */
const struct request *server_request(struct server *server, size_t index);
void server_stop(struct server *server);

#endif
