#include "collect/weave.h"

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

static bool names_address(const struct cprof_frame *frame)
{
    return frame->stack != CPROF_STACK_INHERIT && frame->stack != CPROF_STACK_BOUNDARY;
}

/* The callers among which that of a frame's native function is looked for, and older frames. */
struct callers {
    size_t low, high; /* low is too young for a caller, high too old */
    uint16_t older;   /* where the next older interpreter frame is shown */
    bool nested;      /* and that one is a native function itself */
};

/* Code that carries calls for the interpreter. Our own hooks, which do not show either, stand
 * in the way of any call. */
static bool carries(enum cprof_role role)
{
    return role == CPROF_ROLE_PLUMBING || role == CPROF_ROLE_INTERPRETER;
}

/* The oldest caller of the function that begins at `start`. One that is plumbing goes first:
 * the function may call itself as well, and others may call it past the interpreter. */
static uint16_t find_caller(const struct weave *in, const struct callers *callers,
                            uintptr_t start)
{
    uint16_t found = NOWHERE;
    for (size_t i = callers->high; i-- > callers->low + 1;) {
        if (in->native_starts[i - 1] != start)
            continue;
        if (carries(in->roles[i]))
            return (uint16_t)i;
        if (found == NOWHERE)
            found = (uint16_t)i;
    }
    return found;
}

/* The oldest plumbing that has called anything shown, or is about to. */
static uint16_t find_plumbing(const struct weave *in, const struct callers *callers)
{
    for (size_t i = callers->high; i-- > callers->low;)
        if (carries(in->roles[i]) &&
            (i == 0 || (i > callers->low && !carries(in->roles[i - 1]))))
            return (uint16_t)i;
    return NOWHERE;
}

/* Frame f is placed: the next younger ones are called by what it runs. */
static struct callers callers_below(const uint16_t *limits, size_t f)
{
    struct callers callers = {.high = (size_t)limits[f] + 1, .older = limits[f]};
    while (f > 0 && limits[f - 1] == NOWHERE)
        f--;
    if (f > 0)
        callers.low = (size_t)limits[f - 1] + 1;
    return callers;
}

/* Where a frame without an address is shown. */
static uint16_t place_unnamed(const struct weave *in, struct callers *callers, size_t f)
{
    uintptr_t start = in->frame_starts != NULL ? in->frame_starts[f] : 0;
    if (start == 0 || in->frames[f].stack != CPROF_STACK_INHERIT)
        return callers->older;
    uint16_t found = find_caller(in, callers, start);
    if (found == NOWHERE && callers->nested)
        found = find_plumbing(in, callers);
    if (found != NOWHERE)
        callers->older = found;
    callers->nested = true;
    if (callers->high > callers->older)
        callers->high = callers->older;
    return callers->older;
}

/* For every interpreter frame, the native frame at which it has to be shown at the latest:
 * its own if it has one, else the caller of the function that implements it, else that of the
 * next older frame which has one, else the root. */
static void find_limits(const struct weave *in, uint16_t *limits)
{
    size_t from = 0;
    for (size_t f = 0; f < in->frame_count; f++) {
        const struct cprof_frame *frame = &in->frames[f];
        limits[f] = names_address(frame) ? place(in, from, frame->stack) : NOWHERE;
        if (limits[f] != NOWHERE)
            from = limits[f];
    }
    struct callers callers = {.older = (uint16_t)in->native_count};
    for (size_t f = in->frame_count; f-- > 0;) {
        if (limits[f] == NOWHERE)
            limits[f] = place_unnamed(in, &callers, f);
        else
            callers = callers_below(limits, f);
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
    return !carries(role) && role != CPROF_ROLE_OWN;
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
        bool replaced = false;
        for (; next < end; next++) {
            replaced |= input->frames[next].stack != CPROF_STACK_INHERIT;
            out[count++] = (struct woven){.interpreted = true, .index = (uint16_t)next};
        }
        if (!replaced && weave_shows(input->roles[i]))
            out[count++] = (struct woven){.interpreted = false, .index = (uint16_t)i};
    }
    for (; next < input->frame_count; next++)
        out[count++] = (struct woven){.interpreted = true, .index = (uint16_t)next};
    return count;
}
