#include "engine/model.h"

#include "base/clock.h"
#include "engine/metrics.h"

static void set_header(struct profile *model, const struct config *config)
{
    profile_add_value_type(model, "samples", "count");
    profile_add_value_type(model, "cpu", "nanoseconds");
    struct profile_header *header = profile_header(model);
    header->period_type = profile_value_type(model, 1);
    header->period = (int64_t)(NS_PER_SECOND / config->rate);
    header->default_type = profile_string(model, "cpu");
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
    if (profile_error(model) == 0)
        return model;
    profile_free(model);
    return NULL;
}
