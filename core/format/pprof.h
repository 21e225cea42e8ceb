/*
 * What the two halves of pprof agree on: where the things are kept that pprof has no field
 * for. docs/formats.md tells users the same.
 *
 * - The frame type is in the mapping. An interpreted frame (and a native or kernel one without
 *   a mapping) points to a mapping without addresses whose file is the type's name in
 *   brackets: "[cpython]". pprof's own tools take brackets as "nothing to symbolize here". A
 *   frame of a real mapping is native, of one whose file begins with "[kernel" kernel. Types
 *   that cprof does not make ("[go]", "[jvm]") are kept so as well, but for code of a file that
 *   has no name yet.
 * - The htlhash is the build id, after "htlhash:", where there is no GNU one.
 * - The link is in the labels trace_id and span_id.
 * - Attributes are comments: "#key=value" of the process, "#profile:key=value" of the profile.
 *   pprof's tools show a comment above all else unless it begins with "#"; only the service's
 *   name does not. Read back they may have the "#" or not.
 *   A value of digits is a number; text that looks like one, or begins with a quote, stands in
 *   quotes. What does not look like an attribute is a comment.
 */
#ifndef CPROF_FORMAT_PPROF_H
#define CPROF_FORMAT_PPROF_H

#include <stdbool.h>
#include <string.h>

#include "format/format.h"

#define PPROF_TRACE_ID "trace_id"
#define PPROF_SPAN_ID "span_id"
#define PPROF_PROFILE_PREFIX "profile:"
#define PPROF_HIDDEN "#"
#define PPROF_SHOWN "service.name"
#define PPROF_PROGRAM "process.executable.path"
#define PPROF_HTLHASH_PREFIX "htlhash:"
#define PPROF_HTLHASH_MAX 64 /* characters, the prefix included */
#define PPROF_TYPE_MAX 32    /* characters, the brackets included */
#define PPROF_KERNEL_PREFIX "[kernel"

/* What may stand in the key of an attribute. */
#define PPROF_KEY_CHARACTERS                                                                   \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"

/* May the word stand as a frame type? Some are the kernel's names for what lies somewhere. */
static inline bool pprof_is_type(const char *word)
{
    static const char *const places[] = {"vdso",  "vsyscall", "uprobes",
                                         "stack", "heap",     "anon"};
    size_t length = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_");
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (strcmp(places[i], word) == 0)
            return false;
    return length > 0 && length <= PPROF_TYPE_MAX - 3 && word[length] == '\0';
}

/* struct format's read. */
int pprof_read(const unsigned char *data, size_t size, struct profile *sum,
               char error[FORMAT_ERROR_SIZE]);

#endif
