/*
 * Writes the Firefox Profiler's processed profile (gecko_read.c names the format), version 47:
 * open it at profiler.firefox.com. A thread for each of the profile's, with the tables that it
 * needs. Profiles have no order in time: samples stand one after another, each as long as its
 * weight. Time is in milliseconds ("tracing-ms"), bytes and counts are weights of their own.
 */
#include "format/gecko.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/names.h"
#include "format/shown.h"
#include "format/summary.h"
#include "format/thread_names.h"
#include "profile/clamp.h"

#define MILLISECOND 1000000 /* nanoseconds */

/* What the categories are that frames are coloured by, for each type of frame. */
static const struct {
    const char *name, *color;
} categories[] = {
    [CPROF_FRAME_UNKNOWN] = {"Other", "grey"},   [CPROF_FRAME_NATIVE] = {"Native", "blue"},
    [CPROF_FRAME_KERNEL] = {"Kernel", "orange"}, [CPROF_FRAME_CPYTHON] = {"Python", "green"},
    [CPROF_FRAME_RUBY] = {"Ruby", "red"},        [CPROF_FRAME_V8JS] = {"JavaScript", "yellow"},
};
#define CATEGORIES (sizeof(categories) / sizeof(*categories))

struct writer {
    struct shown shown;
    struct buffer *out;
    struct thread_names threads;
    /* Of the thread at hand: rows of the profile by number from 1, in order of first use. */
    struct numbering nodes, frames, functions, strings;
    uint32_t *first_frame; /* by function */
};

static const struct frame *frame_at(const struct writer *w, uint32_t row)
{
    return &w->shown.frames.frames[row - 1];
}

/* --- the tables of a thread --- */

/* Rows are numbered before they are written, so that each table is whole; node 0 is none. */
static void number_rows(struct writer *w, uint32_t thread)
{
    for (size_t i = w->shown.first; i < w->shown.end; i++) {
        if (w->threads.thread_of[i - w->shown.first] != thread ||
            shown_value(&w->shown, i) == 0)
            continue;
        uint32_t node = w->shown.node_of[i - w->shown.first];
        for (; node != 0; node = w->shown.nodes.list[node - 1].first) {
            if (w->nodes.number[node] != 0)
                break;
            numbering_of(&w->nodes, node);
        }
    }
    for (uint32_t i = 1; i < w->nodes.used; i++)
        numbering_of(&w->frames, w->shown.nodes.list[w->nodes.order[i] - 1].second + 1);
    for (uint32_t i = 1; i < w->frames.used; i++)
        numbering_of(&w->functions, frame_at(w, w->frames.order[i])->function + 1);
}

struct column {
    const char *name; /* a key of JSON, with its quotes */
    void (*each)(struct writer *w, uint32_t row);
};

/* A column: its cells for the rows of a table, in their order. */
static void put_column(struct writer *w, const struct column *column,
                       const struct numbering *rows)
{
    json_raw(w->out, column->name);
    json_raw(w->out, ":[");
    for (uint32_t i = 1; i < rows->used; i++) {
        if (i > 1)
            json_raw(w->out, ",");
        column->each(w, rows->order[i]);
    }
    json_raw(w->out, "],");
}

/* `columns` end with one without a name. */
static void put_table(struct writer *w, const char *name, const struct column *columns,
                      const struct numbering *rows)
{
    json_raw(w->out, name);
    json_raw(w->out, ":{");
    for (; columns->name != NULL; columns++)
        put_column(w, columns, rows);
    json_raw(w->out, "\"length\":");
    json_integer(w->out, (int64_t)rows->used - 1);
    json_raw(w->out, "},\n");
}

static void put_null(struct writer *w, uint32_t row)
{
    (void)row;
    json_raw(w->out, "null");
}

static void put_none(struct writer *w, uint32_t row)
{
    (void)row;
    json_raw(w->out, "-1");
}

static void put_zero(struct writer *w, uint32_t row)
{
    (void)row;
    json_raw(w->out, "0");
}

