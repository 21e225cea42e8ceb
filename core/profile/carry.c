#include "profile/carry.h"

#include <errno.h>
#include <stdlib.h>

static bool carrier_init_maps(struct carrier *c)
{
    const struct {
        profile_id **map;
        size_t count;
    } parts[] = {
        {&c->strings, profile_string_count(c->from)},
        {&c->mappings, profile_mapping_count(c->from)},
        {&c->functions, profile_function_count(c->from)},
        {&c->locations, profile_location_count(c->from)},
        {&c->stacks, profile_stack_count(c->from)},
        {&c->links, profile_link_count(c->from)},
        {&c->label_sets, profile_label_set_count(c->from)},
    };
    const size_t count = sizeof(parts) / sizeof(*parts);
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += parts[i].count;
    profile_id *map = c->ids = calloc(total, sizeof(*c->ids));
    for (size_t i = 0; map != NULL && i < count; map += parts[i++].count)
        *parts[i].map = map;
    return map != NULL;
}

static bool carrier_init_payload(struct carrier *c)
{
    struct profile_extent extent = profile_extent(c->from);
    c->frames = malloc((extent.depth + 1) * sizeof(*c->frames));
    c->lines = malloc((extent.lines + 1) * sizeof(*c->lines));
    c->labels = malloc((extent.labels + 2) * sizeof(*c->labels));
    return c->frames != NULL && c->lines != NULL && c->labels != NULL;
}

void carrier_free(struct carrier *c)
{
    free(c->ids);
    free(c->frames);
    free(c->lines);
    free(c->labels);
}

int carrier_init(struct carrier *c, struct profile *to, const struct profile *from)
{
    *c = (struct carrier){.from = from, .to = to};
    for (size_t i = 0; i < PROFILE_MAX_VALUES; i++)
        c->column[i] = i;
    if (carrier_init_maps(c) && carrier_init_payload(c))
        return 0;
    carrier_free(c);
    return -ENOMEM;
}

static profile_id carry_string(struct carrier *c, profile_id id)
{
    if (id != 0 && c->strings[id] == 0)
        c->strings[id] = profile_string_n(c->to, profile_text(c->from, id),
                                          profile_text_length(c->from, id));
    return c->strings[id];
}

static profile_id carry_mapping(struct carrier *c, profile_id id)
{
    if (id == 0 || c->mappings[id] != 0)
        return c->mappings[id];
    struct profile_mapping copy = *profile_get_mapping(c->from, id);
    copy.filename = carry_string(c, copy.filename);
    copy.build_id = carry_string(c, copy.build_id);
    copy.htlhash = carry_string(c, copy.htlhash);
    return c->mappings[id] = profile_mapping(c->to, &copy);
}

static profile_id carry_function(struct carrier *c, profile_id id)
{
    if (id == 0 || c->functions[id] != 0)
        return c->functions[id];
    struct profile_function copy = *profile_get_function(c->from, id);
    copy.name = carry_string(c, copy.name);
    copy.system_name = carry_string(c, copy.system_name);
    copy.filename = carry_string(c, copy.filename);
    return c->functions[id] = profile_function(c->to, &copy);
}

static profile_id carry_location(struct carrier *c, profile_id id)
{
    if (c->locations[id] != 0)
        return c->locations[id];
    struct profile_location copy = *profile_get_location(c->from, id);
    for (uint32_t i = 0; i < copy.line_count; i++) {
        c->lines[i] = copy.lines[i];
        c->lines[i].function = carry_function(c, copy.lines[i].function);
    }
    copy.lines = c->lines;
    copy.mapping = carry_mapping(c, copy.mapping);
    return c->locations[id] = profile_location(c->to, &copy);
}

profile_id carry_stack(struct carrier *c, profile_id id)
{
    if (id == 0 || c->stacks[id] != 0)
        return c->stacks[id];
    struct profile_stack stack = profile_get_stack(c->from, id);
    for (uint32_t i = 0; i < stack.depth; i++)
        c->frames[i] = carry_location(c, stack.locations[i]);
    return c->stacks[id] = profile_stack(c->to, c->frames, stack.depth);
}

profile_id carry_link(struct carrier *c, profile_id id)
{
    if (id != 0 && c->links[id] == 0)
        c->links[id] = profile_link(c->to, profile_get_link(c->from, id));
    return c->links[id];
}

static struct profile_label carry_label(struct carrier *c, const struct profile_label *label)
{
    struct profile_label copy = *label;
    copy.key = carry_string(c, copy.key);
    copy.text = carry_string(c, copy.text);
    copy.unit = carry_string(c, copy.unit);
    return copy;
}

static profile_id carry_labels(struct carrier *c, profile_id id)
{
    if (c->label_sets[id] != 0 || (id == 0 && c->extra == NULL))
        return c->label_sets[id];
    struct profile_label_set set = profile_get_labels(c->from, id);
    struct profile_label *next = c->labels;
    if (c->extra != NULL)
        *next++ = *c->extra; /* the first, so that the sample's own wins */
    for (uint32_t i = 0; i < set.count; i++)
        *next++ = carry_label(c, &set.labels[i]);
    return c->label_sets[id] = profile_labels(c->to, c->labels, (size_t)(next - c->labels));
}

int carry_values(struct carrier *c, const struct profile_sample *sample, const int64_t *values)
{
    profile_id stack = carry_stack(c, sample->stack);
    profile_id link = carry_link(c, sample->link);
    profile_id labels = carry_labels(c, sample->labels);
    return profile_add(c->to, stack, link, labels, values);
}

int carry_sample(struct carrier *c, const struct profile_sample *sample)
{
    int64_t values[PROFILE_MAX_VALUES] = {0};
    for (size_t i = 0; i < profile_value_count(c->from); i++)
        values[c->column[i]] = sample->values[i];
    return carry_values(c, sample, values);
}
