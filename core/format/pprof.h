/*
 * What the two halves of pprof agree on: where the things are kept that pprof has no field
 * for. docs/formats.md tells users the same.
 *
 * - The frame type is in the mapping. An interpreted frame (and a native or kernel one without
 *   a mapping) points to a mapping without addresses whose file is the type's name in
 *   brackets: "[cpython]". pprof's own tools take brackets as "nothing to symbolize here". A
 *   frame of a real mapping is native, of one whose file begins with "[kernel" kernel.
 * - The htlhash is the build id, after "htlhash:", where there is no GNU one.
 * - The link is in the labels trace_id and span_id.
 * - Attributes are comments: "key=value" of the process, "profile:key=value" of the profile.
 *   A value of digits is a number; text that looks like one, or begins with a quote, stands in
 *   quotes. What does not look like an attribute is a comment.
 */
#ifndef CPROF_FORMAT_PPROF_H
#define CPROF_FORMAT_PPROF_H

#include "format/format.h"

#define PPROF_TRACE_ID "trace_id"
#define PPROF_SPAN_ID "span_id"
#define PPROF_PROFILE_PREFIX "profile:"
#define PPROF_HTLHASH_PREFIX "htlhash:"
#define PPROF_HTLHASH_MAX 64 /* characters, the prefix included */
#define PPROF_KERNEL_PREFIX "[kernel"

/* What may stand in the key of an attribute. */
#define PPROF_KEY_CHARACTERS                                                                   \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"

/* struct format's read. */
int pprof_read(const unsigned char *data, size_t size, struct profile *sum,
               char error[FORMAT_ERROR_SIZE]);

#endif
