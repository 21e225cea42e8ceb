#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/clamp.h"
#include "profile/fold.h"
#include "profile/hex.h"

static const char *const words[] = {
    [REPORT_BY_FUNCTION] = "function", [REPORT_BY_LINE] = "line",
    [REPORT_BY_FILE] = "file",         [REPORT_BY_MODULE] = "module",
    [REPORT_BY_TYPE] = "type",         [REPORT_BY_THREAD] = "thread",
    [REPORT_BY_LABEL] = "label:",      [REPORT_BY_STACK] = "stack",
    [REPORT_BY_TRACE] = "trace",       [REPORT_BY_SPAN] = "span",
};

const char *report_heading(const struct report_rows *what)
{
    return what->by == REPORT_BY_LABEL ? what->label : words[what->by];
}

int report_parse_by(const char *word, struct report_rows *what)
{
    const size_t length = strlen(words[REPORT_BY_LABEL]);
    if (strncmp(word, words[REPORT_BY_LABEL], length) == 0) {
        *what = (struct report_rows){REPORT_BY_LABEL, word + length};
        return word[length] ? 0 : -EINVAL;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i], word) == 0) {
            *what = (struct report_rows){.by = (enum report_by)i};
            return 0;
        }
    }
    return -EINVAL;
}

/* Totals of hostile files stop at the end of the numbers. */
static void add(int64_t *sum, int64_t value)
{
    *sum = clamp_add(*sum, value);
}

/* How much there is, more of it or less. */
static int64_t magnitude(int64_t value)
{
    return value >= 0 ? value : value == INT64_MIN ? INT64_MAX : -value;
}

/* What makes two frames, or two label sets, one row; and which of them it is. */
struct row_key {
    int64_t key[3];
    uint32_t index;
};

static int compare_keys(const void *left, const void *right)
{
    const struct row_key *a = left, *b = right;
    for (int i = 0; i < 3; i++)
        if (a->key[i] != b->key[i])
            return a->key[i] < b->key[i] ? -1 : 1;
    return 0;
}

/* Sorts the keys and fills `row_of`, by index. Returns the number of rows; `example[row]` is
 * an index with that row. */
static size_t number_rows(struct row_key *keys, size_t count, uint32_t *row_of,
                          uint32_t *example)
{
    size_t rows = 0;
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare_keys(&keys[i - 1], &keys[i]))
            example[rows++] = keys[i].index;
        row_of[keys[i].index] = (uint32_t)rows - 1;
    }
    return rows;
}

static profile_id module_of(const struct frame *frame)
{
    return frame->module ? frame->module : frame->file;
}

static struct row_key frame_key(enum report_by by, const struct frame *frame, uint32_t index)
{
    switch (by) {
    case REPORT_BY_LINE:
        return (struct row_key){{frame->function, frame->line}, index};
    case REPORT_BY_FILE:
        return (struct row_key){{frame->file}, index};
    case REPORT_BY_MODULE:
        return (struct row_key){{module_of(frame)}, index};
    case REPORT_BY_TYPE:
        return (struct row_key){{(int64_t)frame->type, frame->other_type}, index};
    default:
        return (struct row_key){{frame->function}, index};
    }
}

static void set_name(const struct report *report, struct report_row *row, profile_id id,
                     const char *otherwise)
{
    row->name = id ? profile_text(report->profile, id) : otherwise;
    row->name_length = id ? profile_text_length(report->profile, id) : strlen(otherwise);
}

static void describe_frame_row(const struct report *report, const struct frame *frame,
                               struct report_row *row)
{
    const struct profile *profile = report->profile;
    row->file = row->type = "";
    switch (report->what.by) {
    case REPORT_BY_FILE:
        set_name(report, row, frame->file, "[no file]");
        return;
    case REPORT_BY_MODULE:
        set_name(report, row, module_of(frame), "[no module]");
        return;
    case REPORT_BY_TYPE:
        row->type = frame_type_of(&report->frames, frame);
        set_name(report, row, 0, *row->type ? row->type : "[unknown]");
        return;
    default:
        row->function = frame->function;
        row->name = frame->text;
        row->name_length = frame->text_length;
        row->type = frame_type_of(&report->frames, frame);
        row->file = profile_text(profile, frame->file ? frame->file : frame->module);
        row->line = report->what.by == REPORT_BY_LINE ? frame->line : frame->start_line;
        return;
    }
}

