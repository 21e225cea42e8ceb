/*
 * What gRPC adds to an HTTP/2 request and answer, after its own description
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) and the retry rules of the
 * OTLP specification. All that comes in is untrusted. Thread-safe: no state.
 */
#ifndef CPROF_EXPORT_GRPC_H
#define CPROF_EXPORT_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRPC_PREFIX_SIZE 5 /* before each message: is it packed?, and its length */
#define GRPC_NO_STATUS (-1)
#define GRPC_OK 0
#define GRPC_RESOURCE_EXHAUSTED 8

void grpc_prefix(unsigned char prefix[GRPC_PREFIX_SIZE], bool packed, size_t size);

/* The only message of a body, or NULL when there is none that is whole and not packed. */
const void *grpc_message(const void *body, size_t body_size, size_t *size);

/* The value of a grpc-status header: GRPC_NO_STATUS when it is no number. */
int grpc_status(const char *value);

/* The code's name ("UNAVAILABLE"), or "status 42" in `text`. */
const char *grpc_name(int code, char text[16]);

/* The HTTP status that means about the same, as google.rpc.Code maps them; but 413 for
 * RESOURCE_EXHAUSTED, which here means a message that is too large. */
int grpc_as_http(int code);

/* May a request that ended so be sent again? `wish` is the server's RetryInfo: only with it is
 * RESOURCE_EXHAUSTED a matter of time. */
bool grpc_is_passing(int code, bool wish);

/* Undoes the percent-encoding of a grpc-message header, in place. */
void grpc_decode_message(char *text);

/* Reads a grpc-status-details-bin header: true when it holds a google.rpc.RetryInfo, whose
 * delay (at most an hour) is *delay_ns then. */
bool grpc_retry_info(const char *header, uint64_t *delay_ns);

#endif
