#include "format/shown.h"

#include <errno.h>
#include <stdlib.h>

#include "format/summary.h"
#include "profile/unit.h"

static bool add_stack(struct shown *shown, size_t sample, const uint32_t *first_of,
                      enum shown_nodes nodes)
{
    profile_id stack = profile_get_sample(shown->profile, sample).stack;
    size_t depth = frame_table_expand(&shown->frames, profile_get_stack(shown->profile, stack),
                                      shown->path);
    uint32_t node = 0;
    for (size_t i = 0; i < depth; i++) {
        uint32_t frame = shown->path[i];
        if (nodes == SHOWN_FUNCTIONS)
            frame = first_of[shown->frames.frames[frame].function];
        uint32_t number = pair_map_of(&shown->nodes, node, frame);
        if (number == PAIR_MAP_NONE)
            return false;
        node = number + 1;
    }
    shown->node_of[sample - shown->first] = node;
    return true;
}

static bool add_stacks(struct shown *shown, enum shown_nodes nodes)
{
    uint32_t *first_of = calloc(shown->frames.function_count + 1, sizeof(*first_of));
    bool whole = first_of != NULL;
    for (uint32_t i = shown->frames.frame_count; whole && i-- > 0;)
        first_of[shown->frames.frames[i].function] = i;
    for (size_t i = shown->first; whole && i < shown->end; i++)
        whole = add_stack(shown, i, first_of, nodes);
    free(first_of);
    return whole;
}

int shown_init(struct shown *shown, const struct profile *profile, enum shown_nodes nodes)
{
    *shown = (struct shown){.profile = profile};
    if (profile_sample_count(profile) == 0)
        return -ENODATA;
    shown->column = profile_default_column(profile);
    const size_t sheet = profile_column_sheet(profile, shown->column);
    shown->first = profile_first_sample(profile, sheet);
    shown->end = profile_first_sample(profile, sheet + 1);
    int status = frame_table_init(&shown->frames, profile, FRAMES_OF_PROGRAM);
    if (status != 0) {
        shown->frames = (struct frame_table){0};
        return status;
    }
    shown->path = malloc((frame_table_deepest(&shown->frames) + 1) * sizeof(*shown->path));
    shown->node_of = calloc(shown->end - shown->first + 1, sizeof(*shown->node_of));
    if (shown->path == NULL || shown->node_of == NULL || !add_stacks(shown, nodes))
        return -ENOMEM;
    return 0;
}

void shown_free(struct shown *shown)
{
    if (shown->frames.profile != NULL)
        frame_table_free(&shown->frames);
    pair_map_free(&shown->nodes);
    free(shown->node_of);
    free(shown->path);
}

int64_t shown_value(const struct shown *shown, size_t sample)
{
    struct profile_sample of = profile_get_sample(shown->profile, sample);
    int64_t value = profile_value(shown->profile, &of, shown->column);
    return value > 0 ? value : 0;
}

const struct frame *shown_leaf(struct shown *shown, size_t sample)
{
    profile_id stack = profile_get_sample(shown->profile, sample).stack;
    size_t depth = frame_table_expand(&shown->frames, profile_get_stack(shown->profile, stack),
                                      shown->path);
    return depth > 0 ? &shown->frames.frames[shown->path[depth - 1]] : NULL;
}

int64_t shown_nanoseconds(const struct shown *shown)
{
    const struct unit *unit = unit_find(profile_unit(shown->profile, shown->column));
    return unit != NULL && unit->kind == UNIT_TIME ? unit->factor : 0;
}
