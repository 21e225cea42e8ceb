#include "profile/combine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/carry.h"
#include "profile/clamp.h"
#include "profile/hex.h"

/* Merge */

static bool same_text(const struct profile *a, profile_id x, const struct profile *b,
                      profile_id y)
{
    return profile_text_length(a, x) == profile_text_length(b, y) &&
           memcmp(profile_text(a, x), profile_text(b, y), profile_text_length(a, x)) == 0;
}

static int find_column(const struct profile *p, const struct profile *other,
                       struct profile_value_type type)
{
    for (size_t i = 0; i < profile_value_count(p); i++) {
        struct profile_value_type own = profile_value_type(p, i);
        if (same_text(p, own.type, other, type.type) &&
            same_text(p, own.unit, other, type.unit))
            return (int)i;
    }
    return -1;
}

/* Gives the target every column that the source has. */
static int match_columns(struct profile *target, const struct profile *source,
                         size_t columns[PROFILE_MAX_VALUES])
{
    for (size_t i = 0; i < profile_value_count(source); i++) {
        struct profile_value_type type = profile_value_type(source, i);
        int column = find_column(target, source, type);
        if (column < 0) {
            column = (int)profile_value_count(target);
            int status = profile_add_value_type(target, profile_text(source, type.type),
                                                profile_text(source, type.unit));
            if (status != 0)
                return status;
        }
        columns[i] = (size_t)column;
    }
    return 0;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t end_of(const struct profile_header *h)
{
    return h->duration_ns < UINT64_MAX - h->time_ns ? h->time_ns + h->duration_ns : UINT64_MAX;
}

static void merge_time(struct profile_header *to, const struct profile_header *from)
{
    if (to->time_ns == 0 || from->time_ns == 0) { /* when is unknown: how long stays */
        to->time_ns |= from->time_ns;
        to->duration_ns = later(to->duration_ns, from->duration_ns);
        return;
    }
    uint64_t end = later(end_of(to), end_of(from));
    if (from->time_ns < to->time_ns)
        to->time_ns = from->time_ns;
    to->duration_ns = end - to->time_ns;
}

/* What a header says once stays where both say the same, and is unknown otherwise. */
static void merge_header(struct profile *target, const struct profile *source)
{
    struct profile_header *to = profile_header(target);
    const struct profile_header *from = profile_header_const(source);
    merge_time(to, from);
    if (to->period != from->period)
        to->period = 0;
    if (!same_text(target, to->period_type.type, source, from->period_type.type) ||
        !same_text(target, to->period_type.unit, source, from->period_type.unit)) {
        to->period_type = (struct profile_value_type){0};
        to->period = 0;
    }
    if (memcmp(to->profile_id, from->profile_id, sizeof(to->profile_id)) != 0)
        memset(to->profile_id, 0, sizeof(to->profile_id));
    const struct {
        profile_id *to, from;
    } strings[] = {
        {&to->default_type, from->default_type}, {&to->doc_url, from->doc_url},
        {&to->drop_frames, from->drop_frames},   {&to->keep_frames, from->keep_frames},
        {&to->scope_name, from->scope_name},     {&to->scope_version, from->scope_version},
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
        if (!same_text(target, *strings[i].to, source, strings[i].from))
            *strings[i].to = 0;
}

/* How two values of one of cprof's own metrics become one. */
enum metric { METRIC_NONE, METRIC_COUNT, METRIC_LEVEL, METRIC_MEAN };

#define METRIC_PREFIX "cprof."
#define METRIC_WEIGHT METRIC_PREFIX "samples" /* of means */

static enum metric metric_of(const struct profile *p, const struct profile_label *attribute)
{
    static const struct {
        const char *name;
        enum metric metric;
    } metrics[] = {
        {"samples", METRIC_COUNT},           {"samples_dropped", METRIC_COUNT},
        {"samples_truncated", METRIC_COUNT}, {"samples_failed", METRIC_COUNT},
        {"samples_unlinked", METRIC_COUNT},  {"samples_unlabelled", METRIC_COUNT},
        {"timer_overruns", METRIC_COUNT},    {"threads", METRIC_LEVEL},
        {"threads_unsampled", METRIC_LEVEL}, {"stacks", METRIC_LEVEL},
        {"memory_bytes", METRIC_LEVEL},      {"profiles_exported", METRIC_COUNT},
        {"profiles_failed", METRIC_COUNT},   {"profiles_dropped", METRIC_COUNT},
        {"bytes_sent", METRIC_COUNT},        {"handler_ns_mean", METRIC_MEAN},
        {"handler_ns_max", METRIC_LEVEL},    {"collector_cpu_ns", METRIC_COUNT},
    };
    const char *key = profile_text(p, attribute->key);
    if (!attribute->is_number || strncmp(key, METRIC_PREFIX, strlen(METRIC_PREFIX)) != 0)
        return METRIC_NONE;
    for (size_t i = 0; i < sizeof(metrics) / sizeof(*metrics); i++)
        if (strcmp(key + strlen(METRIC_PREFIX), metrics[i].name) == 0)
            return metrics[i].metric;
    return METRIC_NONE;
}

bool profile_is_metric(const struct profile *p, const struct profile_label *attribute)
{
    return metric_of(p, attribute) != METRIC_NONE;
}

static const struct profile_label *find_number(const struct profile *p, const char *key)
{
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_ATTRIBUTES); i++) {
        const struct profile_label *own = profile_attribute(p, PROFILE_ATTRIBUTES, i);
        if (own->is_number && strcmp(profile_text(p, own->key), key) == 0)
            return own;
    }
    return NULL;
}

