/*
 * Writes callgrind's format (callgrind_read.c names it), for KCachegrind and its like. All
 * columns of the default value's sheet are events; one that is not in counts has its unit
 * behind its name, "cpu_(nanoseconds)". How often a function was called is not known: every
 * call says 1. What is below 0, as in a difference, is left out.
 */
#include "format/callgrind.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/call_sums.h"
#include "format/json.h"
#include "format/names.h"
#include "format/summary.h"

struct call {
    uint32_t caller, callee, number;
};

struct writer {
    struct call_sums sums;
    struct buffer *out;
    struct numbering objects, files, functions; /* a name is told once, then by its number */
    struct call *calls;                         /* sorted by caller */
    size_t columns[PROFILE_MAX_VALUES], places[PROFILE_MAX_VALUES]; /* events, in their order */
};

static void put_number(struct buffer *out, const char *before, uint64_t number)
{
    char text[64];
    int length = snprintf(text, sizeof(text), "%s%" PRIu64, before, number);
    buffer_append(out, text, (size_t)length);
}

/* A line of text, without the line breaks that a name may have. */
static void put_name(struct buffer *out, const char *text)
{
    const size_t start = out->size;
    json_raw(out, text);
    for (size_t i = start; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
}

/* "fl=(3) app.py", or "fl=(3)" where that has been told. */
static void put_place(struct buffer *out, const char *key, struct numbering *numbering,
                      uint32_t row, const char *name)
{
    const uint32_t told = numbering->used;
    const uint32_t number = numbering_of(numbering, row);
    put_number(out, key, number);
    json_raw(out, ")");
    if (number >= told) {
        json_raw(out, " ");
        put_name(out, *name != '\0' ? name : "???");
    }
    json_raw(out, "\n");
}

static void put_costs(struct writer *w, int64_t line, const int64_t *values)
{
    put_number(w->out, "", line > 0 ? (uint64_t)line : 0);
    for (size_t i = 0; i < w->sums.width; i++)
        put_number(w->out, " ", values[w->places[i]] > 0 ? (uint64_t)values[w->places[i]] : 0);
    json_raw(w->out, "\n");
}

static bool has_costs(const struct writer *w, const int64_t *values)
{
    for (size_t i = 0; i < w->sums.width; i++)
        if (values[i] > 0)
            return true;
    return false;
}

/* What a function is called and where it is: of a function that is called with 'c' in front. */
static void put_function(struct writer *w, uint32_t function, bool called)
{
    const struct profile *p = w->sums.profile;
    const struct frame *frame = &w->sums.frames.frames[w->sums.first_frame[function]];
    put_place(w->out, called ? "cob=(" : "ob=(", &w->objects, frame->module + 1,
              profile_text(p, frame->module));
    put_place(w->out, called ? "cfi=(" : "fl=(", &w->files, frame->file + 1,
              profile_text(p, frame->file));
    put_place(w->out, called ? "cfn=(" : "fn=(", &w->functions, function + 1, frame->text);
}

/* The lines of a function, each with its calls; the next of those is number `call`. */
static size_t write_function(struct writer *w, uint32_t function, size_t call)
{
    const struct call_sums *sums = &w->sums;
    put_function(w, function, false);
    for (uint32_t f = sums->first_frame[function]; f < sums->first_frame[function + 1]; f++) {
        const int64_t line = sums->frames.frames[f].line;
        if (has_costs(w, &sums->self[f * sums->width]))
            put_costs(w, line, &sums->self[f * sums->width]);
        for (; call < sums->calls.count && w->calls[call].caller == f; call++) {
            const struct call *to = &w->calls[call];
            const int64_t *passed = &sums->passed[to->number * sums->width];
            if (!has_costs(w, passed))
                continue;
            put_function(w, to->callee, true);
            int64_t start = sums->frames.frames[sums->first_frame[to->callee]].start_line;
            put_number(w->out, "calls=1 ", start > 0 ? (uint64_t)start : 0);
            json_raw(w->out, "\n");
            put_costs(w, line, passed);
        }
    }
    json_raw(w->out, "\n");
    return call;
}

/* The default value is the first event: viewers show that one. */
static void order_events(struct writer *w)
{
    const struct profile *p = w->sums.profile;
    const size_t first = profile_default_column(p);
    size_t next = 1, place = 0;
    for (size_t i = 0; i < profile_value_count(p); i++) {
        if (profile_column_sheet(p, i) != w->sums.sheet)
            continue;
        size_t event = i == first ? 0 : next++;
        w->columns[event] = i;
        w->places[event] = place++;
    }
}

static void write_event(struct writer *w, size_t column)
{
    const struct profile *p = w->sums.profile;
    json_raw(w->out, " ");
    const size_t start = w->out->size;
    put_name(w->out, profile_type(p, column));
    if (strcmp(profile_unit(p, column), "count") != 0) {
        json_raw(w->out, "_(");
        put_name(w->out, profile_unit(p, column));
        json_raw(w->out, ")");
    }
    for (size_t at = start; at < w->out->size; at++)
        if (w->out->data[at] == ' ' || w->out->data[at] == '\t')
            w->out->data[at] = '_';
}

static void write_events(struct writer *w)
{
    order_events(w);
    json_raw(w->out, "# callgrind format\nversion: 1\ncreator: cprof " CPROF_VERSION
                     "\npositions: line\nevents:");
    for (size_t i = 0; i < w->sums.width; i++)
        write_event(w, w->columns[i]);
    json_raw(w->out, "\n\n");
}

static int by_caller(const void *left, const void *right)
{
    const struct call *a = left, *b = right;
    if (a->caller != b->caller)
        return a->caller < b->caller ? -1 : 1;
    return (a->callee > b->callee) - (a->callee < b->callee);
}

static int write_file(struct writer *w)
{
    const struct call_sums *sums = &w->sums;
    const size_t strings = profile_string_count(sums->profile) + 1;
    bool objects = numbering_init(&w->objects, strings);
    bool files = numbering_init(&w->files, strings);
    bool functions = numbering_init(&w->functions, (size_t)sums->frames.function_count + 1);
    w->calls = calloc((size_t)sums->calls.count + 1, sizeof(*w->calls));
    if (!objects || !files || !functions || w->calls == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < sums->calls.count; i++)
        w->calls[i] = (struct call){sums->calls.list[i].first, sums->calls.list[i].second, i};
    if (sums->calls.count > 0)
        qsort(w->calls, sums->calls.count, sizeof(*w->calls), by_caller);
    write_events(w);
    size_t call = 0;
    for (uint32_t f = 0; f < sums->frames.function_count; f++)
        if (sums->seen_function[f] != 0)
            call = write_function(w, f, call);
    return w->out->error;
}

int callgrind_write(const struct profile *p, struct buffer *out)
{
    struct writer w = {.out = out};
    int status = call_sums_init(&w.sums, p, true);
    if (status == 0)
        status = write_file(&w);
    numbering_free(&w.objects);
    numbering_free(&w.files);
    numbering_free(&w.functions);
    free(w.calls);
    call_sums_free(&w.sums);
    return status;
}
