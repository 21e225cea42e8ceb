/*
 * Code objects that died: what is kept of them so that samples taken while they lived can
 * still be named, and how a new code object at the same address is told from them.
 *
 * Every address has a generation (a counter shared by the addresses of one hash slot) that
 * moves on when a code object dies there. The handler stores it with each frame. A frame's code
 * object is the first to have died at its address in that generation or later; if none has,
 * it still lives.
 *
 * A grave owns references to the dead object's strings and line table, so burying copies
 * nothing. Deaths come from whatever thread holds the GIL; lookups from the collector, without
 * it; one mutex keeps them apart, and holding it keeps every code object that is not buried
 * yet alive. When the ring of graves is full, or the collector has no samples left that could
 * ask, the oldest are dropped; frames that would need them resolve to nothing, never to a
 * later code object's name.
 */
#ifndef CPROF_PYTHON_GRAVES_H
#define CPROF_PYTHON_GRAVES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { GRAVE_SLOTS = 4096 };

extern _Atomic uint32_t grave_generations[GRAVE_SLOTS];

static inline unsigned grave_slot(uintptr_t code)
{
    /* Code objects are 16-aligned and a few hundred bytes long. */
    return (unsigned)((code >> 4) * 0x9E3779B97F4A7C15u >> 52);
}

/* [handler] */
static inline uint32_t grave_generation(uintptr_t code)
{
    return atomic_load_explicit(&grave_generations[grave_slot(code)], memory_order_relaxed);
}

/* The parts of a code object that names are made of: PyObjects, or NULL. */
struct code_parts {
    const void *name; /* qualified name */
    const void *file;
    const void *lines; /* line table */
    int first_line;
};

/* Begin and end watching for deaths. [GIL] 0, or -1 with a Python exception. */
int graves_open(void);
void graves_close(void);

/* Deaths wait while this is held: keep it short. Held across fork, so that the child finds the
 * graves whole. */
void graves_lock(void);
void graves_unlock(void);

enum grave_found {
    GRAVE_ALIVE, /* not dead: read the object itself, before graves_unlock() */
    GRAVE_DEAD,  /* *parts are the dead object's, valid until graves_unlock() */
    GRAVE_LOST,  /* it died too long ago */
};

/* [collector, locked] Whose is a frame with this code address and generation? */
enum grave_found graves_find(uintptr_t code, uint32_t generation, struct code_parts *parts);

/* [collector] The runtime.h drained() call. */
void graves_drained(void);

#endif
