/*
 * Code objects that died: what is kept of them so that samples taken while they lived can
 * still be named, and how a new code object at the same address is told from them.
 *
 * Every address has a generation (a counter shared by the addresses of one hash slot) that
 * moves on when a code object dies there. The handler stores it with each frame. A frame's code
 * object is the first to have died at its address in that generation or later; if none has,
 * it still lives.
 *
 * Most code dies without ever having been sampled: thousands at once where modules go, or a
 * whole interpreter. So the handler also marks the slot with the epoch, which moves on as the
 * collector drains, and only code in a slot that was marked of late gets a grave.
 *
 * A grave owns references to the dead object's strings and line table, so burying copies
 * nothing. Deaths come from whatever thread holds the GIL; lookups from the collector, without
 * it; one mutex keeps them apart, and holding it keeps every code object that is not buried
 * yet alive. The ring of graves grows as far as the memory limit has room. When it is full even
 * so (a line says that), or the collector has no samples left that could ask, the oldest are
 * dropped; frames that would need them resolve to nothing, never to a later code object's name.
 */
#ifndef CPROF_PYTHON_GRAVES_H
#define CPROF_PYTHON_GRAVES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { GRAVE_SLOTS = 4096 };

/* What handlers see of the code objects of one hash slot. */
struct grave_slot {
    _Atomic uint32_t generation; /* deaths so far */
    _Atomic uint32_t sampled;    /* the epoch in which one was last sampled; 0 = never */
};

extern struct grave_slot grave_slots[GRAVE_SLOTS];
extern _Atomic uint32_t grave_epoch; /* calls of graves_drained(), from 1 */

static inline unsigned grave_place(uintptr_t code)
{
    /* Code objects are 16-aligned and a few hundred bytes long. */
    return (unsigned)((code >> 4) * 0x9E3779B97F4A7C15u >> 52);
}

/* [handler] A frame of this code object is being sampled: marks it, and returns its address's
 * generation. The frame keeps the code object alive until the handler has returned. */
static inline uint32_t graves_sampled(uintptr_t code)
{
    struct grave_slot *slot = &grave_slots[grave_place(code)];
    const uint32_t epoch = atomic_load_explicit(&grave_epoch, memory_order_relaxed);

    if (atomic_load_explicit(&slot->sampled, memory_order_relaxed) != epoch)
        atomic_store_explicit(&slot->sampled, epoch, memory_order_relaxed);
    return atomic_load_explicit(&slot->generation, memory_order_relaxed);
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
