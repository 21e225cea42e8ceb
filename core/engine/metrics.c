#include "engine/metrics.h"

#define PREFIX "cprof."
#define PROFILE_ONLY_FIELDS(X) X(samples_unlinked) X(samples_unlabelled) X(threads_unsampled)

void metrics_reserve(struct profile *model)
{
#define RESERVE(field) profile_set_number(model, PROFILE_ATTRIBUTES, PREFIX #field, 0);
    CPROF_STATS_FIELDS(RESERVE)
    PROFILE_ONLY_FIELDS(RESERVE)
#undef RESERVE
}

void metrics_attach(struct profile *profile, const struct metrics *now, struct metrics *last)
{
    struct metrics out = *now;
#define SINCE_LAST(field) out.field -= last->field;
    SINCE_LAST(stats.samples)
    SINCE_LAST(stats.samples_dropped)
    SINCE_LAST(stats.samples_truncated)
    SINCE_LAST(stats.samples_failed)
    SINCE_LAST(stats.timer_overruns)
    SINCE_LAST(stats.profiles_exported)
    SINCE_LAST(stats.profiles_failed)
    SINCE_LAST(stats.profiles_dropped)
    SINCE_LAST(stats.bytes_sent)
    SINCE_LAST(stats.collector_cpu_ns)
    SINCE_LAST(samples_unlinked)
    SINCE_LAST(samples_unlabelled)
#undef SINCE_LAST
#define ATTACH(field, value)                                                                   \
    profile_set_number(profile, PROFILE_ATTRIBUTES, PREFIX #field, (int64_t)(value));
#define ATTACH_STATS(field) ATTACH(field, out.stats.field)
#define ATTACH_OWN(field) ATTACH(field, out.field)
    CPROF_STATS_FIELDS(ATTACH_STATS)
    PROFILE_ONLY_FIELDS(ATTACH_OWN)
#undef ATTACH_OWN
#undef ATTACH_STATS
#undef ATTACH
    *last = *now;
}
