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

/* Of what a refusal complains, if it names a limit: the size of the profile, so that its halves
 * may be taken, or the number of labels; or something else that has one. Goes by the words that
 * servers use, Pyroscope's above all. */
enum answer_limit {
    ANSWER_NO_LIMIT,
    ANSWER_LIMIT_SIZE,
    ANSWER_LIMIT_LABELS,
    ANSWER_LIMIT_OTHER
};
enum answer_limit answer_limit(const void *text, size_t length);

/* "… has 33 label names; limit 30": how many names one series would have, and how many there
 * may be. False: the text tells no such numbers, or none that make sense. */
struct label_names {
    size_t had, most;
};
bool answer_label_names(const void *text, size_t length, struct label_names *names);

/* Copies foreign text so that it can stand in a log line: what is not printable ASCII becomes
 * '?', and where the room does not suffice its middle becomes "...": what is wrong stands at
 * its end as often as at its beginning. */
void answer_printable(char *to, size_t to_size, const void *text, size_t length);

#endif
