/*
 * Files of many OTLP messages, as the Collector's file exporter writes them: each after its
 * length in four bytes, the first the highest. No message begins with a byte 0, as every length
 * below 16 MiB does; a longer one is recognized by its length. Untrusted input; no state.
 */
#ifndef CPROF_FORMAT_OTLP_FRAMES_H
#define CPROF_FORMAT_OTLP_FRAMES_H

#include "format/wire.h"

/* Takes the next message of such a file. False: there is no whole one. */
bool otlp_next_frame(struct wire_cursor *file, struct wire_cursor *message);

/* The first message of a file that may be one. False: it is none. */
bool otlp_first_frame(const unsigned char *data, size_t size, struct wire_cursor *message);

void otlp_put_frame(struct buffer *frames, const struct buffer *message);

#endif
