#include "asleep.h"

#include <string.h>

#define HEAP_VIEW
#include "context_heap.h"
#include "handles.h"
#include "heap_functions.h"
#include "isolate.h"
#include "locks.h"
#include "names.h"
#include "walk.h"

enum { FRAME_MAX = 1 << 20 };

/* ---- reading ---- */

static bool page_readable(struct isolate *isolate, uintptr_t page)
{
    uint64_t word;
    (void)isolate;
    return heap_copy(page, &word, sizeof word);
}

/* The collector's own, by isolate: the one of the handler is its thread's. */
static uintptr_t *stream_map(struct isolate *isolate)
{
    static uintptr_t map;
    static uint32_t serial;
    if (serial != isolate->serial)
        map = 0;
    serial = isolate->serial;
    return &map;
}

static struct isolate *isolate_of(const struct cprof_sleeper *sleeper)
{
    struct isolate *isolate = sleeper->thread_data;
    bool ready =
        isolate != NULL && atomic_load_explicit(&isolate->attached, memory_order_acquire);
    return ready ? isolate : NULL;
}

/* ---- a frame's function ---- */

struct stack_frame {
    struct isolate *isolate;
    uintptr_t inside; /* an address in the call that it is at */
    uintptr_t fp, sp;
};

static uintptr_t slot(const struct stack_frame *at, int offset)
{
    uintptr_t address = at->fp + (uintptr_t)(intptr_t)offset, word = 0;
    if (address >= at->sp)
        heap_load(address, &word, sizeof word);
    return word;
}

static void name_as(struct cprof_frame *frame, uint64_t token)
{
    frame->token = token;
    if (token != 0)
        frame->position = WALK_NOWHERE;
}

static void number_as(const struct stack_frame *at, struct cprof_frame *frame,
                      const struct pending *met, uint64_t position)
{
    struct isolate *isolate = at->isolate;
    uint32_t number = names_looked(isolate, met->key, met->function, met->code);
    name_as(frame, number != 0 ? (uint64_t)isolate->serial << 32 | number : WALK_FORGOTTEN);
    if (number != 0)
        frame->position = position;
}

static void name_function(const struct stack_frame *at, struct cprof_frame *frame)
{
    struct isolate *isolate = at->isolate;
    uintptr_t shared = shared_of(isolate, slot(at, -16)), bytecode = slot(at, -32);
    uint64_t key = shared != 0 ? key_of(isolate, shared, WALK_FUNCTION) : 0;
    if (key == 0) {
        name_as(frame, shared != 0 ? 0 : WALK_OPAQUE);
        return;
    }
    bool interpreted =
        heap_is_smi(slot(at, -40)) &&
        object_of(isolate, bytecode, layout.type_bytecode, layout.array_length + WORD);
    intptr_t offset = heap_smi(slot(at, -40)) - (layout.bytecode_data - 1);
    const struct pending met = {
        .key = key, .function = shared, .code = interpreted ? bytecode : 0};
    number_as(at, frame, &met, interpreted && offset >= 0 ? (uint64_t)offset : WALK_NOWHERE);
}

static void name_compiled(const struct stack_frame *at, struct cprof_frame *frame)
{
    struct isolate *isolate = at->isolate;
    uintptr_t shared = shared_of(isolate, slot(at, -16));
    uintptr_t code = layout.code ? find_code(isolate, at->inside) : 0;
    uint64_t key = 0;
    if (shared != 0 && code != 0) {
        int kind = (int)heap_int(code, layout.code_flags) & layout.kind_mask;
        key = kind == layout.kind_baseline ? key_of(isolate, shared, WALK_BASELINE)
                                           : optimization_key(isolate, code);
    }
    if (key == 0) {
        name_function(at, frame);
        return;
    }
    const struct pending met = {.key = key, .function = shared, .code = code};
    number_as(at, frame, &met, at->inside - heap_word(code, layout.code_start));
}

/* What is read of a collection under way is where it began. */
static void name_collection(const struct stack_frame *at, struct cprof_frame *frame)
{
    bool first = at->sp <= at->isolate->collection_sp;
    name_as(frame, first ? WALK_COLLECTOR : 0);
}

