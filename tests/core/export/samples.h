/* Small profiles for tests, and what is in them. */
#ifndef TESTS_EXPORT_SAMPLES_H
#define TESTS_EXPORT_SAMPLES_H

#include "profile/profile.h"

/* One sample of `count` on the stack main;work, and as many nanoseconds times 10 ms. */
struct profile *make_profile(int64_t count, struct budget *budget);

/* The sum of the first value of all samples. */
int64_t sample_total(const struct profile *profile);

/* The same of an encoded profile; -1 when it can't be read. */
int64_t encoded_total(const unsigned char *bytes, size_t size);
int64_t file_total(const char *path);

/* Standard error goes to a file from here on; captured() ends that and returns what was
 * written, to be freed. */
void capture_errors(void);
char *captured_errors(void);

#endif
