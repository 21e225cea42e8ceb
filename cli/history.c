#include "history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "format/refuse.h"
#include "latest.h"
#include "load.h"
#include "progress.h"
#include "store/read.h"

/* What is being added up. With nothing kept of when it was, one group. */
struct gathering {
    const struct history *history;
    const struct profile_filter *filter;
    struct span span;
    struct profile *groups[LOAD_INTERVALS], *past[LOAD_INTERVALS];
    size_t count;
    struct latest latest;
    uint64_t from, to; /* what it covers, for the reader of a message */
};

uint64_t history_now(void)
{
    return clock_ns(CLOCK_REALTIME);
}

static int take_time(const struct command *command, const char *option, const char *argument,
                     uint64_t *time)
{
    if (times_parse(argument, history_now(), time))
        return GO_ON;
    return wrong_usage(command,
                       "%s needs a time such as -2h, 14:00, \"yesterday 14:00\", monday or "
                       "2026-01-31T12:00, not \"%s\"",
                       option, argument);
}

int history_take(struct history *history, const struct command *command, int option,
                 const char *argument)
{
    switch (option) {
    case OPTION_STORE:
        history->folder = argument;
        return GO_ON;
    case OPTION_SERVICE:
        history->service = argument;
        return GO_ON;
    case OPTION_FROM:
        return take_time(command, "--from", argument, &history->span.from);
    case OPTION_TO:
        return take_time(command, "--to", argument, &history->span.to);
    default:
        return EXIT_USAGE;
    }
}

int history_take_span(const struct command *command, const char *option, const char *argument,
                      struct span *span)
{
    if (times_parse_span(argument, history_now(), span))
        return GO_ON;
    return wrong_usage(command,
                       "%s needs a time such as \"monday 9:00..10:00\", yesterday or -2h..-1h, "
                       "not \"%s\"",
                       option, argument);
}

/* ---- adding up ---- */

static size_t group_of(const struct gathering *g, const struct profile *interval)
{
    uint64_t time = profile_header_const(interval)->time_ns;
    uint64_t since = time > g->span.from ? time - g->span.from : 0;
    double part = (double)since / (double)(g->span.to - g->span.from);
    size_t index = (size_t)(part * (double)g->count);
    return index < g->count ? index : g->count - 1;
}

static void note_cover(struct gathering *g, const struct profile *interval)
{
    const struct profile_header *header = profile_header_const(interval);
    uint64_t end = header->time_ns + header->duration_ns;
    g->from = g->to == 0 || header->time_ns < g->from ? header->time_ns : g->from;
    g->to = end > g->to ? end : g->to;
}

/* Gives the interval to its group's sum, or frees it. 0 or as profile_merge_apart(). */
static int add_to(struct profile **sum, struct profile *interval)
{
    if (*sum == NULL) {
        *sum = interval;
        return 0;
    }
    int status = profile_merge_apart(sum, interval);
    profile_free(interval);
    return status;
}

static int add(void *closure, struct profile *interval)
{
    struct gathering *g = closure;
    return add_to(&g->groups[group_of(g, interval)], interval);
}

/* Of a process's levels in one group, the last are that group's. */
static int add_past(void *closure, struct profile *levels, const struct profile *later)
{
    struct gathering *g = closure;
    const size_t group = group_of(g, levels);
    if (later == NULL || group_of(g, later) != group)
        return add_to(&g->past[group], levels);
    profile_free(levels);
    return 0;
}

static int take(void *closure, struct profile *interval)
{
    struct gathering *g = closure;
    progress_step();
    note_cover(g, interval);
    if (g->filter != NULL) {
        struct profile *selected = profile_select(interval, g->filter);
        profile_free(interval);
        interval = selected;
    }
    return interval != NULL ? latest_take(&g->latest, interval, add, g) : -ENOMEM;
}

static void tell_damaged(void *closure, const char *line)
{
    const struct gathering *g = closure;
    fail("%s/%s", g->history->folder, line);
}

static void begin_again(void *closure)
{
    struct gathering *g = closure;
    for (size_t i = 0; i < g->count; i++) {
        profile_free(g->groups[i]);
        profile_free(g->past[i]);
        g->groups[i] = g->past[i] = NULL;
    }
    latest_free(&g->latest);
    g->from = g->to = 0;
}

/* Each group as an interval, with the levels that were then. */
static int add_group(struct gathering *g, size_t i, struct profile **sum)
{
    struct profile *past = g->past[i];
    int status = load_add_interval(sum, g->groups[i]);
    if (status != 0 || past == NULL)
        return status;
    g->past[i] = NULL;
    profile_header(past)->time_ns = profile_header_const(g->groups[i])->time_ns;
    profile_header(past)->duration_ns = profile_header_const(g->groups[i])->duration_ns;
    return load_add_past(sum, past);
}

static struct profile *join(struct gathering *g)
{
    struct profile *sum = NULL;
    int status = latest_end(&g->latest, add, g);
    if (g->count == 1) {
        sum = g->groups[0];
        g->groups[0] = NULL;
    }
    for (size_t i = 0; status == 0 && g->count > 1 && i < g->count; i++)
        if (g->groups[i] != NULL)
            status = add_group(g, i, &sum);
    if (status == 0)
        return sum;
    char why[FORMAT_ERROR_SIZE] = "";
    refuse_merge(why, status);
    fail("%s: %s", g->history->folder, why);
    profile_free(sum);
    return NULL;
}