static void name_frame(const struct stack_frame *at, bool compiled, struct cprof_frame *frame)
{
    struct isolate *isolate = at->isolate;
    uintptr_t marker = slot(at, -8);
    if (atomic_load_explicit(&isolate->collecting, memory_order_relaxed) != 0)
        name_collection(at, frame);
    else if (isolate->opaque || isolate->way != WAY_FRAMES)
        name_as(frame, (marker & 1) != 0 ? WALK_OPAQUE : 0);
    else if ((marker & 1) == 0 && marker >> 1 == (uintptr_t)layout.frame_wasm)
        name_as(frame, WALK_WASM);
    else if ((marker & 1) == 0)
        name_as(frame,
                compiled && marker >> 1 == (uintptr_t)layout.frame_regexp ? WALK_REGEXP : 0);
    else if (compiled)
        name_compiled(at, frame);
    else
        name_function(at, frame);
}

/* ---- the step ---- */

/* To the caller, if the frame pointer is that of a frame. */
static bool leave_frame(const struct cprof_sleeper *sleeper, const struct isolate *isolate,
                        struct cprof_registers *registers)
{
    const uintptr_t fp = registers->fp;
    uintptr_t record[2];
    if (fp < registers->sp || fp - registers->sp > FRAME_MAX || fp % WORD != 0 ||
        fp + sizeof record > isolate->stack_high ||
        !sleeper->read(sleeper, fp, record, sizeof record))
        return false;
    *registers =
        (struct cprof_registers){.pc = record[1], .sp = fp + sizeof record, .fp = record[0]};
    return true;
}

static bool step(const struct cprof_sleeper *sleeper, struct cprof_registers *registers,
                 struct cprof_frame *frame)
{
    struct isolate *isolate = isolate_of(sleeper);
    if (isolate == NULL)
        return false;
    bool copied = range_holds(&isolate->copied_builtins, registers->pc);
    bool compiled = range_holds(&isolate->code, registers->pc) && !copied;
    if (!compiled && !copied && !range_holds(&isolate->builtins, registers->pc))
        return false;
    const struct stack_frame at = {.isolate = isolate,
                                   .inside = registers->pc - 1,
                                   .fp = registers->fp,
                                   .sp = registers->sp};
    if (!leave_frame(sleeper, isolate, registers))
        return false;
    if (frame == NULL)
        return true;
    *frame = (struct cprof_frame){.token = 0};
    if (copied && isolate->copy_distance != 0)
        frame->position = at.inside - isolate->copy_distance;
    heap_view_begin(sleeper);
    name_frame(&at, compiled, frame);
    heap_view_end();
    return true;
}

/* ---- the context ---- */

static struct cprof_context read_source(const struct context_source *source)
{
    uint32_t words[CONTEXT_WORDS];
    uintptr_t map;
    if (source->field != NULL) {
        heap_load((uintptr_t)source->field, &map, sizeof map);
        return read_map(source, map);
    }
    if (source->words == NULL)
        return (struct cprof_context){0};
    heap_load((uintptr_t)source->words, words, sizeof words);
    return read_words(words);
}

static bool context(const struct cprof_sleeper *sleeper, struct cprof_context *context)
{
    const struct isolate *isolate = isolate_of(sleeper);
    if (isolate == NULL)
        return false;
    if (atomic_load_explicit(&isolate->collecting, memory_order_relaxed) != 0) {
        *context = isolate->context.kept;
        return true;
    }
    heap_view_begin(sleeper);
    *context = read_source(&isolate->context);
    heap_view_end();
    return true;
}

/* ---- what for ---- */

/* A child process that is waited for has an event loop of its own, which waits as one at rest
 * does. */
static enum cprof_wait waits_for(const struct cprof_function *functions, size_t count)
{
    static const char file[] = "child_process";
    if (count == 0 || functions[0].file == NULL || strcmp(functions[0].name, "spawnSync") != 0)
        return CPROF_WAIT_UNKNOWN;
    const size_t length = strlen(functions[0].file);
    bool own = length >= sizeof file - 1 &&
               strcmp(functions[0].file + length - (sizeof file - 1), file) == 0;
    return own ? CPROF_WAIT_CHILD : CPROF_WAIT_UNKNOWN;
}

/* Node's workers for V8's tasks, and libuv's for files and names, wait at a condition of
 * libuv's. Neither has a name in a stripped node. */
static bool is_out_of_work(const char *const *names, size_t count)
{
    bool waits = false;
    for (size_t i = 0; i < count; i++) {
        if (waits && (strstr(names[i], "PlatformWorkerThread") != NULL ||
                      strcmp(names[i], "worker") == 0))
            return true;
        waits = waits || strcmp(names[i], "uv_cond_wait") == 0;
    }
    return false;
}

const struct cprof_asleep node_asleep = {
    .step = step,
    .context = context,
    .waits_for = waits_for,
    .is_out_of_work = is_out_of_work,
    .is_of_locks = locks_is_own,
    .others = handles_each,
};
