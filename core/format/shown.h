/*
 * What the formats that hold one value write: the profile's default column, the samples of its
 * sheet, and their stacks as a tree of frames, in which a node's parent has a smaller number.
 * Borrows the profile, which must not change. One encoder.
 */
#ifndef CPROF_FORMAT_SHOWN_H
#define CPROF_FORMAT_SHOWN_H

#include "format/frames.h"
#include "format/pair_map.h"

struct shown {
    const struct profile *profile;
    struct frame_table frames;
    size_t column, first, end; /* and the samples of its sheet */
    struct pair_map nodes;     /* parent + 1, or 0; and the frame */
    uint32_t *node_of;         /* + 1, by sample of the sheet; 0: it has no frames */
    uint32_t *path;            /* of one stack; room for the deepest */
};

/* Nodes are frames, with their lines, or functions: then all lines are the function's first
 * frame. 0 or -errno; to be freed in any case. */
enum shown_nodes { SHOWN_FRAMES, SHOWN_FUNCTIONS };
int shown_init(struct shown *shown, const struct profile *profile, enum shown_nodes nodes);
void shown_free(struct shown *shown);

/* A sample's value; 0 for what is not positive, which has no width. */
int64_t shown_value(const struct shown *shown, size_t sample);

/* The frame that was at work; the stack has one. */
const struct frame *shown_leaf(struct shown *shown, size_t sample);

/* How many nanoseconds one of the column is; 0: it is no time. */
int64_t shown_nanoseconds(const struct shown *shown);

#endif
