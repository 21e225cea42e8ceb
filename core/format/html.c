/*
 * The flame graph page: core/format/html/ with the profile inside, as gzipped JSON in base64.
 *
 *   info       {service, name, time, duration, threads}; times in nanoseconds
 *   period     [type, unit, number]; `resource` and `attributes`: [[key, value], …]. For
 *              html_read.c, which reads pages back
 *   values     [[type, unit], …]; `column` is the one to show first
 *   strings    the names of functions and files, which others give by their index
 *   functions  {name, file, line, type}; one column each. `types` names the types.
 *   frames     {function, line, module}
 *   tree       the stacks, root first and sorted: levels to go up from the end of the last
 *              one, number of frames to go down, these frames
 *   samples    {stack, labels, link, values}: `stack` is the step from the sample before;
 *              `values` holds one array per value
 *   past       the same of samples with the label HTML_PAST, where there are any
 *   levels     the values that stand at one moment, by their index
 *   labels     [[key, value, key, value, …], …]
 *   links      [[trace, span], …]
 *   diff       of a comparison only: {type, normalized, base, new}, each side {name, duration,
 *              weight}; the values are then the columns of a pair (profile/pair.h)
 *   helpers    frames that are the interpreter's own where an interpreted frame called them
 *              (profile/fold.h); `allNative` says whether they show at first
 *   source     {url, root} where links to the source are wanted
 *   lines      [[file, first line, text, …], …]: source that was at hand (html_source.h)
 *
 * Sorted stacks share their beginnings, so the page is smaller than the pprof file although
 * base64 adds a third. What tells native addresses of one line apart is left out.
 */
#include "format/html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/frame_type.h"
#include "format/frames.h"
#include "format/html/page.h"
#include "format/html_read.h"
#include "format/html_source.h"
#include "format/json.h"
#include "format/summary.h"
#include "profile/fold.h"
#include "profile/hex.h"
#include "profile/measures.h"

/* A unique stack of frames, root first. */
struct page_stack {
    const uint32_t *frames;
    uint32_t depth;
    profile_id source; /* a stack of the profile */
    uint32_t number;   /* of the page's stack */
};

struct page_sample {
    uint32_t stack;
    profile_id labels, link;
    size_t source; /* a sample of the profile */
    bool is_past;
};

struct page {
    const struct profile *profile;
    const struct html_comparison *comparison; /* NULL = of one profile */
    const struct html_options *options;       /* NULL: none */
    struct frame_table table;
    uint32_t *steps;           /* the frames of all stacks */
    struct page_stack *stacks; /* sorted */
    size_t stack_count;
    uint32_t *stack_number;       /* stack of the profile → the page's */
    struct page_sample *samples;  /* sorted */
    size_t sample_count, past_at; /* those from `past_at` on are of the past */
    struct buffer json;
};

static void page_free(struct page *page)
{
    frame_table_free(&page->table);
    free(page->steps);
    free(page->stacks);
    free(page->stack_number);
    free(page->samples);
    buffer_free(&page->json);
}

