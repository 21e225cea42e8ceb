/*
 * The walk over V8's frames, which lie on the native stack: runtime.step. Signal-safe; walk.c
 * is handler code.
 *
 * A V8 frame begins with the caller's frame pointer and return address; below them stands the
 * context of a JavaScript function, or a small integer that tells what other kind of frame it
 * is. Frames of functions give a token (isolate and function number) and a position:
 * a bytecode offset in interpreted code, an offset into the machine code in compiled code.
 * Builtins are code of the node binary: they give no frame and are named as native ones.
 */
#ifndef CPROF_NODE_WALK_H
#define CPROF_NODE_WALK_H

#include "cprof/runtime.h"

/* Tokens that are no function's. Functions have the isolate's serial in the upper half. */
enum walk_token {
    WALK_COLLECTOR = 1, /* stands for the JavaScript that a garbage collection interrupted */
    WALK_OPAQUE,        /* JavaScript that could not be told apart */
    WALK_WASM,
    WALK_REGEXP,
    WALK_FORGOTTEN, /* JavaScript whose name is perhaps one that had no room */
};

/* The number, below the serial, that WebAssembly's functions have together; their positions
 * tell them apart (wasm_names.h). */
#define WALK_WASM_NUMBER 0

/* A position that is not known. */
#define WALK_NOWHERE UINT32_MAX

/* What the upper two bits of a function's key say of its positions. */
enum walk_kind {
    WALK_FUNCTION = 1, /* script and literal number; bytecode offsets, if any */
    WALK_BASELINE,     /* the same; offsets into its baseline code */
    WALK_OPTIMIZED,    /* V8's number of the optimisation; offsets into its code */
};

static inline enum walk_kind walk_kind_of(uint64_t key)
{
    return (enum walk_kind)(key >> 62);
}

bool walk_step(const struct cprof_interrupted *thread, struct cprof_registers *registers,
               struct cprof_frame *frame);

/* runtime.step_unmapped: frames of WebAssembly, whose code lies where V8 found room. They are
 * told by what they keep on the stack. */
bool walk_step_unmapped(const struct cprof_interrupted *thread,
                        struct cprof_registers *registers, struct cprof_frame *frame);

/* runtime.walk: what is not told frame by frame. A collection that no JavaScript lies beneath;
 * what v8_sample.h has noted. */
size_t walk_rest(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                 size_t capacity, bool *complete);

/* [any thread] Was WebAssembly seen to run near that pc? */
struct isolate;
bool walk_is_wasm(struct isolate *isolate, uintptr_t pc);

#endif
