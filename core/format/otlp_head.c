#include "format/otlp_reader.h"

#include <errno.h>
#include <string.h>

#include "format/refuse.h"

/* What stands once: each Profile's is put into a profile of its own without samples, and that
 * merged into the result. */

static int set_attribute(struct otlp_reader *r, struct profile *to,
                         enum profile_attributes which, const struct profile_label *label)
{
    const char *key = profile_text(r->p, label->key);
    if (label->text == 0 && !label->is_number)
        return 0;
    int status = label->is_number
                     ? profile_set_number(to, which, key, label->number)
                     : profile_set_text(to, which, key, profile_text(r->p, label->text));
    if (status == -ENOSPC)
        return refuse(r->error, "more than %d attributes", PROFILE_MAX_ATTRIBUTES);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_resource(struct otlp_reader *r, const Otlp__Resource *in, struct profile *to)
{
    struct profile_label label;
    for (size_t i = 0; in != NULL && i < in->n_attributes; i++) {
        TRY(otlp_read_attribute(r, in->attributes[i], &label));
        TRY(set_attribute(r, to, PROFILE_RESOURCE, &label));
    }
    return 0;
}

static profile_id copy_text(struct profile *to, const ProtobufCBinaryData *text)
{
    return profile_string_n(to, (const char *)text->data, text->len);
}

static int read_header(struct otlp_reader *r, const Otlp__Profile *in,
                       const Otlp__InstrumentationScope *scope, bool another_column,
                       struct profile *to)
{
    struct profile_header *h = profile_header(to);
    struct profile_period *period = profile_period(to, 0);
    h->time_ns = in->time_unix_nano;
    h->duration_ns = in->duration_nano;
    period->value = in->period;
    if (in->profile_id.len == sizeof(h->profile_id))
        memcpy(h->profile_id, in->profile_id.data, sizeof(h->profile_id));
    if (scope != NULL) {
        h->scope_name = copy_text(to, &scope->name);
        h->scope_version = copy_text(to, &scope->version);
    }
    if (in->period_type != NULL) {
        profile_id type, unit;
        TRY(otlp_read_string(r, in->period_type->type_strindex, &type));
        TRY(otlp_read_string(r, in->period_type->unit_strindex, &unit));
        period->type.type = profile_string(to, profile_text(r->p, type));
        period->type.unit = profile_string(to, profile_text(r->p, unit));
    }
    for (size_t i = 0; i < in->n_attribute_indices; i++) {
        TRY(otlp_check(r, in->attribute_indices[i], r->dictionary->n_attribute_table,
                       "attribute"));
        const struct profile_label *attribute = &r->attributes[in->attribute_indices[i]].label;
        if (!another_column || !profile_is_metric(r->p, attribute))
            TRY(set_attribute(r, to, PROFILE_ATTRIBUTES, attribute));
    }
    return 0;
}

bool otlp_is_type(struct otlp_reader *r, const Otlp__ValueType *type, const char *name,
                  const char *unit)
{
    profile_id type_id, unit_id;
    return type != NULL && otlp_read_string(r, type->type_strindex, &type_id) == 0 &&
           otlp_read_string(r, type->unit_strindex, &unit_id) == 0 &&
           strcmp(profile_text(r->p, type_id), name) == 0 &&
           strcmp(profile_text(r->p, unit_id), unit) == 0;
}

/* Samples of CPU time, told as counts with the nanoseconds of one of them as the period. */
static bool tells_cpu_time(struct otlp_reader *r, const Otlp__Profile *in)
{
    return !r->has_cpu && in->period > 0 &&
           otlp_is_type(r, in->sample_type, "samples", "count") &&
           otlp_is_type(r, in->period_type, "cpu", "nanoseconds");
}

static int add_value_type(struct otlp_reader *r, struct profile *to, const char *type,
                          const char *unit)
{
    int status = profile_add_value_type(to, 0, type, unit);
    return status == 0 || status == -EEXIST ? 0 : refuse_memory(r->error);
}

static int read_value_type(struct otlp_reader *r, const Otlp__Profile *in, struct profile *to)
{
    profile_id type = 0, unit = 0;
    if (in->sample_type != NULL) {
        TRY(otlp_read_string(r, in->sample_type->type_strindex, &type));
        TRY(otlp_read_string(r, in->sample_type->unit_strindex, &unit));
    }
    return add_value_type(r, to, profile_text(r->p, type), profile_text(r->p, unit));
}

/* The sheet's first, by which it is found in the sum, and the Profile's own. */
static int read_value_types(struct otlp_reader *r, const Otlp__Profile *in, struct profile *to)
{
    TRY(read_value_type(r, r->first, to));
    TRY(read_value_type(r, in, to));
    r->at = profile_value_count(to) - 1;
    if (tells_cpu_time(r, in))
        TRY(add_value_type(r, to, "cpu", "nanoseconds"));
    return 0;
}

/* OTLP has a Profile for each value type. One after another of the same time they are the
 * columns of one profile, and its metrics count once. */
static bool is_another_column(const struct otlp_reader *r, const Otlp__ScopeProfiles *scope,
                              const Otlp__Profile *in)
{
    const Otlp__Profile *last = r->last;
    return last != NULL && scope == r->scope && last->time_unix_nano == in->time_unix_nano &&
           last->duration_nano == in->duration_nano && last->sample_type != NULL &&
           in->sample_type != NULL &&
           last->sample_type->type_strindex != in->sample_type->type_strindex;
}

static bool same_type(const Otlp__ValueType *a, const Otlp__ValueType *b)
{
    return a != NULL && b != NULL && a->type_strindex == b->type_strindex &&
           a->unit_strindex == b->unit_strindex;
}

/* Does it tell nothing of its period? Then one value may stand for one of itself. */
static bool has_no_period(const Otlp__Profile *in)
{
    return in->period_type == NULL || in->period <= 0 ||
           (in->period == 1 && same_type(in->period_type, in->sample_type));
}

static bool same_period(const Otlp__Profile *a, const Otlp__Profile *b)
{
    return (has_no_period(a) && has_no_period(b)) ||
           (a->period == b->period && same_type(a->period_type, b->period_type));
}

static bool same_identity(const Otlp__Sample *a, const Otlp__Sample *b)
{
    return a->stack_index == b->stack_index && a->link_index == b->link_index &&
           a->n_attribute_indices == b->n_attribute_indices &&
           (a->n_attribute_indices == 0 ||
            memcmp(a->attribute_indices, b->attribute_indices,
                   a->n_attribute_indices * sizeof(*a->attribute_indices)) == 0);
}

/* Are the samples some of the other's, in the same order? */
static bool has_samples_of(const Otlp__Profile *in, const Otlp__Profile *other)
{
    size_t at = 0;
    for (size_t i = 0; i < other->n_samples && at < in->n_samples; i++)
        at += same_identity(in->samples[at], other->samples[i]);
    return at == in->n_samples;
}

/* Is the Profile one more column of the sheet at hand? What a source counts in several units
 * has one period, and the same samples but for those that are 0. */
static bool is_of_sheet(const struct otlp_reader *r, const Otlp__ScopeProfiles *scope,
                        const Otlp__Profile *in)
{
    return is_another_column(r, scope, in) && same_period(r->first, in) &&
           has_samples_of(in, r->first);
}

int otlp_read_head(struct otlp_reader *r, const Otlp__ResourceProfiles *resource,
                   const Otlp__ScopeProfiles *scope, const Otlp__Profile *in,
                   struct profile *once)
{
    r->joined++;
    if (r->joined >= PROFILE_MAX_VALUES || !is_of_sheet(r, scope, in)) {
        r->first = in;
        r->joined = 0;
    }
    TRY(read_value_types(r, in, once));
    TRY(read_resource(r, resource->resource, once));
    TRY(read_header(r, in, scope->scope, is_another_column(r, scope, in), once));
    return refuse_merge(r->error, profile_merge_head(r->p, once, r->places));
}
