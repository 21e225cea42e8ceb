#include "context/record.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "context/process.h"

/* The calling thread's record. Not read back from the symbol, in which another library of the
 * process, having a symbol of that name, may have put a record of its own. */
static _Thread_local struct thread_context *mine;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t owner; /* frees a thread's record when the thread ends */
static bool have_owner;

static void free_record(void *record)
{
    otel_thread_ctx_v1 = mine = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    free(record);
}

static void make_owner(void)
{
    have_owner = pthread_key_create(&owner, free_record) == 0;
}

/* The calling thread's first record; NULL: it goes without. */
static struct thread_context *make_record(void)
{
    pthread_once(&once, make_owner);
    struct thread_context *record = have_owner ? calloc(1, sizeof *record) : NULL;
    if (record != NULL && pthread_setspecific(owner, record) != 0) {
        free(record);
        record = NULL;
    }
    if (record != NULL) {
        process_context_tell_records();
        otel_thread_ctx_v1 = mine = record;
    }
    return record;
}

static void set_valid(struct thread_context *record, bool valid)
{
    atomic_signal_fence(memory_order_seq_cst);
    *(volatile uint8_t *)&record->valid = valid;
    atomic_signal_fence(memory_order_seq_cst);
}

bool cprof_context_shared(void)
{
    return atomic_load_explicit(&process_context_shared, memory_order_relaxed);
}

void cprof_context_attach(const struct cprof_span *span, const uint8_t *attributes, size_t size)
{
    static const struct cprof_span none;
    struct thread_context *record = mine;
    if (!cprof_context_shared()) {
        if (record != NULL)
            set_valid(record, false); /* it must not be found stale when sharing goes on */
        return;
    }
    if (record == NULL && (record = make_record()) == NULL)
        return;
    if (span == NULL)
        span = &none;
    if (size > sizeof record->attributes)
        size = 0;
    set_valid(record, false);
    memcpy(record->trace_id, span->trace_id, sizeof record->trace_id);
    memcpy(record->span_id, span->span_id, sizeof record->span_id);
    record->flags = span->flags;
    record->size = (uint16_t)size;
    if (size > 0)
        memcpy(record->attributes, attributes, size);
    set_valid(record, true);
}

void cprof_context_detach(void)
{
    struct thread_context *record = mine;
    if (record != NULL)
        set_valid(record, false);
}

/* How much of a value is told: as much as one byte can count, and whole characters. */
static size_t told(const char *value)
{
    size_t length = strnlen(value, UINT8_MAX + 1);
    if (length > UINT8_MAX)
        for (length = UINT8_MAX; length > 0 && ((uint8_t)value[length] & 0xc0) == 0x80;)
            length--;
    return length;
}

size_t cprof_context_encode(const struct cprof_pair *labels, size_t count,
                            uint8_t attributes[CPROF_ATTRIBUTES_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = told(labels[i].value);
        if (length + 2 > CPROF_ATTRIBUTES_MAX - used)
            continue;
        int key = process_context_key(labels[i].key);
        if (key < 0)
            continue;
        attributes[used] = (uint8_t)key;
        attributes[used + 1] = (uint8_t)length;
        memcpy(attributes + used + 2, labels[i].value, length);
        used += length + 2;
    }
    return used;
}
