#include "profile/carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    c->lines = malloc((extent.lines + PROFILE_NAMING_LINES) * sizeof(*c->lines));
    c->labels = malloc((extent.labels + PROFILE_MAX_EXTRA) * sizeof(*c->labels));
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
        c->places[i] = (struct profile_place){i, 1};
    if (carrier_init_maps(c) && carrier_init_payload(c))
        return 0;
    carrier_free(c);
    return -ENOMEM;
}

void carrier_relabel(struct carrier *c, const struct profile_label *extra, size_t count)
{
    c->extra = extra;
    c->extra_count = count;
    memset(c->label_sets, 0, profile_label_set_count(c->from) * sizeof(*c->label_sets));
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
    if (c->naming != NULL && c->naming->knows(c->naming->closure, id))
        copy.symbols = 0;
    return c->mappings[id] = profile_mapping(c->to, &copy);
}

void carry_program(struct carrier *c)
{
    if (profile_mapping_count(c->from) > 1 && profile_mapping_count(c->to) == 1)
        carry_mapping(c, 1);
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
    uint32_t count = 0;
    if (c->naming != NULL && c->naming->nameless(c->naming->closure, &copy))
        count = c->naming->name(c->naming->closure, &copy, c->to, c->lines);
    bool named = count > 0;
    for (uint32_t i = 0; i < copy.line_count && !named; i++) {
        if (c->keeps != NULL && !c->keeps(c->closure, id, i))
            continue;
        c->lines[count] = copy.lines[i];
        c->lines[count].function = carry_function(c, copy.lines[i].function);
        count++;
    }
    copy.line_count = count;
    copy.lines = c->lines;
    copy.other_type = carry_string(c, copy.other_type);
    copy.mapping = carry_mapping(c, copy.mapping);
    return c->locations[id] = profile_location(c->to, &copy);
}

profile_id carry_stack(struct carrier *c, profile_id id)
{
    if (id == 0 || c->stacks[id] != 0)
        return c->stacks[id];
    struct profile_stack stack = profile_get_stack(c->from, id);
    uint32_t depth = stack.depth;
    if (c->choose != NULL)
        depth = c->choose(c->closure, stack, c->frames);
    else
        memcpy(c->frames, stack.locations, depth * sizeof(*c->frames));
    for (uint32_t i = 0; i < depth; i++)
        c->frames[i] = carry_location(c, c->frames[i]);
    return c->stacks[id] = profile_stack(c->to, c->frames, depth);
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

bool profile_keys_have(const struct profile_keys *keys, const char *key)
{
    for (size_t i = 0; keys != NULL && i < keys->count; i++)
        if (strcmp(keys->list[i], key) == 0)
            return true;
    return false;
}

static bool has_key(const struct profile_label *labels, size_t count, profile_id key)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i].key == key)
            return true;
    return false;
}

profile_id carry_labels(struct carrier *c, profile_id id)
{
    if (c->label_sets[id] != 0 || (id == 0 && c->extra_count == 0))
        return c->label_sets[id];
    struct profile_label_set set = profile_get_labels(c->from, id);
    size_t count = 0;
    for (uint32_t i = 0; i < set.count; i++)
        if (!profile_keys_have(c->without, profile_text(c->from, set.labels[i].key)))
            c->labels[count++] = carry_label(c, &set.labels[i]);
    const size_t own = count;
    for (size_t i = 0; i < c->extra_count; i++)
        if (!has_key(c->labels, own, c->extra[i].key)) /* the sample's own wins */
            c->labels[count++] = c->extra[i];
    return c->label_sets[id] = profile_all_labels(c->to, c->labels, count);
}

int carry_values(struct carrier *c, size_t column, const struct profile_sample *sample,
                 const int64_t *values)
{
    profile_id stack = carry_stack(c, sample->stack);
    profile_id link = carry_link(c, sample->link);
    profile_id labels = carry_labels(c, sample->labels);
    return profile_add_row(c->to, column, stack, link, labels, values);
}

int carry_sample(struct carrier *c, const struct profile_sample *sample)
{
    int64_t values[PROFILE_MAX_VALUES] = {0};
    const size_t count = profile_value_count(c->from);
    size_t first = 0, used = 0; /* of its columns; the first in the target */
    for (size_t i = 0; i < count; i++) {
        if (profile_column_sheet(c->from, i) != sample->sheet)
            continue;
        if (used == 0)
            first = c->places[i].column;
        profile_put(values, c->places[i], sample->values[used++]);
    }
    return carry_values(c, first, sample, values);
}

int carry_samples(struct profile *to, const struct profile *from, const struct carry_rules *how)
{
    struct carrier c;
    int status = carrier_init(&c, to, from);
    if (status != 0)
        return status;
    c.keeps = how->keeps;
    c.choose = how->choose;
    c.closure = how->closure;
    carry_program(&c);
    for (size_t i = 0; i < profile_sample_count(from); i++) {
        const struct profile_sample sample = profile_get_sample(from, i);
        if (how->wants == NULL || how->wants(how->closure, &sample))
            carry_sample(&c, &sample);
    }
    carrier_free(&c);
    return profile_error(to);
}
