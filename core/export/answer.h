/*
 * What an OTLP server says in its body. Two protobuf messages matter, and both are a number
 * in field 1 and a text in field 2: google.rpc.Status {code, message} in an error, and
 * ExportProfilesPartialSuccess {rejected_profiles, error_message}, which is field 1 of a
 * success. Bodies are untrusted: whatever they hold, nothing outside them is read.
 * Thread-safe: no state.
 */
#ifndef CPROF_EXPORT_ANSWER_H
#define CPROF_EXPORT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_TEXT_SIZE 200

struct answer {
    int64_t number;
    char text[ANSWER_TEXT_SIZE]; /* printable ASCII; bounded */
};

/* Both return false when the bytes are no such message. An empty one is: {0, ""}. */
bool answer_status(const void *body, size_t size, struct answer *answer);
bool answer_partial_success(const void *body, size_t size, struct answer *answer);

/* Copies foreign text so that it can stand in a log line: what is not printable ASCII becomes
 * '?', and it is cut to the room there is. */
void answer_printable(char *to, size_t to_size, const void *text, size_t length);

#endif