static void count_whole(struct report *report, int64_t value)
{
    add(&report->total, value);
    add(&report->whole, magnitude(value));
}

/* Adds each sample to the row of its leaf, and once to each row that its stack touches. */
static int count_frames(struct report *report, const uint32_t *row_of)
{
    const struct profile *profile = report->profile;
    uint32_t *frames = calloc(frame_table_deepest(&report->frames) + 1, sizeof(*frames));
    size_t *last_sample = calloc(report->row_count + 1, sizeof(*last_sample));
    int status = frames && last_sample ? 0 : -ENOMEM;
    for (size_t i = 0; !status && i < profile_sample_count(profile); i++) {
        struct profile_sample sample = profile_get_sample(profile, i);
        int64_t value = profile_value(profile, &sample, report->summary.column);
        struct profile_stack stack = profile_get_stack(profile, sample.stack);
        size_t depth = frame_table_expand(&report->frames, stack, frames);
        count_whole(report, value);
        for (size_t k = 0; k < depth; k++) {
            uint32_t row = row_of[frames[k]];
            if (last_sample[row] != i + 1)
                add(&report->rows[row].total, value);
            last_sample[row] = i + 1;
        }
        if (depth > 0)
            add(&report->rows[row_of[frames[depth - 1]]].self, value);
    }
    free(frames);
    free(last_sample);
    return status;
}

static int make_frame_rows(struct report *report)
{
    uint32_t count = report->frames.frame_count;
    struct row_key *keys = calloc(count + 1, sizeof(*keys));
    uint32_t *row_of = calloc(count + 1, sizeof(*row_of));
    uint32_t *example = calloc(count + 1, sizeof(*example));
    report->rows = calloc(count + 1, sizeof(*report->rows));
    int status = keys && row_of && example && report->rows ? 0 : -ENOMEM;
    if (!status) {
        for (uint32_t i = 0; i < count; i++)
            keys[i] = frame_key(report->what.by, &report->frames.frames[i], i);
        report->row_count = number_rows(keys, count, row_of, example);
        for (size_t row = 0; row < report->row_count; row++)
            describe_frame_row(report, &report->frames.frames[example[row]],
                               &report->rows[row]);
        status = count_frames(report, row_of);
    }
    free(keys);
    free(row_of);
    free(example);
    return status;
}

static const struct profile_label *find_label(const struct profile *profile, profile_id labels,
                                              const char *key)
{
    struct profile_label_set set = profile_get_labels(profile, labels);
    for (uint32_t i = 0; i < set.count; i++)
        if (strcmp(profile_text(profile, set.labels[i].key), key) == 0)
            return &set.labels[i];
    return NULL;
}

/* --- rows of whole samples --- */

#define ROW_TEXT (2 * (16 + 8) + 2) /* both ids of a link in hex, each with its NUL */

/* Threads are told apart by name, and those without one by number. */
static struct row_key thread_key(const struct report *report, profile_id labels)
{
    const struct profile *profile = report->profile;
    const struct profile_label *name = find_label(profile, labels, "thread.name");
    const struct profile_label *id = find_label(profile, labels, "thread.id");
    if (name && !name->is_number && name->text)
        return (struct row_key){{name->text}, labels};
    if (id)
        return (struct row_key){{id->text, 1, id->number}, labels};
    return (struct row_key){{0}, labels};
}

static void describe_thread(struct report *report, profile_id labels, struct report_row *row)
{
    struct row_key key = thread_key(report, labels);
    row->line = key.key[1] ? key.key[2] : 0;
    set_name(report, row, (profile_id)key.key[0],
             key.key[1] ? "[unnamed thread]" : "[no thread]");
}

/* The sample's own value or, without one, the process's; NULL: neither has one. */
static const struct profile_label *value_of(const struct report *report, profile_id labels)
{
    const struct profile *profile = report->profile;
    const char *key = report->what.label;
    const struct profile_label *own = find_label(profile, labels, key);
    for (size_t i = 0; !own && i < profile_attribute_count(profile, PROFILE_RESOURCE); i++) {
        const struct profile_label *each = profile_attribute(profile, PROFILE_RESOURCE, i);
        if (strcmp(profile_text(profile, each->key), key) == 0)
            return each;
    }
    return own;
}

