#include "collect/stacks.h"

#include <stdlib.h>
#include <string.h>

#include "source/source.h"

bool stacks_init(struct stacks *stacks, struct naming *naming, size_t max_frames,
                 const char *directory, _Atomic size_t *copies)
{
    *stacks = (struct stacks){.naming = naming, .max_frames = max_frames};
    stacks->native_names = calloc(max_frames, sizeof *stacks->native_names);
    stacks->frame_names = calloc(max_frames, sizeof *stacks->frame_names);
    stacks->native_starts = calloc(max_frames, sizeof *stacks->native_starts);
    stacks->frame_starts = calloc(max_frames, sizeof *stacks->frame_starts);
    stacks->roles = calloc(max_frames, sizeof *stacks->roles);
    stacks->scratch = calloc(max_frames, sizeof *stacks->scratch);
    stacks->woven = calloc(2 * max_frames, sizeof *stacks->woven);
    stacks->locations = calloc(max_frames + 2, sizeof *stacks->locations);
    return rewalk_init(&stacks->rewalk, directory, copies, max_frames) &&
           stacks->native_names && stacks->frame_names && stacks->native_starts &&
           stacks->frame_starts && stacks->roles && stacks->scratch && stacks->woven &&
           stacks->locations;
}

void stacks_free(struct stacks *stacks)
{
    rewalk_free(&stacks->rewalk);
    free(stacks->native_names);
    free(stacks->frame_names);
    free(stacks->native_starts);
    free(stacks->frame_starts);
    free(stacks->roles);
    free(stacks->scratch);
    free(stacks->woven);
    free(stacks->locations);
}

/* What a record's native frames are known by, on the way. */
struct native {
    const struct native_frame *frames;
    size_t count;
    bool complete; /* down to the thread's first function, or to a base, whatever lies below */
};

/* Names the native frames, up to a base. */
static void name_native(struct stacks *stacks, const struct module_map *map,
                        struct native *native, struct stack *stack)
{
    for (size_t i = 0; i < native->count; i++) {
        const struct name *name = &stacks->native_names[i];
        stacks->native_names[i] = naming_native(stacks->naming, map, native->frames[i].pc);
        stacks->native_starts[i] = name->native;
        stacks->roles[i] = (enum cprof_role)name->role;
        stack->later |= name->later; /* its role may change as well */
        stack->passing |= name->passing;
        if (stacks->roles[i] == CPROF_ROLE_BASE) {
            native->complete = true;
            native->count = i + 1;
        }
    }
}

static void name_frames(struct stacks *stacks, const struct cprof_frame *frames, size_t count,
                        struct stack *stack)
{
    for (size_t i = 0; i < count; i++) {
        const struct name *name = &stacks->frame_names[i];
        stacks->frame_names[i] = naming_frame(stacks->naming, &frames[i]);
        stacks->frame_starts[i] = name->native;
        stack->later |= name->later; /* what it is implemented by may become known as well */
        stack->passing |= name->passing;
    }
}

/* Fills stacks->woven; returns how many there are. */
static size_t weave_both(struct stacks *stacks, const struct record *record,
                         const struct native *native)
{
    const struct weave input = {.native = native->frames,
                                .roles = stacks->roles,
                                .native_count = native->count,
                                .sp = record->sp,
                                .frames = record_frames(record),
                                .frame_count = record->frame_count,
                                .native_starts = stacks->native_starts,
                                .frame_starts = stacks->frame_starts};
    return weave(&input, stacks->scratch, stacks->woven);
}

/* Drops the native frames above the innermost interpreter frame, where there is one. */
static size_t drop_hook(struct stacks *stacks, size_t depth)
{
    size_t first = 0;
    while (first < depth && !stacks->woven[first].interpreted)
        first++;
    if (first == depth)
        return depth;
    memmove(stacks->woven, stacks->woven + first, (depth - first) * sizeof *stacks->woven);
    return depth - first;
}

/* The runtime's own work shows who does it, above the oldest function of it. */
static void show_chore(struct stacks *stacks, struct stack *stack)
{
    struct name chore;
    size_t oldest = stack->depth;
    for (size_t i = 0; i < stack->depth; i++)
        if (!stacks->woven[i].interpreted &&
            stacks->roles[stacks->woven[i].index] == CPROF_ROLE_CHORE)
            oldest = i;
    if (oldest == stack->depth || !naming_chore(stacks->naming, &chore))
        return;
    for (size_t i = 0; i < stack->depth; i++)
        if (stack->locations[i] == chore.location)
            return;
    memmove(&stack->locations[oldest + 2], &stack->locations[oldest + 1],
            (stack->depth - oldest - 1) * sizeof *stack->locations);
    stack->locations[oldest + 1] = chore.location;
    stack->depth++;
}

static void locate(struct stacks *stacks, struct stack *stack)
{
    for (size_t i = 0; i < stack->depth; i++) {
        const struct woven *w = &stacks->woven[i];
        const struct name *name =
            w->interpreted ? &stacks->frame_names[w->index] : &stacks->native_names[w->index];
        stack->failed |= name->failed;
        stack->missed |= name->failed && !w->interpreted;
        stack->locations[i] = name->location;
    }
    show_chore(stacks, stack);
    /* Native frames are off, and the thread runs nothing interpreted. */
    if (stack->depth == 0 && !stack->truncated)
        stack->locations[stack->depth++] = naming_nothing(stacks->naming);
    if (stack->truncated)
        stack->locations[stack->depth++] = naming_truncated(stacks->naming);
}

struct stack stacks_of(struct stacks *stacks, const struct record *record,
                       const struct module_map *map)
{
    struct stack stack = {.locations = stacks->locations};
    struct native native = {.count = record->native_count,
                            .complete = record->native_end == WALK_COMPLETE};
    native.frames =
        rewalk_native(&stacks->rewalk, record, map, &native.count, &native.complete);
    name_native(stacks, map, &native, &stack);
    name_frames(stacks, record_frames(record), record->frame_count, &stack);
    stack.depth = weave_both(stacks, record, &native);
    if (source_at((enum source_number)record->source)->interpreted)
        stack.depth = drop_hook(stacks, stack.depth);
    stack.truncated = !native.complete || !record->frames_complete;
    stack.failed = !native.complete && record->native_end > WALK_FULL;
    if (stack.depth > stacks->max_frames) {
        stack.depth = stacks->max_frames;
        stack.truncated = true;
    }
    locate(stacks, &stack);
    return stack;
}
