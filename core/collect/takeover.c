#include "collect/takeover.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINES 32 /* functions of one location; the dictionary has fewer */

void takeover_free(struct takeover *takeover)
{
    budget_give(takeover->budget, takeover->count * sizeof *takeover->ids);
    free(takeover->ids);
}

void takeover_forget(struct takeover *takeover)
{
    if (takeover->ids != NULL)
        memset(takeover->ids, 0, takeover->count * sizeof *takeover->ids);
    memset(takeover->functions, 0, sizeof takeover->functions);
    memset(takeover->mappings, 0, sizeof takeover->mappings);
}

/* What had no room is not kept. */
static profile_id keep(struct taken *taken, profile_id from, profile_id to)
{
    if (to != 0)
        *taken = (struct taken){.from = from, .to = to};
    return to;
}

static profile_id take_text(struct profile *to, const struct profile *from, profile_id id)
{
    return profile_string_n(to, profile_text(from, id), profile_text_length(from, id));
}

static profile_id take_mapping(struct takeover *takeover, struct profile *to,
                               const struct profile *from, profile_id id)
{
    struct taken *taken = &takeover->mappings[id % TAKEN_MAPPINGS];
    if (taken->from == id)
        return taken->to; /* of none too */
    struct profile_mapping mapping = *profile_get_mapping(from, id);
    mapping.filename = take_text(to, from, mapping.filename);
    mapping.build_id = take_text(to, from, mapping.build_id);
    mapping.htlhash = take_text(to, from, mapping.htlhash);
    return keep(taken, id, profile_mapping(to, &mapping));
}

static profile_id take_function(struct takeover *takeover, struct profile *to,
                                const struct profile *from, profile_id id)
{
    struct taken *taken = &takeover->functions[id % TAKEN_FUNCTIONS];
    if (taken->from == id)
        return taken->to;
    struct profile_function function = *profile_get_function(from, id);
    function.name = take_text(to, from, function.name);
    function.system_name = take_text(to, from, function.system_name);
    function.filename = take_text(to, from, function.filename);
    return keep(taken, id, profile_function(to, &function));
}

static profile_id take_location(struct takeover *takeover, struct profile *to,
                                const struct profile *from, profile_id id)
{
    struct profile_location location = *profile_get_location(from, id);
    struct profile_line lines[MAX_LINES];
    if (location.line_count > MAX_LINES)
        location.line_count = MAX_LINES;
    for (uint32_t i = 0; i < location.line_count; i++) {
        lines[i] = location.lines[i];
        lines[i].function = take_function(takeover, to, from, lines[i].function);
    }
    location.lines = lines;
    location.mapping = take_mapping(takeover, to, from, location.mapping);
    return profile_location(to, &location);
}

/* Makes the map twice as long as the dictionary. False: no room. */
static bool grow(struct takeover *takeover, const struct profile *dictionary)
{
    size_t count = profile_location_count(dictionary) * 2;
    size_t bytes = (count - takeover->count) * sizeof *takeover->ids;
    if (!budget_take(takeover->budget, bytes))
        return false;
    profile_id *ids = realloc(takeover->ids, count * sizeof *ids);
    if (ids == NULL) {
        budget_give(takeover->budget, bytes);
        return false;
    }
    memset(ids + takeover->count, 0, bytes);
    takeover->ids = ids;
    takeover->count = count;
    return true;
}

profile_id takeover_location(struct takeover *takeover, struct profile *to,
                             const struct profile *dictionary, profile_id id)
{
    if (id >= takeover->count && !grow(takeover, dictionary))
        return take_location(takeover, to, dictionary, id);
    if (takeover->ids[id] == 0)
        takeover->ids[id] = take_location(takeover, to, dictionary, id);
    return takeover->ids[id];
}

profile_id takeover_stack(struct takeover *takeover, struct profile *to,
                          const struct profile *dictionary, const struct stack *stack)
{
    for (size_t i = 0; i < stack->depth; i++)
        stack->locations[i] = takeover_location(takeover, to, dictionary, stack->locations[i]);
    return profile_stack(to, stack->locations, stack->depth);
}
