/*
 * Handler code, and that of looks at threads that sleep (asleep.c): what the values say in
 * which JavaScript carries the span and the labels (context.h). Whoever includes this has
 * heap.h for its own heap or a sleeper's.
 */
#include "context.h"
#include "heap.h"

enum {
    BIGINT_BITS = 8, /* sign, then the number of digits */
    BIGINT_FIRST = 16,
    DIGITS = 4,
};

static uint64_t digit(uintptr_t value, int index)
{
    return (uint64_t)heap_word(value, BIGINT_FIRST + index * (int)sizeof(uintptr_t));
}

static bool is_ours(uintptr_t value)
{
    return heap_int(value, BIGINT_BITS) >> 1 == DIGITS &&
           digit(value, DIGITS - 1) >> 32 == CONTEXT_MAGIC;
}

static void put(uint8_t *bytes, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

/* The ids as numbers, the trace's upper half first. */
static struct cprof_context context_with(uint64_t trace_high, uint64_t trace_low, uint64_t span,
                                         uint32_t labels)
{
    struct cprof_context context = {.label_set = labels};
    if ((trace_high | trace_low) == 0) {
        context.unreadable = span != 0;
        return context;
    }
    put(context.trace_id, trace_high, 8);
    put(context.trace_id + 8, trace_low, 8);
    put(context.span_id, span, 8);
    return context;
}

static struct cprof_context said_by(uintptr_t value)
{
    return context_with(digit(value, 1), digit(value, 0), digit(value, 2),
                        (uint32_t)digit(value, 3));
}

/* Our value in a Map's table: a few words for each storage in use. */
static struct cprof_context read_table(uintptr_t table, uintptr_t bigint_map)
{
    const uintptr_t length = heap_word(table, CONTEXT_TABLE_LENGTH);
    const int count = heap_is_smi(length) ? heap_smi(length) : 0;

    for (int i = 0; i < count && i < CONTEXT_TABLE_MAX; i++) {
        const uintptr_t word =
            heap_word(table, CONTEXT_TABLE_FIRST + i * (int)sizeof(uintptr_t));
        if (heap_is_object(word) && heap_word(word, 0) == bigint_map && is_ours(word))
            return said_by(word);
    }
    return (struct cprof_context){.unreadable = count > CONTEXT_TABLE_MAX};
}

/* What the field leads to always lives: only its own thread, which is interrupted or sleeps,
 * and V8's collector change it. */
static struct cprof_context read_map(const struct context_source *source, uintptr_t map)
{
    if (!heap_has_type(map, source->map_type))
        return (struct cprof_context){0};
    const uintptr_t table = heap_word(map, CONTEXT_MAP_TABLE);
    return heap_is_object(table) ? read_table(table, source->bigint_map)
                                 : (struct cprof_context){0};
}

/* Two words of the array, the upper first. */
static uint64_t long_word(const volatile uint32_t *words)
{
    return (uint64_t)words[0] << 32 | words[1];
}

static struct cprof_context read_words(const volatile uint32_t *words)
{
    if (words[CONTEXT_VALID] == 0)
        return (struct cprof_context){0};
    return context_with(long_word(words + CONTEXT_TRACE), long_word(words + CONTEXT_TRACE + 2),
                        long_word(words + CONTEXT_SPAN), words[CONTEXT_LABELS]);
}
