#include "profile/combine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/carry.h"
#include "profile/clamp.h"
#include "profile/hex.h"
#include "profile/match.h"
#include "profile/measures.h"
#include "profile/metric_fields.h"

/* Merge */

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
    if (memcmp(to->profile_id, from->profile_id, sizeof(to->profile_id)) != 0)
        memset(to->profile_id, 0, sizeof(to->profile_id));
    const struct {
        profile_id *to, from;
    } strings[] = {
        {&to->default_type, from->default_type}, {&to->doc_url, from->doc_url},
        {&to->drop_frames, from->drop_frames},   {&to->keep_frames, from->keep_frames},
        {&to->scope_name, from->scope_name},     {&to->scope_version, from->scope_version},
        {&to->program, from->program},
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
        if (!match_text(target, *strings[i].to, source, strings[i].from))
            *strings[i].to = 0;
}

/* How two values of one of cprof's own metrics become one. */
enum metric { METRIC_NONE, METRIC_COUNT, METRIC_LEVEL, METRIC_MEAN };

#define METRIC_WEIGHT METRIC_PREFIX "samples" /* of means */

static enum metric metric_of(const struct profile *p, const struct profile_label *attribute)
{
    static const struct {
        const char *name;
        enum metric metric;
    } metrics[] = {
#define ROW(field, kind) {#field, METRIC_##kind},
        METRIC_FIELDS(ROW) KERNEL_FIELDS(ROW)
#undef ROW
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
        if (match_text(p, own->key, other, wanted->key) &&
            own->is_number == wanted->is_number && own->number == wanted->number &&
            match_text(p, own->text, other, wanted->text))
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

/* The attributes of one process that another has not. */
static int find_own(const struct profile *p, const struct profile *other,
                    struct profile_extra *own)
{
    own->count = 0;
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++) {
        const struct profile_label *attribute = profile_attribute(p, PROFILE_RESOURCE, i);
        if (has_attribute(other, PROFILE_RESOURCE, p, attribute))
            continue;
        if (own->count == PROFILE_MAX_EXTRA)
            return -E2BIG;
        own->labels[own->count++] = *attribute;
    }
    return 0;
}

static bool is_guarded(const struct profile *target, const struct profile *source)
{
    struct profile_extra own;
    return profile_guards_resource(target) && !is_blank(target) && !is_blank(source) &&
           (find_own(target, source, &own) != 0 || own.count > 0 ||
            find_own(source, target, &own) != 0 || own.count > 0);
}

static int merge_head(struct profile *target, const struct profile *head,
                      struct profile_place places[PROFILE_MAX_VALUES])
{
    bool blank = is_blank(target);
    int status = blank ? profile_adopt(target, head) : 0;
    if (status == 0)
        status = match_sheets(target, head, places);
    return status != 0 || blank ? status : merge_once(target, head);
}

int profile_merge_head(struct profile *target, const struct profile *head,
                       struct profile_place places[PROFILE_MAX_VALUES])
{
    return is_guarded(target, head) ? -EXDEV : merge_head(target, head, places);
}

/* The labels are of the target. */
static int merge(struct profile *target, const struct profile *source,
                 const struct profile_label *labels, size_t count)
{
    struct carrier c;
    int status = carrier_init(&c, target, source);
    if (status != 0)
        return status;
    c.extra = labels;
    c.extra_count = count;
    carry_program(&c);
    status = merge_head(target, source, c.places);
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
    if (is_guarded(target, source))
        return -EXDEV;
    return is_blank(source) ? 0 : merge(target, source, NULL, 0);
}

/* Is the column one of a sheet that has nothing but levels? */
static bool is_in_levels(const struct profile *p, size_t column)
{
    bool all = true;
    for (size_t i = 0; i < profile_value_count(p); i++)
        all &= profile_column_sheet(p, i) != profile_column_sheet(p, column) ||
               measure_is_level(profile_type(p, i));
    return all;
}

bool profile_has_levels(const struct profile *p)
{
    for (size_t i = 0; i < profile_value_count(p); i++)
        if (measure_is_level(profile_type(p, i)))
            return true;
    return false;
}

/* The sheets of levels that the source has as well. */
static void clear_levels(struct profile *target, const struct profile *source)
{
    for (size_t i = 0; i < profile_value_count(source); i++) {
        int column = profile_value_column(target, profile_type(source, i));
        if (column >= 0 && is_in_levels(target, (size_t)column))
            (void)profile_clear_sheet(target, profile_column_sheet(target, (size_t)column));
    }
}

int profile_merge_later(struct profile *target, const struct profile *source)
{
    if (!is_guarded(target, source))
        clear_levels(target, source);
    return profile_merge(target, source);
}

int profile_merge_labelled(struct profile *target, const struct profile *source,
                           const char *key, const char *text)
{
    struct profile_label label = {.key = profile_string(target, key),
                                  .text = profile_string(target, text)};
    if (label.key == 0 || label.text == 0)
        return -ENOMEM;
    if (is_guarded(target, source))
        return -EXDEV;
    return is_blank(source) ? 0 : merge(target, source, &label, 1);
}

/* Merge apart */

/* Labels that are the source's, as it is itself, as those of the target. */
static int copy_own(struct profile *target, const struct profile *source,
                    const struct profile_extra *own, struct profile_extra *copies)
{
    copies->count = own->count;
    for (size_t i = 0; i < own->count; i++) {
        struct profile_label *copy = &copies->labels[i];
        *copy = own->labels[i];
        copy->key = profile_string(target, profile_text(source, copy->key));
        copy->text = profile_string(target, profile_text(source, copy->text));
        copy->unit = profile_string(target, profile_text(source, copy->unit));
    }
    return profile_error(target) != 0 ? -ENOMEM : 0;
}

static int merge_with_own(struct profile *target, const struct profile *source,
                          const struct profile_extra *own)
{
    struct profile_extra copies;
    int status = copy_own(target, source, own, &copies);
    return status == 0 ? merge(target, source, copies.labels, copies.count) : status;
}

/* The attributes of the sum so far become labels of its samples. */
static int label_all(struct profile **sum, const struct profile_extra *own)
{
    struct profile *labelled = profile_new(NULL);
    int status = labelled != NULL ? merge_with_own(labelled, *sum, own) : -ENOMEM;
    if (status != 0) {
        profile_free(labelled);
        return status;
    }
    if (profile_guards_resource(*sum))
        profile_guard_resource(labelled);
    profile_free(*sum);
    *sum = labelled;
    return 0;
}

/* What is not of both becomes labels: of the sum so far at once, of the source as `own` says.
 */
static int part(struct profile **target, const struct profile *source,
                struct profile_extra *own)
{
    struct profile_extra before;
    if (find_own(*target, source, &before) != 0 || find_own(source, *target, own) != 0)
        return -E2BIG;
    return before.count > 0 ? label_all(target, &before) : 0;
}

int profile_merge_apart(struct profile **target, const struct profile *source)
{
    struct profile_extra own;
    if (is_blank(source) || is_blank(*target))
        return profile_merge(*target, source);
    int status = part(target, source, &own);
    return status == 0 ? merge_with_own(*target, source, &own) : status;
}

/* Has the target all columns of the other, in their units? */
static bool has_columns(const struct profile *target, const struct profile *head)
{
    for (size_t i = 0; i < profile_value_count(head); i++) {
        const int column = profile_value_column(target, profile_type(head, i));
        if (column < 0 ||
            strcmp(profile_unit(target, (size_t)column), profile_unit(head, i)) != 0)
            return false;
    }
    return true;
}

bool profile_merges_in_place(const struct profile *target, const struct profile *head)
{
    struct profile_extra own;
    return is_blank(target) ||
           (has_columns(target, head) && find_own(target, head, &own) == 0 && own.count == 0);
}

int profile_merge_apart_head(struct profile **target, const struct profile *head,
                             struct profile_place places[PROFILE_MAX_VALUES],
                             struct profile_extra *extra)
{
    struct profile_extra own;
    extra->count = 0;
    if (is_blank(head) || is_blank(*target))
        return profile_merge_head(*target, head, places);
    int status = part(target, head, &own);
    if (status == 0)
        status = copy_own(*target, head, &own, extra);
    return status == 0 ? merge_head(*target, head, places) : status;
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
    bool labelled = false;
    for (uint32_t i = 0; i < set.count; i++)
        if (strcmp(profile_text(p, set.labels[i].key), key) == 0) {
            if (has_value(p, &set.labels[i], value))
                return true;
            labelled = true;
        }
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE) && !labelled; i++) {
        const struct profile_label *attribute = profile_attribute(p, PROFILE_RESOURCE, i);
        if (strcmp(profile_text(p, attribute->key), key) == 0)
            return has_value(p, attribute, value);
    }
    return false;
}