/* What a profile's means stand for. */
static int64_t weight_of(const struct profile *p)
{
    const struct profile_label *samples = find_number(p, METRIC_WEIGHT);
    return samples != NULL && samples->number > 0 ? samples->number : 0;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t mean(int64_t a, int64_t weight_a, int64_t b, int64_t weight_b)
{
    __int128 weights = (__int128)weight_a + weight_b;
    if (weights == 0)
        return larger(a, b);
    return (int64_t)(((__int128)a * weight_a + (__int128)b * weight_b) / weights);
}

static int merge_metrics(struct profile *target, const struct profile *source)
{
    int64_t target_weight = weight_of(target), source_weight = weight_of(source);
    int status = 0;
    for (size_t i = 0; i < profile_attribute_count(source, PROFILE_ATTRIBUTES); i++) {
        const struct profile_label *added = profile_attribute(source, PROFILE_ATTRIBUTES, i);
        enum metric metric = metric_of(source, added);
        if (metric == METRIC_NONE)
            continue;
        const char *key = profile_text(source, added->key);
        const struct profile_label *own = find_number(target, key);
        int64_t number = added->number;
        if (own != NULL && metric == METRIC_COUNT)
            number = clamp_add(own->number, number);
        else if (own != NULL && metric == METRIC_LEVEL)
            number = larger(own->number, number);
        else if (own != NULL)
            number = mean(own->number, target_weight, number, source_weight);
        if (profile_set_number(target, PROFILE_ATTRIBUTES, key, number) != 0)
            status = -EOVERFLOW;
    }
    return status;
}

static bool has_attribute(const struct profile *p, enum profile_attributes which,
                          const struct profile *other, const struct profile_label *wanted)
{
    for (size_t i = 0; i < profile_attribute_count(p, which); i++) {
        const struct profile_label *own = profile_attribute(p, which, i);
        if (same_text(p, own->key, other, wanted->key) && own->is_number == wanted->is_number &&
            own->number == wanted->number && same_text(p, own->text, other, wanted->text))
            return true;
    }
    return false;
}

static int merge_comments(struct profile *target, const struct profile *source)
{
    int status = 0;
    for (size_t i = 0; i < profile_attribute_count(source, PROFILE_COMMENTS); i++) {
        profile_id text = profile_attribute(source, PROFILE_COMMENTS, i)->text;
        if (profile_set_text(target, PROFILE_COMMENTS, "", profile_text(source, text)) ==
            -ENOMEM)
            status = -EOVERFLOW;
    }
    return status;
}

static int merge_attributes(struct profile *target, const struct profile *source)
{
    for (enum profile_attributes which = PROFILE_RESOURCE; which <= PROFILE_ATTRIBUTES; which++)
        for (size_t i = profile_attribute_count(target, which); i-- > 0;) {
            const struct profile_label *own = profile_attribute(target, which, i);
            bool adds_up = which == PROFILE_ATTRIBUTES && profile_is_metric(target, own);
            if (!adds_up && !has_attribute(source, which, target, own))
                profile_remove_attribute(target, which, i);
        }
    int metrics = merge_metrics(target, source), comments = merge_comments(target, source);
    return metrics != 0 ? metrics : comments;
}

/* What stands once in a profile. */
static int merge_once(struct profile *target, const struct profile *source)
{
    merge_header(target, source);
    return merge_attributes(target, source);
}

/* A profile that says nothing yet takes over what stands once in the other. */
static bool is_blank(const struct profile *p)
{
    return profile_value_count(p) == 0 && profile_sample_count(p) == 0 &&
           profile_attribute_count(p, PROFILE_RESOURCE) == 0 &&
           profile_attribute_count(p, PROFILE_ATTRIBUTES) == 0;
}

int profile_merge_head(struct profile *target, const struct profile *head,
                       size_t column[PROFILE_MAX_VALUES])
{
    bool blank = is_blank(target);
    int status = blank ? profile_adopt(target, head) : 0;
    if (status == 0)
        status = match_columns(target, head, column);
    return status != 0 || blank ? status : merge_once(target, head);
}

/* `label` is of the target, or NULL. */
static int merge(struct profile *target, const struct profile *source,
                 const struct profile_label *label)
{
    struct carrier c;
    int status = carrier_init(&c, target, source);
    if (status != 0)
        return status;
    c.extra = label;
    status = profile_merge_head(target, source, c.column);
    if (status == 0 || status == -EOVERFLOW)
        for (size_t i = 0; i < profile_sample_count(source); i++) {
            struct profile_sample sample = profile_get_sample(source, i);
            if (carry_sample(&c, &sample) != 0)
                status = -EOVERFLOW;
        }
    carrier_free(&c);
    return status;
}

int profile_merge(struct profile *target, const struct profile *source)
{
    return is_blank(source) ? 0 : merge(target, source, NULL);
}

int profile_merge_labelled(struct profile *target, const struct profile *source,
                           const char *key, const char *text)
{
    struct profile_label label = {.key = profile_string(target, key),
                                  .text = profile_string(target, text)};
    if (label.key == 0 || label.text == 0)
        return -ENOMEM;
    return is_blank(source) ? 0 : merge(target, source, &label);
}

/* Select */

static bool matches_link(const struct profile *p, profile_id id,
                         const struct profile_filter *filter)
{
    const struct profile_link *link = profile_get_link(p, id);
    char trace[2 * sizeof(link->trace_id) + 1], span[2 * sizeof(link->span_id) + 1];
    hex_write(trace, link->trace_id, sizeof(link->trace_id));
    hex_write(span, link->span_id, sizeof(link->span_id));
    return (filter->trace_id == NULL || strcmp(filter->trace_id, trace) == 0) &&
           (filter->span_id == NULL || strcmp(filter->span_id, span) == 0);
}

/* A number is selected by its decimal digits: --label thread.id=1234. */
static bool has_value(const struct profile *p, const struct profile_label *label,
                      const char *value)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRId64, label->number);
    return value == NULL ||
           strcmp(label->is_number ? digits : profile_text(p, label->text), value) == 0;
}

