#include "isolate_list.h"

#include <stdlib.h>

#include "walk.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list and the records */
static struct isolate *isolates;

void (*isolate_call)(struct isolate *isolate);

void isolates_lock(void)
{
    pthread_mutex_lock(&lock);
}

void isolates_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

struct isolate *isolates_first(void)
{
    return isolates;
}

bool isolate_is_remembered(const struct isolate *isolate)
{
    return isolate->records != NULL || isolate->sample != NULL;
}

/* One whose environment has ended, and whose samples have all been named. */
static struct isolate *take_unused(void)
{
    pthread_mutex_lock(&lock);
    struct isolate *at = isolates;
    while (at != NULL && (atomic_load(&at->open) || isolate_is_remembered(at)))
        at = at->next;
    if (at != NULL)
        atomic_store(&at->open, true); /* taken; its serial is still nobody's */
    pthread_mutex_unlock(&lock);
    return at;
}

struct isolate *isolates_add(void)
{
    struct isolate *isolate = take_unused();
    if (isolate != NULL)
        return isolate;
    isolate = calloc(1, sizeof *isolate);
    if (isolate == NULL)
        return NULL;
    pthread_mutex_lock(&lock);
    isolate->next = isolates;
    isolates = isolate;
    pthread_mutex_unlock(&lock);
    return isolate;
}

/* ---- other threads ---- */

bool isolate_ask(struct isolate *isolate)
{
    if (!atomic_load(&isolate->open) || !isolate->attached)
        return false;
    if (!atomic_exchange(&isolate->asked, true))
        isolate_call(isolate);
    return true;
}

struct isolate *isolate_of_this_thread(void)
{
    pthread_mutex_lock(&lock);
    struct isolate *at = isolates;
    while (at != NULL && !(atomic_load(&at->open) && pthread_equal(at->thread, pthread_self())))
        at = at->next;
    pthread_mutex_unlock(&lock);
    return at;
}

bool isolate_is_last(const struct isolate *own)
{
    pthread_mutex_lock(&lock);
    const struct isolate *at = isolates;
    while (at != NULL && (at == own || !atomic_load(&at->open) || at->waker == NULL))
        at = at->next;
    pthread_mutex_unlock(&lock);
    return at == NULL;
}

struct isolate *isolate_lock(uint32_t serial)
{
    pthread_mutex_lock(&lock);
    struct isolate *at = isolates;
    while (at != NULL && at->serial != serial)
        at = at->next;
    return at;
}

struct isolate *isolate_lock_v8(const void *v8_isolate)
{
    pthread_mutex_lock(&lock);
    struct isolate *at = isolates;
    while (at != NULL &&
           (!atomic_load(&at->open) || at->v8 != v8_isolate || at->sample == NULL))
        at = at->next;
    return at;
}

bool isolate_is_builtin(uintptr_t pc)
{
    bool is = false;
    pthread_mutex_lock(&lock);
    for (struct isolate *at = isolates; at != NULL && !is; at = at->next)
        is = range_holds(&at->builtins, pc) || range_holds(&at->copied_builtins, pc);
    pthread_mutex_unlock(&lock);
    return is;
}

bool isolate_owns(uintptr_t pc)
{
    bool owns = false;
    pthread_mutex_lock(&lock);
    for (struct isolate *at = isolates; at != NULL && !owns; at = at->next)
        owns = (range_holds(&at->code, pc) && !range_holds(&at->copied_builtins, pc)) ||
               walk_is_wasm(at, pc);
    pthread_mutex_unlock(&lock);
    return owns;
}
