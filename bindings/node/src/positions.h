/*
 * V8's tables of positions: which place in the source a bytecode or an instruction comes from,
 * and, in optimised code, from which function that was inlined. Read on the isolate's own
 * thread, between collections; what comes out lies outside the heap.
 */
#ifndef CPROF_NODE_POSITIONS_H
#define CPROF_NODE_POSITIONS_H

#include <stddef.h>
#include <stdint.h>

enum { POSITION_NONE = -1 };

/* From `offset` in the code on, the place `source` of the function that was inlined at `site`.
 */
struct position {
    uint32_t offset;
    int32_t source; /* in the text of that function's script; -1 = unknown */
    int32_t site;   /* -1: of the function itself */
};

/* As many as V8's table has; free(list). */
struct positions {
    uint32_t count;
    struct position *list; /* in the order of the offsets */
};

/* A call that was replaced by the called function's code. */
struct inlined_call {
    int32_t source;   /* of the call, in the text of the caller's script */
    int32_t parent;   /* site of the caller; -1: the function itself */
    uintptr_t shared; /* what was called: a SharedFunctionInfo; 0 = the function itself */
};

/* Of a BytecodeArray: offsets are those of bytecodes. */
void positions_of_bytecode(uintptr_t bytecode, struct positions *positions);
/* Of the Code of an optimised function. */
void positions_of_optimized(uintptr_t code, struct positions *positions);
/* Of the Code that the baseline compiler made of a function's bytecode. */
void positions_of_baseline(uintptr_t code, struct positions *positions);

/* The last at or before an offset, or NULL. */
const struct position *positions_find(const struct positions *positions, uint64_t offset);

/* The inlined calls of an optimised function's Code, callers first; returns how many. Free with
 * free(). */
size_t positions_inlined(uintptr_t code, struct inlined_call **calls);

#endif
