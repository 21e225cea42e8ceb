/*
 * The second way to follow JavaScript, where the layout of V8's frames and objects is not known
 * or did not stand its test: V8 is asked for a sample of its stack (Isolate::GetStackSample,
 * made for signal handlers), and what V8 told of its code in events (codes.h) names what is in
 * it.
 *
 * V8 gives code addresses without saying where on the stack their frames are. So walk_step()
 * notes the frames of V8's code that it steps over, and v8_sample_walk(), which comes after the
 * native walk, tells for each what it runs:
 *
 *  - Code that V8 compiled is looked up by the address that runs.
 *  - An interpreted function runs a builtin; V8's sample has the address of its bytecode
 * instead, the sum of two neighbouring words of the frame (a BytecodeArray's tagged address, a
 * small integer). A frame with words that add up to an address that V8 named is that
 * function's. V8 leaves out the innermost frame, and all when the stack is not in a state that
 * it can read: then the sum must lie in bytecode that the events told of.
 *  - Baseline code calls builtins that make no frame: then the innermost frame is its own, and
 *    has the bytecode that it was compiled from.
 *  - Other builtins are native frames.
 *
 * During a collection V8 says so, and nothing of it is read. Signal-safe; v8_sample.c is
 * handler code. It calls one function of V8, through a pointer that was found beforehand.
 */
#ifndef CPROF_NODE_V8_SAMPLE_H
#define CPROF_NODE_V8_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/runtime.h"

enum { V8_FRAMES_MAX = 1024 }; /* what is beyond is cut off, and counted */

/* v8::RegisterState, v8::SampleInfo and v8::StateTag, as they have been from V8 10 to 14. */
struct v8_registers {
    uintptr_t pc, sp, fp, lr;
    void *callee_saved; /* NULL but on 32-bit ARM */
};
struct v8_sample_info {
    size_t count;
    void *callback, *context, *embedder_context;
    uint16_t state;   /* of 32 bits up to V8 11, of 16 later */
    uint8_t rest[62]; /* what there is, and what may come */
};
enum { V8_STATE_COLLECTING = 1 };
typedef void (*v8_get_stack_sample)(void *isolate, const struct v8_registers *registers,
                                    void **addresses, size_t capacity,
                                    struct v8_sample_info *info);

enum v8_code { V8_BUILTIN, V8_COMPILED, V8_WASM };

/* A frame of V8's code. */
struct v8_frame {
    uintptr_t pc, sp, fp;
    enum v8_code code;
    bool live;   /* interrupted here; else pc is a return address */
    bool framed; /* false: it has not made its frame yet, or given it up; fp is its caller's */
};

struct codes;

/* An isolate's part; belongs to its thread, `codes` as they say. */
struct v8_sample {
    struct codes *codes;
    size_t count;
    bool cut; /* there was no room for all */
    struct v8_frame frames[V8_FRAMES_MAX];
    struct v8_registers top; /* of the first frame that has been made; its pc only if that was
                                interrupted, since V8 looks at the code there, and a return
                                address on a broken stack may point to where nothing is */
    void *addresses[V8_FRAMES_MAX];
};

struct isolate;

/* V8's function; set before an isolate is followed in this way. */
extern v8_get_stack_sample v8_sample_get;

/* [handler] Takes note of a frame. */
void v8_sample_note(struct isolate *isolate, const struct v8_frame *frame);

/* [handler] runtime.walk: what runs in the frames that were noted. None where an isolate is
 * followed in another way. */
size_t v8_sample_walk(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                      size_t capacity, bool *complete);

#endif
