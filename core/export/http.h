/*
 * HTTP as the sinks see it: one request, one bounded answer. The implementation (libcurl and
 * the TLS library under it) lies in a shared module of its own, libcprof_http.so, which
 * http_load() brings in when the first sink wants to talk to a server: a process that only
 * writes files never loads a TLS library, and the module's symbols stay out of the host's
 * reach, and the host's out of its.
 *
 * A client belongs to one thread, holds one connection open between requests, and knows its
 * server's address and keys. Only cancel() may be called from another thread. It has no
 * descriptors before its first request, and begins anew when the host has closed them between
 * two. The module reads no environment variables: the host may be changing them.
 */
#ifndef CPROF_EXPORT_HTTP_H
#define CPROF_EXPORT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/cprof.h" /* struct cprof_pair */

#define HTTP_MAX_BODY ((size_t)64 << 10) /* of an answer; more is not read */
#define HTTP_MAX_VALUE 2048              /* of a wanted header; cut off when longer */
#define HTTP_LIBRARY_VERSION 3           /* of this header: core and module must agree */

/* Where and how to connect. Strings are borrowed until open() returns; NULL = none. */
struct http_options {
    const char *url;         /* http:// or https:// */
    const char *unix_socket; /* path; the url's host is then only a name */
    bool http2;              /* and nothing older: in clear text from the first byte on, over
                                TLS by ALPN. A proxy is asked for a tunnel. */
    const char *proxy;       /* NULL or "" = direct */
    const char *no_proxy;    /* hosts that are reached directly */
    const char *user_agent;
    const char *certificate;                     /* CA bundle; NULL = the system's */
    const char *authorities;                     /* folder of CA certificates, or NULL */
    const char *client_key, *client_certificate; /* PEM files */
};

/* A header of the answer (or trailer) that the caller wants to see. */
struct http_wanted {
    const char *name;
    char value[HTTP_MAX_VALUE]; /* "" when absent */
};

struct http_request {
    const char *method;
    const char *url; /* on the client's server; NULL = the client's own */
    const struct cprof_pair *headers;
    size_t header_count;
    const void *body; /* NULL: nothing is sent but the headers, as of a GET */
    size_t body_size;
    double timeout; /* seconds, for everything from connecting to the last byte */
};

enum http_outcome {
    HTTP_ANSWERED,    /* status, wanted headers and body hold the answer */
    HTTP_UNREACHABLE, /* no connection, or none that could be trusted: later may be better */
    HTTP_BROKEN,      /* connected, but no complete and valid answer came in time */
    HTTP_IMPOSSIBLE,  /* can never work as it is set up: a bad URL, an unreadable key file */
    HTTP_CANCELLED,
};

struct http_response {
    enum http_outcome outcome;
    int status;
    struct http_wanted *wanted; /* filled in by the caller up to the values */
    size_t wanted_count;
    unsigned char body[HTTP_MAX_BODY];
    size_t body_size;
    /* What gets the body in place of the two above, piece by piece; false ends the transfer,
     * which is broken then. NULL: nothing does. */
    bool (*take)(void *closure, const void *data, size_t size);
    void *closure;
    char error[256]; /* what went wrong, for people, unless answered */
};

struct http_client;

/* What the module exports, as the one symbol `cprof_http`. */
struct http_library {
    unsigned version;              /* HTTP_LIBRARY_VERSION */
    const char *(*describe)(void); /* "libcurl/7.88.1 OpenSSL/3.0.15", static */
    /* Packs with zstd into *packed, to be freed by the caller. 0 or -ENOMEM. NULL: the module
     * was built without it. */
    int (*zstd)(const void *data, size_t size, void **packed, size_t *packed_size);
    struct http_client *(*open)(const struct http_options *options); /* NULL: no memory */
    void (*perform)(struct http_client *client, const struct http_request *request,
                    struct http_response *response);
    void (*cancel)(struct http_client *client); /* [any thread] for good */
    void (*close)(struct http_client *client);
};

/* Loads the module from `directory` (NULL: by the loader's search), once per process; it is
 * never unloaded, since TLS libraries leave exit handlers behind. NULL with a line in
 * `error`. Thread-safe. */
const struct http_library *http_load(const char *directory, char *error, size_t error_size);

#endif
