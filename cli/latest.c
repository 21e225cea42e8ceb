#include "latest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/combine.h"

#define NAME_SIZE 160

struct latest_process {
    char name[NAME_SIZE];
    struct profile *levels;        /* of its last profile; NULL: it has been given back */
    uint64_t time_ns, duration_ns; /* as of which it is given away; 0: its own */
};

/* What tells processes apart, as far as it says that; "" where it does not. */
static void name_of(const struct profile *p, char name[NAME_SIZE])
{
    static const char *const keys[] = {"service.instance.id", "host.name", "process.pid"};
    bool told = false;
    size_t length = 0;
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++) {
        const struct profile_label *attribute = profile_attribute(p, PROFILE_RESOURCE, i);
        for (size_t k = 0; k < sizeof keys / sizeof *keys && length < NAME_SIZE; k++) {
            if (strcmp(profile_text(p, attribute->key), keys[k]) != 0)
                continue;
            told = told || k != 1;
            length += (size_t)snprintf(name + length, NAME_SIZE - length, "%zu=%s %lld;", k,
                                       profile_text(p, attribute->text),
                                       (long long)attribute->number);
        }
    }
    if (!told)
        name[0] = '\0';
}

static uint64_t end_of(const struct profile *p)
{
    const struct profile_header *header = profile_header_const(p);
    return header->time_ns + header->duration_ns;
}

static void note_end(struct latest *latest, uint64_t end)
{
    if (end > latest->end)
        latest->end = end;
}

/* NULL: no memory. */
static struct latest_process *find(struct latest *latest, const char *name)
{
    for (size_t i = latest->count; i-- > 0;)
        if (strcmp(latest->processes[i].name, name) == 0)
            return &latest->processes[i];
    if (latest->count == latest->capacity) {
        size_t capacity = latest->capacity * 2 + 8;
        void *grown = realloc(latest->processes, capacity * sizeof *latest->processes);
        if (grown == NULL)
            return NULL;
        latest->processes = grown;
        latest->capacity = capacity;
    }
    struct latest_process *added = &latest->processes[latest->count++];
    *added = (struct latest_process){0};
    memcpy(added->name, name, NAME_SIZE);
    return added;
}

/* Takes them out. */
static struct profile *give(struct latest_process *process)
{
    struct profile *levels = process->levels;
    process->levels = NULL;
    if (process->time_ns != 0) {
        profile_header(levels)->time_ns = process->time_ns;
        profile_header(levels)->duration_ns = process->duration_ns;
    }
    return levels;
}

static int give_past(struct latest *latest, struct latest_process *process,
                     const struct profile *later)
{
    struct profile *levels = give(process);
    if (latest->past != NULL)
        return latest->past(latest->past_closure, levels, later);
    profile_free(levels);
    return 0;
}

/* Holds back what `more` has, which is owned from now on, unless the process has later ones. */
static int hold(struct latest *latest, struct latest_process *more)
{
    struct latest_process *process = find(latest, more->name);
    if (process == NULL) {
        profile_free(give(more));
        return -ENOMEM;
    }
    if (process->levels != NULL && end_of(more->levels) < end_of(process->levels))
        return give_past(latest, more, process->levels);
    struct latest_process before = *process;
    *process = *more;
    more->levels = NULL;
    return before.levels != NULL ? give_past(latest, &before, process->levels) : 0;
}

int latest_take(struct latest *latest, struct profile *profile, latest_adder *add,
                void *closure)
{
    struct latest_process process = {.name = ""};
    note_end(latest, end_of(profile));
    if (profile_has_levels(profile))
        name_of(profile, process.name);
    if (process.name[0] == '\0')
        return add(closure, profile);
    struct profile *rest = profile_part(profile, false);
    process.levels = profile_part(profile, true);
    profile_free(profile);
    int status = process.levels != NULL && rest != NULL ? hold(latest, &process) : -ENOMEM;
    if (status == 0)
        return add(closure, rest);
    profile_free(process.levels);
    profile_free(rest);
    return status;
}

void latest_note(struct latest *latest, const struct profile *profile)
{
    note_end(latest, end_of(profile));
}

int latest_take_levels(struct latest *latest, struct profile *levels, latest_adder *add,
                       void *closure)
{
    struct latest_process process = {.levels = levels};
    name_of(levels, process.name);
    return process.name[0] == '\0' ? add(closure, levels) : hold(latest, &process);
}

void latest_cover(struct latest *latest, uint64_t time_ns, uint64_t duration_ns)
{
    for (size_t i = 0; i < latest->count; i++) {
        latest->processes[i].time_ns = time_ns;
        latest->processes[i].duration_ns = duration_ns;
    }
}

int latest_join(struct latest *latest, struct latest *more)
{
    int status = 0;
    note_end(latest, more->end);
    for (size_t i = 0; i < more->count; i++) {
        struct latest_process *process = &more->processes[i];
        if (status == 0 && process->levels != NULL)
            status = hold(latest, process);
    }
    latest_free(more);
    return status;
}

/* It would have been heard of again. */
static bool has_ended(const struct latest *latest, const struct profile *levels)
{
    uint64_t length = profile_header_const(levels)->duration_ns;
    return length > 0 && latest->end - end_of(levels) > 2 * length;
}

int latest_end(struct latest *latest, latest_adder *add, void *closure)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < latest->count; i++) {
        struct latest_process *process = &latest->processes[i];
        status = latest->at_end && has_ended(latest, process->levels)
                     ? give_past(latest, process, NULL)
                     : add(closure, give(process));
    }
    return status;
}

void latest_free(struct latest *latest)
{
    for (size_t i = 0; i < latest->count; i++)
        profile_free(latest->processes[i].levels);
    free(latest->processes);
    *latest = (struct latest){
        .at_end = latest->at_end, .past = latest->past, .past_closure = latest->past_closure};
}
