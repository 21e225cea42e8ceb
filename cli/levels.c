#include "levels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/refuse.h"
#include "load.h"
#include "profile/age.h"
#include "profile/carry.h"
#include "profile/fold.h"
#include "profile/measures.h"
#include "profile/unit.h"
#include "progress.h"

#define MOMENT "cprof.moment" /* the label that says which profile a sample is of */
#define USUAL_PERIOD (512 << 10)

struct reading {
    const struct selection *selection;
    struct profile *sum;
    uint64_t *times; /* as they came */
    size_t count;
    int64_t period;
    struct span span; /* of a store: one profile is taken of each LEVELS_MOMENTSth of it */
    bool taken[LEVELS_MOMENTS];
};

static int turn_down(const char *name, const char *why)
{
    fail("%s: %s", name, why);
    return -EBADMSG;
}

/* ---- a profile ---- */

/* The column of live bytes, by its name where one is asked for; -1: there is none. */
static int column_of(const struct profile *p, const char *asked)
{
    for (size_t i = profile_value_count(p); i-- > 0;) {
        bool fits =
            measure_is_level(profile_type(p, i)) && unit_kind(profile_unit(p, i)) == UNIT_BYTES;
        if (fits && (asked == NULL || strcmp(asked, profile_type(p, i)) == 0))
            return (int)i;
    }
    return -1;
}

/* Of a sample's labels the one that tells how old it is. */
static profile_id age_alone(struct profile *to, const struct profile *from, profile_id labels)
{
    const char *word = profile_label_text(from, labels, AGE_LABEL);
    const struct profile_label age = {.key = profile_string(to, AGE_LABEL),
                                      .text = profile_string(to, word ? word : "")};
    return age_of_word(word) > 0 ? profile_labels(to, &age, 1) : 0;
}

/* Nothing but the column, by stack and age. NULL: no memory. */
static struct profile *bytes_alone(const struct profile *from, size_t column)
{
    struct carrier c;
    struct profile *to = profile_new(NULL);
    const size_t sheet = profile_column_sheet(from, column);
    if (to == NULL || profile_add_value_type(to, 0, profile_type(from, column), "bytes") != 0 ||
        carrier_init(&c, to, from) != 0) {
        profile_free(to);
        return NULL;
    }
    const int64_t ratio = unit_ratio(profile_unit(from, column), "bytes");
    for (size_t i = profile_first_sample(from, sheet);
         i < profile_first_sample(from, sheet + 1); i++) {
        const struct profile_sample sample = profile_get_sample(from, i);
        const int64_t values[] = {clamp_multiply(profile_value(from, &sample, column), ratio)};
        profile_id age = age_alone(to, from, sample.labels);
        profile_id stack = carry_stack(&c, sample.stack);
        (void)profile_add(to, 0, stack, 0, age, values);
    }
    carrier_free(&c);
    for (size_t i = 0; i < profile_attribute_count(from, PROFILE_RESOURCE); i++) {
        const struct profile_label *a = profile_attribute(from, PROFILE_RESOURCE, i);
        if (!a->is_number)
            (void)profile_set_text(to, PROFILE_RESOURCE, profile_text(from, a->key),
                                   profile_text(from, a->text));
        else
            (void)profile_set_number(to, PROFILE_RESOURCE, profile_text(from, a->key),
                                     a->number);
    }
    return to;
}

static int add_to_sum(struct reading *reading, const struct profile *bytes)
{
    char number[24];
    struct profile *labelled = profile_new(NULL);
    snprintf(number, sizeof(number), "%zu", reading->count);
    int status = labelled ? profile_merge_labelled(labelled, bytes, MOMENT, number) : -ENOMEM;
    if (!status && reading->sum == NULL) {
        reading->sum = labelled;
        return 0;
    }
    if (!status)
        status = profile_merge_apart(&reading->sum, labelled);
    profile_free(labelled);
    return status;
}

static void note_period(struct reading *reading, const struct profile *p, size_t column)
{
    const struct profile_period *period =
        profile_period_const(p, profile_column_sheet(p, column));
    const char *unit = profile_text(p, period->type.unit);
    int64_t bytes = period->value > 0 && unit_kind(unit) == UNIT_BYTES
                        ? clamp_multiply(period->value, unit_ratio(unit, "bytes"))
                        : USUAL_PERIOD;
    reading->period = bytes > reading->period ? bytes : reading->period;
}

