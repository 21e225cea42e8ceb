#include "stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A stack on its way to a number. */
struct entry {
    const uint32_t *functions; /* root first */
    uint32_t depth;
    profile_id stack;
};

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    for (uint32_t i = 0; i < a->depth && i < b->depth; i++)
        if (a->functions[i] != b->functions[i])
            return a->functions[i] < b->functions[i] ? -1 : 1;
    return (a->depth > b->depth) - (a->depth < b->depth);
}

/* Lists every stack of the profile in `entries`, its functions in `steps`. */
static void list_stacks(const struct frame_table *frames, struct entry *entries,
                        uint32_t *steps)
{
    for (profile_id id = 0; id < profile_stack_count(frames->profile); id++) {
        struct profile_stack stack = profile_get_stack(frames->profile, id);
        size_t depth = frame_table_expand(frames, stack, steps);
        for (size_t i = 0; i < depth; i++)
            steps[i] = frames->frames[steps[i]].function;
        entries[id] = (struct entry){steps, (uint32_t)depth, id};
        steps += depth;
    }
}

static size_t text_length(const struct frame *function)
{
    return function->text_length < STACK_TEXT ? function->text_length : STACK_TEXT;
}

/* `functions` has a frame of each function. */
static void append_text(struct buffer *out, const struct entry *entry,
                        const struct frame *const *functions)
{
    uint32_t first = entry->depth;
    for (size_t length = 0; first > 0; first--) {
        length += text_length(functions[entry->functions[first - 1]]) + 1;
        if (length > STACK_TEXT && first < entry->depth)
            break;
    }
    if (first > 0)
        buffer_append(out, "…;", strlen("…;"));
    for (uint32_t i = first; i < entry->depth; i++) {
        const struct frame *function = functions[entry->functions[i]];
        if (i > first)
            buffer_append(out, ";", 1);
        buffer_append(out, function->text, text_length(function));
    }
    buffer_append(out, "", 1);
}

/* Numbers the sorted entries and writes each number's text. */
static int number_entries(struct stacks *stacks, const struct profile *profile,
                          const struct entry *entries, const struct frame *const *functions)
{
    uint32_t number = 0;
    for (size_t i = 0; i < profile_stack_count(profile); i++) {
        if (i == 0 || compare_entries(&entries[i - 1], &entries[i])) {
            number += i > 0;
            stacks->text_at[number] = stacks->texts.size;
            append_text(&stacks->texts, &entries[i], functions);
        }
        stacks->number[entries[i].stack] = number;
    }
    stacks->text_at[number + 1] = stacks->texts.size;
    return stacks->texts.error;
}

int stacks_make(struct stacks *stacks, const struct frame_table *frames)
{
    const struct profile *profile = frames->profile;
    size_t count = profile_stack_count(profile), steps = 0;
    for (profile_id id = 0; id < count; id++)
        steps += frame_table_depth(frames, profile_get_stack(profile, id));
    struct entry *entries = calloc(count + 1, sizeof(*entries));
    uint32_t *steps_of = calloc(steps + 1, sizeof(*steps_of));
    const struct frame **functions =
        calloc((size_t)frames->function_count + 1, sizeof(const struct frame *));
    *stacks = (struct stacks){
        .number = calloc(count, sizeof(*stacks->number)),
        .text_at = calloc(count + 1, sizeof(*stacks->text_at)),
    };
    int status = -ENOMEM;
    if (entries && steps_of && functions && stacks->number && stacks->text_at) {
        for (uint32_t i = 0; i < frames->frame_count; i++)
            functions[frames->frames[i].function] = &frames->frames[i];
        list_stacks(frames, entries, steps_of);
        qsort(entries, count, sizeof(*entries), compare_entries);
        status = number_entries(stacks, profile, entries, functions);
    }
    free(entries);
    free(steps_of);
    free(functions);
    if (status)
        stacks_free(stacks);
    return status;
}

void stacks_free(struct stacks *stacks)
{
    free(stacks->number);
    free(stacks->text_at);
    buffer_free(&stacks->texts);
    *stacks = (struct stacks){0};
}
