/*
 * The active span and labels of an isolate's thread, where the signal handler can read them.
 * Signal-safe; context.c is handler code, context_probe.c is not.
 *
 * JavaScript (context.js) carries both in one value of an AsyncLocalStorage of its own. Where
 * Node keeps those in V8's continuation-preserved embedder data (AsyncContextFrame: 24, 26, and
 * 22 by an option), V8 itself switches them at every await, timer and callback, and the handler
 * reads them from the heap: the isolate's field holds a JavaScript Map of all storages, whose
 * table holds our value, a BigInt of four 64-bit digits:
 *
 *      trace id, low half | trace id, high half | span id | magic (32 bits), label set (32)
 *
 * A span id without a trace id says that a span is active which JavaScript could not read.
 *
 * Which field of the isolate it is, context_probe.h finds out. Between a collection's prologue
 * and epilogue, when objects move, the handler takes what context_keep() read before.
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

/* Where V8 keeps what the field leads to: offsets into a JavaScript Map and into its table,
 * which begins as a FixedArray does. */
enum {
    CONTEXT_MAP_TABLE = 24,
    CONTEXT_TABLE_LENGTH = 8,
    CONTEXT_TABLE_FIRST = 16,
    CONTEXT_TABLE_MAX = 512, /* words of a table that are searched: some 150 storages */
};

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

/* Is the tagged pointer of a BigInt that of one of ours? */
bool context_is_ours(uintptr_t value);

/* What one of ours says. */
struct cprof_context context_of(uintptr_t value);

/* [isolate's thread] A collection is about to begin. */
void context_keep(struct isolate *isolate);

/* [handler] The context() entry of struct cprof_runtime. */
bool context_read(const struct cprof_interrupted *thread, struct cprof_context *context);

#endif