/* When the level stands: at the profile's end. */
static uint64_t moment_of(const struct profile *p)
{
    const struct profile_header *header = profile_header_const(p);
    return header->time_ns != 0 ? header->time_ns + header->duration_ns : 0;
}

/* 0, or a negative errno after having said why. */
static int take(struct reading *reading, const struct profile *p, const char *name)
{
    int column = column_of(p, reading->selection->value);
    uint64_t moment = moment_of(p);
    if (column < 0)
        return turn_down(name, reading->selection->value != NULL
                                   ? "there are no bytes in use by that --value"
                                   : "there are no bytes in use in it (CPROF_TYPES=heap)");
    if (moment == 0)
        return turn_down(name, "does not tell when it was taken");
    struct profile *bytes = bytes_alone(p, (size_t)column);
    uint64_t *times = realloc(reading->times, (reading->count + 1) * sizeof(*reading->times));
    reading->times = times ? times : reading->times;
    int status = bytes && times ? add_to_sum(reading, bytes) : -ENOMEM;
    profile_free(bytes);
    if (status) {
        char why[FORMAT_ERROR_SIZE] = "";
        refuse_merge(why, status);
        return turn_down(name, why);
    }
    reading->times[reading->count++] = moment;
    note_period(reading, p, (size_t)column);
    return 0;
}

/* ---- files, or a store ---- */

static int read_files(struct reading *reading, char *const *paths, size_t count)
{
    const struct profile_filter *filter = &reading->selection->filter;
    const struct load load = {.filter = profile_filter_narrows(filter) ? filter : NULL};
    size_t step = (count + LEVELS_MOMENTS - 1) / LEVELS_MOMENTS;
    for (size_t i = 0; i < count; i += step) {
        struct profile *p;
        int status = load_files(&load, &paths[i], 1, &p);
        if (status != GO_ON)
            return status;
        status = take(reading, p, paths[i]);
        profile_free(p);
        if (status)
            return EXIT_FAILED;
    }
    return GO_ON;
}

static void begin(void *closure, const struct span *span)
{
    ((struct reading *)closure)->span = *span;
}

static void forget(void *closure)
{
    struct reading *reading = closure;
    profile_free(reading->sum);
    reading->sum = NULL;
    reading->count = 0;
    memset(reading->taken, 0, sizeof(reading->taken));
}

/* Has its part of the span no profile yet? */
static bool is_wanted(struct reading *reading, const struct profile *p)
{
    const struct span *span = &reading->span;
    uint64_t moment = moment_of(p);
    double part = moment > span->from
                      ? (double)(moment - span->from) / (double)(span->to - span->from)
                      : 0;
    size_t place = (size_t)(part * LEVELS_MOMENTS);
    place = place < LEVELS_MOMENTS ? place : LEVELS_MOMENTS - 1;
    bool wanted = !reading->taken[place];
    reading->taken[place] = true;
    return wanted;
}

/* An interval in which nothing lives has no place. */
static int take_interval(void *closure, struct profile *interval)
{
    struct reading *reading = closure;
    const struct profile_filter *filter = &reading->selection->filter;
    struct profile *p =
        profile_filter_narrows(filter) ? profile_select(interval, filter) : interval;
    int status = p ? 0 : -ENOMEM;
    if (p && column_of(p, reading->selection->value) >= 0 && is_wanted(reading, p))
        status = take(reading, p, reading->selection->history.folder);
    if (p != interval)
        profile_free(p);
    profile_free(interval);
    return status;
}

static int read_store(struct reading *reading)
{
    return history_each(&reading->selection->history,
                        &(struct history_visitor){reading, begin, take_interval, forget});
}

/* ---- by stack and moment ---- */

struct moment {
    uint64_t time;
    size_t number;
};

static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;
    return (a->time > b->time) - (a->time < b->time);
}

/* place[number] is its place in time. */
static int order_moments(struct levels *levels, const struct reading *reading, size_t *place)
{
    struct moment *moments = calloc(reading->count + 1, sizeof(*moments));
    levels->times = calloc(reading->count + 1, sizeof(*levels->times));
    levels->count = reading->count;
    int status = moments && levels->times ? 0 : -ENOMEM;
    for (size_t i = 0; !status && i < reading->count; i++)
        moments[i] = (struct moment){reading->times[i], i};
    if (!status)
        qsort(moments, reading->count, sizeof(*moments), compare_moments);
    for (size_t i = 0; !status && i < reading->count; i++) {
        levels->times[i] = moments[i].time;
        place[moments[i].number] = i;
        if (i > 0 && moments[i].time == moments[i - 1].time)
            status = -EEXIST;
    }
    free(moments);
    return status;
}

