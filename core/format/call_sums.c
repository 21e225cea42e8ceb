#include "format/call_sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/summary.h"
#include "profile/clamp.h"

static void add(const struct call_sums *sums, int64_t *to, size_t row, const int64_t *values)
{
    for (size_t i = 0; i < sums->width; i++)
        to[row * sums->width + i] = clamp_add(to[row * sums->width + i], values[i]);
}

/* Room for one more call; what is new is 0. */
static bool reserve_call(struct call_sums *sums)
{
    if (sums->calls.count < sums->call_room)
        return true;
    const uint32_t old = sums->call_room, room = old + old / 2 + 256;
    const size_t row = sums->width * sizeof(*sums->passed);
    int64_t *passed = realloc(sums->passed, room * row);
    sums->passed = passed != NULL ? passed : sums->passed;
    int64_t *self = realloc(sums->passed_self, room * row);
    sums->passed_self = self != NULL ? self : sums->passed_self;
    uint32_t *seen = realloc(sums->seen_call, room * sizeof(*seen));
    sums->seen_call = seen != NULL ? seen : sums->seen_call;
    if (passed == NULL || self == NULL || seen == NULL)
        return false;
    memset(passed + old * sums->width, 0, (room - old) * row);
    memset(self + old * sums->width, 0, (room - old) * row);
    memset(seen + old, 0, (room - old) * sizeof(*seen));
    sums->call_room = room;
    return true;
}

static bool add_call(struct call_sums *sums, uint32_t caller, uint32_t callee, bool leaf,
                     uint32_t stack, const int64_t *values)
{
    if (!reserve_call(sums))
        return false;
    uint32_t call = pair_map_of(&sums->calls, caller, callee);
    if (call == PAIR_MAP_NONE)
        return false;
    if (sums->seen_call[call] != stack)
        add(sums, sums->passed, call, values);
    sums->seen_call[call] = stack;
    if (leaf)
        add(sums, sums->passed_self, call, values);
    return true;
}

static bool add_sample(struct call_sums *sums, size_t sample, uint32_t stack, bool by_line)
{
    struct profile_sample of = profile_get_sample(sums->profile, sample);
    size_t depth = frame_table_expand(&sums->frames, profile_get_stack(sums->profile, of.stack),
                                      sums->path);
    for (size_t i = 0; i < depth; i++) {
        uint32_t frame = sums->path[i], function = sums->frames.frames[frame].function;
        if (sums->seen_function[function] != stack)
            add(sums, sums->whole, function, of.values);
        sums->seen_function[function] = stack;
        if (i + 1 == depth)
            add(sums, sums->self, frame, of.values);
        if (i == 0)
            continue;
        uint32_t above = sums->path[i - 1];
        uint32_t caller = by_line ? above : sums->frames.frames[above].function;
        if (!add_call(sums, caller, function, i + 1 == depth, stack, of.values))
            return false;
    }
    return true;
}

static bool make_room(struct call_sums *sums)
{
    const size_t frames = sums->frames.frame_count, functions = sums->frames.function_count;
    sums->path = malloc((frame_table_deepest(&sums->frames) + 1) * sizeof(*sums->path));
    sums->self = calloc((frames + 1) * sums->width, sizeof(*sums->self));
    sums->whole = calloc((functions + 1) * sums->width, sizeof(*sums->whole));
    sums->seen_function = calloc(functions + 1, sizeof(*sums->seen_function));
    sums->first_frame = calloc(functions + 2, sizeof(*sums->first_frame));
    if (sums->path == NULL || sums->self == NULL || sums->whole == NULL ||
        sums->seen_function == NULL || sums->first_frame == NULL)
        return false;
    for (size_t i = frames; i-- > 0;)
        sums->first_frame[sums->frames.frames[i].function] = (uint32_t)i;
    sums->first_frame[functions] = (uint32_t)frames;
    return true;
}

int call_sums_init(struct call_sums *sums, const struct profile *profile, bool by_line)
{
    *sums = (struct call_sums){.profile = profile};
    if (profile_sample_count(profile) == 0)
        return -ENODATA;
    sums->sheet = profile_column_sheet(profile, profile_default_column(profile));
    for (size_t i = 0; i < profile_value_count(profile); i++)
        sums->width += profile_column_sheet(profile, i) == sums->sheet;
    int status = frame_table_init(&sums->frames, profile, FRAMES_OF_PROGRAM);
    if (status != 0) {
        sums->frames = (struct frame_table){0};
        return status;
    }
    if (!make_room(sums))
        return -ENOMEM;
    const size_t end = profile_first_sample(profile, sums->sheet + 1);
    uint32_t stack = 0;
    for (size_t i = profile_first_sample(profile, sums->sheet); i < end; i++)
        if (!add_sample(sums, i, ++stack, by_line))
            return -ENOMEM;
    return 0;
}

void call_sums_free(struct call_sums *sums)
{
    if (sums->frames.profile != NULL)
        frame_table_free(&sums->frames);
    pair_map_free(&sums->calls);
    free(sums->self);
    free(sums->whole);
    free(sums->passed);
    free(sums->passed_self);
    free(sums->first_frame);
    free(sums->path);
    free(sums->seen_function);
    free(sums->seen_call);
}
