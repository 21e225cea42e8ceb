/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "walk.h"

#include <ucontext.h>

#include "cprof/readable.h"
#include "cpu.h"
#include "heap_functions.h"
#include "isolate.h"
#include "layout.h"
#include "v8_sample.h"

enum {
    FRAME_MAX = 1 << 20,
    PLACE_SHIFT = 64 - PLACE_BITS,
};

/* ---- memory ---- */

static bool page_readable(struct isolate *isolate, uintptr_t page)
{
    uintptr_t *slot = &isolate->pages[(page / PAGE) % PAGE_SLOTS];
    if (*slot == page)
        return true;
    if (!cprof_is_readable(page))
        return false;
    *slot = page;
    return true;
}

static uintptr_t *stream_map(struct isolate *isolate)
{
    return &isolate->stream_map;
}

/* ---- learning ---- */

/* Gives a function a number, under which its isolate's thread will name it. 0: no room. */
static uint32_t learn(struct isolate *isolate, uint64_t key, uintptr_t function, uintptr_t code)
{
    struct seen *slot = seen_slot(isolate->seen, isolate->seen_slots, key, 0);
    for (size_t i = 0; i < SEEN_PROBES; i++) {
        struct seen *probe = seen_slot(isolate->seen, isolate->seen_slots, key, i);
        uint64_t found = atomic_load_explicit(&probe->key, memory_order_relaxed);
        if (found == key)
            return probe->number;
        if (found == 0) {
            slot = probe;
            break;
        }
    }
    uint32_t count = atomic_load_explicit(&isolate->pending_count, memory_order_relaxed);
    if (count >= isolate->pending_most)
        isolate->pending_most = count + 1;
    if (count == isolate->pending_max)
        return 0;
    uint32_t number = ++isolate->next_number;
    isolate->pending[count] =
        (struct pending){.key = key, .number = number, .function = function, .code = code};
    atomic_store_explicit(&isolate->pending_count, count + 1, memory_order_release);
    isolate->seen_used += atomic_load_explicit(&slot->key, memory_order_relaxed) == 0;
    slot->number = number;
    atomic_store_explicit(&slot->key, key, memory_order_relaxed);
    return number;
}

/* ---- one frame ---- */

struct stack_frame {
    struct isolate *isolate;
    const struct cprof_interrupted *thread;
    uintptr_t pc, fp, sp;
    bool live; /* interrupted here, so that all registers are known */
};

static uintptr_t slot(const struct stack_frame *at, int offset)
{
    uintptr_t address = at->fp + (uintptr_t)(intptr_t)offset;
    return address >= at->sp ? *(const uintptr_t *)address : 0;
}

static void name_as(struct cprof_frame *frame, uint64_t token)
{
    frame->token = token;
    if (token != 0)
        frame->position = WALK_NOWHERE;
}

static void number_as(struct cprof_frame *frame, const struct isolate *isolate, uint32_t number,
                      uint64_t position)
{
    name_as(frame, number != 0 ? (uint64_t)isolate->serial << 32 | number : WALK_FORGOTTEN);
    if (number != 0)
        frame->position = position;
}

/* The offset of the bytecode that runs: the interpreter keeps it in a register, and stores it
 * only before it calls. */
static uint64_t bytecode_offset(const struct stack_frame *at, uintptr_t bytecode)
{
    intptr_t offset = heap_smi(slot(at, -40));
    const ucontext_t *context = at->live ? at->thread->ucontext : NULL;
    if (context != NULL) {
        intptr_t current = cpu_bytecode_offset(context);
        intptr_t limit =
            layout.bytecode_data + heap_smi(heap_word(bytecode, layout.array_length));
        if (cpu_bytecode(context) == bytecode && current >= layout.bytecode_data - 1 &&
            current < limit)
            offset = current;
    }
    offset -= layout.bytecode_data - 1;
    return offset >= 0 ? (uint64_t)offset : WALK_NOWHERE;
}

/* The slot of what is kept till the next collection under a pc or a function. */
static struct place *place_of(struct isolate *isolate, uintptr_t key)
{
    return &isolate->places[key * 0x9e3779b97f4a7c15u >> PLACE_SHIFT];
}