static void put_line(struct writer *w, int64_t line)
{
    if (line > 0)
        json_integer(w->out, line);
    else
        json_raw(w->out, "null");
}

static void put_node_frame(struct writer *w, uint32_t node)
{
    uint32_t row = w->shown.nodes.list[node - 1].second + 1;
    json_integer(w->out, (int64_t)w->frames.number[row] - 1);
}

static void put_node_prefix(struct writer *w, uint32_t node)
{
    uint32_t parent = w->shown.nodes.list[node - 1].first;
    if (parent != 0)
        json_integer(w->out, (int64_t)w->nodes.number[parent] - 1);
    else
        json_raw(w->out, "null");
}

static void put_category(struct writer *w, uint32_t frame)
{
    enum cprof_frame_type type = frame_at(w, frame)->type;
    json_integer(w->out, (size_t)type < CATEGORIES ? (int64_t)type : 0);
}

static void put_node_category(struct writer *w, uint32_t node)
{
    put_category(w, w->shown.nodes.list[node - 1].second + 1);
}

static void put_frame_function(struct writer *w, uint32_t frame)
{
    json_integer(w->out, (int64_t)w->functions.number[frame_at(w, frame)->function + 1] - 1);
}

static void put_frame_line(struct writer *w, uint32_t frame)
{
    put_line(w, frame_at(w, frame)->line);
}

/* Names are the first strings, by function, files stand behind them. */
static void put_function_name(struct writer *w, uint32_t function)
{
    json_integer(w->out, (int64_t)w->functions.number[function] - 1);
}

static profile_id file_of(const struct writer *w, uint32_t function)
{
    const struct frame *frame = &w->shown.frames.frames[w->first_frame[function - 1]];
    return frame->file != 0 ? frame->file : frame->module;
}

static void put_function_file(struct writer *w, uint32_t function)
{
    profile_id file = file_of(w, function);
    if (file != 0)
        json_integer(w->out, (int64_t)w->functions.used - 2 + numbering_of(&w->strings, file));
    else
        json_raw(w->out, "null");
}

static void put_function_line(struct writer *w, uint32_t function)
{
    put_line(w, w->shown.frames.frames[w->first_frame[function - 1]].start_line);
}

static void put_function_script(struct writer *w, uint32_t function)
{
    enum cprof_frame_type type = w->shown.frames.frames[w->first_frame[function - 1]].type;
    json_raw(w->out, type == CPROF_FRAME_V8JS ? "true" : "false");
}

static void write_strings(struct writer *w)
{
    const struct profile *p = w->shown.profile;
    json_raw(w->out, "\"stringArray\":[");
    for (uint32_t i = 1; i < w->functions.used; i++) {
        const struct frame *frame =
            &w->shown.frames.frames[w->first_frame[w->functions.order[i] - 1]];
        json_raw(w->out, i > 1 ? "," : "");
        json_string(w->out, frame->text, frame->text_length);
    }
    for (uint32_t i = 1; i < w->strings.used; i++) {
        json_raw(w->out, ",");
        json_string(w->out, profile_text(p, w->strings.order[i]),
                    profile_text_length(p, w->strings.order[i]));
    }
    json_raw(w->out, "]");
}

static const struct column stack_columns[] = {
    {"\"frame\"", put_node_frame},
    {"\"prefix\"", put_node_prefix},
    {"\"category\"", put_node_category},
    {"\"subcategory\"", put_zero},
    {NULL, NULL},
};

static const struct column frame_columns[] = {
    {"\"func\"", put_frame_function},
    {"\"line\"", put_frame_line},
    {"\"column\"", put_null},
    {"\"address\"", put_none},
    {"\"inlineDepth\"", put_zero},
    {"\"category\"", put_category},
    {"\"subcategory\"", put_zero},
    {"\"nativeSymbol\"", put_null},
    {"\"innerWindowID\"", put_null},
    {"\"implementation\"", put_null},
    {NULL, NULL},
};