/* The label that says that there is more than one process; NULL: none. */
static const char *foreign_label(const struct profile *p)
{
    for (profile_id id = 1; id < profile_label_set_count(p); id++) {
        struct profile_label_set set = profile_get_labels(p, id);
        for (uint32_t i = 0; i < set.count; i++)
            if (strcmp(profile_text(p, set.labels[i].key), MOMENT) != 0 &&
                strcmp(profile_text(p, set.labels[i].key), AGE_LABEL) != 0)
                return profile_text(p, set.labels[i].key);
    }
    return NULL;
}

static int fill(struct levels *levels, const struct profile *p, const size_t *place)
{
    for (profile_id id = 0; id < profile_stack_count(p); id++)
        if (levels->stacks.number[id] >= levels->stack_count)
            levels->stack_count = levels->stacks.number[id] + 1;
    levels->values = calloc(levels->stack_count * levels->count + 1, sizeof(*levels->values));
    levels->ages = calloc(levels->stack_count + 1, sizeof(*levels->ages));
    if (levels->values == NULL || levels->ages == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        const char *number = profile_label_text(p, sample.labels, MOMENT);
        if (number == NULL)
            continue;
        size_t stack = levels->stacks.number[sample.stack];
        size_t moment = place[strtoul(number, NULL, 10)];
        uint8_t age = age_of_word(profile_label_text(p, sample.labels, AGE_LABEL));
        levels->values[stack * levels->count + moment] += (double)profile_value(p, &sample, 0);
        if (moment == levels->count - 1 && age > levels->ages[stack])
            levels->ages[stack] = age;
    }
    return 0;
}

static int arrange(struct levels *levels, const struct reading *reading, bool all_native)
{
    size_t *place = calloc(reading->count + 1, sizeof(*place));
    int status = place ? order_moments(levels, reading, place) : -ENOMEM;
    if (!status && !all_native && profile_has_helpers(levels->profile)) {
        levels->folded = profile_fold(levels->profile);
        status = levels->folded ? 0 : -ENOMEM;
    }
    const struct profile *p = levels->folded ? levels->folded : levels->profile;
    if (!status)
        status = frame_table_init(&levels->frames, p, FRAMES_OF_PROGRAM);
    if (!status)
        status = stacks_make(&levels->stacks, &levels->frames);
    if (!status)
        status = fill(levels, p, place);
    free(place);
    return status;
}

static int tell(const struct levels *levels, int status)
{
    const char *foreign = levels->profile ? foreign_label(levels->profile) : NULL;
    if (foreign) /* may be the reason for equal times */
        return fail("the profiles are of several processes, that differ in %s: choose one by "
                    "--label %s=VALUE",
                    foreign, foreign);
    return status == -EEXIST ? fail("two of the profiles are of the same moment")
           : status          ? fail("out of memory")
                             : GO_ON;
}

int levels_load(struct levels *levels, const struct selection *selection, bool all_native,
                char *const *paths, size_t count)
{
    struct reading reading = {.selection = selection};
    struct selection rest = *selection; /* what the samples told is gone */
    rest.filter = (struct profile_filter){0};
    rest.value = NULL;
    *levels = (struct levels){0};
    int status =
        selection->history.folder ? read_store(&reading) : read_files(&reading, paths, count);
    if (status == GO_ON && reading.sum == NULL)
        status = fail("there are no bytes in use in that time (CPROF_TYPES=heap)");
    if (status == GO_ON) {
        levels->profile = selection_apply(&rest, reading.sum);
        reading.sum = NULL;
        levels->period = reading.period;
        status =
            levels->profile ? tell(levels, arrange(levels, &reading, all_native)) : EXIT_FAILED;
    }
    profile_free(reading.sum);
    free(reading.times);
    progress_end();
    if (status != GO_ON)
        levels_free(levels);
    return status;
}

void levels_free(struct levels *levels)
{
    stacks_free(&levels->stacks);
    frame_table_free(&levels->frames);
    profile_free(levels->folded);
    profile_free(levels->profile);
    free(levels->times);
    free(levels->values);
    free(levels->ages);
    *levels = (struct levels){0};
}
