/*
 * The names of WebAssembly functions, by where their code lies. A frame says nothing of its
 * function, but V8 tells the names, which are those of the module's name section, in its code
 * events. When a sample has met code without a name, the isolate's thread has V8 tell of all
 * code that there is, takes what is WebAssembly's, and listens no more.
 *
 * That walks the heap, some 2 to 10 ms of CPU time in a small program. So it takes at most a
 * hundredth of the time: the next look waits for a hundred times as long as the last one took.
 * Until then what has no name is "(wasm)". Each look begins a new generation, which is part of
 * a frame's position, so that what was named before is named anew: code moves in where other
 * code was.
 *
 * Bounded by room.h: functions that find no room there stay "(wasm)", and a line says so.
 */
#ifndef CPROF_NODE_WASM_NAMES_H
#define CPROF_NODE_WASM_NAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/runtime.h"

struct isolate;
struct wasm_function; /* wasm_names.c */

/* An isolate's part; with isolates_lock(), but for the generation. */
struct wasm_names {
    struct wasm_function *list; /* in the order of their code */
    size_t count, capacity;
    char *text; /* their names */
    size_t text_size, text_capacity;
    bool wanted;                 /* a sample has met code without a name */
    uint64_t next_look;          /* CLOCK_MONOTONIC */
    _Atomic uint16_t generation; /* read by the handler */
};

/* [handler] A frame's position: pc, which has 48 bits, and generation. */
static inline uint64_t wasm_names_position(const struct wasm_names *names, uintptr_t pc)
{
    return pc | (uint64_t)atomic_load_explicit(&names->generation, memory_order_relaxed) << 48;
}

/* [collector, with isolates_lock()] 0; or -EAGAIN, if a look may find a better name, which the
 * isolate's thread is to be asked for. The strings stay until the next call. */
int wasm_names_tell(struct isolate *isolate, uint64_t position,
                    struct cprof_function *function);
/* [with isolates_lock()] Is a look wanted, and may it be now? */
bool wasm_names_due(const struct isolate *isolate);
/* [isolate's thread, not amid a collection] Looks, if it is due. */
void wasm_names_look(struct isolate *isolate);
/* [with isolates_lock()] */
void wasm_names_forget(struct isolate *isolate);

#endif
