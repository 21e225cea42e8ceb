#include "format/row.h"

#include <stdlib.h>

/* A list with room for `count` items of `size`, where `old` may have that already. */
static void *make_room(void *old, size_t *room, size_t count, size_t size)
{
    if (old != NULL && count <= *room)
        return old;
    free(old);
    *room = count < 64 ? 64 : count;
    return count < UINT32_MAX ? calloc(*room, size) : NULL;
}

profile_id *row_frames(struct row *row, size_t count)
{
    row->frames = make_room(row->frames, &row->frame_room, count, sizeof(*row->frames));
    return row->frames;
}

struct profile_line *row_lines(struct row *row, size_t count)
{
    row->lines = make_room(row->lines, &row->line_room, count, sizeof(*row->lines));
    return row->lines;
}

struct profile_label *row_labels(struct row *row, size_t count)
{
    row->labels = make_room(row->labels, &row->label_room, count, sizeof(*row->labels));
    return row->labels;
}

void row_free(struct row *row)
{
    free(row->frames);
    free(row->lines);
    free(row->labels);
}
