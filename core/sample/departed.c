#include "sample/departed.h"

#include <string.h>

static struct {
    pid_t tid; /* 0: none */
    char name[THREAD_NAME_SIZE];
} kept[DEPARTED_KEPT];

static size_t next; /* the oldest */

void departed_add(const struct thread *thread)
{
    if (thread->name[0] == '\0')
        return;
    kept[next].tid = thread->tid;
    memcpy(kept[next].name, thread->name, sizeof kept[next].name);
    next = (next + 1) % DEPARTED_KEPT;
}

const char *departed_name(pid_t tid)
{
    for (size_t back = 1; back <= DEPARTED_KEPT; back++) {
        size_t i = (next + DEPARTED_KEPT - back) % DEPARTED_KEPT;
        if (kept[i].tid == tid)
            return kept[i].name;
    }
    return NULL;
}

void departed_clear(void)
{
    memset(kept, 0, sizeof kept);
}
