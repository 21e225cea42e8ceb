#include "latest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/combine.h"

#define NAME_SIZE 160

struct latest_process {
    char name[NAME_SIZE];
    struct profile *interval; /* NULL: none is held back */
};

/* What tells processes apart, as far as they say it. */
static void name_of(const struct profile *p, char name[NAME_SIZE])
{
    static const char *const keys[] = {"service.instance.id", "host.name", "process.pid"};
    size_t length = 0;
    name[0] = '\0';
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++) {
        const struct profile_label *attribute = profile_attribute(p, PROFILE_RESOURCE, i);
        for (size_t k = 0; k < sizeof keys / sizeof *keys && length < NAME_SIZE; k++)
            if (strcmp(profile_text(p, attribute->key), keys[k]) == 0)
                length += (size_t)snprintf(name + length, NAME_SIZE - length, "%zu=%s %lld;", k,
                                           profile_text(p, attribute->text),
                                           (long long)attribute->number);
    }
}

static uint64_t end_of(const struct profile *p)
{
    const struct profile_header *header = profile_header_const(p);
    return header->time_ns + header->duration_ns;
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

int latest_take(struct latest *latest, struct profile *interval,
                int (*add)(void *closure, struct profile *interval), void *closure)
{
    char name[NAME_SIZE];
    if (end_of(interval) > latest->end)
        latest->end = end_of(interval);
    if (!profile_has_levels(interval))
        return add(closure, interval);
    name_of(interval, name);
    struct latest_process *process = find(latest, name);
    if (process == NULL) {
        profile_free(interval);
        return -ENOMEM;
    }
    struct profile *before = process->interval;
    process->interval = interval;
    if (before == NULL)
        return 0;
    profile_drop_levels(before);
    return add(closure, before);
}

/* It would have been heard of again. */
static bool has_ended(const struct latest *latest, const struct profile *interval)
{
    uint64_t length = profile_header_const(interval)->duration_ns;
    return length > 0 && latest->end - end_of(interval) > 2 * length;
}

int latest_end(struct latest *latest, int (*add)(void *closure, struct profile *interval),
               void *closure)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < latest->count; i++) {
        struct profile *interval = latest->processes[i].interval;
        latest->processes[i].interval = NULL;
        if (interval != NULL && has_ended(latest, interval))
            profile_drop_levels(interval);
        if (interval != NULL)
            status = add(closure, interval);
    }
    return status;
}

void latest_free(struct latest *latest)
{
    for (size_t i = 0; i < latest->count; i++)
        profile_free(latest->processes[i].interval);
    free(latest->processes);
    *latest = (struct latest){0};
}
