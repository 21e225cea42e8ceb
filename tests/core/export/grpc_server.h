/*
 * A gRPC server for tests that misbehaves as it is told to, in clear text on a free port of
 * the loopback: HTTP/2 by nghttp2, so that what the client sends is checked by a foreign hand.
 * It serves one connection at a time from a thread of its own and answers call number n with
 * reply n of its script; the last reply repeats.
 */
#ifndef TESTS_EXPORT_GRPC_SERVER_H
#define TESTS_EXPORT_GRPC_SERVER_H

#include <stddef.h>

enum grpc_manner {
    GRPC_ANSWER,           /* headers, body, trailers */
    GRPC_TRAILERS_ONLY,    /* all in one block of headers, as servers send errors */
    GRPC_STATUS_AND_RESET, /* the same, and the stream is reset instead of ended */
    GRPC_NO_TRAILERS,      /* headers and body, then a clean end */
    GRPC_HANG,             /* nothing, the connection stays open */
    GRPC_CLOSE,            /* nothing, the connection is closed in order */
    GRPC_RESET,            /* nothing, the connection is torn down */
    GRPC_RESET_STREAM,     /* the call is reset with REFUSED_STREAM, the connection stays */
    GRPC_GOAWAY,           /* the connection is said goodbye to, the call unprocessed */
    GRPC_TRICKLE,          /* headers, then a byte of body every 20 ms, for ever */
    GRPC_FLOOD,            /* headers, then as much body as the client takes */
    GRPC_GARBAGE,          /* bytes that are no HTTP/2 */
};

struct grpc_reply {
    enum grpc_manner manner;
    const char *status, *message, *details; /* grpc-…; NULL: absent */
    const char *http, *content_type;        /* NULL: "200", "application/grpc" */
    const char *body;                       /* with its prefix */
    size_t body_size;
};

#define GRPC_OK_REPLY                                                                          \
    {                                                                                          \
        .manner = GRPC_ANSWER, .status = "0", .body = "\0\0\0\0", .body_size = 5               \
    }

struct grpc_call {
    char *headers; /* "name: value\n" each, as they came */
    unsigned char *body;
    size_t body_size;
};

struct grpc_server;

struct grpc_server *grpc_server_start(const struct grpc_reply *script, size_t count);
const char *grpc_server_url(const struct grpc_server *server); /* of the profiles' method */
size_t grpc_server_calls(struct grpc_server *server);          /* completely received so far */
/* Valid until grpc_server_stop(). */
const struct grpc_call *grpc_server_call(struct grpc_server *server, size_t index);
void grpc_server_stop(struct grpc_server *server);

#endif
