/*
 * When to look at Ruby's new objects (slots.h): what the handler decides, tick by tick. Which
 * tick of a turn is the look is drawn from a seed.
 */
#ifndef CPROF_RUBY_SLOTS_TICK_H
#define CPROF_RUBY_SLOTS_TICK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct slots_ticks {
    uint64_t seed; /* from before it is open */
    atomic_bool open;
    /* Handlers'. */
    _Atomic uint64_t ticks;
    atomic_bool wanted; /* a look is due, or goes on */
    atomic_bool over;   /* a turn */
    /* Under the GVL. */
    atomic_bool looking;
};

extern struct slots_ticks slots_ticks;

/* Asks Ruby to begin or end a look at its next safe point. Set before it is open. */
extern void (*slots_ask_for_turn)(void);

#endif
