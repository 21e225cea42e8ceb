#include "format/batch.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM_MIN ((size_t)PROFILE_BATCH * 64)

profile_id *batch_frames(struct batch *batch, size_t depth)
{
    if (batch->frames != NULL && depth <= batch->room - batch->used)
        return batch->frames + batch->used;
    if (batch_flush(batch) != 0 || depth >= UINT32_MAX)
        return NULL;
    if (batch->frames == NULL || depth > batch->room) {
        free(batch->frames);
        batch->room = depth > ROOM_MIN ? depth : ROOM_MIN;
        batch->frames = malloc(batch->room * sizeof(*batch->frames));
    }
    return batch->frames;
}

int batch_add(struct batch *batch, const struct profile_entry *entry)
{
    batch->entries[batch->count++] = *entry;
    batch->used += entry->stack.depth;
    return batch->count < PROFILE_BATCH ? 0 : batch_flush(batch);
}

int batch_flush(struct batch *batch)
{
    int status =
        profile_add_entries(batch->profile, batch->column, batch->entries, batch->count);
    batch->count = batch->used = 0;
    return status;
}

void batch_free(struct batch *batch)
{
    free(batch->frames);
}
