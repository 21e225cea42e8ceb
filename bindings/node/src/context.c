/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "context.h"

#include "context_heap.h"
#include "isolate.h"

bool context_is_ours(uintptr_t value)
{
    return is_ours(value);
}

struct cprof_context context_of(uintptr_t value)
{
    return said_by(value);
}

static struct cprof_context read_source(const struct context_source *source)
{
    if (source->field != NULL)
        return read_map(source, *source->field);
    if (source->words != NULL)
        return read_words(source->words);
    return (struct cprof_context){0};
}

bool context_read(const struct cprof_interrupted *thread, struct cprof_context *context)
{
    const struct isolate *isolate = thread->thread_data;
    if (isolate == NULL)
        return false;
    const bool collecting =
        atomic_load_explicit(&isolate->collecting, memory_order_relaxed) != 0;
    *context = collecting ? isolate->context.kept : read_source(&isolate->context);
    return true;
}

void context_keep(struct isolate *isolate)
{
    isolate->context.kept = read_source(&isolate->context);
}
