#include "format/summary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of the sum of several processes, whose main threads may bear the same number. */
#define PROCESS "process.pid"

size_t profile_default_column(const struct profile *profile)
{
    size_t count = profile_value_count(profile);
    profile_id preferred = profile_header_const(profile)->default_type;
    int column =
        preferred ? profile_value_column(profile, profile_text(profile, preferred)) : -1;
    if (column < 0)
        column = profile_value_column(profile, "cpu");
    if (column >= 0)
        return (size_t)column;
    return count > 0 ? count - 1 : 0;
}

static int64_t count_samples(const struct profile *profile, size_t of)
{
    size_t sheet = profile_column_sheet(profile, of);
    size_t first = profile_first_sample(profile, sheet);
    size_t end = profile_first_sample(profile, sheet + 1);
    int column = profile_value_column(profile, "samples");
    if (column < 0 || profile_column_sheet(profile, (size_t)column) != sheet)
        return (int64_t)(end - first);
    int64_t total = 0;
    for (size_t i = first; i < end; i++) {
        struct profile_sample sample = profile_get_sample(profile, i);
        total += profile_value(profile, &sample, (size_t)column);
    }
    return total;
}

/* What tells apart the values of a label, whether text or number; and those of a second one. */
struct label_value {
    profile_id text;
    int64_t number;
    profile_id other_text;
    int64_t other_number;
};

static int compare_values(const void *left, const void *right)
{
    const struct label_value *a = left, *b = right;
    if (a->text != b->text)
        return a->text < b->text ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (a->other_text != b->other_text)
        return a->other_text < b->other_text ? -1 : 1;
    return (a->other_number > b->other_number) - (a->other_number < b->other_number);
}

static size_t count_unique(struct label_value *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_values);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare_values(&values[i - 1], &values[i]) != 0)
            unique++;
    return unique;
}

static const struct profile_label *
find_label(const struct profile *profile, const struct profile_label_set *set, const char *key)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(profile_text(profile, set->labels[i].key), key) == 0)
            return &set->labels[i];
    return NULL;
}

/* Distinct values of label `key`, within each value of `within` (NULL: anywhere), in all label
 * sets: each set is some sample's. */
static int count_label_values(const struct profile *profile, const char *key,
                              const char *within, size_t *result)
{
    size_t sets = profile_label_set_count(profile), count = 0;
    struct label_value *values = calloc(sets > 0 ? sets : 1, sizeof(*values));
    if (!values)
        return -ENOMEM;
    for (profile_id id = 0; id < sets; id++) {
        const struct profile_label_set set = profile_get_labels(profile, id);
        const struct profile_label *label = find_label(profile, &set, key);
        if (label == NULL)
            continue;
        const struct profile_label *other =
            within != NULL ? find_label(profile, &set, within) : NULL;
        values[count++] =
            (struct label_value){label->text, label->number, other != NULL ? other->text : 0,
                                 other != NULL ? other->number : 0};
    }
    *result = count_unique(values, count);
    free(values);
    return 0;
}

const char *profile_service(const struct profile *profile)
{
    for (size_t i = 0; i < profile_attribute_count(profile, PROFILE_RESOURCE); i++) {
        const struct profile_label *attribute = profile_attribute(profile, PROFILE_RESOURCE, i);
        if (!attribute->is_number &&
            strcmp(profile_text(profile, attribute->key), "service.name") == 0)
            return profile_text(profile, attribute->text);
    }
    return NULL;
}

int profile_summarize(const struct profile *profile, struct profile_summary *summary)
{
    size_t column = profile_default_column(profile);
    *summary = (struct profile_summary){
        .column = column,
        .samples = count_samples(profile, column),
        .service = profile_service(profile),
    };
    int status = count_label_values(profile, "service.name", NULL, &summary->services);
    if (!status)
        status = count_label_values(profile, "thread.id", PROCESS, &summary->threads);
    if (!status && summary->threads == 0)
        status = count_label_values(profile, "thread.name", PROCESS, &summary->threads);
    return status;
}
