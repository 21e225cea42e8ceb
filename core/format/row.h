/*
 * One row of a table on its way from a reader's input into a profile: the lists that
 * profile_stack(), profile_location() and profile_all_labels() copy. They grow to the longest
 * row and serve for all. Owned by one reader; not locked.
 */
#ifndef CPROF_FORMAT_ROW_H
#define CPROF_FORMAT_ROW_H

#include "profile/profile.h"

struct row {
    profile_id *frames;
    struct profile_line *lines;
    struct profile_label *labels;
    size_t frame_room, line_room, label_room;
};

/* Make room for `count`; NULL: out of memory, or more than a profile can hold. What was in them
 * is lost. */
profile_id *row_frames(struct row *row, size_t count);
struct profile_line *row_lines(struct row *row, size_t count);
struct profile_label *row_labels(struct row *row, size_t count);
void row_free(struct row *row);

#endif