/* A JavaScript function whose code is not its own: the interpreter runs it, or it is itself a
 * builtin, or calls one that needs no frame. */
static void name_function(const struct stack_frame *at, struct cprof_frame *frame)
{
    struct isolate *isolate = at->isolate;
    uintptr_t function = slot(at, -16);
    uintptr_t bytecode = slot(at, -32);
    struct place *place = place_of(isolate, function);
    if (function != 0 && place->pc == function && place->position == bytecode &&
        heap_is_smi(slot(at, -40))) {
        frame->token = place->token;
        frame->position = bytecode_offset(at, bytecode);
        return;
    }
    uintptr_t shared = shared_of(isolate, function);
    uint64_t key = shared != 0 ? key_of(isolate, shared, WALK_FUNCTION) : 0;
    if (key == 0) {
        name_as(frame, shared != 0 ? 0 : WALK_OPAQUE);
        return;
    }
    bool interpreted =
        heap_is_smi(slot(at, -40)) &&
        object_of(isolate, bytecode, layout.type_bytecode, layout.array_length + WORD);
    number_as(frame, isolate, learn(isolate, key, shared, interpreted ? bytecode : 0),
              interpreted ? bytecode_offset(at, bytecode) : WALK_NOWHERE);
    if (interpreted && frame->token != WALK_FORGOTTEN)
        *place = (struct place){.pc = function, .token = frame->token, .position = bytecode};
}

/* ---- compiled code ---- */

static void name_compiled(const struct stack_frame *at, struct cprof_frame *frame)
{
    struct isolate *isolate = at->isolate;
    uintptr_t inside = at->live ? at->pc : at->pc - 1;
    struct place *place = place_of(isolate, inside);
    if (place->pc == inside) {
        frame->token = place->token;
        frame->position = place->position;
        return;
    }
    uintptr_t shared = shared_of(isolate, slot(at, -16));
    uintptr_t code = layout.code ? find_code(isolate, inside) : 0;
    if (shared == 0 || code == 0) {
        name_function(at, frame);
        return;
    }
    int kind = (int)heap_int(code, layout.code_flags) & layout.kind_mask;
    uint64_t key = kind == layout.kind_baseline ? key_of(isolate, shared, WALK_BASELINE)
                                                : optimization_key(isolate, code);
    if (key == 0) {
        name_function(at, frame);
        return;
    }
    number_as(frame, isolate, learn(isolate, key, shared, code),
              inside - heap_word(code, layout.code_start));
    if (frame->token != WALK_FORGOTTEN)
        *place = (struct place){inside, frame->token, frame->position};
}

/* ---- the step ---- */

/* Does the frame pointer point to a frame's record? */
static bool has_record(const struct stack_frame *at)
{
    return at->fp >= at->sp && at->fp - at->sp <= FRAME_MAX && at->fp % WORD == 0 &&
           at->fp + 2 * WORD <= at->isolate->stack_high;
}

/* A bytecode's handler makes a frame of its own only for calls: until then the frame is the
 * interpreted function's, whose position is in a register. */
static bool interprets(const struct stack_frame *at, const ucontext_t *context)
{
    return CPU_LINK_REGISTER && has_record(at) && cpu_bytecode(context) == slot(at, -32);
}

/* Does the interrupted code run without a frame? Only code that runs is looked at: a return
 * address on a broken stack may point to where nothing is mapped. */
static bool leave_frameless(const struct stack_frame *at, struct cprof_registers *registers)
{
    const ucontext_t *context = at->thread->ucontext;
    return at->live && context != NULL && at->sp + 2 * WORD <= at->isolate->stack_high &&
           !interprets(at, context) && cpu_leave_frameless(context, registers);
}

/* Bytes between the frame's record and its caller's stack: what code that C++ calls keeps
 * there.
 */