static void *allocate(size_t count, size_t size)
{
    return calloc(count > 0 ? count : 1, size);
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static uint32_t shared_depth(const struct page_stack *a, const struct page_stack *b)
{
    uint32_t depth = 0, limit = a->depth < b->depth ? a->depth : b->depth;
    while (depth < limit && a->frames[depth] == b->frames[depth])
        depth++;
    return depth;
}

static int compare_stacks(const void *left, const void *right)
{
    const struct page_stack *a = left, *b = right;
    uint32_t depth = shared_depth(a, b);
    if (depth == a->depth || depth == b->depth)
        return COMPARE(a->depth, b->depth);
    return COMPARE(a->frames[depth], b->frames[depth]);
}

/* Lists the stacks that have samples. Returns how many frames they have together. */
static size_t collect_stacks(struct page *page)
{
    const struct profile *profile = page->profile;
    size_t steps = 0;
    for (size_t i = 0; i < profile_sample_count(profile); i++) {
        profile_id id = profile_get_sample(profile, i).stack;
        if (page->stack_number[id])
            continue;
        page->stack_number[id] = 1;
        page->stacks[page->stack_count++].source = id;
        steps += frame_table_depth(&page->table, profile_get_stack(profile, id));
    }
    return steps;
}

/* Sorts the stacks and gives equal ones the same number. */
static int sort_stacks(struct page *page)
{
    const struct profile *profile = page->profile;
    size_t count = profile_stack_count(profile);
    page->stacks = allocate(count, sizeof(*page->stacks));
    page->stack_number = allocate(count, sizeof(*page->stack_number));
    if (!page->stacks || !page->stack_number)
        return -ENOMEM;
    page->steps = allocate(collect_stacks(page), sizeof(*page->steps));
    if (!page->steps)
        return -ENOMEM;
    uint32_t *next = page->steps;
    for (size_t i = 0; i < page->stack_count; i++) {
        struct page_stack *stack = &page->stacks[i];
        struct profile_stack source = profile_get_stack(profile, stack->source);
        stack->frames = next;
        stack->depth = (uint32_t)frame_table_expand(&page->table, source, next);
        next += stack->depth;
    }
    qsort(page->stacks, page->stack_count, sizeof(*page->stacks), compare_stacks);
    uint32_t number = 0;
    for (size_t i = 0; i < page->stack_count; i++) {
        if (i > 0 && compare_stacks(&page->stacks[i - 1], &page->stacks[i]))
            number++;
        page->stacks[i].number = number;
        page->stack_number[page->stacks[i].source] = number;
    }
    return 0;
}

static int compare_samples(const void *left, const void *right)
{
    const struct page_sample *a = left, *b = right;
    int order = COMPARE(a->labels, b->labels);
    return order ? order : COMPARE(a->link, b->link);
}

/* A place for each stack of the present, and behind them of the past. */
static size_t place_of(const struct page *page, const struct page_sample *sample)
{
    return sample->stack + (sample->is_past ? page->stack_count : 0);
}

/* By is_past, stack, labels, link: there may be a million, but of a stack there are few. */
static int order_samples(struct page *page)
{
    const size_t places = 2 * page->stack_count + 2;
    size_t *ends = allocate(places, sizeof(*ends));
    struct page_sample *ordered = allocate(page->sample_count, sizeof(*ordered));
    if (!ends || !ordered) {
        free(ends);
        free(ordered);
        return -ENOMEM;
    }
    for (size_t i = 0; i < page->sample_count; i++)
        ends[place_of(page, &page->samples[i]) + 1]++;
    for (size_t i = 1; i < places; i++)
        ends[i] += ends[i - 1];
    for (size_t i = 0; i < page->sample_count; i++)
        ordered[ends[place_of(page, &page->samples[i])]++] = page->samples[i];
    for (size_t i = 0, first = 0; i + 1 < places; first = ends[i++])
        qsort(ordered + first, ends[i] - first, sizeof(*ordered), compare_samples);
    free(page->samples);
    page->samples = ordered;
    free(ends);
    return 0;
}

static bool is_past(const struct profile *profile, profile_id labels)
{
    const struct profile_label_set set = profile_get_labels(profile, labels);
    for (uint32_t i = 0; i < set.count; i++)
        if (strcmp(profile_text(profile, set.labels[i].key), HTML_PAST) == 0)
            return true;
    return false;
}

static int sort_samples(struct page *page)
{
    size_t count = profile_sample_count(page->profile);
    page->samples = allocate(count, sizeof(*page->samples));
    if (!page->samples)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct profile_sample sample = profile_get_sample(page->profile, i);
        page->samples[i] = (struct page_sample){
            .stack = page->stack_number[sample.stack],
            .labels = sample.labels,
            .link = sample.link,
            .source = i,
            .is_past = is_past(page->profile, sample.labels),
        };
        page->past_at += !page->samples[i].is_past;
    }
    page->sample_count = count;
    return order_samples(page);
}

