/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "v8_sample.h"

#include "codes.h"
#include "heap.h"
#include "isolate.h"
#include "walk.h"

enum {
    WORD = sizeof(uintptr_t),
    FIXED_WORDS = 8, /* below the frame pointer, among which an interpreted frame keeps its
                        bytecode and offset */
};

v8_get_stack_sample v8_sample_get;

/* Where no frame has been made: V8 takes no address for one of the stack's, and reads none. */
static const struct v8_registers nowhere = {.sp = UINTPTR_MAX};

/* ---- the walk's notes ---- */

void v8_sample_note(struct isolate *isolate, const struct v8_frame *frame)
{
    struct v8_sample *sample = isolate->sample;
    if (sample->count == V8_FRAMES_MAX) {
        sample->cut = true;
        return;
    }
    if (frame->framed && sample->top.sp == 0)
        sample->top = (struct v8_registers){
            .pc = frame->live ? frame->pc : 0, .sp = frame->sp, .fp = frame->fp};
    sample->frames[sample->count++] = *frame;
}

/* ---- naming ---- */

struct naming {
    const struct isolate *isolate;
    struct codes *codes;    /* NULL while they are being changed */
    void *const *addresses; /* what V8's sample has, from the last one that was found on */
    size_t count;
    bool refused; /* V8 could not read the stack */
};

static struct code *find(const struct naming *naming, uintptr_t address)
{
    return naming->codes != NULL ? codes_find(naming->codes, address) : NULL;
}

static uint64_t token_of(const struct naming *naming, struct code *code)
{
    if (code == NULL)
        return naming->codes != NULL && codes_lost(naming->codes) ? WALK_FORGOTTEN
                                                                  : WALK_OPAQUE;
    atomic_store_explicit(&code->met, true, memory_order_relaxed);
    if (code->number != 0)
        return (uint64_t)naming->isolate->serial << 32 | code->number;
    return code->form == CODE_REGEXP ? WALK_REGEXP : 0;
}

/* Has V8 named the address? Those before it are not looked at again: both lists go outwards. */
static bool is_named(struct naming *naming, uintptr_t address)
{
    for (size_t i = 0; i < naming->count; i++) {
        if ((uintptr_t)naming->addresses[i] != address)
            continue;
        naming->addresses += i + 1;
        naming->count -= i + 1;
        return true;
    }
    return false;
}

/* What a builtin's frame interprets: 0, if nothing. */
static uint64_t interpreted(struct naming *naming, const struct v8_frame *frame, bool unsaid)
{
    for (uintptr_t i = 1; i < FIXED_WORDS; i++) {
        const uintptr_t *words = (const uintptr_t *)frame->fp - i - 1;
        if ((uintptr_t)words < frame->sp)
            return 0;
        if (!heap_is_object(words[1]) || !heap_is_smi(words[0]) || heap_smi(words[0]) <= 0)
            continue;
        uintptr_t address = words[1] + (uintptr_t)heap_smi(words[0]);
        bool named = is_named(naming, address);
        struct code *code = named || unsaid ? find(naming, address) : NULL;
        if (named || (code != NULL && code->form == CODE_BYTECODE))
            return token_of(naming, code);
    }
    return 0;
}

/* What compiled code keeps for a builtin that it calls and that makes no frame of its own, so
 * that the frame is that code's: baseline code keeps its function's BytecodeArray, and what is
 * interpreted begins behind its header. No other bytecode can begin there. 0, if nothing. */
static uint64_t called_frameless(struct naming *naming, const struct v8_frame *frame)
{
    enum { HEADER_MAX = 96 }; /* less than two headers, in Node 18 to 26 */
    for (uintptr_t i = 1; i <= FIXED_WORDS; i++) {
        const uintptr_t *word = (const uintptr_t *)frame->fp - i;
        if ((uintptr_t)word < frame->sp)
            return 0;
        if (!heap_is_object(*word) || naming->codes == NULL)
            continue;
        const uintptr_t object = *word - 1;
        struct code *code =
            codes_find_between(naming->codes, object + WORD, object + HEADER_MAX);
        if (code != NULL && code->form == CODE_BYTECODE && code->start > object)
            return token_of(naming, code);
    }
    return 0;
}

static uint64_t name(struct naming *naming, const struct v8_frame *frame, bool innermost)
{
    if (frame->code == V8_WASM)
        return WALK_WASM;
    if (frame->code == V8_COMPILED)
        return token_of(naming, find(naming, frame->pc - (frame->live ? 0 : 1)));
    if (!frame->framed)
        return 0;
    uint64_t token = interpreted(naming, frame, innermost || naming->refused);
    return token == 0 && innermost ? called_frameless(naming, frame) : token;
}

/* The noted frames by what V8 says of them. */
static size_t name_all(struct naming *naming, bool collecting, struct cprof_frame *frames,
                       size_t capacity)
{
    struct v8_sample *sample = naming->isolate->sample;
    size_t count = 0;
    for (size_t i = 0; i < sample->count && count < capacity; i++) {
        const struct v8_frame *frame = &sample->frames[i];
        uint64_t token = collecting ? WALK_COLLECTOR : name(naming, frame, i == 0);
        if (token != 0)
            frames[count++] = (struct cprof_frame){
                .token = token,
                .position = WALK_NOWHERE,
                .stack = frame->framed ? frame->fp : frame->sp,
            };
        if (collecting)
            return count;
    }
    sample->cut |= count == capacity;
    return count;
}

static size_t tell(const struct isolate *isolate, struct cprof_frame *frames, size_t capacity)
{
    struct v8_sample *sample = isolate->sample;
    struct v8_sample_info info = {.count = 0};
    v8_sample_get(isolate->v8, sample->top.sp != 0 ? &sample->top : &nowhere, sample->addresses,
                  V8_FRAMES_MAX, &info);
    bool still = codes_begin_look(sample->codes);
    struct naming naming = {
        .isolate = isolate,
        .codes = still ? sample->codes : NULL,
        .addresses = sample->addresses,
        .count = info.count <= V8_FRAMES_MAX ? info.count : 0,
        .refused = info.count == 0,
    };
    size_t count = name_all(&naming, info.state == V8_STATE_COLLECTING, frames, capacity);
    if (still)
        codes_end_look(sample->codes);
    return count;
}

size_t v8_sample_walk(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                      size_t capacity, bool *complete)
{
    struct isolate *isolate = thread->thread_data;
    bool here = isolate != NULL &&
                atomic_load_explicit(&isolate->attached, memory_order_acquire) &&
                isolate->way == WAY_SAMPLES;
    struct v8_sample *sample = here ? isolate->sample : NULL;
    size_t count = 0;
    if (sample == NULL)
        return 0;
    if (sample->count > 0)
        count = tell(isolate, frames, capacity);
    *complete = !sample->cut;
    sample->count = 0;
    sample->cut = false;
    sample->top = (struct v8_registers){.sp = 0};
    return count;
}