static struct row_key label_key(const struct report *report, profile_id labels)
{
    const struct profile_label *value = value_of(report, labels);
    if (!value)
        return (struct row_key){{0}, labels};
    return value->is_number ? (struct row_key){{1, value->number, value->unit}, labels}
                            : (struct row_key){{2, value->text}, labels};
}

static void describe_value(struct report *report, profile_id labels, struct report_row *row)
{
    const struct profile_label *value = value_of(report, labels);
    char *text = report->texts + (size_t)labels * ROW_TEXT;
    if (!value || !value->is_number) {
        set_name(report, row, value ? value->text : 0, value ? "" : "[none]");
        return;
    }
    const char *unit = profile_text(report->profile, value->unit);
    snprintf(text, ROW_TEXT, "%" PRId64 "%s%.24s", value->number, *unit ? " " : "", unit);
    row->name = text;
    row->name_length = strlen(text);
}

static struct row_key trace_key(const struct report *report, profile_id link)
{
    struct row_key key = {.index = link};
    memcpy(key.key, profile_get_link(report->profile, link)->trace_id, 16);
    return key;
}

static struct row_key span_key(const struct report *report, profile_id link)
{
    struct row_key key = trace_key(report, link);
    memcpy(&key.key[2], profile_get_link(report->profile, link)->span_id, 8);
    return key;
}

static void describe_link(struct report *report, profile_id link, struct report_row *row)
{
    const struct profile_link *ids = profile_get_link(report->profile, link);
    char *trace = report->texts + (size_t)link * ROW_TEXT, *span = trace + 33;
    hex_write(trace, ids->trace_id, sizeof(ids->trace_id));
    hex_write(span, ids->span_id, sizeof(ids->span_id));
    bool of_span = report->what.by == REPORT_BY_SPAN;
    row->name = of_span ? span : trace;
    if (link == 0)
        row->name = of_span ? "[no span]" : "[no trace]";
    else if (of_span)
        row->file = trace;
    row->name_length = strlen(row->name);
}

static struct row_key stack_key(const struct report *report, profile_id stack)
{
    return (struct row_key){{report->stacks.number[stack]}, stack};
}

static void describe_stack(struct report *report, profile_id stack, struct report_row *row)
{
    const struct stacks *stacks = &report->stacks;
    const size_t *at = &stacks->text_at[stacks->number[stack]];
    row->name = (const char *)stacks->texts.data + at[0];
    row->name_length = at[1] - at[0] - 1;
    if (row->name_length == 0)
        set_name(report, row, 0, "[no stack]");
}

static profile_id stack_of(const struct profile_sample *sample)
{
    return sample->stack;
}

static profile_id labels_of(const struct profile_sample *sample)
{
    return sample->labels;
}

static profile_id link_of(const struct profile_sample *sample)
{
    return sample->link;
}

/* What rows of whole samples are made by: a table of the profile, and how its entries become
 * rows. */
struct dimension {
    size_t (*count)(const struct profile *profile);
    profile_id (*of)(const struct profile_sample *sample);
    struct row_key (*key)(const struct report *report, profile_id id);
    void (*describe)(struct report *report, profile_id id, struct report_row *row);
};

static const struct dimension *dimension_of(enum report_by by)
{
    enum { WHOLE = REPORT_BY_THREAD }; /* the first of them */
    static const struct dimension dimensions[] = {
        [REPORT_BY_THREAD - WHOLE] = {profile_label_set_count, labels_of, thread_key,
                                      describe_thread},
        [REPORT_BY_LABEL -
            WHOLE] = {profile_label_set_count, labels_of, label_key, describe_value},
        [REPORT_BY_STACK - WHOLE] = {profile_stack_count, stack_of, stack_key, describe_stack},
        [REPORT_BY_TRACE - WHOLE] = {profile_link_count, link_of, trace_key, describe_link},
        [REPORT_BY_SPAN - WHOLE] = {profile_link_count, link_of, span_key, describe_link},
    };
    return &dimensions[by - WHOLE];
}

static void count_samples(struct report *report, const struct dimension *dimension,
                          const uint32_t *row_of)
{
    for (size_t i = 0; i < profile_sample_count(report->profile); i++) {
        struct profile_sample sample = profile_get_sample(report->profile, i);
        struct report_row *row = &report->rows[row_of[dimension->of(&sample)]];
        int64_t value = profile_value(report->profile, &sample, report->summary.column);
        count_whole(report, value);
        add(&row->self, value);
        row->total = row->self;
    }
}