static uintptr_t saved_above(const struct stack_frame *at)
{
    uintptr_t marker = slot(at, -8);
    if (marker == (uintptr_t)layout.frame_entry << 1 ||
        marker == (uintptr_t)layout.frame_construct_entry << 1)
        return CPU_ENTRY_SAVED * WORD;
    return marker == (uintptr_t)layout.frame_regexp << 1 ? CPU_REGEXP_SAVED * WORD : 0;
}

static bool leave_frame(const struct stack_frame *at, struct cprof_registers *registers)
{
    if (!has_record(at))
        return false;
    const uintptr_t *record = (const uintptr_t *)at->fp;
    registers->pc = cpu_return_address(record[1]);
    registers->sp = at->fp + 2 * WORD + saved_above(at);
    registers->fp = record[0];
    return true;
}

/* A garbage collection shows once, where it interrupted JavaScript; what that was can't be
 * read now. The next sample of the same collection begins at the same frame again. */
static void name_collection(const struct stack_frame *at, struct cprof_frame *frame)
{
    bool first = at->sp <= at->isolate->collection_sp;
    at->isolate->collection_sp = at->sp;
    at->isolate->collection_named = true;
    name_as(frame, first ? WALK_COLLECTOR : 0);
}

/* One that a task of V8's own has begun has no JavaScript beneath: it shows in the place of the
 * function that runs it. */
static size_t show_collection(struct isolate *isolate, const struct cprof_interrupted *thread,
                              struct cprof_frame *frame)
{
    bool named = isolate->collection_named;
    isolate->collection_named = false;
    if (named || atomic_load_explicit(&isolate->collecting, memory_order_relaxed) == 0)
        return 0;
    uintptr_t at = isolate->collection_at, sp = thread->registers.sp;
    *frame = (struct cprof_frame){
        .token = WALK_COLLECTOR, .position = WALK_NOWHERE, .stack = at >= sp ? at : sp};
    return 1;
}

static void name_wasm(const struct stack_frame *at, struct cprof_frame *frame)
{
    frame->token = (uint64_t)at->isolate->serial << 32 | WALK_WASM_NUMBER;
    frame->position =
        wasm_names_position(&at->isolate->wasm_names, at->pc - (at->live ? 0 : 1));
}

static void name_frame(const struct stack_frame *at, bool compiled, struct cprof_frame *frame)
{
    struct isolate *isolate = at->isolate;
    uintptr_t marker = slot(at, -8);
    if (atomic_load_explicit(&isolate->collecting, memory_order_relaxed) != 0)
        name_collection(at, frame);
    else if (isolate->opaque)
        name_as(frame, (marker & 1) != 0 ? WALK_OPAQUE : 0);
    else if ((marker & 1) == 0 && marker >> 1 == (uintptr_t)layout.frame_wasm)
        name_wasm(at, frame);
    else if ((marker & 1) == 0)
        name_as(frame,
                compiled && marker >> 1 == (uintptr_t)layout.frame_regexp ? WALK_REGEXP : 0);
    else if (compiled)
        name_compiled(at, frame);
    else
        name_function(at, frame);
}

static struct isolate *isolate_of(const struct cprof_interrupted *thread)
{
    struct isolate *isolate = thread->thread_data;
    bool ready =
        isolate != NULL && atomic_load_explicit(&isolate->attached, memory_order_acquire);
    return ready ? isolate : NULL;
}

static struct stack_frame look(struct isolate *isolate, const struct cprof_interrupted *thread,
                               const struct cprof_registers *registers)
{
    return (struct stack_frame){
        .isolate = isolate,
        .thread = thread,
        .pc = registers->pc,
        .fp = registers->fp,
        .sp = registers->sp,
        .live = registers->pc == thread->registers.pc && registers->sp == thread->registers.sp,
    };
}

/* For what asks V8 about it: v8_sample.h. */
static void note_frame(const struct stack_frame *at, enum v8_code code, bool framed)
{
    v8_sample_note(at->isolate, &(struct v8_frame){.pc = at->pc,
                                                   .sp = at->sp,
                                                   .fp = at->fp,
                                                   .code = code,
                                                   .live = at->live,
                                                   .framed = framed});
}

