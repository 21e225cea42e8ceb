/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "context.h"

#include <sys/uio.h>
#include <unistd.h>

#include "heap.h"
#include "isolate.h"

enum {
    WORD = sizeof(uintptr_t),
    ISOLATE_BYTES = 4096, /* of the v8::Isolate, that are searched */
    MAP_TABLE = 24,       /* after an object's map, properties and elements */
    ARRAY_LENGTH = 8,     /* of a FixedArray, which a table begins as */
    ARRAY_FIRST = 16,
    TABLE_MAX = 512, /* words of a table; one with more is not ours to search */
    BIGINT_BITS = 8, /* sign, then the number of digits */
    BIGINT_FIRST = 16,
    DIGITS = 4,
};

static uint64_t digit(uintptr_t value, int index)
{
    return (uint64_t)heap_word(value, BIGINT_FIRST + index * WORD);
}

/* Is it a BigInt of ours? Its map has been compared. */
static bool is_ours(uintptr_t value)
{
    return heap_int(value, BIGINT_BITS) >> 1 == DIGITS &&
           digit(value, DIGITS - 1) >> 32 == CONTEXT_MAGIC;
}

/* Our value in a Map's table, which is searched as the array that it begins as: a few words for
 * each storage in use. 0: none. */
static uintptr_t find_value(uintptr_t table, uintptr_t bigint_map)
{
    const uintptr_t length = heap_word(table, ARRAY_LENGTH);
    const int count = heap_is_smi(length) ? heap_smi(length) : 0;

    for (int i = 0; i < count && i < TABLE_MAX; i++) {
        const uintptr_t word = heap_word(table, ARRAY_FIRST + i * WORD);
        if (heap_is_object(word) && heap_word(word, 0) == bigint_map && is_ours(word))
            return word;
    }
    return 0;
}

static void put(uint8_t *bytes, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

/* What the field leads to always lives: only its own thread, which is interrupted, and the
 * collector change it. */
static void read_field(const struct context_source *source, struct cprof_context *context)
{
    const uintptr_t map = *source->field;
    if (!heap_is_object(map) || heap_type(map) != source->map_type)
        return;
    const uintptr_t table = heap_word(map, MAP_TABLE);
    const uintptr_t value = heap_is_object(table) ? find_value(table, source->bigint_map) : 0;
    if (value == 0)
        return;
    put(context->trace_id, digit(value, 1), 8);
    put(context->trace_id + 8, digit(value, 0), 8);
    put(context->span_id, digit(value, 2), 8);
    context->label_set = (uint32_t)digit(value, 3);
}

static void read_words(const volatile uint32_t *words, struct cprof_context *context)
{
    if (words[CONTEXT_VALID] == 0)
        return;
    context->label_set = words[CONTEXT_LABELS];
    for (int i = 0; i < 2; i++)
        put(context->span_id + 4 * i, words[CONTEXT_SPAN + i], 4);
    for (int i = 0; i < 4; i++)
        put(context->trace_id + 4 * i, words[CONTEXT_TRACE + i], 4);
}

static void read_source(const struct context_source *source, struct cprof_context *context)
{
    if (source->field != NULL)
        read_field(source, context);
    else if (source->words != NULL)
        read_words(source->words, context);
}

bool context_read(const struct cprof_interrupted *thread, struct cprof_context *context)
{
    const struct isolate *isolate = thread->thread_data;
    if (isolate == NULL)
        return false;
    if (atomic_load_explicit(&isolate->collecting, memory_order_relaxed) != 0)
        *context = isolate->context.kept;
    else
        read_source(&isolate->context, context);
    return true;
}

void context_keep(struct isolate *isolate)
{
    isolate->context.kept = (struct cprof_context){0};
    read_source(&isolate->context, &isolate->context.kept);
}

/* ---- the probe, outside the handler ---- */

/* Copies words of what may be a heap object; false when it is none, or not to be read. With a
 * system call that fails where a load would crash: the isolate's fields hold words of objects
 * that are gone, whose pages V8 may be giving back at this moment. */
static bool fetch(uintptr_t object, int offset, uintptr_t *words, size_t count)
{
    if (!heap_is_object(object))
        return false;
    const size_t bytes = count * WORD;
    const struct iovec to = {.iov_base = words, .iov_len = bytes};
    const struct iovec from = {.iov_base = (void *)(object - 1 + (uintptr_t)offset),
                               .iov_len = bytes};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)bytes;
}

/* Does the word lead to the value as the field would? Nothing is known of it. */
static bool leads_to(uintptr_t map, uintptr_t value)
{
    uintptr_t table, length, words[TABLE_MAX];
    if (!fetch(map, MAP_TABLE, &table, 1) || !fetch(table, ARRAY_LENGTH, &length, 1) ||
        !heap_is_smi(length) || heap_smi(length) <= 0 || heap_smi(length) > TABLE_MAX ||
        !fetch(table, ARRAY_FIRST, words, (size_t)heap_smi(length)))
        return false;
    for (int i = 0; i < heap_smi(length); i++)
        if (words[i] == value)
            return true;
    return false;
}

bool context_probe(struct isolate *isolate, uintptr_t value)
{
    const uintptr_t *fields = isolate->v8;
    if (fields == NULL || !heap_is_object(value) || !is_ours(value))
        return false;
    for (size_t i = 0; i < ISOLATE_BYTES / WORD; i++) {
        if (!leads_to(fields[i], value))
            continue;
        isolate->context.map_type = heap_type(fields[i]);
        isolate->context.bigint_map = heap_word(value, 0);
        isolate->context.field = &fields[i];
        return true;
    }
    return false;
}
