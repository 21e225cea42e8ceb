#include "profile/unit.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* As for pprof, a kB is 1024 bytes. */
static const struct unit units[] = {
    {UNIT_TIME, 1, {"nanoseconds", "nanosecond", "ns"}},
    {UNIT_TIME, 1000, {"microseconds", "microsecond", "us", "µs"}},
    {UNIT_TIME, 1000000, {"milliseconds", "millisecond", "ms"}},
    {UNIT_TIME, 1000000000, {"seconds", "second", "sec", "s"}},
    {UNIT_TIME, 60000000000, {"minutes", "minute", "min"}},
    {UNIT_TIME, 3600000000000, {"hours", "hour", "hrs", "hr", "h"}},
    {UNIT_BYTES, 1, {"bytes", "byte", "b"}},
    {UNIT_BYTES, INT64_C(1) << 10, {"kilobytes", "kilobyte", "kb", "kib"}},
    {UNIT_BYTES, INT64_C(1) << 20, {"megabytes", "megabyte", "mb", "mib"}},
    {UNIT_BYTES, INT64_C(1) << 30, {"gigabytes", "gigabyte", "gb", "gib"}},
    {UNIT_BYTES, INT64_C(1) << 40, {"terabytes", "terabyte", "tb", "tib"}},
    {UNIT_BYTES, INT64_C(1) << 50, {"petabytes", "petabyte", "pb", "pib"}},
};

const struct unit *unit_find(const char *name)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        for (size_t k = 0; k < UNIT_NAMES && units[i].names[k] != NULL; k++)
            if (strcasecmp(units[i].names[k], name) == 0)
                return &units[i];
    return NULL;
}

enum unit_kind unit_kind(const char *name)
{
    const struct unit *unit = unit_find(name);
    return unit != NULL ? unit->kind : UNIT_COUNT;
}

int64_t unit_ratio(const char *from, const char *to)
{
    if (strcmp(from, to) == 0)
        return 1;
    const struct unit *a = unit_find(from), *b = unit_find(to);
    if (a == NULL || b == NULL || a->kind != b->kind)
        return 0;
    return a->factor / b->factor; /* each is a multiple of the smaller ones of its kind */
}

const char *unit_common(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return a;
    const char *finer = unit_ratio(a, b) != 0 ? b : unit_ratio(b, a) != 0 ? a : NULL;
    return finer != NULL ? unit_find(finer)->names[0] : NULL;
}
