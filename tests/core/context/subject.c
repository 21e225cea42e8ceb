/* An extension of the kind that bindings are, with nothing in it but the engine: what a
 * program that loads it can do to its context. */
#include <stdlib.h>

#include "cprof/context.h"
#include "cprof/cprof.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int subject_start(void);
EXPORTED int subject_flush(void);
EXPORTED int subject_stop(void);
EXPORTED void subject_fork_prepare(void);
EXPORTED void subject_fork_parent(void);
EXPORTED void subject_fork_child(void);
EXPORTED void subject_attach(const struct cprof_span *span, const char *const *texts,
                             size_t count);
EXPORTED void subject_detach(void);
EXPORTED bool subject_profile_id(uint8_t id[16]);

int subject_start(void)
{
    static const struct cprof_pair resource[] = {{"process.runtime.name", "subject"}};
    const struct cprof_options options = {.exporter = "none",
                                          .service_name = "shared",
                                          .resource = resource,
                                          .resource_count = 1};
    char error[256];
    return cprof_start(&options, NULL, error, sizeof error);
}

int subject_flush(void)
{
    return cprof_flush(10);
}

int subject_stop(void)
{
    return cprof_stop(5);
}

/* Key, value, key, value, … */
void subject_attach(const struct cprof_span *span, const char *const *texts, size_t count)
{
    uint8_t attributes[CPROF_ATTRIBUTES_MAX];
    struct cprof_pair *pairs = calloc(count + 1, sizeof *pairs);
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct cprof_pair){texts[2 * i], texts[2 * i + 1]};
    size_t size = cprof_context_encode(pairs, count, attributes);
    free(pairs);
    cprof_context_attach(span, attributes, size);
}

void subject_detach(void)
{
    cprof_context_detach();
}

bool subject_profile_id(uint8_t id[16])
{
    return cprof_span_profile_id(id);
}

void subject_fork_prepare(void)
{
    cprof_fork_prepare();
}

void subject_fork_parent(void)
{
    cprof_fork_parent();
}

void subject_fork_child(void)
{
    cprof_fork_child();
}