bool walk_step(const struct cprof_interrupted *thread, struct cprof_registers *registers,
               struct cprof_frame *frame)
{
    struct isolate *isolate = isolate_of(thread);
    if (isolate == NULL)
        return false;
    bool copied = range_holds(&isolate->copied_builtins, registers->pc);
    bool compiled = range_holds(&isolate->code, registers->pc) && !copied;
    if (!compiled && !copied && !range_holds(&isolate->builtins, registers->pc))
        return false;
    struct stack_frame at = look(isolate, thread, registers);
    *frame = (struct cprof_frame){.token = 0};
    if (copied && isolate->copy_distance != 0)
        frame->position = at.pc - (at.live ? 0 : 1) - isolate->copy_distance;
    bool framed = !leave_frameless(&at, registers);
    if (framed && !leave_frame(&at, registers))
        return false;
    if (isolate->way == WAY_SAMPLES)
        note_frame(&at, compiled ? V8_COMPILED : V8_BUILTIN, framed);
    else if (framed)
        name_frame(&at, compiled, frame);
    return true;
}

/* ---- code outside the heap's ---- */

static _Atomic uintptr_t *wasm_page(struct isolate *isolate, uintptr_t pc)
{
    return &isolate->wasm[(pc >> WASM_PAGE_BITS) % WASM_PAGES];
}

bool walk_is_wasm(struct isolate *isolate, uintptr_t pc)
{
    return atomic_load_explicit(wasm_page(isolate, pc), memory_order_relaxed) ==
           pc >> WASM_PAGE_BITS;
}

static void mark_wasm(struct isolate *isolate, uintptr_t pc)
{
    atomic_store_explicit(wasm_page(isolate, pc), pc >> WASM_PAGE_BITS, memory_order_relaxed);
}

static bool is_wasm_frame(const struct stack_frame *at)
{
    uintptr_t marker = slot(at, -8);
    bool known = marker == (uintptr_t)layout.frame_wasm << 1 ||
                 marker == (uintptr_t)layout.frame_wasm_to_js << 1;
    return known && heap_is_object(slot(at, -16));
}

static bool is_v8s(struct isolate *isolate, uintptr_t pc)
{
    return range_holds(&isolate->builtins, pc) || range_holds(&isolate->code, pc) ||
           walk_is_wasm(isolate, pc);
}

/* Where nothing is known of markers: code in no module that V8's own code called is
 * WebAssembly. All else is called by C++. */
static bool step_unmapped_by_caller(const struct stack_frame *at,
                                    struct cprof_registers *registers)
{
    bool framed = !walk_is_wasm(at->isolate, at->pc) || !leave_frameless(at, registers);
    if (framed && (!leave_frame(at, registers) || !is_v8s(at->isolate, registers->pc)))
        return false;
    mark_wasm(at->isolate, at->pc);
    note_frame(at, V8_WASM, framed);
    return true;
}

bool walk_step_unmapped(const struct cprof_interrupted *thread,
                        struct cprof_registers *registers, struct cprof_frame *frame)
{
    struct isolate *isolate = isolate_of(thread);
    if (isolate == NULL)
        return false;
    struct stack_frame at = look(isolate, thread, registers);
    *frame = (struct cprof_frame){.token = 0};
    if (isolate->way != WAY_FRAMES)
        return isolate->way == WAY_SAMPLES && step_unmapped_by_caller(&at, registers);
    if (walk_is_wasm(isolate, at.pc) && leave_frameless(&at, registers))
        return true;
    if (!leave_frame(&at, registers) || !is_wasm_frame(&at))
        return false;
    if (slot(&at, -8) == (uintptr_t)layout.frame_wasm << 1)
        name_wasm(&at, frame);
    mark_wasm(isolate, at.pc);
    return true;
}

size_t walk_rest(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                 size_t capacity, bool *complete)
{
    struct isolate *isolate = isolate_of(thread);
    if (isolate == NULL || isolate->way != WAY_FRAMES)
        return v8_sample_walk(thread, frames, capacity, complete);
    return capacity > 0 ? show_collection(isolate, thread, frames) : 0;
}
