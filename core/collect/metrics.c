#include "collect/metrics.h"

void metrics_reserve(struct profile *model)
{
#define RESERVE(field, kind)                                                                   \
    profile_set_number(model, PROFILE_ATTRIBUTES, METRIC_PREFIX #field, 0);
    METRIC_FIELDS(RESERVE)
#undef RESERVE
}

#define SHOWN_COUNT(now, last) ((now) - (last))
#define SHOWN_LEVEL(now, last) (now)
#define SHOWN_MEAN(now, last) (now)

void metrics_attach(struct profile *profile, const struct metrics *now, struct metrics *last)
{
#define ATTACH(field, value)                                                                   \
    profile_set_number(profile, PROFILE_ATTRIBUTES, METRIC_PREFIX #field, (int64_t)(value));
#define ATTACH_STATS(field, kind)                                                              \
    ATTACH(field, SHOWN_##kind(now->stats.field, last->stats.field))
#define ATTACH_OWN(field, kind) ATTACH(field, SHOWN_##kind(now->field, last->field))
    CPROF_STATS_FIELDS(ATTACH_STATS)
    PROFILE_ONLY_FIELDS(ATTACH_OWN)
#undef ATTACH_OWN
#undef ATTACH_STATS
#undef ATTACH
    *last = *now;
}

void metrics_attach_kernel(struct profile *profile, uint64_t threads)
{
#define ATTACH(field, kind)                                                                    \
    profile_set_number(profile, PROFILE_ATTRIBUTES, METRIC_PREFIX #field, (int64_t)threads);
    KERNEL_FIELDS(ATTACH)
#undef ATTACH
}