/* --- the JSON --- */

static void write_string(struct page *page, profile_id id)
{
    json_string(&page->json, profile_text(page->profile, id),
                profile_text_length(page->profile, id));
}

/* Between the items of a list: nothing before the first. */
static void separate(struct page *page, size_t index)
{
    if (index > 0)
        json_raw(&page->json, ",");
}

static void write_number(struct page *page, size_t index, int64_t value)
{
    separate(page, index);
    json_integer(&page->json, value);
}

static void write_info(struct page *page, const struct profile_summary *summary)
{
    const struct profile_header *header = profile_header_const(page->profile);
    const char *service = summary->service ? summary->service : "";
    json_raw(&page->json, "\"info\":{\"service\":");
    json_string(&page->json, service, strlen(service));
    const char *name = page->options && page->options->name ? page->options->name : "";
    json_raw(&page->json, ",\"name\":");
    json_string(&page->json, name, strlen(name));
    json_raw(&page->json, ",\"time\":");
    json_integer(&page->json, (int64_t)header->time_ns);
    json_raw(&page->json, ",\"duration\":");
    json_integer(&page->json, (int64_t)header->duration_ns);
    json_raw(&page->json, ",\"threads\":");
    json_integer(&page->json, (int64_t)summary->threads);
    json_raw(&page->json, ",\"services\":");
    json_integer(&page->json, (int64_t)summary->services);
    json_raw(&page->json, "},\"column\":");
    json_integer(&page->json, (int64_t)summary->column);
}

static void write_attributes(struct page *page, const char *key, enum profile_attributes which)
{
    json_raw(&page->json, key);
    for (size_t i = 0; i < profile_attribute_count(page->profile, which); i++) {
        const struct profile_label *attribute = profile_attribute(page->profile, which, i);
        json_raw(&page->json, i > 0 ? ",[" : "[");
        write_string(page, attribute->key);
        json_raw(&page->json, ",");
        if (attribute->is_number)
            json_integer(&page->json, attribute->number);
        else
            write_string(page, attribute->text);
        json_raw(&page->json, "]");
    }
    json_raw(&page->json, "]");
}

/* Of no use to the page itself, but to who reads the profile back. */
static void write_origin(struct page *page)
{
    const struct profile_period *period = profile_period_const(page->profile, 0);
    json_raw(&page->json, ",\"period\":[");
    write_string(page, period->type.type);
    json_raw(&page->json, ",");
    write_string(page, period->type.unit);
    json_raw(&page->json, ",");
    json_integer(&page->json, period->value);
    write_attributes(page, "],\"resource\":[", PROFILE_RESOURCE);
    write_attributes(page, ",\"attributes\":[", PROFILE_ATTRIBUTES);
}

static void write_values(struct page *page)
{
    json_raw(&page->json, ",\"values\":[");
    for (size_t i = 0; i < profile_value_count(page->profile); i++) {
        struct profile_value_type type = profile_value_type(page->profile, i);
        separate(page, i);
        json_raw(&page->json, "[");
        write_string(page, type.type);
        json_raw(&page->json, ",");
        write_string(page, type.unit);
        json_raw(&page->json, "]");
    }
    json_raw(&page->json, "]");
}

static void write_strings(struct page *page)
{
    const size_t count = profile_string_count(page->profile);
    json_raw(&page->json, ",\"strings\":[");
    for (profile_id id = 0; id < count; id++) {
        separate(page, id);
        write_string(page, id);
    }
    for (size_t i = 0; i < page->table.made_count; i++) { /* of code without a name */
        const char *text = page->table.made_names[i];
        separate(page, count + i);
        json_string(&page->json, text, strlen(text));
    }
    json_raw(&page->json, "]");
}