static bool matches(const struct profile *p, const struct profile_sample *sample,
                    const struct profile_filter *filter)
{
    for (size_t i = 0; i < filter->label_count; i++) {
        const struct profile_label_match *match = &filter->labels[i];
        if (matches_label(p, sample->labels, match->key, match->value) == match->unlike)
            return false;
    }
    return matches_link(p, sample->link, filter) &&
           (filter->thread == NULL ||
            matches_label(p, sample->labels, "thread.name", filter->thread));
}

bool profile_filter_label(struct profile_filter *filter, struct profile_label_match match)
{
    if (filter->label_count == PROFILE_FILTER_LABELS)
        return false;
    filter->labels[filter->label_count++] = match;
    return true;
}

bool profile_filter_narrows(const struct profile_filter *filter)
{
    return filter->trace_id != NULL || filter->span_id != NULL || filter->thread != NULL ||
           filter->label_count > 0;
}

/* The samples from `first` up to `last` that match; NULL filter: all of them. */
static struct profile *select_range(const struct profile *source, size_t first, size_t last,
                                    const struct profile_filter *filter,
                                    const struct profile_naming *naming,
                                    const struct profile_keys *without)
{
    struct carrier c;
    struct profile *selected = profile_new_like(source, NULL);
    if (selected == NULL || carrier_init(&c, selected, source) != 0) {
        profile_free(selected);
        return NULL;
    }
    c.naming = naming;
    c.without = without;
    carry_program(&c);
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
    return select_range(source, 0, profile_sample_count(source), filter, NULL, NULL);
}

