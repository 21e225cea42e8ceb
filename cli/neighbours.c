#include "neighbours.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/clamp.h"

struct count {
    int64_t value;
    size_t last_sample; /* that counted, from 1 */
};

struct counting {
    const struct report *report;
    uint32_t function;                     /* whose neighbours */
    struct count *counts[NEIGHBOUR_SIDES]; /* by function */
    uint32_t *frames;                      /* a stack on its way */
};

static void count_pair(struct counting *c, uint32_t caller, uint32_t callee, size_t sample,
                       int64_t value)
{
    const uint32_t others[NEIGHBOUR_SIDES] = {caller, callee};
    if (caller == callee)
        return;
    for (enum neighbour_side side = 0; side < NEIGHBOUR_SIDES; side++) {
        struct count *count = &c->counts[side][others[side]];
        if (others[!side] != c->function || count->last_sample == sample)
            continue;
        count->value = clamp_add(count->value, value);
        count->last_sample = sample;
    }
}

static void count_all(struct counting *c)
{
    const struct frame_table *table = &c->report->frames;
    const struct profile *profile = c->report->profile;
    for (size_t i = 0; i < profile_sample_count(profile); i++) {
        struct profile_sample sample = profile_get_sample(profile, i);
        int64_t value = profile_value(profile, &sample, c->report->summary.column);
        struct profile_stack stack = profile_get_stack(profile, sample.stack);
        size_t depth = value ? frame_table_expand(table, stack, c->frames) : 0;
        for (size_t k = 1; k < depth; k++)
            count_pair(c, table->frames[c->frames[k - 1]].function,
                       table->frames[c->frames[k]].function, i + 1, value);
    }
}

static int compare(const void *left, const void *right)
{
    const struct neighbour *a = left, *b = right;
    if (a->value != b->value)
        return a->value > b->value ? -1 : 1;
    return strcmp(a->row->name, b->row->name);
}

static int list_side(struct neighbours *neighbours, const struct counting *c,
                     enum neighbour_side side)
{
    size_t count = 0;
    struct neighbour *list = calloc(c->report->row_count + 1, sizeof(*list));
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < c->report->row_count; i++) {
        const struct report_row *row = &c->report->rows[i];
        int64_t value = c->counts[side][row->function].value;
        if (value)
            list[count++] = (struct neighbour){row, value};
    }
    qsort(list, count, sizeof(*list), compare);
    neighbours->list[side] = list;
    neighbours->count[side] = count;
    return 0;
}

int neighbours_make(struct neighbours *neighbours, const struct report *report,
                    const struct report_row *row)
{
    const size_t functions = (size_t)report->frames.function_count + 1;
    struct counting c = {
        .report = report,
        .function = row->function,
        .counts = {calloc(functions, sizeof(struct count)),
                   calloc(functions, sizeof(struct count))},
        .frames = calloc(frame_table_deepest(&report->frames) + 1, sizeof(*c.frames)),
    };
    int status = c.counts[0] && c.counts[1] && c.frames ? 0 : -ENOMEM;
    *neighbours = (struct neighbours){0};
    if (!status)
        count_all(&c);
    for (enum neighbour_side side = 0; !status && side < NEIGHBOUR_SIDES; side++)
        status = list_side(neighbours, &c, side);
    free(c.counts[0]);
    free(c.counts[1]);
    free(c.frames);
    if (status)
        neighbours_free(neighbours);
    return status;
}

void neighbours_free(struct neighbours *neighbours)
{
    for (enum neighbour_side side = 0; side < NEIGHBOUR_SIDES; side++)
        free(neighbours->list[side]);
    *neighbours = (struct neighbours){0};
}
