#include "engine/model.h"

#include "collect/metrics.h"
#include "profile/measures.h"

/* The sheet of a source; sheet 0 is there from the beginning. */
static void fill_sheet(struct profile *model, size_t sheet, const struct source *source,
                       uint64_t period)
{
    if (sheet > 0)
        profile_add_sheet(model);
    if (measure_fill_sheet(model, sheet, source->name, (int64_t)period) != 0)
        return; /* no memory: profile_error() tells */
    size_t last = profile_value_count(model) - 1;
    if (sheet == 0)
        profile_header(model)->default_type = profile_value_type(model, last).type;
}

static void set_header(struct profile *model, const struct config *config)
{
    size_t sheet = 0;
    for (size_t i = 0; i < SOURCES_MAX; i++)
        if (config->sources.period[i] != 0)
            fill_sheet(model, sheet++, source_at((enum source_number)i),
                       config->sources.period[i]);
    struct profile_header *header = profile_header(model);
    header->scope_name = profile_string(model, "cprof");
    header->scope_version = profile_string(model, CPROF_VERSION);
}

struct profile *model_new(const struct config *config, struct budget *budget)
{
    struct profile *model = profile_new(budget);
    if (model == NULL)
        return NULL;
    set_header(model, config);
    metrics_reserve(model);
    if (config->kernel)
        metrics_attach_kernel(model, 0);
    if (profile_error(model) == 0)
        return model;
    profile_free(model);
    return NULL;
}
