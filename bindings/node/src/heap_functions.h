/*
 * Handler code, and that of looks at threads that sleep (asleep.c): what V8's objects say of
 * the functions whose frames lie on the stack. Whoever includes this has heap.h for its own
 * heap or a sleeper's, and these two:
 *
 *   page_readable(isolate, page)  can the page at that address be read?
 *   stream_map(isolate)           where the map of InstructionStreams is kept, once met
 */
#include "heap.h"
#include "isolate.h"
#include "layout.h"
#include "walk.h"

enum {
    WORD = sizeof(uintptr_t),
    PAGE = 4096,
    CODE_ALIGNMENT = 64,
    CODE_REACH = 256 << 10, /* how far before a pc its function's start is looked for */
};

static bool page_readable(struct isolate *isolate, uintptr_t page);
static uintptr_t *stream_map(struct isolate *isolate);

/* A heap object whose first `size` bytes, and whose map, can be read. No more than is needed is
 * asked for: behind the last object of V8's memory nothing may be mapped. */
static bool object(struct isolate *isolate, uintptr_t word, int size)
{
    if (!heap_is_object(word))
        return false;
    uintptr_t first = (word - 1) & ~(uintptr_t)(PAGE - 1);
    uintptr_t last = (word - 2 + (uintptr_t)size) & ~(uintptr_t)(PAGE - 1);
    if (!page_readable(isolate, first) || (last != first && !page_readable(isolate, last)))
        return false;
    uintptr_t map = heap_word(word, 0);
    return heap_is_object(map) && page_readable(isolate, (map - 1) & ~(uintptr_t)(PAGE - 1)) &&
           page_readable(isolate, (map + 15) & ~(uintptr_t)(PAGE - 1));
}

static bool object_of(struct isolate *isolate, uintptr_t word, int type, int size)
{
    return object(isolate, word, size) && heap_type(word) == type;
}

/* The function's key; 0 when it comes from no script, as builtins do. */
static uint64_t key_of(struct isolate *isolate, uintptr_t shared, enum walk_kind kind)
{
    uintptr_t script = heap_word(shared, layout.shared_script);
    if (!object_of(isolate, script, layout.type_script, layout.script_id + WORD))
        return 0;
    uint64_t id = (uint32_t)heap_smi(heap_word(script, layout.script_id)) & 0x7fffffff;
    uint64_t literal = heap_int(shared, layout.shared_literal_id) & 0x7fffffff;
    return (uint64_t)kind << 62 | id << 31 | literal;
}

/* The JSFunction's SharedFunctionInfo, or 0. */
static uintptr_t shared_of(struct isolate *isolate, uintptr_t function)
{
    if (!object(isolate, function, layout.function_shared + WORD))
        return 0;
    int type = heap_type(function);
    if (type < layout.type_function_first || type > layout.type_function_last)
        return 0;
    uintptr_t shared = heap_word(function, layout.function_shared);
    return object_of(isolate, shared, layout.type_shared, layout.shared_read) ? shared : 0;
}

/* Is this where an instruction stream's code starts? Its Code object says so itself. */
static uintptr_t code_at(struct isolate *isolate, uintptr_t start)
{
    uintptr_t stream = start - (uintptr_t)layout.stream_start + 1;
    uintptr_t map = heap_word(stream, 0);
    uintptr_t *known = stream_map(isolate);
    if (*known != 0 ? map != *known : !heap_is_object(map))
        return 0;
    if (*known == 0 && !object_of(isolate, stream, layout.type_stream, 2 * WORD))
        return 0;
    uintptr_t code = heap_word(stream, WORD);
    if (!object_of(isolate, code, layout.type_code, layout.code_read) ||
        heap_word(code, layout.code_start) != start)
        return 0;
    *known = map;
    return code;
}

static uintptr_t find_code(struct isolate *isolate, uintptr_t pc)
{
    uintptr_t low = pc & ~(uintptr_t)(CODE_REACH - 1);
    if (low < isolate->code.start)
        low = isolate->code.start;
    for (uintptr_t start = pc & ~(uintptr_t)(CODE_ALIGNMENT - 1);
         start >= low + CODE_ALIGNMENT &&
         page_readable(isolate, start & ~(uintptr_t)(PAGE - 1)) &&
         page_readable(isolate, (start - CODE_ALIGNMENT) & ~(uintptr_t)(PAGE - 1));
         start -= CODE_ALIGNMENT) {
        uintptr_t code = code_at(isolate, start);
        if (code != 0)
            return pc - start < heap_int(code, layout.code_size) ? code : 0;
    }
    return 0;
}

static uint64_t optimization_key(struct isolate *isolate, uintptr_t code)
{
    uintptr_t deopt = heap_word(code, layout.code_deopt);
    if (!object(isolate, deopt, layout.deopt_read) ||
        heap_smi(heap_word(deopt, layout.array_length)) <= layout.deopt_inlining)
        return 0;
    uintptr_t id = heap_word(deopt, layout.array_data + layout.deopt_id * WORD);
    if (!heap_is_smi(id))
        return 0;
    return (uint64_t)WALK_OPTIMIZED << 62 | (uint32_t)heap_smi(id);
}
