/*
 * What readers of foreign formats share: the profile that they add to, how its columns are
 * named, and how much they may make of their input.
 *
 * intake_read() opens one and closes it; a reader gives `head` its columns and all that stands
 * once, begins, and adds samples. A stack that lies in the input as a chain of parents can
 * be far larger than what it is made of, so frames are counted: 16 for each byte of the input,
 * or 16 million, whichever is more, in all samples together; what has more is refused.
 *
 * Owned by one reader; not locked.
 */
#ifndef CPROF_FORMAT_INTAKE_H
#define CPROF_FORMAT_INTAKE_H

#include "format/batch.h"
#include "format/format.h"
#include "format/slice.h"
#include "profile/combine.h"

struct intake {
    struct profile *sum;  /* what is added to; the caller's */
    struct profile *head; /* without samples */
    char *error;
    struct profile_place places[PROFILE_MAX_VALUES]; /* in the sum, by column of the head */
    struct batch batch;
    size_t frames_left;
};

/* struct format's read for a reader of bytes that are packed by gzip or not. */
int intake_read(const unsigned char *data, size_t size, struct profile *sum,
                int (*read)(struct intake *intake, struct slice bytes),
                char error[FORMAT_ERROR_SIZE]);

/* Adds a column to the head's first sheet. */
int intake_column(struct intake *intake, const char *type, const char *unit);

/* The head has all of its columns. 0, or a negative errno with its line. */
int intake_begin(struct intake *intake);

/* Room for the frames of the next sample, leaf first; NULL: no more of them, see intake_add().
 */
profile_id *intake_frames(struct intake *intake, size_t depth);

/* Adds a sample whose `depth` frames lie where intake_frames() said, with a value for each
 * column of the head. `frames` NULL: refuses, with the line that says why there were none. */
int intake_add(struct intake *intake, const profile_id *frames, size_t depth, profile_id labels,
               const int64_t *values);

/* The label set of a thread; an empty name and an id of 0 are not known. */
profile_id intake_thread(struct intake *intake, struct slice name, int64_t id);

#endif
