/*
 * OTLP as JSON, as the Collector's file exporter writes it: one or more ProfilesData, one after
 * the other. It becomes the binary encoding, so that there is one reader of OTLP. Names are
 * matched with those of proto/profiles.proto; what those do not have is skipped, and so are
 * lists and maps as values, and bytes but for ids. Untrusted input; no state.
 */
#ifndef CPROF_FORMAT_OTLP_JSON_H
#define CPROF_FORMAT_OTLP_JSON_H

#include "format/format.h"

/* Appends each message to `frames` as otlp_first_frame() takes it. 0 or a negative errno with a
 * line in `error`. */
int otlp_json_frames(const unsigned char *data, size_t size, struct buffer *frames,
                     char error[FORMAT_ERROR_SIZE]);

#endif