/* As write_strings() numbers them. */
static int64_t function_name(const struct page *page, const struct frame *frame)
{
    const int64_t strings = (int64_t)profile_string_count(page->profile);
    return frame->made ? strings + frame->made - 1 : frame->name;
}

static int64_t function_file(const struct page *page, const struct frame *frame)
{
    (void)page;
    return frame->file;
}

static int64_t function_line(const struct page *page, const struct frame *frame)
{
    (void)page;
    return frame->start_line;
}

static int64_t function_type(const struct page *page, const struct frame *frame)
{
    (void)page;
    return (int64_t)frame->type;
}

static int64_t frame_function(const struct page *page, const struct frame *frame)
{
    (void)page;
    return frame->function;
}

static int64_t frame_line(const struct page *page, const struct frame *frame)
{
    (void)page;
    return frame->line;
}

static int64_t frame_module(const struct page *page, const struct frame *frame)
{
    (void)page;
    return frame->module;
}

/* One field of all frames, or of the first frame of each function. */
static void write_frame_column(struct page *page, const char *key, bool functions,
                               int64_t (*field)(const struct page *page,
                                                const struct frame *frame))
{
    size_t written = 0;
    json_raw(&page->json, key);
    json_raw(&page->json, ":[");
    for (uint32_t i = 0; i < page->table.frame_count; i++)
        if (!functions || i == 0 ||
            page->table.frames[i].function != page->table.frames[i - 1].function)
            write_number(page, written++, field(page, &page->table.frames[i]));
    json_raw(&page->json, "]");
}

static void write_frames(struct page *page)
{
    json_raw(&page->json, ",\"types\":[");
    for (enum cprof_frame_type type = 0; type < FRAME_TYPE_COUNT; type++) {
        const char *name = type ? frame_type_name(type) : "unknown";
        separate(page, type);
        json_string(&page->json, name, strlen(name));
    }
    json_raw(&page->json, "],\"functions\":{");
    write_frame_column(page, "\"name\"", true, function_name);
    write_frame_column(page, ",\"file\"", true, function_file);
    write_frame_column(page, ",\"line\"", true, function_line);
    write_frame_column(page, ",\"type\"", true, function_type);
    json_raw(&page->json, "},\"frames\":{");
    write_frame_column(page, "\"function\"", false, frame_function);
    write_frame_column(page, ",\"line\"", false, frame_line);
    write_frame_column(page, ",\"module\"", false, frame_module);
    json_raw(&page->json, "}");
}

static void write_helpers(struct page *page)
{
    size_t written = 0;
    json_raw(&page->json, ",\"allNative\":");
    json_raw(&page->json, page->options && page->options->all_native ? "true" : "false");
    json_raw(&page->json, ",\"helpers\":[");
    for (uint32_t i = 0; i < page->table.frame_count; i++) {
        const struct frame *frame = &page->table.frames[i];
        if (fold_is_helper(frame->type, profile_text(page->profile, frame->module),
                           profile_text(page->profile, frame->name)))
            write_number(page, written++, i);
    }
    json_raw(&page->json, "]");
}

static void write_tree(struct page *page)
{
    static const struct page_stack empty;
    const struct page_stack *last = &empty;
    size_t written = 0;
    json_raw(&page->json, ",\"tree\":[");
    for (size_t i = 0; i < page->stack_count; i++) {
        const struct page_stack *stack = &page->stacks[i];
        if (i > 0 && stack->number == last->number)
            continue;
        uint32_t shared = shared_depth(last, stack);
        write_number(page, written++, last->depth - shared);
        write_number(page, written++, stack->depth - shared);
        for (uint32_t depth = shared; depth < stack->depth; depth++)
            write_number(page, written++, stack->frames[depth]);
        last = stack;
    }
    json_raw(&page->json, "]");
}

