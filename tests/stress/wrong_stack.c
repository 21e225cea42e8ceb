#include "wrong_stack.h"

#include <stdio.h>
#include <string.h>

enum {
    FRAMES = 1024,
    ABOVE_ROOT = 2, /* start_thread and clone */
    AROUND = 5,     /* frames printed on either side of a wrong one */
};

struct names {
    const char *list[FRAMES];
    size_t count;
};

static void add(struct names *names, const char *name)
{
    if (names->count < FRAMES)
        names->list[names->count++] = name;
}

static void read_names(const struct profile *profile, profile_id id, struct names *names)
{
    const struct profile_stack stack = profile_get_stack(profile, id);
    names->count = 0;
    for (uint32_t i = 0; i < stack.depth; i++) {
        const struct profile_location *location =
            profile_get_location(profile, stack.locations[i]);
        for (uint32_t j = 0; j < location->line_count; j++) {
            profile_id function = location->lines[j].function;
            add(names, profile_text(profile, profile_get_function(profile, function)->name));
        }
        if (location->line_count == 0)
            add(names, "?");
    }
}

static bool listed(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count && list[i] != NULL; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* Where the stack was cut, or a function of a library that was gone before it was named:
 * "libx.so+0x1234". */
static bool has_no_name(const char *name)
{
    return strcmp(name, "[truncated]") == 0 || strstr(name, ".so+0x") != NULL;
}

static bool call_is_known(const struct known_calls *calls, const char *callee,
                          const char *caller)
{
    for (; calls->callee != NULL; calls++)
        if (strcmp(calls->callee, callee) == 0)
            return listed(calls->callers, sizeof calls->callers / sizeof *calls->callers,
                          caller);
    return true;
}

/* The frames around number `at`, which is wrong. */
static const char *print(const struct names *names, size_t at)
{
    static char text[4096];
    size_t first = at > AROUND ? at - AROUND : 0;
    size_t end = at + AROUND + 2 < names->count ? at + AROUND + 2 : names->count;
    int used = snprintf(text, sizeof text, "frame %zu of %zu:", at, names->count);
    for (size_t i = first; i < end; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s %.150s",
                         i == at ? " >" : "", names->list[i]);
    return text;
}

const char *wrong_stack(const struct profile *profile, profile_id stack,
                        const struct known_calls *calls, const char *const *roots,
                        size_t root_count)
{
    static struct names names;
    read_names(profile, stack, &names);
    for (size_t i = 0; i < names.count; i++) {
        size_t above = names.count - i - 1;
        if (above > 0 && !has_no_name(names.list[i + 1]) &&
            !call_is_known(calls, names.list[i], names.list[i + 1]))
            return print(&names, i);
        if (above > ABOVE_ROOT && listed(roots, root_count, names.list[i]))
            return print(&names, i);
    }
    return NULL;
}
