/*
 * What an OTLP server says in its body. Two protobuf messages matter, and both are a number
 * in field 1 and a text in field 2: google.rpc.Status {code, message} in an error, and
 * ExportProfilesPartialSuccess {rejected_profiles, error_message}, which is field 1 of a
 * success. gRPC's Status also carries details (field 3), each a {type, value}. Bodies are
 * untrusted: whatever they hold, nothing outside them is read. Thread-safe: no state.
 */
#ifndef CPROF_EXPORT_ANSWER_H
#define CPROF_EXPORT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_TEXT_SIZE 200
#define ANSWER_LONGEST_WISH 3600 /* seconds that we stay away, whatever a server says */

struct answer {
    int64_t number;
    char text[ANSWER_TEXT_SIZE]; /* printable ASCII; bounded */
};

/* Both return false when the bytes are no such message. An empty one is: {0, ""}. */
bool answer_status(const void *body, size_t size, struct answer *answer);
bool answer_partial_success(const void *body, size_t size, struct answer *answer);

/* True when a google.rpc.Status holds a google.rpc.RetryInfo among its details: how long the
 * server wants to be left alone, 0 for a delay that is missing or negative. */
bool answer_retry_info(const void *body, size_t size, uint64_t *delay_ns);

/* Copies foreign text so that it can stand in a log line: what is not printable ASCII becomes
 * '?', and it is cut to the room there is. */
void answer_printable(char *to, size_t to_size, const void *text, size_t length);

#endif
