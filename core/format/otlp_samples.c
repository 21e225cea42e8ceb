#include "format/otlp_reader.h"

#include <string.h>

#include "format/refuse.h"
#include "profile/clamp.h"

#define MOST_TIMES ((size_t)1 << 18) /* samples of a file that are kept apart by time */

/* Values of one identity add up; times alone count as one each. */
static int64_t value_of(const Otlp__Sample *in)
{
    int64_t sum = 0;
    if (in->n_values == 0)
        return (int64_t)in->n_timestamps_unix_nano;
    for (size_t i = 0; i < in->n_values; i++)
        sum = clamp_add(sum, in->values[i]);
    return sum;
}

static bool has_key(const struct profile_label *labels, size_t count, profile_id key)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i].key == key)
            return true;
    return false;
}

/* All labels of a sample, in r->lists.labels: its own and, of keys that it has not, those of
 * its resource; and its time. */
static int read_labels(struct otlp_reader *r, const Otlp__Sample *in, uint64_t time,
                       profile_id *id)
{
    size_t room = r->own_count + 1, count = 0;
    *id = 0;
    for (size_t i = 0; i < in->n_attribute_indices; i++) {
        TRY(otlp_check(r, in->attribute_indices[i], r->dictionary->n_attribute_table,
                       "attribute"));
        room += 1 + r->attributes[in->attribute_indices[i]].more_count;
    }
    struct profile_label *labels = row_labels(&r->lists, room);
    if (labels == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < in->n_attribute_indices; i++) {
        const struct otlp_attribute *attribute = &r->attributes[in->attribute_indices[i]];
        const bool one = attribute->more == NULL;
        const struct profile_label *values = one ? &attribute->label : attribute->more;
        for (size_t k = 0; k < (one ? 1 : attribute->more_count); k++)
            labels[count++] = values[k];
    }
    const size_t own = count;
    for (size_t i = 0; i < r->own_count; i++)
        if (!has_key(labels, own, r->own[i].key))
            labels[count++] = r->own[i];
    if (time != 0)
        labels[count++] = (struct profile_label){.key = profile_string(r->p, PROFILE_TIME),
                                                 .is_number = true,
                                                 .number = (int64_t)time,
                                                 .unit = profile_string(r->p, "nanoseconds")};
    *id = profile_all_labels(r->p, labels, count);
    return 0;
}

/* `time` 0: of none. */
static int read_sample(struct otlp_reader *r, const Otlp__Sample *in, uint64_t time,
                       const int64_t *values)
{
    TRY(otlp_check(r, in->stack_index, r->dictionary->n_stack_table, "stack"));
    /* Index 0 says "no link" even to a table that is missing. */
    if (in->link_index != 0)
        TRY(otlp_check(r, in->link_index, r->dictionary->n_link_table, "link"));
    profile_id labels = 0;
    TRY(read_labels(r, in, time, &labels));
    profile_id link = in->link_index != 0 ? r->links[in->link_index] : 0;
    int status = profile_add_row(r->p, r->places[r->at].column, r->stacks[in->stack_index],
                                 link, labels, values);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_counted(struct otlp_reader *r, const Otlp__Profile *in,
                        const Otlp__Sample *sample, uint64_t time, int64_t value)
{
    int64_t values[PROFILE_MAX_VALUES] = {0};
    profile_put(values, r->places[r->at], value);
    if (r->counts_time)
        profile_put(values, r->places[r->at + 1], clamp_multiply(value, in->period));
    return read_sample(r, sample, time, values);
}

/* Are the sample's times to be kept apart? A bounded number is; of what is beyond, the values
 * of one identity add up. */
static bool has_times(struct otlp_reader *r, const Otlp__Sample *in)
{
    const size_t count = in->n_timestamps_unix_nano;
    if (count == 0 || (in->n_values != 0 && in->n_values != count) ||
        count > MOST_TIMES - r->times)
        return false;
    r->times += count;
    return true;
}

int otlp_read_samples(struct otlp_reader *r, const Otlp__Profile *in)
{
    for (size_t i = 0; i < in->n_samples; i++) {
        const Otlp__Sample *sample = in->samples[i];
        if (!has_times(r, sample)) {
            TRY(read_counted(r, in, sample, 0, value_of(sample)));
            continue;
        }
        for (size_t k = 0; k < sample->n_timestamps_unix_nano; k++)
            TRY(read_counted(r, in, sample, sample->timestamps_unix_nano[k],
                             sample->n_values > 0 ? sample->values[k] : 1));
    }
    return 0;
}