static bool matches_label(const struct profile *p, profile_id labels, const char *key,
                          const char *value)
{
    struct profile_label_set set = profile_get_labels(p, labels);
    for (uint32_t i = 0; i < set.count; i++)
        if (strcmp(profile_text(p, set.labels[i].key), key) == 0)
            return has_value(p, &set.labels[i], value);
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++) {
        const struct profile_label *attribute = profile_attribute(p, PROFILE_RESOURCE, i);
        if (strcmp(profile_text(p, attribute->key), key) == 0)
            return has_value(p, attribute, value);
    }
    return false;
}

static bool matches(const struct profile *p, const struct profile_sample *sample,
                    const struct profile_filter *filter)
{
    return matches_link(p, sample->link, filter) &&
           (filter->label_key == NULL ||
            matches_label(p, sample->labels, filter->label_key, filter->label_value)) &&
           (filter->thread == NULL ||
            matches_label(p, sample->labels, "thread.name", filter->thread));
}

/* The samples from `first` up to `last` that match; NULL filter: all of them. */
static struct profile *select_range(const struct profile *source, size_t first, size_t last,
                                    const struct profile_filter *filter)
{
    struct carrier c;
    struct profile *selected = profile_new_like(source, NULL);
    if (selected == NULL || carrier_init(&c, selected, source) != 0) {
        profile_free(selected);
        return NULL;
    }
    for (size_t i = first; i < last; i++) {
        struct profile_sample sample = profile_get_sample(source, i);
        if (filter == NULL || matches(source, &sample, filter))
            carry_sample(&c, &sample);
    }
    carrier_free(&c);
    if (profile_error(selected) == 0)
        return selected;
    profile_free(selected);
    return NULL;
}

struct profile *profile_select(const struct profile *source,
                               const struct profile_filter *filter)
{
    return select_range(source, 0, profile_sample_count(source), filter);
}

/* Slice */

struct profile *profile_slice(const struct profile *source, size_t first, size_t last)
{
    struct profile *slice = select_range(source, first, last, NULL);
    if (slice == NULL)
        return NULL;
    memset(profile_header(slice)->profile_id, 0, sizeof profile_header(slice)->profile_id);
    for (size_t i = profile_attribute_count(slice, PROFILE_ATTRIBUTES); first > 0 && i-- > 0;)
        if (profile_is_metric(slice, profile_attribute(slice, PROFILE_ATTRIBUTES, i)))
            profile_remove_attribute(slice, PROFILE_ATTRIBUTES, i);
    return slice;
}
