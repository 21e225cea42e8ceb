#include "format/frames.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/frame_type.h"

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* A frame together with the slot it was found in, before equal ones become one. */
struct candidate {
    struct frame frame;
    uint32_t slot;
};

static int compare_functions(const struct frame *a, const struct frame *b)
{
    int order = COMPARE(a->name, b->name);
    if (!order)
        order = COMPARE(a->file, b->file);
    if (!order)
        order = COMPARE(a->apart, b->apart);
    return order || a->name || a->file ? order : COMPARE(a->module, b->module);
}

static int compare_frames(const struct frame *a, const struct frame *b)
{
    int order = compare_functions(a, b);
    if (!order)
        order = COMPARE(a->line, b->line);
    return order ? order : COMPARE(a->module, b->module);
}

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    int order = compare_frames(&a->frame, &b->frame);
    return order ? order : COMPARE(a->slot, b->slot);
}

/* Is the name what a runtime calls a function that has none? It may stand behind that of what
 * the function is in: Cart.total.<locals>.<lambda>. */
static bool nobody_named(const struct profile *profile, profile_id name)
{
    static const char *const ends[] = {"(anonymous)", "<lambda>",   "<genexpr>",
                                       "<listcomp>",  "<dictcomp>", "<setcomp>"};
    const char *text = profile_text(profile, name);
    size_t length = profile_text_length(profile, name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i]);
        if (length >= end && memcmp(text + length - end, ends[i], end) == 0)
            return true;
    }
    return false;
}

/* Where code without a name is: in the module's file where the mapping tells, as "+0x1234" does
 * of named ones, so that several processes' are one; else its address. */
static int64_t place_of(const struct profile *profile, const struct profile_location *location)
{
    const struct profile_mapping *mapping = profile_get_mapping(profile, location->mapping);
    bool within = location->address >= mapping->start && location->address < mapping->limit;
    return (int64_t)(within ? location->address - mapping->start + mapping->file_offset
                            : location->address);
}

static struct frame describe(const struct frame_table *table,
                             const struct profile_location *location,
                             const struct profile_line *line)
{
    const struct profile *profile = table->profile;
    struct frame frame = {
        .module = profile_get_mapping(profile, location->mapping)->filename,
        .type = location->type,
        .other_type = location->other_type,
    };
    if (line) {
        const struct profile_function *function = profile_get_function(profile, line->function);
        frame.name = function->name;
        frame.file = function->filename;
        frame.line = line->line;
        frame.start_line = function->start_line;
        if (table->scope == FRAMES_OF_PROGRAM && nobody_named(profile, function->name))
            frame.apart = function->start_line;
    }
    if (table->scope == FRAMES_OF_PROGRAM && !frame.name && !frame.file)
        frame.apart = place_of(profile, location);
    return frame;
}

/* A location without lines still is a frame, a nameless one; location 0 is none. */
static uint32_t slots_of(const struct profile *profile, profile_id id)
{
    uint32_t lines = profile_get_location(profile, id)->line_count;
    return id == 0 || lines > 0 ? lines : 1;
}

static int number_slots(struct frame_table *table, size_t *total)
{
    size_t locations = profile_location_count(table->profile), slots = 0;
    table->first_slot = calloc(locations + 1, sizeof(*table->first_slot));
    if (!table->first_slot)
        return -ENOMEM;
    for (profile_id id = 0; id < locations; id++) {
        table->first_slot[id] = (uint32_t)slots;
        slots += slots_of(table->profile, id);
    }
    if (slots > UINT32_MAX)
        return -EFBIG;
    table->first_slot[locations] = (uint32_t)slots;
    *total = slots;
    return 0;
}

static void collect(const struct frame_table *table, struct candidate *candidates)
{
    const struct profile *profile = table->profile;
    for (profile_id id = 0; id < profile_location_count(profile); id++) {
        const struct profile_location *location = profile_get_location(profile, id);
        uint32_t first = table->first_slot[id];
        for (uint32_t slot = first; slot < table->first_slot[id + 1]; slot++) {
            const struct profile_line *line =
                location->line_count > 0 ? &location->lines[slot - first] : NULL;
            candidates[slot] = (struct candidate){describe(table, location, line), slot};
        }
    }
}