static void write_samples(struct page *page, const char *key, size_t first, size_t last)
{
    const struct page_sample *samples = page->samples + first;
    const size_t count = last - first;
    json_raw(&page->json, key);
    json_raw(&page->json, ":{\"stack\":[");
    for (size_t i = 0; i < count; i++)
        write_number(page, i, samples[i].stack - (i > 0 ? samples[i - 1].stack : 0));
    json_raw(&page->json, "],\"labels\":[");
    for (size_t i = 0; i < count; i++)
        write_number(page, i, samples[i].labels);
    json_raw(&page->json, "],\"link\":[");
    for (size_t i = 0; i < count; i++)
        write_number(page, i, samples[i].link);
    json_raw(&page->json, "],\"values\":[");
    for (size_t column = 0; column < profile_value_count(page->profile); column++) {
        json_raw(&page->json, column > 0 ? ",[" : "[");
        for (size_t i = 0; i < count; i++) {
            struct profile_sample sample = profile_get_sample(page->profile, samples[i].source);
            write_number(page, i, profile_value(page->profile, &sample, column));
        }
        json_raw(&page->json, "]");
    }
    json_raw(&page->json, "]}");
}

static void write_all_samples(struct page *page)
{
    write_samples(page, ",\"samples\"", 0, page->past_at);
    if (page->past_at < page->sample_count)
        write_samples(page, ",\"past\"", page->past_at, page->sample_count);
}

static void write_levels(struct page *page)
{
    size_t written = 0;
    json_raw(&page->json, ",\"levels\":[");
    for (size_t i = 0; i < profile_value_count(page->profile); i++)
        if (measure_is_level(profile_type(page->profile, i)))
            write_number(page, written++, (int64_t)i);
    json_raw(&page->json, "]");
}

static void write_label(struct page *page, const struct profile_label *label)
{
    write_string(page, label->key);
    json_raw(&page->json, ",");
    if (!label->is_number) {
        write_string(page, label->text);
        return;
    }
    const int64_t exact = (int64_t)1 << 53; /* JavaScript's numbers end there */
    if (label->number >= -exact && label->number <= exact) {
        json_integer(&page->json, label->number);
        return;
    }
    char number[24];
    int length = snprintf(number, sizeof(number), "%" PRId64, label->number);
    json_string(&page->json, number, (size_t)length);
}

static void write_labels(struct page *page)
{
    json_raw(&page->json, ",\"labels\":[");
    for (profile_id id = 0; id < profile_label_set_count(page->profile); id++) {
        struct profile_label_set set = profile_get_labels(page->profile, id);
        json_raw(&page->json, id > 0 ? ",[" : "[");
        for (uint32_t i = 0; i < set.count; i++) {
            separate(page, i);
            write_label(page, &set.labels[i]);
        }
        json_raw(&page->json, "]");
    }
    json_raw(&page->json, "]");
}

static void write_hex(struct page *page, const uint8_t *bytes, size_t count)
{
    char text[2 * sizeof(((struct profile_link *)NULL)->trace_id) + 1];
    hex_write(text, bytes, count);
    json_string(&page->json, text, 2 * count);
}

static void write_links(struct page *page)
{
    json_raw(&page->json, ",\"links\":[");
    for (profile_id id = 0; id < profile_link_count(page->profile); id++) {
        const struct profile_link *link = profile_get_link(page->profile, id);
        json_raw(&page->json, id > 0 ? ",[" : "[");
        write_hex(page, link->trace_id, sizeof(link->trace_id));
        json_raw(&page->json, ",");
        write_hex(page, link->span_id, sizeof(link->span_id));
        json_raw(&page->json, "]");
    }
    json_raw(&page->json, "]");
}

static void write_side(struct page *page, const char *key, const struct html_side *side)
{
    json_raw(&page->json, key);
    json_raw(&page->json, ":{\"name\":");
    json_string(&page->json, side->name, strlen(side->name));
    json_raw(&page->json, ",\"duration\":");
    json_integer(&page->json, (int64_t)side->duration_ns);
    char weight[48];
    snprintf(weight, sizeof(weight), ",\"weight\":%.9g}", side->weight);
    json_raw(&page->json, weight);
}

