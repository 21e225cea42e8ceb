#include "format/thread_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct thread_name name_of(const struct profile *p, profile_id labels)
{
    const struct profile_label_set set = profile_get_labels(p, labels);
    struct thread_name thread = {.name = profile_label_text(p, labels, "thread.name")};
    if (thread.name == NULL)
        thread.name = "thread";
    for (uint32_t i = 0; i < set.count; i++)
        if (set.labels[i].is_number &&
            strcmp(profile_text(p, set.labels[i].key), "thread.id") == 0)
            thread.id = set.labels[i].number;
    return thread;
}

/* Threads with one name and id are one. */
static bool add(struct thread_names *threads, size_t sample, profile_id labels)
{
    const struct thread_name thread = name_of(threads->texts.profile, labels);
    char text[256];
    if (thread.id != 0)
        snprintf(text, sizeof(text), "%.200s (%" PRId64 ")", thread.name, thread.id);
    else
        snprintf(text, sizeof(text), "%.200s", thread.name);
    const uint32_t number = names_text(&threads->texts, text);
    if (number == 0)
        return false;
    if (number > threads->count)
        threads->list[threads->count++] = thread;
    threads->thread_of[sample] = number - 1;
    return true;
}

bool thread_names_init(struct thread_names *threads, const struct profile *profile,
                       size_t first, size_t end)
{
    *threads = (struct thread_names){
        .list = calloc(end - first + 1, sizeof(*threads->list)),
        .thread_of = calloc(end - first + 1, sizeof(*threads->thread_of)),
    };
    bool ready = names_init(&threads->texts, profile);
    if (!ready || threads->list == NULL || threads->thread_of == NULL)
        return false;
    for (size_t i = first; i < end; i++)
        if (!add(threads, i - first, profile_get_sample(profile, i).labels))
            return false;
    return true;
}

void thread_names_free(struct thread_names *threads)
{
    names_free(&threads->texts);
    free(threads->list);
    free(threads->thread_of);
}
