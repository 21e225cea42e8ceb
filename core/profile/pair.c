#include "profile/pair.h"

#include <string.h>

#include "profile/carry.h"

/* How a side tells the number of samples behind a value. */
struct sample_counter {
    int column;     /* that has it; -1 = none */
    int64_t period; /* else what one sample stands for; 0 = not told */
};

static struct sample_counter find_counter(const struct pair_side *side)
{
    const struct profile *p = side->profile;
    const struct profile_header *header = profile_header_const(p);
    const char *unit = profile_unit(p, side->column);
    int samples = profile_value_column(p, "samples");
    if (samples >= 0)
        return (struct sample_counter){.column = samples};
    if (strcmp(unit, "count") == 0)
        return (struct sample_counter){.column = (int)side->column};
    if (header->period > 0 && strcmp(profile_text(p, header->period_type.unit), unit) == 0)
        return (struct sample_counter){.column = -1, .period = header->period};
    return (struct sample_counter){.column = -1};
}

static int64_t count_samples(const struct sample_counter *counter, const int64_t *values,
                             size_t column)
{
    if (counter->column >= 0)
        return values[counter->column];
    return counter->period > 0 ? values[column] / counter->period : 1;
}

static int add_side(struct profile *pair, const struct pair_side *side, enum pair_column value,
                    enum pair_column samples)
{
    struct carrier c;
    int status = carrier_init(&c, pair, side->profile);
    if (status)
        return status;
    struct sample_counter counter = find_counter(side);
    for (size_t i = 0; i < profile_sample_count(side->profile); i++) {
        struct profile_sample sample = profile_get_sample(side->profile, i);
        int64_t values[PAIR_COLUMNS] = {0};
        values[value] = sample.values[side->column];
        values[samples] = count_samples(&counter, sample.values, side->column);
        carry_values(&c, &sample, values);
    }
    carrier_free(&c);
    return profile_error(pair);
}

static int add_columns(struct profile *pair, const struct pair_side *side)
{
    static const char *const types[PAIR_COLUMNS] = {
        [PAIR_NEW] = "new",
        [PAIR_BASE] = "base",
        [PAIR_NEW_SAMPLES] = "new samples",
        [PAIR_BASE_SAMPLES] = "base samples",
    };
    const struct profile *p = side->profile;
    const char *unit = profile_unit(p, side->column);
    int status = 0;
    for (enum pair_column i = 0; !status && i < PAIR_COLUMNS; i++)
        status = profile_add_value_type(pair, types[i], i < PAIR_NEW_SAMPLES ? unit : "count");
    return status;
}

struct profile *profile_pair(const struct pair_side *base, const struct pair_side *new)
{
    struct profile *pair = profile_new(NULL);
    if (!pair)
        return NULL;
    profile_adopt_header(pair, new->profile);
    profile_header(pair)->default_type = profile_string(pair, "new");
    int status = add_columns(pair, new);
    if (!status)
        status = add_side(pair, base, PAIR_BASE, PAIR_BASE_SAMPLES);
    if (!status)
        status = add_side(pair, new, PAIR_NEW, PAIR_NEW_SAMPLES);
    if (!status)
        return pair;
    profile_free(pair);
    return NULL;
}