static void write_comparison(struct page *page)
{
    const struct html_comparison *comparison = page->comparison;
    json_raw(&page->json, ",\"diff\":{\"type\":");
    json_string(&page->json, comparison->type, strlen(comparison->type));
    json_raw(&page->json, ",\"normalized\":");
    json_string(&page->json, comparison->normalized, strlen(comparison->normalized));
    write_side(page, ",\"base\"", &comparison->base);
    write_side(page, ",\"new\"", &comparison->new);
    json_raw(&page->json, "}");
}

static void write_source(struct page *page)
{
    const char *root = page->options->source_root ? page->options->source_root : "";
    json_raw(&page->json, ",\"source\":{\"url\":");
    json_string(&page->json, page->options->source_url, strlen(page->options->source_url));
    json_raw(&page->json, ",\"root\":");
    json_string(&page->json, root, strlen(root));
    json_raw(&page->json, "}");
}

static int write_json(struct page *page)
{
    struct profile_summary summary;
    int status = profile_summarize(page->profile, &summary);
    if (!status)
        status = frame_table_init(&page->table, page->profile,
                                  page->comparison ? FRAMES_OF_VERSIONS : FRAMES_OF_PROGRAM);
    if (!status)
        status = sort_stacks(page);
    if (!status)
        status = sort_samples(page);
    if (status)
        return status;
    if (page->comparison)
        summary.service = page->comparison->service;
    json_raw(&page->json, "{");
    write_info(page, &summary);
    write_origin(page);
    write_values(page);
    write_levels(page);
    write_strings(page);
    write_frames(page);
    write_helpers(page);
    write_tree(page);
    write_all_samples(page);
    write_labels(page);
    write_links(page);
    if (page->comparison)
        write_comparison(page);
    if (page->options && page->options->source_url)
        write_source(page);
    if (page->options && page->options->sources.line) {
        json_raw(&page->json, ",\"lines\":");
        status = html_write_source(&page->table, &page->options->sources, &page->json);
    }
    json_raw(&page->json, "}");
    return status ? status : page->json.error;
}

static void append_base64(struct buffer *out, const unsigned char *data, size_t size)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < size; at += 3) {
        uint32_t left = size - at < 3 ? (uint32_t)(size - at) : 3, group = 0;
        for (uint32_t i = 0; i < 3; i++)
            group = group << 8 | (i < left ? data[at + i] : 0);
        char text[4];
        for (uint32_t i = 0; i < 4; i++)
            text[i] = i <= left ? digits[group >> (18 - 6 * i) & 63] : '=';
        buffer_append(out, text, sizeof(text));
    }
}

static int write_page(struct page *page, struct buffer *out)
{
    struct buffer packed = {0};
    int status = write_json(page);
    if (!status)
        status = buffer_gzip(&page->json, &packed, 6);
    page_free(page);
    if (!status) {
        buffer_append(out, html_page_head, html_page_head_size);
        append_base64(out, packed.data, packed.size);
        buffer_append(out, html_page_tail, html_page_tail_size);
        status = out->error;
    }
    buffer_free(&packed);
    return status;
}

int html_write_page(const struct profile *profile, const struct html_options *options,
                    struct buffer *out)
{
    struct page page = {.profile = profile, .options = options};
    return write_page(&page, out);
}

static int html_write(const struct profile *profile, struct buffer *out)
{
    return html_write_page(profile, NULL, out);
}

int html_write_comparison(const struct profile *pair, const struct html_comparison *comparison,
                          const struct html_options *options, struct buffer *out)
{
    struct page page = {.profile = pair, .comparison = comparison, .options = options};
    return write_page(&page, out);
}

static const char *const html_endings[] = {".html", NULL};

const struct format format_html = {
    .name = "html",
    .endings = html_endings,
    .write = html_write,
    .read = html_read,
};
