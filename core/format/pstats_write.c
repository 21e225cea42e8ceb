/*
 * Writes what Python's pstats and its viewers read (pstats.c names the format; snakeviz,
 * `python -m pstats`). The default value in seconds, or as it is where it is no time; calls are
 * what the profile counts as "calls", else the samples that a function is in.
 */
#include "format/pstats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/call_sums.h"
#include "format/summary.h"
#include "format/utf8.h"
#include "profile/clamp.h"
#include "profile/unit.h"

struct call {
    uint32_t callee, number;
};

struct writer {
    struct call_sums sums;
    struct buffer *out;
    size_t value, count; /* places of the two columns in the sheet */
    bool calls;          /* the count is of calls, not of samples */
    double second;       /* what the value is divided by */
    struct call *list;   /* sorted by callee */
};

static void put_word(struct buffer *out, char type, uint32_t number)
{
    const unsigned char bytes[] = {(unsigned char)type, (unsigned char)number,
                                   (unsigned char)(number >> 8), (unsigned char)(number >> 16),
                                   (unsigned char)(number >> 24)};
    buffer_append(out, bytes, sizeof(bytes));
}

static void put_integer(struct buffer *out, int64_t number)
{
    put_word(out, 'i', number > INT32_MAX ? INT32_MAX : number > 0 ? (uint32_t)number : 0);
}

static void put_real(struct buffer *out, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    buffer_append(out, "g", 1);
    for (unsigned i = 0; i < sizeof(bits); i++, bits >>= 8)
        buffer_append(out, &(unsigned char){(unsigned char)bits}, 1);
}

static void put_text(struct buffer *out, const char *text, size_t length)
{
    size_t mended_length;
    char *mended = utf8_mend(text, length, &mended_length);
    if (mended == NULL) {
        out->error = -ENOMEM;
        return;
    }
    put_word(out, 'u', (uint32_t)mended_length);
    buffer_append(out, mended, mended_length);
    free(mended);
}

static void put_function(struct writer *w, uint32_t function)
{
    const struct profile *p = w->sums.profile;
    const struct frame *frame = &w->sums.frames.frames[w->sums.first_frame[function]];
    const profile_id file = frame->file != 0 ? frame->file : frame->module;
    buffer_append(w->out, ")\3", 2);
    if (file != 0)
        put_text(w->out, profile_text(p, file), profile_text_length(p, file));
    else
        put_text(w->out, "~", 1);
    put_integer(w->out, frame->start_line);
    put_text(w->out, frame->text, frame->text_length);
}

static void put_times(struct writer *w, int64_t calls, int64_t own, int64_t whole)
{
    put_integer(w->out, calls);
    put_integer(w->out, calls);
    put_real(w->out, (double)own / w->second);
    put_real(w->out, (double)whole / w->second);
}

/* The function's entry; its callers begin at number `call`. The number behind them. */
static size_t write_function(struct writer *w, uint32_t function, size_t call)
{
    const struct call_sums *sums = &w->sums;
    int64_t own = 0, counted = 0;
    for (uint32_t f = sums->first_frame[function]; f < sums->first_frame[function + 1]; f++) {
        own = clamp_add(own, sums->self[f * sums->width + w->value]);
        counted = clamp_add(counted, sums->self[f * sums->width + w->count]);
    }
    const int64_t *whole = &sums->whole[function * sums->width];
    put_function(w, function);
    buffer_append(w->out, ")\5", 2);
    put_times(w, w->calls ? counted : whole[w->count], own, whole[w->value]);
    buffer_append(w->out, "{", 1);
    for (; call < sums->calls.count && w->list[call].callee == function; call++) {
        const size_t at = w->list[call].number * sums->width;
        put_function(w, sums->calls.list[w->list[call].number].first);
        buffer_append(w->out, ")\4", 2);
        put_times(w, (w->calls ? sums->passed_self : sums->passed)[at + w->count],
                  sums->passed_self[at + w->value], sums->passed[at + w->value]);
    }
    buffer_append(w->out, "0", 1);
    return call;
}

static int by_callee(const void *left, const void *right)
{
    const struct call *a = left, *b = right;
    if (a->callee != b->callee)
        return a->callee < b->callee ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* A column's place among those of its sheet. */
static size_t place_of(const struct profile *p, size_t column)
{
    size_t place = 0;
    for (size_t i = 0; i < column; i++)
        place += profile_column_sheet(p, i) == profile_column_sheet(p, column);
    return place;
}

static void choose_columns(struct writer *w)
{
    const struct profile *p = w->sums.profile;
    const size_t value = profile_default_column(p);
    const struct unit *unit = unit_find(profile_unit(p, value));
    const double second = 1e9;
    w->value = w->count = place_of(p, value);
    w->second = unit != NULL && unit->kind == UNIT_TIME ? second / (double)unit->factor : 1;
    for (size_t i = 0; i < profile_value_count(p); i++) {
        bool calls = strcmp(profile_type(p, i), "calls") == 0;
        if (profile_column_sheet(p, i) != w->sums.sheet ||
            (!calls && strcmp(profile_type(p, i), "samples") != 0))
            continue;
        w->count = place_of(p, i);
        w->calls = calls;
    }
}

static int write_file(struct writer *w)
{
    const struct call_sums *sums = &w->sums;
    w->list = calloc((size_t)sums->calls.count + 1, sizeof(*w->list));
    if (w->list == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < sums->calls.count; i++)
        w->list[i] = (struct call){sums->calls.list[i].second, i};
    if (sums->calls.count > 0)
        qsort(w->list, sums->calls.count, sizeof(*w->list), by_callee);
    choose_columns(w);
    size_t call = 0;
    buffer_append(w->out, "{", 1);
    for (uint32_t f = 0; f < sums->frames.function_count; f++)
        if (sums->seen_function[f] != 0)
            call = write_function(w, f, call);
    buffer_append(w->out, "0", 1);
    return w->out->error;
}

int pstats_write(const struct profile *p, struct buffer *out)
{
    struct writer w = {.out = out};
    int status = call_sums_init(&w.sums, p, false);
    if (status == 0)
        status = write_file(&w);
    free(w.list);
    call_sums_free(&w.sums);
    return status;
}
