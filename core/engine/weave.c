#include "engine/weave.h"

#define NOWHERE UINT16_MAX

/* The first native frame from `first` on that holds the address, or NOWHERE. */
static uint16_t place(const struct weave *in, size_t first, uintptr_t address)
{
    for (size_t i = first; i < in->native_count; i++) {
        uintptr_t low = i > 0 ? in->native[i - 1].cfa : in->sp;
        uintptr_t high = in->native[i].cfa;
        /* Behind a signal handler on a stack of its own the callee's end says nothing. */
        if (low > high)
            low = 0;
        if (low <= address && address < high)
            return (uint16_t)i;
    }
    return NOWHERE;
}

/* For every interpreter frame, the native frame at which it has to be shown at the latest:
 * its own if it has one, else that of the next older frame which does, else the root. */
static void find_limits(const struct weave *in, uint16_t *limits)
{
    size_t from = 0;
    for (size_t f = 0; f < in->frame_count; f++) {
        uintptr_t address = in->frames[f].stack;
        bool named = address != CPROF_STACK_INHERIT && address != CPROF_STACK_BOUNDARY;
        limits[f] = named ? place(in, from, address) : NOWHERE;
        if (limits[f] != NOWHERE)
            from = limits[f];
    }
    uint16_t limit = (uint16_t)in->native_count;
    for (size_t f = in->frame_count; f-- > 0;) {
        if (limits[f] == NOWHERE)
            limits[f] = limit;
        limit = limits[f];
    }
}

/* The end of the run of frames from `first` that share its native frame. */
static size_t run_end(const struct weave *in, size_t first)
{
    size_t end = first;
    while (end < in->frame_count && in->frames[end].stack == CPROF_STACK_INHERIT)
        end++;
    return end < in->frame_count ? end + 1 : end;
}

static bool ends_at_boundary(const struct weave *in, size_t first)
{
    size_t end = run_end(in, first);
    return end > first && in->frames[end - 1].stack == CPROF_STACK_BOUNDARY;
}

bool weave_shows(enum cprof_role role)
{
    return role == CPROF_ROLE_PLAIN || role == CPROF_ROLE_BASE;
}

size_t weave(const struct weave *input, uint16_t *scratch, struct woven *out)
{
    const uint16_t *limits = scratch;
    find_limits(input, scratch);
    size_t count = 0;
    size_t next = 0; /* the interpreter frame to show next */
    for (size_t i = 0; i < input->native_count; i++) {
        size_t end = next;
        while (end < input->frame_count && limits[end] == i)
            end++;
        if (end == next && input->roles[i] == CPROF_ROLE_INTERPRETER &&
            ends_at_boundary(input, next))
            end = run_end(input, next);
        bool replaced = end > next;
        for (; next < end; next++)
            out[count++] = (struct woven){.interpreted = true, .index = (uint16_t)next};
        if (!replaced && weave_shows(input->roles[i]))
            out[count++] = (struct woven){.interpreted = false, .index = (uint16_t)i};
    }
    for (; next < input->frame_count; next++)
        out[count++] = (struct woven){.interpreted = true, .index = (uint16_t)next};
    return count;
}