/* ---- the whole ---- */

static struct profile *fail_empty(const struct gathering *g, const struct span *held)
{
    const struct history *h = g->history;
    const char *of = h->service ? " of service " : "", *name = h->service ? h->service : "";
    char from[TIMES_TEXT_SIZE], to[TIMES_TEXT_SIZE];
    if (held->to == 0) {
        fail("%s: holds no profiles%s%s", h->folder, of, name);
        return NULL;
    }
    times_write(from, held->from);
    times_write(to, held->to);
    fail("%s: no profiles%s%s of that time; there are those from %s to %s", h->folder, of, name,
         from, to);
    return NULL;
}

/* What is old is kept by the minute or the hour: more is shown than was asked for. */
static void tell_cover(const struct gathering *g)
{
    const uint64_t slack = 30 * NS_PER_SECOND;
    char from[TIMES_TEXT_SIZE], to[TIMES_TEXT_SIZE];
    if (g->history->span.to == 0 ||
        (g->from + slack >= g->span.from && g->to <= g->span.to + slack))
        return;
    times_write(from, g->from);
    times_write(to, g->to);
    fail("%s: what is that old is kept coarser: this is %s to %s", g->history->folder, from,
         to);
}

static struct profile *read_span(struct gathering *g, const struct span *held)
{
    char error[FORMAT_ERROR_SIZE];
    const struct store_range range = {
        .service = g->history->service, .from = g->span.from, .to = g->span.to};
    const struct store_visitor visitor = {
        .closure = g, .take = take, .damaged = tell_damaged, .again = begin_again};
    progress_begin("reading", 0, g->history->folder);
    int status = store_read(g->history->folder, &range, &visitor, error);
    progress_end();
    if (status != 0) {
        fail("%s", error);
        return NULL;
    }
    if (g->to == 0)
        return fail_empty(g, held);
    tell_cover(g);
    return join(g);
}

/* What is asked for of what there is. False, having said why: nothing. */
static bool settle_span(const struct history *history, struct span *held, struct span *span)
{
    char error[FORMAT_ERROR_SIZE];
    if (store_extent(history->folder, history->service, &held->from, &held->to, error) != 0) {
        fail("%s", error);
        return false;
    }
    *span = history->span;
    if (span->to == 0)
        span->to = held->to + 1;
    if (span->from == 0)
        span->from = held->from;
    return true;
}

struct profile *history_load(const struct history *history, enum load_keep keep,
                             const struct profile_filter *filter)
{
    struct span held;
    struct gathering g = {.history = history,
                          .filter = filter,
                          .count = keep != KEEP_NOTHING ? LOAD_INTERVALS : 1,
                          .latest = {.at_end = true,
                                     .past = keep == KEEP_PAST ? add_past : NULL,
                                     .past_closure = &g}};
    if (!settle_span(history, &held, &g.span))
        return NULL;
    if (g.span.from >= g.span.to)
        return fail_empty(&g, &held);
    struct profile *sum = read_span(&g, &held);
    begin_again(&g);
    return sum;
}

int history_each(const struct history *history, const struct history_visitor *visitor)
{
    char error[FORMAT_ERROR_SIZE];
    struct span held, span;
    if (!settle_span(history, &held, &span))
        return EXIT_FAILED;
    const struct gathering g = {.history = history};
    if (span.from >= span.to) {
        fail_empty(&g, &held);
        return EXIT_FAILED;
    }
    const struct store_range range = {
        .service = history->service, .from = span.from, .to = span.to};
    const struct store_visitor store = {
        .closure = visitor->closure, .take = visitor->take, .again = visitor->again};
    visitor->begin(visitor->closure, &span);
    progress_begin("reading", 0, history->folder);
    int status = store_read(history->folder, &range, &store, error);
    progress_end();
    if (status == -ENOMEM || status == -ENOENT)
        return fail("%s", status == -ENOMEM ? "out of memory" : error);
    return status == 0 ? GO_ON : EXIT_FAILED;
}

/* ---- its end ---- */

struct search {
    const struct profile_filter *filter;
    uint64_t end;
};

static int note_end(void *closure, struct profile *interval)
{
    struct search *search = closure;
    const struct profile_header *header = profile_header_const(interval);
    uint64_t end = header->time_ns + header->duration_ns;
    struct profile *selected = profile_select(interval, search->filter);
    if (selected && profile_sample_count(selected) > 0 && end > search->end)
        search->end = end;
    profile_free(selected);
    profile_free(interval);
    return selected ? 0 : -ENOMEM;
}

static void forget_end(void *closure)
{
    ((struct search *)closure)->end = 0;
}

int history_end(const struct history *history, const struct profile_filter *filter,
                uint64_t *end)
{
    char error[FORMAT_ERROR_SIZE];
    struct search search = {.filter = filter};
    const struct store_range range = {
        .service = history->service, .from = history->span.from, .to = history->span.to};
    const struct store_visitor visitor = {
        .closure = &search, .take = note_end, .again = forget_end};
    int status = store_read(history->folder, &range, &visitor, error);
    *end = search.end;
    return status == 0 ? GO_ON : fail("%s", error);
}
