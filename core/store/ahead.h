/*
 * Reading ahead: what is next is loaded by a thread of its own while what is there is looked
 * at. Up to AHEAD_MOST lie about. Where there is no thread to be had, or little to load, each
 * is loaded when it is asked for. Owned by the thread that asks; load() is called by one thread
 * at a time, in order.
 */
#ifndef CPROF_STORE_AHEAD_H
#define CPROF_STORE_AHEAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define AHEAD_MOST 2
#define AHEAD_WORTH 8 /* of fewer none is loaded ahead */

struct ahead {
    void *(*load)(void *closure, size_t number); /* NULL: there is nothing to give */
    void (*drop)(void *loaded);                  /* of what nobody took; not of NULL */
    void *closure;
    size_t count;
    /* Its own: */
    pthread_t thread;
    bool runs;
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t changed;
    size_t taken, loaded; /* how many */
    bool ends;
    void *held[AHEAD_MOST];
};

static inline bool ahead_is_worth(const struct ahead *ahead)
{
    return ahead->count >= AHEAD_WORTH;
}

/* The caller has set what is not its own, the rest is 0. */
void ahead_begin(struct ahead *ahead);
/* What load() made of number 0, 1, …: asked for in this order, `count` times at most. */
void *ahead_next(struct ahead *ahead);
void ahead_end(struct ahead *ahead);

#endif
