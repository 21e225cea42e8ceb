#include "context_probe.h"

#include <string.h>

#include "cprof/readable.h"
#include "heap.h"
#include "isolate.h"

enum { WORD = sizeof(uintptr_t) };

/* Copies words of what may be a heap object; false when it is none, or not to be read. */
static bool fetch(uintptr_t object, int offset, uintptr_t *words, size_t count)
{
    if (!heap_is_object(object))
        return false;
    return cprof_read_all(words, object - 1 + (uintptr_t)offset, count * WORD);
}

/* Does the word lead to the value as the field would? Nothing is known of it. */
static bool leads_to(uintptr_t map, uintptr_t value)
{
    uintptr_t table, length, words[CONTEXT_TABLE_MAX];
    if (!fetch(map, CONTEXT_MAP_TABLE, &table, 1) ||
        !fetch(table, CONTEXT_TABLE_LENGTH, &length, 1) || !heap_is_smi(length) ||
        heap_smi(length) <= 0 || heap_smi(length) > CONTEXT_TABLE_MAX ||
        !fetch(table, CONTEXT_TABLE_FIRST, words, (size_t)heap_smi(length)))
        return false;
    for (int i = 0; i < heap_smi(length); i++)
        if (words[i] == value)
            return true;
    return false;
}

/* Elsewhere nobody tells of collections, and the handler leaves the heap alone. */
static bool heap_is_read(void)
{
    return isolate_way() == WAY_FRAMES;
}

void context_copy_fields(const struct isolate *isolate, uintptr_t fields[CONTEXT_FIELDS])
{
    if (heap_is_read())
        memcpy(fields, isolate->v8, CONTEXT_FIELDS * sizeof *fields);
}

int context_find_field(const struct isolate *isolate, uintptr_t value,
                       const uintptr_t before[CONTEXT_FIELDS], int first)
{
    const uintptr_t *fields = isolate->v8;
    if (!heap_is_read() || !heap_is_object(value) || !context_is_ours(value))
        return -1;
    for (int i = first; i >= 0 && i < CONTEXT_FIELDS; i++)
        if (fields[i] != before[i] && leads_to(fields[i], value))
            return i;
    return -1;
}

bool context_use_field(struct isolate *isolate, uintptr_t value, int field)
{
    const uintptr_t *place = (const uintptr_t *)isolate->v8 + field;
    struct context_source *source = &isolate->context;
    if (!heap_is_read() || field < 0 || field >= CONTEXT_FIELDS || !heap_is_object(value) ||
        !context_is_ours(value) || !leads_to(*place, value))
        return false;
    const struct cprof_context wanted = context_of(value);
    source->map_type = heap_type(*place);
    source->bigint_map = heap_word(value, 0);
    atomic_signal_fence(memory_order_seq_cst);
    source->field = place;
    context_keep(isolate);
    if (memcmp(source->kept.trace_id, wanted.trace_id, sizeof wanted.trace_id) == 0 &&
        memcmp(source->kept.span_id, wanted.span_id, sizeof wanted.span_id) == 0)
        return true;
    source->field = NULL;
    return false;
}
