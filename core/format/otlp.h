/*
 * What the two halves of OTLP agree on. The rules are those of proto/profiles.proto plus what
 * receivers were found to want: see docs/formats.md.
 */
#ifndef CPROF_FORMAT_OTLP_H
#define CPROF_FORMAT_OTLP_H

#include <stdbool.h>

#include "format/format.h"

#define OTLP_SCOPE "cprof"
#define OTLP_BUILD_ID "process.executable.build_id.gnu"
#define OTLP_HTLHASH "process.executable.build_id.htlhash"

/* Is the JSON OTLP's? */
bool otlp_detect_json(const unsigned char *data, size_t size);

/* Appends the profile's resource as field 1 of a message, where ResourceProfiles and
 * ProcessContext both have theirs. 0 or -ENOMEM. */
int otlp_write_resource(const struct profile *p, struct buffer *out);

/* struct format's read. */
int otlp_read(const unsigned char *data, size_t size, struct profile *sum,
              char error[FORMAT_ERROR_SIZE]);

#endif
