#include "profile/pair.h"

#include <stdbool.h>
#include <string.h>

#include "profile/carry.h"
#include "profile/clamp.h"
#include "profile/unit.h"

/* The column of that type beside another, or -1. */
static int column_beside(const struct profile *p, size_t column, const char *type)
{
    int found = profile_value_column(p, type);
    bool beside =
        found >= 0 && profile_column_sheet(p, (size_t)found) == profile_column_sheet(p, column);
    return beside ? found : -1;
}

static int64_t metric(const struct profile *p, const char *key)
{
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_ATTRIBUTES); i++) {
        const struct profile_label *own = profile_attribute(p, PROFILE_ATTRIBUTES, i);
        if (own->is_number && strcmp(profile_text(p, own->key), key) == 0)
            return own->number > 0 ? own->number : 0;
    }
    return 0;
}

/* What clocks tell of threads that let no signal in is exact, and of no signal. */
double pair_weight(const struct profile *profile, size_t column)
{
    if (column_beside(profile, column, "samples") < 0)
        return 1;
    double samples = (double)metric(profile, "cprof.samples") +
                     (double)metric(profile, "cprof.samples_dropped") -
                     (double)metric(profile, "cprof.samples_blocked");
    double signals = samples - (double)metric(profile, "cprof.timer_overruns");
    return signals >= 1 ? samples / signals : 1;
}

/* The bytes beside a number of objects ("inuse_space", "inuse_objects"), or -1. */
static int space_column(const struct profile *p, size_t column)
{
    static const char objects[] = "objects", space[] = "space";
    const char *type = profile_type(p, column);
    size_t length = strlen(type), end = sizeof(objects) - 1;
    char name[64];
    if (length < end || strcmp(type + length - end, objects) != 0 ||
        length - end + sizeof(space) > sizeof(name))
        return -1;
    memcpy(name, type, length - end);
    memcpy(name + length - end, space, sizeof(space));
    return column_beside(p, column, name);
}

/* Does a period say how many of the column's values one sample stands for? */
static bool is_of_period(const struct profile *p, size_t column)
{
    const struct profile_period *period =
        profile_period_const(p, profile_column_sheet(p, column));
    return period->value > 0 &&
           unit_common(profile_text(p, period->type.unit), profile_unit(p, column));
}

/* How a side tells the number of samples behind a value: value × factor / period. */
struct sample_counter {
    int column;     /* that tells; -1 = none */
    int64_t period; /* what one sample stands for in it, in a unit of which the value's own */
    int64_t factor; /* is that many */
};

static struct sample_counter by_period(const struct profile *p, size_t column)
{
    const struct profile_period *period =
        profile_period_const(p, profile_column_sheet(p, column));
    const char *of_period = profile_text(p, period->type.unit);
    const char *of_value = profile_unit(p, column);
    const char *common = unit_common(of_period, of_value);
    return (struct sample_counter){
        .column = (int)column,
        .period = clamp_multiply(period->value, unit_ratio(of_period, common)),
        .factor = unit_ratio(of_value, common),
    };
}

static struct sample_counter find_counter(const struct pair_side *side)
{
    const struct profile *p = side->profile;
    int samples = column_beside(p, side->column, "samples");
    int space = space_column(p, side->column);
    if (samples >= 0)
        return (struct sample_counter){samples, 1, 1};
    if (space >= 0 && is_of_period(p, (size_t)space))
        return by_period(p, (size_t)space);
    if (strcmp(profile_unit(p, side->column), "count") == 0)
        return (struct sample_counter){(int)side->column, 1, 1};
    if (is_of_period(p, side->column))
        return by_period(p, side->column);
    return (struct sample_counter){.column = -1};
}

static int64_t count_samples(const struct profile *p, const struct sample_counter *counter,
                             const struct profile_sample *sample)
{
    if (counter->column < 0)
        return 1;
    int64_t value = profile_value(p, sample, (size_t)counter->column);
    return clamp_multiply(value, counter->factor) / counter->period;
}

static int add_side(struct profile *pair, const struct pair_side *side, enum pair_column value,
                    enum pair_column samples)
{
    struct carrier c;
    int status = carrier_init(&c, pair, side->profile);
    if (status)
        return status;
    struct sample_counter counter = find_counter(side);
    const size_t sheet = profile_column_sheet(side->profile, side->column);
    const size_t end = profile_first_sample(side->profile, sheet + 1);
    for (size_t i = profile_first_sample(side->profile, sheet); i < end; i++) {
        struct profile_sample sample = profile_get_sample(side->profile, i);
        int64_t values[PAIR_COLUMNS] = {0};
        values[value] = profile_value(side->profile, &sample, side->column);
        values[samples] = count_samples(side->profile, &counter, &sample);
        carry_values(&c, 0, &sample, values);
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
        status =
            profile_add_value_type(pair, 0, types[i], i < PAIR_NEW_SAMPLES ? unit : "count");
    return status;
}

struct profile *profile_pair(const struct pair_side *base, const struct pair_side *new)
{
    struct profile *pair = profile_new(NULL);
    if (!pair)
        return NULL;
    profile_adopt_period(pair, 0, new->profile,
                         profile_column_sheet(new->profile, new->column));
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