/* Makes equal candidates one frame and numbers the functions. */
static void intern(struct frame_table *table, struct candidate *candidates, size_t count)
{
    struct frame *frames = table->frames;
    uint32_t kept = 0;
    qsort(candidates, count, sizeof(*candidates), compare_candidates);
    for (size_t i = 0; i < count; i++) {
        const struct frame *frame = &candidates[i].frame;
        const struct frame *last = kept > 0 ? &frames[kept - 1] : NULL;
        if (!last || compare_functions(last, frame))
            table->function_count++;
        if (!last || compare_frames(last, frame)) {
            frames[kept] = *frame;
            frames[kept++].function = table->function_count - 1;
        }
        table->frame_of[candidates[i].slot] = kept - 1;
    }
    table->frame_count = kept;
}

/* "libc.so.6+0x1234" for code of that module that nobody has symbols of, "0x1234" of none, and
 * "[libc.so.6]" where the address is not known or not to be told. */
static const char *make_name(struct frame_table *table, const struct frame *frame)
{
    const char *module = profile_text(table->profile, frame->module);
    const char *slash = strrchr(module, '/'), *end = slash ? slash + 1 : module;
    char *made;
    int length;
    if (!*end && !frame->apart)
        return "[unknown]";
    if (frame->apart)
        length =
            asprintf(&made, "%s%s0x%" PRIx64, end, *end ? "+" : "", (uint64_t)frame->apart);
    else
        length = asprintf(&made, *end == '[' ? "%s" : "[%s]", end);
    if (length < 0)
        return NULL;
    table->made_names[table->made_count++] = made;
    return made;
}

const char *frame_type_of(const struct frame_table *table, const struct frame *frame)
{
    return frame->other_type ? profile_text(table->profile, frame->other_type)
                             : frame_type_name(frame->type);
}

/* Gives every frame its text; those of one function share it. */
static int name_frames(struct frame_table *table)
{
    table->made_names = calloc((size_t)table->function_count + 1, sizeof(*table->made_names));
    if (!table->made_names)
        return -ENOMEM;
    for (uint32_t i = 0; i < table->frame_count; i++) {
        struct frame *frame = &table->frames[i];
        if (i > 0 && frame->function == frame[-1].function) {
            frame->text = frame[-1].text;
            frame->made = frame[-1].made;
        } else {
            size_t made = table->made_count;
            frame->text = frame->name ? profile_text(table->profile, frame->name)
                                      : make_name(table, frame);
            frame->made = table->made_count > made ? (uint32_t)table->made_count : 0;
        }
        if (!frame->text)
            return -ENOMEM;
        frame->text_length = frame->name ? profile_text_length(table->profile, frame->name)
                                         : strlen(frame->text);
    }
    return 0;
}

int frame_table_init(struct frame_table *table, const struct profile *profile,
                     enum frame_scope scope)
{
    *table = (struct frame_table){.profile = profile, .scope = scope};
    size_t slots = 0;
    int status = number_slots(table, &slots);
    struct candidate *candidates = calloc(slots + 1, sizeof(*candidates));
    table->frames = calloc(slots + 1, sizeof(*table->frames));
    table->frame_of = calloc(slots + 1, sizeof(*table->frame_of));
    if (!status && (!candidates || !table->frames || !table->frame_of))
        status = -ENOMEM;
    if (!status) {
        collect(table, candidates);
        intern(table, candidates, slots);
        status = name_frames(table);
    }
    free(candidates);
    if (status)
        frame_table_free(table);
    return status;
}

void frame_table_free(struct frame_table *table)
{
    for (size_t i = 0; i < table->made_count; i++)
        free(table->made_names[i]);
    free(table->made_names);
    free(table->frames);
    free(table->first_slot);
    free(table->frame_of);
    *table = (struct frame_table){0};
}

size_t frame_table_depth(const struct frame_table *table, struct profile_stack stack)
{
    size_t depth = 0;
    for (uint32_t i = 0; i < stack.depth; i++) {
        profile_id location = stack.locations[i];
        depth += table->first_slot[location + 1] - table->first_slot[location];
    }
    return depth;
}

size_t frame_table_deepest(const struct frame_table *table)
{
    size_t deepest = 0;
    for (profile_id id = 0; id < profile_stack_count(table->profile); id++) {
        size_t depth = frame_table_depth(table, profile_get_stack(table->profile, id));
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

/* Stacks stand leaf first, and so do the inlined functions of a location. */
size_t frame_table_expand(const struct frame_table *table, struct profile_stack stack,
                          uint32_t *frames)
{
    size_t depth = 0;
    for (uint32_t i = stack.depth; i-- > 0;) {
        profile_id location = stack.locations[i];
        uint32_t slot = table->first_slot[location + 1];
        while (slot-- > table->first_slot[location])
            frames[depth++] = table->frame_of[slot];
    }
    return depth;
}
