#include "latest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/combine.h"

#define NAME_SIZE 160

struct latest_process {
    char name[NAME_SIZE];
    struct profile *levels; /* of its last profile; NULL: it has been given back */
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

/* Holds them back, which are owned from now on, unless the process has later ones. */
static int hold(struct latest *latest, const char *name, struct profile *levels)
{
    struct latest_process *process = find(latest, name);
    if (process == NULL) {
        profile_free(levels);
        return -ENOMEM;
    }
    bool is_last = process->levels == NULL || end_of(levels) >= end_of(process->levels);
    profile_free(is_last ? process->levels : levels);
    if (is_last)
        process->levels = levels;
    return 0;
}

int latest_take(struct latest *latest, struct profile *profile, latest_adder *add,
                void *closure)
{
    char name[NAME_SIZE] = "";
    note_end(latest, end_of(profile));
    if (profile_has_levels(profile))
        name_of(profile, name);
    if (name[0] == '\0')
        return add(closure, profile);
    struct profile *levels = profile_part(profile, true), *rest = profile_part(profile, false);
    profile_free(profile);
    int status = levels != NULL && rest != NULL ? hold(latest, name, levels) : -ENOMEM;
    if (status == 0)
        return add(closure, rest);
    if (rest == NULL)
        profile_free(levels);
    profile_free(rest);
    return status;
}

int latest_join(struct latest *latest, struct latest *more)
{
    int status = 0;
    note_end(latest, more->end);
    for (size_t i = 0; i < more->count; i++) {
        struct latest_process *process = &more->processes[i];
        if (status == 0 && process->levels != NULL)
            status = hold(latest, process->name, process->levels);
        else
            profile_free(process->levels);
        process->levels = NULL;
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
        struct profile *levels = latest->processes[i].levels;
        latest->processes[i].levels = NULL;
        if (latest->at_end && has_ended(latest, levels))
            profile_free(levels);
        else
            status = add(closure, levels);
    }
    return status;
}

void latest_free(struct latest *latest)
{
    for (size_t i = 0; i < latest->count; i++)
        profile_free(latest->processes[i].levels);
    free(latest->processes);
    *latest = (struct latest){.at_end = latest->at_end};
}
