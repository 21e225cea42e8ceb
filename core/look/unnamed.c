#include "look/unnamed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct unnamed_wait {
    struct unnamed_wait *next;
    size_t size; /* bytes, from the budget */
    uint64_t until;
    uint32_t microseconds;
    struct thread_view view;
    struct wait wait;
    struct record record; /* and the room behind it */
};

bool unnamed_add(struct unnamed *unnamed, struct budget *budget,
                 const struct thread_view *thread, const struct record *record,
                 const struct wait *wait, uint32_t microseconds, uint64_t until)
{
    size_t size = sizeof(struct unnamed_wait) - sizeof *record + record->size;
    if (unnamed->count == UNNAMED_MAX || !budget_take(budget, size))
        return false;
    struct unnamed_wait *made = malloc(size);
    if (made == NULL) {
        budget_give(budget, size);
        return false;
    }
    made->next = NULL;
    made->size = size;
    made->until = until;
    made->microseconds = microseconds;
    made->view = *thread;
    made->wait = *wait;
    memcpy(&made->record, record, record->size);
    *(unnamed->last != NULL ? &unnamed->last->next : &unnamed->first) = made;
    unnamed->last = made;
    unnamed->count++;
    return true;
}

static void drop_first(struct unnamed *unnamed, struct budget *budget)
{
    struct unnamed_wait *first = unnamed->first;
    unnamed->first = first->next;
    if (unnamed->first == NULL)
        unnamed->last = NULL;
    unnamed->count--;
    budget_give(budget, first->size);
    free(first);
}

void unnamed_count(struct unnamed *unnamed, struct budget *budget,
                   const struct looks_receiver *receiver, bool all)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    while (unnamed->first != NULL) {
        const struct unnamed_wait *first = unnamed->first;
        struct thread_last where;
        if (receiver->place(receiver->closure, &first->view, &first->record, &first->wait,
                            !all && now < first->until, &where) == -EAGAIN)
            return;
        receiver->waited(receiver->closure, &first->view, &where, first->microseconds,
                         wait_is_native(&first->wait) ? 1 : 0);
        drop_first(unnamed, budget);
    }
}

void unnamed_free(struct unnamed *unnamed, struct budget *budget)
{
    while (unnamed->first != NULL)
        drop_first(unnamed, budget);
}