static int make_sample_rows(struct report *report)
{
    const struct dimension *dimension = dimension_of(report->what.by);
    size_t count = dimension->count(report->profile);
    struct row_key *keys = calloc(count + 1, sizeof(*keys));
    uint32_t *row_of = calloc(count + 1, sizeof(*row_of));
    uint32_t *example = calloc(count + 1, sizeof(*example));
    report->rows = calloc(count + 1, sizeof(*report->rows));
    report->texts = calloc(count + 1, ROW_TEXT);
    int status = keys && row_of && example && report->rows && report->texts ? 0 : -ENOMEM;
    if (!status && report->what.by == REPORT_BY_STACK)
        status = stacks_make(&report->stacks, &report->frames);
    if (!status) {
        for (profile_id id = 0; id < count; id++)
            keys[id] = dimension->key(report, id);
        report->row_count = number_rows(keys, count, row_of, example);
        for (size_t i = 0; i < report->row_count; i++) {
            report->rows[i].file = report->rows[i].type = "";
            dimension->describe(report, example[i], &report->rows[i]);
        }
        count_samples(report, dimension, row_of);
    }
    free(keys);
    free(row_of);
    free(example);
    return status;
}

/* --- order --- */

static int compare_rows(const struct report_row *a, const struct report_row *b, int64_t first_a,
                        int64_t first_b, int64_t then_a, int64_t then_b)
{
    if (magnitude(first_a) != magnitude(first_b))
        return magnitude(first_a) > magnitude(first_b) ? -1 : 1;
    if (first_a != first_b)
        return first_a > first_b ? -1 : 1;
    if (then_a != then_b)
        return then_a > then_b ? -1 : 1;
    int order = strcmp(a->name, b->name);
    if (!order)
        order = strcmp(a->file, b->file);
    return order ? order : (a->line > b->line) - (a->line < b->line);
}

static int by_self(const void *left, const void *right)
{
    const struct report_row *a = left, *b = right;
    return compare_rows(a, b, a->self, b->self, a->total, b->total);
}

static int by_total(const void *left, const void *right)
{
    const struct report_row *a = left, *b = right;
    return compare_rows(a, b, a->total, b->total, a->self, b->self);
}

/* Rows that no sample touches are of frames in stacks without samples. */
static void drop_empty_rows(struct report *report)
{
    size_t kept = 0;
    for (size_t i = 0; i < report->row_count; i++)
        if (report->rows[i].total != 0 || report->rows[i].self != 0)
            report->rows[kept++] = report->rows[i];
    report->row_count = kept;
}

static int make_rows(struct report *report, enum frame_scope scope)
{
    int status = frame_table_init(&report->frames, report->profile, scope);
    if (status)
        return status;
    if (profile_value_count(report->profile) > 0)
        status = report->what.by >= REPORT_BY_THREAD ? make_sample_rows(report)
                                                     : make_frame_rows(report);
    if (status)
        report_free(report);
    return status;
}

int report_count(struct report *report, const struct profile *profile, struct report_rows what,
                 size_t column)
{
    *report = (struct report){.profile = profile, .what = what, .summary.column = column};
    return make_rows(report, FRAMES_OF_VERSIONS);
}

/* Rows of threads and spans have no frames. */
static int fold(struct report *report)
{
    if ((report->what.by >= REPORT_BY_THREAD && report->what.by != REPORT_BY_STACK) ||
        !profile_has_helpers(report->profile))
        return 0;
    report->profile = report->folded = profile_fold(report->profile);
    return report->folded ? 0 : -ENOMEM;
}

int report_make(struct report *report, const struct profile *profile, struct report_rows what,
                bool cumulative, bool all_native)
{
    *report = (struct report){.profile = profile, .what = what};
    int status = profile_summarize(profile, &report->summary);
    if (!status && !all_native)
        status = fold(report);
    if (!status)
        status = make_rows(report, FRAMES_OF_PROGRAM);
    if (status)
        return status;
    drop_empty_rows(report);
    if (report->row_count > 0)
        qsort(report->rows, report->row_count, sizeof(*report->rows),
              cumulative ? by_total : by_self);
    return 0;
}

void report_free(struct report *report)
{
    frame_table_free(&report->frames);
    profile_free(report->folded);
    free(report->rows);
    stacks_free(&report->stacks);
    free(report->texts);
    *report = (struct report){0};
}
