#include "export/series.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/identity.h"
#include "format/utf8.h"
#include "profile/carry.h"
#include "profile/hex.h"

/* ---- labels of the series ---- */

void series_label_name(const char *from, char name[SERIES_NAME_SIZE])
{
    size_t length = 0;
    while (*from == '_' && from[1] == '_')
        from++;
    if (isdigit((unsigned char)*from))
        name[length++] = '_';
    for (; *from != '\0' && length < SERIES_NAME_SIZE - 1; from++) {
        unsigned char c = (unsigned char)*from;
        name[length++] = c < 0x80 && isalnum(c) ? (char)c : '_';
    }
    name[length] = '\0';
    if (strncmp(name, "__", 2) == 0) /* of "..x" */
        memmove(name, name + 1, length);
}

/* An owned copy that is valid UTF-8 and not too long. */
static char *copy_value(const struct profile *profile, const struct profile_label *attribute)
{
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)attribute->number);
    const char *text = attribute->is_number ? number : profile_text(profile, attribute->text);
    size_t length, end = 0;
    char *value = utf8_mend(text, strnlen(text, SERIES_MAX_VALUE), &length);
    if (value == NULL)
        return NULL;
    while (end < length && end + utf8_length(value + end, length - end) <= SERIES_MAX_VALUE)
        end += utf8_length(value + end, length - end);
    value[end] = '\0';
    return value;
}

static bool has_label(const struct series *series, const char *name)
{
    for (size_t i = 0; i < series->count; i++)
        if (strcmp(series->labels[i].name, name) == 0)
            return true;
    return strcmp(name, "service_name") == 0;
}

static int add_label(struct series *series, const struct profile *profile,
                     const struct profile_label *attribute)
{
    struct series_label label = {.value = copy_value(profile, attribute)};
    const char *key = profile_text(profile, attribute->key);
    if (label.value == NULL)
        return -ENOMEM;
    series_label_name(key, label.name);
    if (strcmp(key, "service.name") == 0 && series->service == NULL) {
        series->service = label.value;
        return 0;
    }
    bool wanted =
        label.name[0] != '\0' && label.value[0] != '\0' && !has_label(series, label.name);
    if (wanted && series->count < SERIES_MAX_LABELS) {
        series->labels[series->count++] = label;
        return 0;
    }
    series->left_out += wanted;
    free(label.value);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct series_label *)a)->name,
                  ((const struct series_label *)b)->name);
}

int series_make(struct series *series, const struct profile *profile)
{
    *series = (struct series){0};
    int error = 0;
    /* What the user set was set last: it wins, and is the last to be left out. */
    for (size_t i = profile_attribute_count(profile, PROFILE_RESOURCE); i > 0 && error == 0;) {
        const struct profile_label *attribute =
            profile_attribute(profile, PROFILE_RESOURCE, --i);
        if (attribute_identifies(profile_text(profile, attribute->key)))
            error = add_label(series, profile, attribute);
    }
    if (error == 0 && (series->service == NULL || series->service[0] == '\0')) {
        free(series->service);
        series->service = strdup("unknown_service");
        error = series->service != NULL ? 0 : -ENOMEM;
    }
    qsort(series->labels, series->count, sizeof *series->labels, by_name);
    return error;
}

void series_free(struct series *series)
{
    for (size_t i = 0; i < series->count; i++)
        free(series->labels[i].value);
    free(series->service);
    *series = (struct series){0};
}

/* ---- samples ---- */

struct copying {
    const struct series *series;
    const struct profile *from;
    struct profile *to;
    struct carrier carrier;
    bool threads;
};

/* Backends put the labels of series and samples side by side: none may stand there twice. They
 * have no place for the time of a sample. */
static profile_id sample_label_name(struct copying *c, const char *key)
{
    char name[SERIES_NAME_SIZE], other[SERIES_NAME_SIZE + 16];
    if ((strncmp(key, "thread.", 7) == 0 && !c->threads) || strcmp(key, PROFILE_TIME) == 0)
        return 0;
    series_label_name(key, name);
    if (!has_label(c->series, name))
        return profile_string(c->to, name);
    snprintf(other, sizeof other, "sample_%s", name);
    return profile_string(c->to, other);
}

static profile_id span_label(struct copying *c, profile_id link, struct profile_label *label)
{
    char text[2 * sizeof(((struct profile_link *)0)->span_id) + 1];
    const struct profile_link *ids = profile_get_link(c->from, link);
    hex_write(text, ids->span_id, sizeof ids->span_id);
    *label = (struct profile_label){.key = profile_string(c->to, "span_id"),
                                    .text = profile_string(c->to, text)};
    return label->text;
}

static profile_id copy_labels(struct copying *c, const struct profile_sample *sample)
{
    struct profile_label labels[SERIES_MAX_SAMPLE_LABELS + 1];
    struct profile_label_set set = profile_get_labels(c->from, sample->labels);
    size_t count = 0;
    for (uint32_t i = 0; i < set.count && count < SERIES_MAX_SAMPLE_LABELS; i++) {
        const struct profile_label *label = &set.labels[i];
        profile_id key = sample_label_name(c, profile_text(c->from, label->key));
        if (key == 0 || (!label->is_number && label->text == 0))
            continue;
        labels[count] = *label;
        labels[count].key = key;
        labels[count].text = profile_string(c->to, profile_text(c->from, label->text));
        labels[count].unit = profile_string(c->to, profile_text(c->from, label->unit));
        count++;
    }
    if (sample->link != 0 && !c->threads)
        count += span_label(c, sample->link, &labels[count]) != 0;
    return profile_labels(c->to, labels, count);
}

static void copy_sample(struct copying *c, size_t sheet, const struct profile_sample *sample)
{
    profile_id stack = carry_stack(&c->carrier, sample->stack);
    profile_id link = c->threads ? carry_link(&c->carrier, sample->link) : 0;
    profile_add(c->to, sheet, stack, link, copy_labels(c, sample), sample->values);
}

/* Into `to`, whose sheet 0 is like sheet `first` of the profile, and so on. */
static struct profile *copy_sheets(const struct series *series, const struct profile *profile,
                                   size_t first, size_t end, bool threads, struct profile *to)
{
    struct copying c = {.series = series, .from = profile, .to = to, .threads = threads};
    if (to == NULL || carrier_init(&c.carrier, to, profile) != 0) {
        profile_free(to);
        return NULL;
    }
    const size_t end_sample = profile_first_sample(profile, end);
    for (size_t i = profile_first_sample(profile, first); i < end_sample; i++) {
        struct profile_sample sample = profile_get_sample(profile, i);
        copy_sample(&c, sample.sheet - first, &sample);
    }
    carrier_free(&c.carrier);
    if (profile_error(to) == 0)
        return to;
    profile_free(to);
    return NULL;
}

struct profile *series_samples(const struct series *series, const struct profile *profile,
                               bool threads)
{
    return copy_sheets(series, profile, 0, profile_sheet_count(profile), threads,
                       profile_new_like(profile, NULL));
}

struct profile *series_sheet(const struct series *series, const struct profile *profile,
                             size_t sheet, bool threads)
{
    return copy_sheets(series, profile, sheet, sheet + 1, threads,
                       profile_new_like_sheet(profile, sheet));
}
