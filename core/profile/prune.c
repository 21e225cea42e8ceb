#include "profile/prune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/carry.h"
#include "profile/pattern.h"

enum fate { FATE_STAYS, FATE_GOES, FATE_BENEATH /* what it called goes */ };

struct pruning {
    const struct profile *from;
    struct pattern *drop, *keep; /* keep may be NULL */
    unsigned char *fates;        /* by location: enum fate */
    uint32_t *first_line;        /* by location: lines that go */
};

bool profile_has_prune(const struct profile *p)
{
    return profile_header_const(p)->drop_frames != 0;
}

size_t prune_simple_name(const char **name, size_t length)
{
    static const char *const reserved[] = {"(anonymous namespace)", "operator()"};
    const size_t count = sizeof(reserved) / sizeof(*reserved);
    if (length > 0 && **name == '.') {
        ++*name;
        length--;
    }
    for (size_t at = 0; at < length;) {
        size_t known = 0;
        for (size_t i = 0; i < count && known == 0; i++)
            if (length - at >= strlen(reserved[i]) &&
                memcmp(*name + at, reserved[i], strlen(reserved[i])) == 0)
                known = strlen(reserved[i]);
        if (known == 0 && (*name)[at] == '(')
            return at;
        at += known != 0 ? known : 1;
    }
    return length;
}

static bool is_dropped(const struct pruning *p, profile_id function)
{
    profile_id id = profile_get_function(p->from, function)->name;
    const char *name = profile_text(p->from, id);
    size_t length = prune_simple_name(&name, profile_text_length(p->from, id));
    return id != 0 && pattern_matches(p->drop, name, length) &&
           (p->keep == NULL || !pattern_matches(p->keep, name, length));
}

/* The outermost function that matches decides. */
static void judge(struct pruning *p, const unsigned char *dropped)
{
    for (profile_id id = 1; id < profile_location_count(p->from); id++) {
        const struct profile_location *location = profile_get_location(p->from, id);
        uint32_t line = location->line_count;
        while (line > 0 && !dropped[location->lines[line - 1].function])
            line--;
        if (line == 0)
            continue;
        bool whole = line == location->line_count;
        p->fates[id] = whole ? FATE_GOES : FATE_BENEATH;
        p->first_line[id] = whole ? 0 : line;
    }
}

/* Those that stay of a stack, from the root on: carrier's choice. */
static uint32_t keep_frames(const void *closure, struct profile_stack stack, profile_id *frames)
{
    const struct pruning *p = closure;
    bool found = false; /* one that stays */
    uint32_t depth = stack.depth;
    for (uint32_t i = stack.depth; i-- > 0 && depth == stack.depth;) {
        enum fate fate = p->fates[stack.locations[i]];
        if (fate == FATE_STAYS)
            found = true;
        else if (found)
            depth = stack.depth - i - (fate == FATE_GOES);
    }
    memcpy(frames, stack.locations + (stack.depth - depth), depth * sizeof(*frames));
    return depth;
}

/* carrier's too */
static bool keep_line(const void *closure, profile_id location, uint32_t line)
{
    const struct pruning *p = closure;
    return line >= p->first_line[location];
}

static int prune(struct pruning *p, struct profile **pruned)
{
    const size_t functions = profile_function_count(p->from);
    unsigned char *dropped = calloc(functions, 1);
    p->fates = calloc(profile_location_count(p->from), sizeof(*p->fates));
    p->first_line = calloc(profile_location_count(p->from), sizeof(*p->first_line));
    struct profile *to = profile_new_like(p->from, NULL);
    int status = -ENOMEM;
    if (dropped != NULL && p->fates != NULL && p->first_line != NULL && to != NULL) {
        for (profile_id id = 1; id < functions; id++)
            dropped[id] = is_dropped(p, id);
        judge(p, dropped);
        const struct carry_rules how = {
            .choose = keep_frames, .keeps = keep_line, .closure = p};
        status = carry_samples(to, p->from, &how);
    }
    free(dropped);
    free(p->fates);
    free(p->first_line);
    if (status == 0)
        *pruned = to;
    else
        profile_free(to);
    return status;
}

int profile_prune(const struct profile *source, struct profile **pruned)
{
    const struct profile_header *header = profile_header_const(source);
    struct pruning p = {.from = source};
    *pruned = NULL;
    int status = pattern_new(profile_text(source, header->drop_frames), &p.drop);
    if (status == 0 && header->keep_frames != 0)
        status = pattern_new(profile_text(source, header->keep_frames), &p.keep);
    if (status == 0)
        status = prune(&p, pruned);
    pattern_free(p.drop);
    pattern_free(p.keep);
    return status;
}
