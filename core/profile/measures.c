#include "profile/measures.h"

#include <stdio.h>
#include <string.h>

/* A source's columns stand in their order. A sheet that has several sources' (one file of
 * another profiler) goes by the last here: Node's wall profiles have CPU time beside them, and
 * whatever counts "samples" is named better by what stands beside these. */
static const struct measure measures[] = {
    {"samples", "count", "cpu", NULL, "process_cpu", "profile", false},
    {"cpu", "nanoseconds", "cpu", "CPU", "process_cpu", "profile", false},
    {"off_cpu", "nanoseconds", "offcpu", "off-CPU", "off_cpu", NULL, false},
    {"wall", "nanoseconds", "wall", NULL, "wall", NULL, false},
    {"alloc_objects", "count", "alloc", NULL, "memory", "allocs", false},
    {"alloc_space", "bytes", "alloc", NULL, "memory", "allocs", false},
    {"inuse_objects", "count", "heap", NULL, "memory", "heap", true},
    {"inuse_space", "bytes", "heap", NULL, "memory", "heap", true},
    {"contentions", "count", "lock", NULL, "mutex", "mutex", false},
    {"delay", "nanoseconds", "lock", NULL, "mutex", "mutex", false},
    {"blamed", "count", "blame", NULL, "mutex_blame", NULL, false},
    {"blame", "nanoseconds", "blame", NULL, "mutex_blame", NULL, false},
    {"exceptions", "count", "exception", NULL, "exception", NULL, false},
    {"gc_pauses", "count", "gc", NULL, "gc", NULL, false},
    {"gc_pause", "nanoseconds", "gc", "collection", "gc", NULL, false},
    {"threads", "count", NULL, NULL, "goroutines", "goroutine", true},
    /* Of other profilers */
    {"goroutine*", NULL, NULL, NULL, "goroutines", "goroutine", true},
    {"threadcreate*", NULL, NULL, NULL, NULL, "threadcreate", true},
    {"inuse_*", NULL, NULL, NULL, NULL, NULL, true},
    {"live_*", NULL, NULL, NULL, NULL, NULL, true},
    {"heap", NULL, NULL, NULL, NULL, NULL, true},
};

#define ROWS (sizeof(measures) / sizeof(measures[0]))

const struct measure *measure_at(size_t row)
{
    return row < ROWS ? &measures[row] : NULL;
}

static bool is_of_type(const struct measure *measure, const char *type)
{
    size_t length = strcspn(measure->type, "*");
    return strncmp(measure->type, type, length) == 0 &&
           (measure->type[length] == '*' || type[length] == '\0');
}

const struct measure *measure_find(const char *type)
{
    for (size_t i = 0; i < ROWS; i++)
        if (is_of_type(&measures[i], type))
            return &measures[i];
    return NULL;
}

bool measure_is_level(const char *type)
{
    const struct measure *measure = measure_find(type);
    return measure != NULL && measure->level;
}

const char *measure_words(const char *type)
{
    const struct measure *measure = measure_find(type);
    return measure != NULL && measure->words != NULL ? measure->words : type;
}

const char *measure_series(const struct profile *p, size_t sheet)
{
    const struct measure *best = NULL;
    for (size_t i = 0; i < profile_value_count(p); i++) {
        const struct measure *measure = measure_find(profile_type(p, i));
        if (profile_column_sheet(p, i) == sheet && measure != NULL && measure->series != NULL &&
            (best == NULL || measure > best))
            best = measure;
    }
    return best != NULL ? best->series : "process_cpu";
}

bool measure_is_source(const char *name, size_t length)
{
    for (size_t i = 0; i < ROWS; i++)
        if (measures[i].source != NULL && strlen(measures[i].source) == length &&
            strncmp(measures[i].source, name, length) == 0)
            return true;
    return false;
}

/* Is it the first column of a source? */
static bool begins_source(size_t row)
{
    return measures[row].source != NULL &&
           (row == 0 || measures[row - 1].source == NULL ||
            strcmp(measures[row].source, measures[row - 1].source) != 0);
}

void measure_sources(char *list, size_t size)
{
    size_t used = 0;
    list[0] = '\0';
    for (size_t i = 0; i < ROWS && used < size; i++)
        if (begins_source(i))
            used += (size_t)snprintf(list + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     measures[i].source);
}

/* What a source's period counts, where that is not its last column. Locks are sampled by time,
 * and have the period that Go's have: receivers know the series by it. */
static const struct {
    const char *source, *type, *unit;
    int64_t period; /* 0: the source's own */
} periods[] = {
    {"alloc", "space", "bytes", 0},
    {"heap", "space", "bytes", 0},
    {"lock", "contentions", "count", 1},
    {"gc", "gc_pauses", "count", 0},
};

static void set_period(struct profile *p, size_t sheet, const struct measure *last,
                       int64_t period)
{
    const char *type = last->type, *unit = last->unit;
    for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++)
        if (strcmp(periods[i].source, last->source) == 0) {
            type = periods[i].type;
            unit = periods[i].unit;
            period = periods[i].period != 0 ? periods[i].period : period;
        }
    profile_set_period(p, sheet, type, unit, period);
}

int measure_fill_sheet(struct profile *p, size_t sheet, const char *source, int64_t period)
{
    const struct measure *last = NULL;
    int status = 0;
    for (size_t i = 0; status == 0 && i < ROWS; i++)
        if (measures[i].source != NULL && strcmp(measures[i].source, source) == 0) {
            last = &measures[i];
            status = profile_add_value_type(p, sheet, last->type, last->unit);
        }
    if (last != NULL)
        set_period(p, sheet, last, period);
    return status;
}
