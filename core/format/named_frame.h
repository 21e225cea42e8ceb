/*
 * A frame as other profilers tell of it: a function's name, and as much of its place as they
 * know. What readers of foreign formats make locations of.
 */
#ifndef CPROF_FORMAT_NAMED_FRAME_H
#define CPROF_FORMAT_NAMED_FRAME_H

#include "format/slice.h"
#include "profile/profile.h"

#define NAMED_FRAME_UNKNOWN "[unknown]"

struct named_frame {
    struct slice name; /* empty: nobody knows; the address stands for it if there is one */
    struct slice file, module; /* the source; the shared object */
    int64_t line, column;      /* 0 = unknown */
    int64_t start_line;        /* on which the function begins */
    uint64_t address;
    enum cprof_frame_type type;
};

/* Its location; 0 with profile_error(): out of memory. */
profile_id named_frame_intern(struct profile *p, const struct named_frame *frame);

/* The type that a source file's name tells. */
enum cprof_frame_type named_frame_type(struct slice file);

/* Cuts "…:12" into what is before the colon, and the number. False: it has no such end. */
bool named_frame_take_line(struct slice *place, int64_t *line);

#endif
