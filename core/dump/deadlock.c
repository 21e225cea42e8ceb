#include "dump/deadlock.h"

#include <stdlib.h>

static int compare_tids(const void *a, const void *b)
{
    const struct dump_thread *const *one = a, *const *other = b;
    return ((*one)->tid > (*other)->tid) - ((*one)->tid < (*other)->tid);
}

static int compare_with_tid(const void *tid, const void *thread)
{
    const struct dump_thread *const *other = thread;
    pid_t wanted = *(const pid_t *)tid;
    return (wanted > (*other)->tid) - (wanted < (*other)->tid);
}

void deadlock_link(struct dump *dump)
{
    struct dump_thread **sorted = calloc(dump->count + 1, sizeof(struct dump_thread *));
    if (sorted == NULL)
        return; /* the holders keep their numbers */
    for (size_t i = 0; i < dump->count; i++)
        sorted[i] = &dump->threads[i];
    qsort(sorted, dump->count, sizeof *sorted, compare_tids);
    for (size_t i = 0; i < dump->count; i++) {
        struct dump_thread *thread = &dump->threads[i], **found = NULL;
        if (thread->wait.holder != 0)
            found = bsearch(&thread->wait.holder, sorted, dump->count, sizeof *sorted,
                            compare_with_tid);
        if (found != NULL)
            thread->holder = (size_t)(*found - dump->threads) + 1;
    }
    free(sorted);
}

/* The threads of the circle that begins at one of them. */
static bool all_held(const struct dump *dump, size_t first,
                     bool (*held)(void *closure, const struct dump_thread *thread),
                     void *closure)
{
    bool all = true;
    size_t at = first;
    do {
        all = all && held(closure, &dump->threads[at]);
        at = dump->threads[at].holder - 1;
    } while (at != first);
    return all;
}

static void number(struct dump *dump, size_t first)
{
    size_t at = first;
    dump->deadlocks++;
    do {
        dump->threads[at].deadlock = dump->deadlocks;
        at = dump->threads[at].holder - 1;
    } while (at != first);
}

/* From every thread along the holders, leaving the number of the walk at each: a walk that
 * comes upon its own number has found a circle. */
unsigned deadlock_find(struct dump *dump,
                       bool (*held)(void *closure, const struct dump_thread *thread),
                       void *closure)
{
    size_t *walks = calloc(dump->count + 1, sizeof *walks);
    for (size_t first = 0; walks != NULL && first < dump->count; first++) {
        size_t at = first;
        while (walks[at] == 0 && dump->threads[at].holder != 0) {
            walks[at] = first + 1;
            at = dump->threads[at].holder - 1;
        }
        bool circle = walks[at] == first + 1 && dump->threads[at].holder != 0;
        if (circle && all_held(dump, at, held, closure))
            number(dump, at);
    }
    free(walks);
    return dump->deadlocks;
}
