#include "dump/dump.h"

#include <stdlib.h>

#include "look/waits.h"

struct dump *dump_new(struct profile *profile)
{
    struct dump *dump = calloc(1, sizeof *dump);
    if (dump != NULL)
        dump->profile = profile;
    return dump;
}

void dump_free(struct dump *dump)
{
    if (dump == NULL)
        return;
    profile_free(dump->profile);
    free(dump->threads);
    free(dump);
}

struct dump_thread *dump_add(struct dump *dump)
{
    if (dump->count == dump->capacity) {
        size_t capacity = dump->capacity == 0 ? 64 : dump->capacity * 2;
        struct dump_thread *more = realloc(dump->threads, capacity * sizeof *more);
        dump->incomplete |= more == NULL;
        if (more == NULL)
            return NULL;
        dump->threads = more;
        dump->capacity = capacity;
    }
    struct dump_thread *added = &dump->threads[dump->count++];
    *added = (struct dump_thread){.wait = {.state = WAIT_STATES}};
    return added;
}

size_t dump_count(const struct dump *dump, enum dump_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < dump->count; i++)
        count += dump->threads[i].kind == kind;
    return count;
}

const char *dump_kind_word(enum dump_kind kind)
{
    static const char *const words[DUMP_KINDS] = {[DUMP_THREAD] = "thread",
                                                  [DUMP_TASK] = "task",
                                                  [DUMP_GREENLET] = "greenlet",
                                                  [DUMP_FIBER] = "fiber",
                                                  [DUMP_HANDLE] = "handle"};
    return words[kind];
}

const char *dump_state(const struct dump_thread *thread)
{
    return wait_state_word(thread->wait.state);
}