struct profile *profile_name(const struct profile *source, const struct profile_naming *naming)
{
    return select_range(source, 0, profile_sample_count(source), NULL, naming, NULL);
}

struct profile *profile_without(const struct profile *source, const struct profile_keys *keys)
{
    struct profile *rest =
        select_range(source, 0, profile_sample_count(source), NULL, NULL, keys);
    for (size_t i = rest != NULL ? profile_attribute_count(rest, PROFILE_RESOURCE) : 0;
         i-- > 0;)
        if (profile_keys_have(
                keys, profile_text(rest, profile_attribute(rest, PROFILE_RESOURCE, i)->key)))
            profile_remove_attribute(rest, PROFILE_RESOURCE, i);
    return rest;
}

/* Slice */

void profile_remove_metrics(struct profile *p)
{
    for (size_t i = profile_attribute_count(p, PROFILE_ATTRIBUTES); i-- > 0;)
        if (profile_is_metric(p, profile_attribute(p, PROFILE_ATTRIBUTES, i)))
            profile_remove_attribute(p, PROFILE_ATTRIBUTES, i);
}

struct profile *profile_slice(const struct profile *source, size_t first, size_t last)
{
    struct profile *slice = select_range(source, first, last, NULL, NULL, NULL);
    if (slice == NULL)
        return NULL;
    memset(profile_header(slice)->profile_id, 0, sizeof profile_header(slice)->profile_id);
    if (first > 0)
        profile_remove_metrics(slice);
    return slice;
}

/* Levels and flows */

/* The values of a sample in columns that are levels, or that are not, and 0 in the others.
 * False: there are none. */
static bool part_of(const struct profile *p, const struct profile_sample *sample, bool levels,
                    int64_t values[PROFILE_MAX_VALUES])
{
    bool any = false;
    for (size_t column = 0, own = 0; column < profile_value_count(p); column++) {
        if (profile_column_sheet(p, column) != sample->sheet)
            continue;
        bool wanted = measure_is_level(profile_type(p, column)) == levels;
        values[own] = wanted ? sample->values[own] : 0;
        any = any || values[own] != 0;
        own++;
    }
    return any;
}

struct profile *profile_part(const struct profile *source, bool levels)
{
    struct carrier c;
    struct profile *part = profile_new_like(source, NULL);
    if (part == NULL || carrier_init(&c, part, source) != 0) {
        profile_free(part);
        return NULL;
    }
    carry_program(&c);
    for (size_t i = 0; i < profile_sample_count(source); i++) {
        int64_t values[PROFILE_MAX_VALUES];
        struct profile_sample sample = profile_get_sample(source, i);
        if (!part_of(source, &sample, levels, values))
            continue;
        sample.values = values;
        carry_sample(&c, &sample);
    }
    carrier_free(&c);
    if (levels)
        profile_remove_metrics(part);
    if (profile_error(part) == 0)
        return part;
    profile_free(part);
    return NULL;
}
