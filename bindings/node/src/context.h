/*
 * The active span and labels of an isolate's thread, where the signal handler can read them.
 * Signal-safe; context.c is handler code.
 *
 * JavaScript (context.js) carries both in one value of an AsyncLocalStorage of its own. Where
 * Node keeps those in V8's continuation-preserved embedder data (AsyncContextFrame: 24, 26, and
 * 22 by an option), V8 itself switches them at every await, timer and callback, and the handler
 * reads them from the heap: the isolate's field holds a JavaScript Map of all storages, whose
 * table holds our value, a BigInt of four 64-bit digits:
 *
 *      trace id, low half | trace id, high half | span id | magic (32 bits), label set (32)
 *
 * No offset in the isolate is known beforehand: context_probe() is called while the current
 * value is one that it knows, and looks for a field that leads to it. Between a collection's
 * prologue and epilogue, when objects move, the handler takes what context_keep() read before.
 *
 * Elsewhere JavaScript copies the value into an array of 32-bit words at every switch that an
 * async hook tells of; the handler reads that.
 */
#ifndef CPROF_NODE_CONTEXT_H
#define CPROF_NODE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "cprof/runtime.h"

#define CONTEXT_MAGIC UINT32_C(0xc9f0f11e) /* as context.js has it */

/* The array's words. */
enum {
    CONTEXT_VALID, /* 0 while the others are being written */
    CONTEXT_LABELS,
    CONTEXT_SPAN,                     /* two words, the upper first */
    CONTEXT_TRACE = CONTEXT_SPAN + 2, /* four words, the uppermost first */
    CONTEXT_WORDS = CONTEXT_TRACE + 4,
};

/* An isolate's part. Zeroed for a new one. */
struct context_source {
    const uintptr_t *field;         /* of the v8::Isolate; NULL: not found */
    int map_type;                   /* V8's instance type of a Map … */
    uintptr_t bigint_map;           /* … and its map of a BigInt */
    const volatile uint32_t *words; /* CONTEXT_WORDS; NULL: not used */
    struct cprof_context kept;      /* as it was before the collection under way */
};

struct isolate;

/* [isolate's thread] `value` is the tagged pointer of the BigInt that is the storage's current
 * value. False: no field leads to it. */
bool context_probe(struct isolate *isolate, uintptr_t value);

/* [isolate's thread] A collection is about to begin. */
void context_keep(struct isolate *isolate);

/* [handler] The context() entry of struct cprof_runtime. */
bool context_read(const struct cprof_interrupted *thread, struct cprof_context *context);

#endif
