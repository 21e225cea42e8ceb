/* What tests of the exporter share: small profiles and what is in them, an exporter that has to
 * start, waiting for what comes sooner or later. */
#ifndef TESTS_EXPORT_SAMPLES_H
#define TESTS_EXPORT_SAMPLES_H

#include <unistd.h>

#include "export/exporter.h"
#include "profile/profile.h"
#include "server.h"

/* One sample of `count` on the stack main;work, and as many nanoseconds times 10 ms. */
struct profile *make_profile(int64_t count, struct budget *budget);

/* The sum of the first value of all samples. */
int64_t sample_total(const struct profile *profile);

/* The same of an encoded profile; -1 when it can't be read. */
int64_t encoded_total(const unsigned char *bytes, size_t size);
int64_t file_total(const char *path);

/* Of the profiles that a server was sent, from request `first` on: the sum of their samples,
 * and how many lost ones they tell of (cprof.profiles_dropped). */
int64_t arrived_since(struct server *server, size_t first);
uint64_t told_since(struct server *server, size_t first);

/* Fails the test when it can't be made. */
struct exporter *start_exporter(const struct exporter_options *options);

/* Waits until `condition` holds, for half a minute at most; its value at the end. */
#define WAIT_FOR(condition)                                                                    \
    ({                                                                                         \
        for (int waited = 0; waited < 3000 && !(condition); waited++)                          \
            usleep(10000);                                                                     \
        (condition);                                                                           \
    })

/* Standard error goes to a file from here on; captured() ends that and returns what was
 * written, to be freed. */
void capture_errors(void);
char *captured_errors(void);

#endif
