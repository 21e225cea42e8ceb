#include "collect/hot_functions.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "format/utf8.h"
#include "profile/fold.h"

#define SHARE 100 /* of an interval's CPU: what a function takes at least to be a candidate */

void hot_init(struct hot_functions *hot)
{
    *hot = (struct hot_functions){.count = 1};
    pthread_mutex_init(&hot->lock, NULL);
    memcpy(hot->series[0].function, "other", sizeof "other");
}

size_t hot_read(struct hot_functions *hot, struct hot_series series[HOT_SERIES])
{
    pthread_mutex_lock(&hot->lock);
    size_t count = hot->count;
    memcpy(series, hot->series, count * sizeof *series);
    pthread_mutex_unlock(&hot->lock);
    return count;
}

/* ---- whose time it is ---- */

static bool is_helper(const struct profile *p, const struct profile_location *location)
{
    const struct profile_mapping *mapping = profile_get_mapping(p, location->mapping);
    const char *name =
        location->line_count > 0
            ? profile_text(p, profile_get_function(p, location->lines[0].function)->name)
            : "";
    return fold_is_helper(location->type, profile_text(p, mapping->filename), name);
}

/* The frame that a stack's own time counts to: the innermost, but for helpers with an
 * interpreted frame among their callers. 0: an empty stack. */
static profile_id own_frame(const struct profile *p, struct profile_stack stack)
{
    profile_id first = 0;
    for (uint32_t i = 0; i < stack.depth; i++) {
        const struct profile_location *location = profile_get_location(p, stack.locations[i]);
        if (first == 0 && !is_helper(p, location))
            first = stack.locations[i];
        if (first != 0 && (i == 0 || fold_is_interpreted(location->type)))
            return first;
    }
    return stack.depth > 0 ? stack.locations[0] : 0;
}

/* ---- by function ---- */

/* What each location has taken itself. */
struct sums {
    const struct profile *profile;
    int64_t *of_location;
    int64_t total;
};

static bool sum_up(struct sums *sums, const struct profile *p)
{
    int column = profile_value_column(p, "cpu");
    *sums = (struct sums){.profile = p};
    if (column < 0 || strcmp(profile_unit(p, (size_t)column), "nanoseconds") != 0)
        return false;
    size_t sheet = profile_column_sheet(p, (size_t)column);
    sums->of_location = calloc(profile_location_count(p), sizeof *sums->of_location);
    if (sums->of_location == NULL)
        return false;
    for (size_t i = profile_first_sample(p, sheet); i < profile_first_sample(p, sheet + 1);
         i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        int64_t value = profile_value(p, &sample, (size_t)column);
        sums->total += value;
        sums->of_location[own_frame(p, profile_get_stack(p, sample.stack))] += value;
    }
    return true;
}

/* As much of a text as fits, whole characters of it. */
static void copy_name(char to[HOT_NAME], const char *text)
{
    size_t length = strlen(text), used = 0;
    while (used < length) {
        size_t size = utf8_length(text + used, length - used);
        if (used + (size > 0 ? size : 1) >= HOT_NAME)
            break;
        if (size > 0)
            memcpy(to + used, text + used, size);
        else
            to[used] = '?';
        used += size > 0 ? size : 1;
    }
    to[used] = '\0';
}

static void name_function(const struct profile *p, const struct profile_location *location,
                          struct hot_series *series)
{
    const struct profile_function *function =
        profile_get_function(p, location->line_count > 0 ? location->lines[0].function : 0);
    const struct profile_mapping *mapping = profile_get_mapping(p, location->mapping);
    const char *module = profile_text(
        p, fold_is_interpreted(location->type) ? function->filename : mapping->filename);
    copy_name(series->function, profile_text(p, function->name));
    copy_name(series->module, module);
    series->id = hash_combine(hash_bytes(series->function, strlen(series->function)),
                              hash_bytes(series->module, strlen(series->module)));
}

/* ---- series ---- */

static struct hot_series *find(struct hot_functions *hot, uint64_t id)
{
    for (size_t i = 1; i < hot->count; i++)
        if (hot->series[i].id == id)
            return &hot->series[i];
    return NULL;
}

/* Has it been hot often enough? The one that was so least makes room for a new candidate. */
static bool hit(struct hot_functions *hot, uint64_t id)
{
    struct hot_candidate *least = &hot->candidates[0];
    for (size_t i = 0; i < HOT_CANDIDATES; i++) {
        struct hot_candidate *candidate = &hot->candidates[i];
        if (candidate->id == id && candidate->hits > 0)
            return ++candidate->hits >= HOT_HITS;
        if (candidate->hits < least->hits)
            least = candidate;
    }
    *least = (struct hot_candidate){.id = id, .hits = 1};
    return false;
}

static int compare(const void *a, const void *b)
{
    const struct hot_series *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* The totals of all functions, by id; their number. */
static size_t total_functions(const struct sums *sums, struct hot_series *totals)
{
    size_t count = 0, merged = 0;
    for (size_t i = 1; i < profile_location_count(sums->profile); i++) {
        const struct profile_location *location =
            profile_get_location(sums->profile, (profile_id)i);
        if (sums->of_location[i] == 0 || location->line_count == 0)
            continue;
        name_function(sums->profile, location, &totals[count]);
        totals[count++].cpu_ns = sums->of_location[i];
    }
    if (count > 0)
        qsort(totals, count, sizeof *totals, compare);
    for (size_t i = 0; i < count; i++) {
        if (merged > 0 && totals[merged - 1].id == totals[i].id)
            totals[merged - 1].cpu_ns += totals[i].cpu_ns;
        else
            totals[merged++] = totals[i];
    }
    return merged;
}

static void add(struct hot_functions *hot, const struct hot_series *total, int64_t of)
{
    struct hot_series *series = find(hot, total->id);
    if (series == NULL && total->cpu_ns >= of / SHARE && hot->count < HOT_SERIES &&
        hit(hot, total->id)) {
        series = &hot->series[hot->count++];
        *series = *total;
        series->cpu_ns = 0;
    }
    if (series != NULL) {
        series->cpu_ns += total->cpu_ns;
        hot->series[0].cpu_ns -= total->cpu_ns; /* of the whole that was added there */
    }
}

void hot_count(struct hot_functions *hot, const struct profile *interval)
{
    struct sums sums;
    if (!sum_up(&sums, interval))
        return;
    struct hot_series *totals = calloc(profile_location_count(interval), sizeof *totals);
    size_t count = totals != NULL ? total_functions(&sums, totals) : 0;
    pthread_mutex_lock(&hot->lock);
    hot->series[0].cpu_ns += sums.total;
    for (size_t i = 0; i < count; i++)
        add(hot, &totals[i], sums.total);
    pthread_mutex_unlock(&hot->lock);
    free(totals);
    free(sums.of_location);
}
