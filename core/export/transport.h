/*
 * The way to one server, as every sink that sends shares it: a message goes in, what became of
 * it comes out as a struct delivery. HTTP and gRPC differ in here and nowhere else.
 *
 * What is judged here are the manners that the OTLP specification asks of a client and that
 * do no harm elsewhere: HTTP 429, 502, 503, 504 and gRPC's passing codes are for later
 * (RESOURCE_EXHAUSTED only when the server says when), everything else that is no success is
 * for ever; 413, the other RESOURCE_EXHAUSTED (what gRPC servers say of a message over their
 * limit), and a 400 or INVALID_ARGUMENT that speaks of the size are for this size; redirects
 * are not followed; a web page is no success. What a success says in its body is the sink's to
 * read.
 *
 * Belongs to one thread; only transport_interrupt() may come from another. A process in which
 * libcprof_http.so can't be loaded gets one error line, and a transport that refuses all.
 */
#ifndef CPROF_EXPORT_TRANSPORT_H
#define CPROF_EXPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "cprof/cprof.h" /* struct cprof_pair */
#include "export/answer.h"
#include "format/format.h"

struct delivery;
struct transport;

enum transport_protocol { TRANSPORT_HTTP, TRANSPORT_GRPC };
enum transport_packing { PACK_NONE, PACK_GZIP, PACK_ZSTD };

/* A server, as the configuration knows it. Strings are borrowed until the call returns. */
struct transport_options {
    const char *url;         /* http:// or https://, with the full path: of gRPC, the method's
                                ("http://parca:7070/package.Service/Method"). NULL: no server */
    const char *unix_socket; /* path; the url's host is then only a name. NULL: TCP */
    enum transport_protocol protocol;
    enum transport_packing packing; /* of messages; zstd becomes gzip where it is missing */
    const struct cprof_pair *headers;
    size_t header_count;
    double timeout;                                            /* seconds, of one request */
    const char *certificate, *client_key, *client_certificate; /* PEM paths; NULL: system's */
};

/* What the sink adds. Static texts. */
struct transport_manner {
    const char *name;         /* "otlp", for log lines */
    const char *variables;    /* "OTEL_EXPORTER_OTLP": errors name VARIABLES_HEADERS, … */
    const char *files;        /* the same for the names of files; NULL: as `variables` */
    const char *content_type; /* of HTTP messages; gRPC has its own */
    const char *format;       /* "OTLP profiles 1.10", for log lines */
    const char *goods;        /* what is sent, for log lines; NULL: "profiles" */
    /* What a person may check after that HTTP status (or the one that the gRPC code stands
     * for); "" for nothing. May be NULL. */
    const char *(*advice)(int status);
};

/* NULL with one line in `error` when the options can't work. `library_directory` is where
 * libcprof_http.so lies (NULL: the loader's search). */
struct transport *transport_open(const struct transport_options *options,
                                 const struct transport_manner *manner,
                                 const char *library_directory, char *error, size_t error_size);

/* Sends one message, packed as configured, and fills in *delivery but for `profiles`. `url`
 * replaces the configured one (another query); NULL: it does not. */
void transport_send(struct transport *transport, const char *url, const struct buffer *message,
                    struct delivery *delivery);

/* The body of the last success: one message, without gRPC's prefix. `*type` is its
 * Content-Type. Valid until the next send. Where the server repeats secrets there are stars. */
const void *transport_reply(const struct transport *transport, size_t *size, const char **type);

/* Of an OTLP server: does the last success say that it has not taken everything, or warn? */
bool transport_partial(const struct transport *transport, struct answer *partial);

/* [any thread] The request under way, and every later one, ends at once, for good. */
void transport_interrupt(struct transport *transport);

void transport_close(struct transport *transport);

#endif