static const struct column function_columns[] = {
    {"\"name\"", put_function_name},
    {"\"fileName\"", put_function_file},
    {"\"lineNumber\"", put_function_line},
    {"\"columnNumber\"", put_null},
    {"\"isJS\"", put_function_script},
    {"\"relevantForJS\"", put_function_script},
    {"\"resource\"", put_none},
    {NULL, NULL},
};

static void write_tables(struct writer *w)
{
    put_table(w, "\"stackTable\"", stack_columns, &w->nodes);
    put_table(w, "\"frameTable\"", frame_columns, &w->frames);
    put_table(w, "\"funcTable\"", function_columns, &w->functions);
    write_strings(w);
}

/* --- samples --- */

/* Nanoseconds as milliseconds, exactly. */
static void put_milliseconds(struct writer *w, int64_t nanoseconds)
{
    char text[48];
    int length = snprintf(text, sizeof(text), "%" PRId64 ".%06" PRId64,
                          nanoseconds / MILLISECOND, nanoseconds % MILLISECOND);
    buffer_append(w->out, text, (size_t)length);
}

enum part { PART_STACK, PART_TIME, PART_WEIGHT };

static void put_sample(struct writer *w, size_t sample, enum part part, int64_t *now)
{
    const int64_t unit = shown_nanoseconds(&w->shown);
    const int64_t value = clamp_multiply(shown_value(&w->shown, sample), unit > 0 ? unit : 1);
    const uint32_t node = w->shown.node_of[sample - w->shown.first];
    if (part == PART_STACK && node != 0)
        json_integer(w->out, (int64_t)w->nodes.number[node] - 1);
    else if (part == PART_STACK)
        json_raw(w->out, "null");
    else if (unit > 0)
        put_milliseconds(w, part == PART_TIME ? *now : value);
    else
        json_integer(w->out, part == PART_TIME ? *now : value);
    *now = clamp_add(*now, unit > 0 ? value : 1);
}

static int64_t write_part(struct writer *w, const char *name, uint32_t thread, enum part part)
{
    int64_t count = 0, now = 0;
    json_raw(w->out, name);
    json_raw(w->out, "[");
    for (size_t i = w->shown.first; i < w->shown.end; i++) {
        if (w->threads.thread_of[i - w->shown.first] != thread ||
            shown_value(&w->shown, i) == 0)
            continue;
        json_raw(w->out, count++ > 0 ? "," : "");
        put_sample(w, i, part, &now);
    }
    json_raw(w->out, "],");
    return count;
}

static void write_samples(struct writer *w, uint32_t thread)
{
    bool bytes = strcmp(profile_unit(w->shown.profile, w->shown.column), "bytes") == 0;
    json_raw(w->out, "\"samples\":{");
    write_part(w, "\"stack\":", thread, PART_STACK);
    write_part(w, "\"time\":", thread, PART_TIME);
    int64_t count = write_part(w, "\"weight\":", thread, PART_WEIGHT);
    json_raw(w->out, "\"weightType\":\"");
    json_raw(w->out, shown_nanoseconds(&w->shown) > 0 ? "tracing-ms"
                     : bytes                          ? "bytes"
                                                      : "samples");
    json_raw(w->out, "\",\"length\":");
    json_integer(w->out, count);
    json_raw(w->out, "},\n");
}

/* --- threads --- */

static bool open_tables(struct writer *w)
{
    bool nodes = numbering_init(&w->nodes, (size_t)w->shown.nodes.count + 1);
    bool frames = numbering_init(&w->frames, (size_t)w->shown.frames.frame_count + 1);
    bool functions = numbering_init(&w->functions, (size_t)w->shown.frames.function_count + 1);
    bool strings = numbering_init(&w->strings, profile_string_count(w->shown.profile));
    return nodes && frames && functions && strings;
}

static void close_tables(struct writer *w)
{
    numbering_free(&w->nodes);
    numbering_free(&w->frames);
    numbering_free(&w->functions);
    numbering_free(&w->strings);
}

static void write_thread(struct writer *w, uint32_t thread)
{
    const struct thread_name *name = &w->threads.list[thread];
    json_raw(w->out, "{\"name\":");
    json_string(w->out, name->name, strlen(name->name));
    json_raw(w->out, thread == 0 ? ",\"isMainThread\":true" : ",\"isMainThread\":false");
    json_raw(w->out, ",\"processType\":\"default\",\"processStartupTime\":0,"
                     "\"processShutdownTime\":null,\"registerTime\":0,\"unregisterTime\":null,"
                     "\"pausedRanges\":[],\"pid\":\"0\",\"tid\":");
    json_integer(w->out, name->id);
    json_raw(w->out, ",\n");
    number_rows(w, thread);
    write_samples(w, thread);
    write_tables(w);
    json_raw(
        w->out,
        ",\n\"resourceTable\":{\"length\":0,\"lib\":[],\"name\":[],\"host\":[],\"type\":[]},"
        "\"nativeSymbols\":{\"length\":0,\"address\":[],\"functionSize\":[],\"libIndex\":[],"
        "\"name\":[]},\"markers\":{\"length\":0,\"data\":[],\"name\":[],\"startTime\":[],"
        "\"endTime\":[],\"phase\":[],\"category\":[]}}");
}

static int write_threads(struct writer *w)
{
    for (uint32_t i = 0; i < w->threads.count; i++) {
        bool whole = open_tables(w);
        json_raw(w->out, i > 0 ? ",\n" : "");
        if (whole)
            write_thread(w, i);
        close_tables(w);
        if (!whole)
            return -ENOMEM;
    }
    return 0;
}

static void write_meta(struct writer *w)
{
    const struct profile *p = w->shown.profile;
    const char *service = profile_service(p);
    const uint64_t start = profile_header_const(p)->time_ns / MILLISECOND;
    json_raw(w->out, "{\"meta\":{\"interval\":1,\"startTime\":");
    json_integer(w->out, (int64_t)start);
    json_raw(w->out, ",\"processType\":0,\"product\":");
    json_string(w->out, service != NULL ? service : "cprof",
                strlen(service != NULL ? service : "cprof"));
    json_raw(w->out, ",\"importedFrom\":\"cprof " CPROF_VERSION "\",\"stackwalk\":1,"
                     "\"version\":28,\"preprocessedProfileVersion\":47,\"symbolicated\":true,"
                     "\"debug\":false,\"sourceCodeIsNotOnSearchfox\":true,\"markerSchema\":[],"
                     "\"sampleUnits\":{\"time\":\"ms\",\"eventDelay\":\"ms\","
                     "\"threadCPUDelta\":\"ns\"},\"categories\":[");
    for (size_t i = 0; i < CATEGORIES; i++) {
        json_raw(w->out, i > 0 ? ",{\"name\":\"" : "{\"name\":\"");
        json_raw(w->out, categories[i].name);
        json_raw(w->out, "\",\"color\":\"");
        json_raw(w->out, categories[i].color);
        json_raw(w->out, "\",\"subcategories\":[\"Other\"]}");
    }
    json_raw(w->out, "]},\n\"libs\":[],\"pages\":[],\"threads\":[");
}

static int write_file(struct writer *w)
{
    const struct frame_table *frames = &w->shown.frames;
    w->first_frame = calloc((size_t)frames->function_count + 1, sizeof(*w->first_frame));
    if (w->first_frame == NULL ||
        !thread_names_init(&w->threads, w->shown.profile, w->shown.first, w->shown.end))
        return -ENOMEM;
    for (uint32_t i = frames->frame_count; i-- > 0;)
        w->first_frame[frames->frames[i].function] = i;
    write_meta(w);
    int status = write_threads(w);
    json_raw(w->out, "]}\n");
    return status != 0 ? status : w->out->error;
}

int gecko_write(const struct profile *p, struct buffer *out)
{
    struct writer w = {.out = out};
    int status = shown_init(&w.shown, p, SHOWN_FRAMES);
    if (status == 0)
        status = write_file(&w);
    free(w.first_frame);
    thread_names_free(&w.threads);
    shown_free(&w.shown);
    return status;
}
