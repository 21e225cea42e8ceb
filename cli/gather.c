#include "gather.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/refuse.h"
#include "latest.h"
#include "progress.h"
#include "store/read.h"

/* A page has about so many samples at most, told apart by time, if that leaves PAGE_GROUPS of
 * these: as many again would take a browser seconds. A sample takes about SAMPLE_BYTES of a
 * block. */
#define PAGE_SAMPLES 1000000
#define PAGE_GROUPS 20
#define SAMPLE_BYTES 4

/* What is being added up: one sum, whose samples have a label of when they were, and apart from
 * it levels, until it is known which were the last. With nothing kept of when it was, one
 * group. */
struct gathering {
    const struct history *history;
    struct span span;
    struct profile *sum;
    uint64_t version; /* counts how often `sum` was replaced */
    struct tally tally;
    size_t count;
    bool for_page;
    struct span covers[LOAD_INTERVALS]; /* what each group has; `to` 0: nothing that is known */
    struct profile *groups[LOAD_INTERVALS], *past[LOAD_INTERVALS]; /* levels of each */
    size_t largest[LOAD_INTERVALS]; /* bytes of an interval of each group */
    struct latest latest;
    uint64_t from, to; /* what it covers, for the reader of a message */
};

static size_t group_at(const struct gathering *g, uint64_t time)
{
    uint64_t since = time > g->span.from ? time - g->span.from : 0;
    double part = (double)since / (double)(g->span.to - g->span.from);
    size_t index = (size_t)(part * (double)g->count);
    return index < g->count ? index : g->count - 1;
}

static size_t group_of(const struct gathering *g, const struct profile *interval)
{
    return group_at(g, profile_header_const(interval)->time_ns);
}

static struct span span_of(const struct profile *interval)
{
    const struct profile_header *header = profile_header_const(interval);
    return (struct span){header->time_ns, header->time_ns + header->duration_ns};
}

static void widen(struct span *span, uint64_t from, uint64_t to)
{
    span->from = span->to == 0 || from < span->from ? from : span->from;
    span->to = to > span->to ? to : span->to;
}

static void note_cover(struct gathering *g, const struct profile *interval)
{
    const struct span span = span_of(interval);
    struct span cover = {g->from, g->to};
    widen(&cover, span.from, span.to);
    g->from = cover.from;
    g->to = cover.to;
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

static int add(void *closure, struct profile *levels)
{
    struct gathering *g = closure;
    return add_to(&g->groups[group_of(g, levels)], levels);
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

/* What an interval is labelled with: what its group covers, or, if it has come since that was
 * asked, its own time. */
static struct span label_of(const struct gathering *g, const struct profile *interval)
{
    const struct span own = span_of(interval), group = g->covers[group_of(g, interval)];
    return group.to != 0 && own.from >= group.from && own.to <= group.to ? group : own;
}

static int add_label(const struct gathering *g, const struct profile *head,
                     struct profile_extra *extra)
{
    char text[LOAD_INTERVAL_SIZE];
    const struct span span = label_of(g, head);
    if (g->count == 1 || !load_write_interval(text, span.from, span.to))
        return 0;
    if (extra->count == PROFILE_MAX_EXTRA)
        return -E2BIG;
    const struct profile_label label = {.key = profile_string(g->sum, LOAD_INTERVAL),
                                        .text = profile_string(g->sum, text)};
    extra->labels[extra->count++] = label;
    return profile_error(g->sum);
}

static int into(void *closure, const struct profile *head, struct block_target *target)
{
    struct gathering *g = closure;
    progress_step();
    note_cover(g, head);
    latest_note(&g->latest, head);
    if (g->sum == NULL)
        g->sum = profile_new(NULL);
    if (g->sum == NULL)
        return -ENOMEM;
    if (!profile_merges_in_place(g->sum, head) && tally_flush(&g->tally, g->sum) != 0)
        return -ENOMEM;
    const struct profile *before = g->sum;
    int status = profile_merge_apart_head(&g->sum, head, target->places, &target->extra);
    g->version += g->sum != before;
    target->sum = g->sum;
    target->version = g->version;
    target->tally = &g->tally;
    return status == 0 ? add_label(g, head, &target->extra) : status;
}

static int take_levels(void *closure, struct profile *levels)
{
    struct gathering *g = closure;
    return latest_take_levels(&g->latest, levels, add, g);
}

static void tell_damaged(void *closure, const char *line)
{
    const struct gathering *g = closure;
    fail("%s/%s", g->history->folder, line);
}

static void forget(struct gathering *g)
{
    profile_free(g->sum);
    tally_free(&g->tally);
    g->sum = NULL;
    for (size_t i = 0; i < g->count; i++) {
        profile_free(g->groups[i]);
        profile_free(g->past[i]);
        g->groups[i] = g->past[i] = NULL;
    }
    latest_free(&g->latest);
    g->from = g->to = 0;
}

/* ---- what groups cover ---- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void note_mark(void *closure, const struct store_mark *mark)
{
    struct gathering *g = closure;
    const struct store_range range = {.from = g->span.from, .to = g->span.to};
    if (!store_belongs(&range, mark->from, mark->to))
        return;
    const size_t group = group_at(g, mark->from);
    g->largest[group] = larger(g->largest[group], mark->bytes);
    if (mark->from != 0)
        widen(&g->covers[group], mark->from, mark->to);
}

static void forget_marks(void *closure)
{
    struct gathering *g = closure;
    memset(g->covers, 0, sizeof g->covers);
    memset(g->largest, 0, sizeof g->largest);
}

/* About how many samples there will be, told apart by group. */
static size_t expected_samples(const struct gathering *g)
{
    size_t bytes = 0;
    for (size_t i = 0; i < g->count; i++)
        bytes += g->largest[i];
    return bytes / SAMPLE_BYTES;
}

/* Half as many groups. */
static void halve_groups(struct gathering *g)
{
    for (size_t i = 0; i < g->count; i++) {
        const struct span cover = g->covers[i];
        const size_t bytes = g->largest[i];
        g->covers[i] = (struct span){0};
        g->largest[i] = 0;
        g->largest[i / 2] = larger(g->largest[i / 2], bytes);
        if (cover.to != 0)
            widen(&g->covers[i / 2], cover.from, cover.to);
    }
    g->count /= 2;
}

/* Before reading, as each sample is to say it. What can't be told now is told of the reading.
 */
static void survey_groups(struct gathering *g)
{
    char error[FORMAT_ERROR_SIZE];
    const struct store_range range = {
        .service = g->history->service, .from = g->span.from, .to = g->span.to};
    const struct store_survey survey = {.closure = g, .mark = note_mark, .again = forget_marks};
    forget_marks(g);
    if (g->count == 1)
        return;
    g->count = LOAD_INTERVALS;
    (void)store_survey(g->history->folder, &range, &survey, error);
    while (g->for_page && g->count > PAGE_GROUPS && expected_samples(g) > PAGE_SAMPLES)
        halve_groups(g);
}

static void begin_again(void *closure)
{
    forget(closure);
    survey_groups(closure);
}

/* ---- levels at the end ---- */

static void cover_group(const struct gathering *g, size_t i, struct profile *levels)
{
    if (levels == NULL || g->covers[i].to == 0)
        return;
    profile_header(levels)->time_ns = g->covers[i].from;
    profile_header(levels)->duration_ns = g->covers[i].to - g->covers[i].from;
}

/* Each group's levels as of an interval, with those that were then. */
static int add_group(struct gathering *g, size_t i)
{
    struct profile *past = g->past[i];
    int status = 0;
    cover_group(g, i, g->groups[i]);
    cover_group(g, i, past);
    if (g->groups[i] != NULL)
        status = g->count == 1 ? profile_merge_apart(&g->sum, g->groups[i])
                               : load_add_interval(&g->sum, g->groups[i]);
    if (status != 0 || past == NULL)
        return status;
    g->past[i] = NULL;
    return load_add_past(&g->sum, past);
}

static int join(struct gathering *g)
{
    char why[FORMAT_ERROR_SIZE] = "";
    int status = tally_flush(&g->tally, g->sum);
    if (status == 0)
        status = latest_end(&g->latest, add, g);
    for (size_t i = 0; status == 0 && i < g->count; i++)
        status = add_group(g, i);
    if (status == 0)
        return GO_ON;
    refuse_merge(why, status);
    return fail("%s: %s", g->history->folder, why);
}

/* ---- the whole ---- */

static int read_all(struct gathering *g)
{
    char error[FORMAT_ERROR_SIZE];
    const struct store_range range = {
        .service = g->history->service, .from = g->span.from, .to = g->span.to};
    const struct store_visitor visitor = {.closure = g,
                                          .take = take_levels,
                                          .into = into,
                                          .damaged = tell_damaged,
                                          .again = begin_again};
    progress_begin("reading", 0, g->history->folder);
    survey_groups(g);
    int status = store_read(g->history->folder, &range, &visitor, error);
    progress_end();
    if (status != 0)
        return fail("%s", error);
    return g->sum != NULL ? join(g) : GO_ON;
}

int gather(const struct history *history, enum load_keep keep, struct profile **sum,
           struct span *cover)
{
    struct gathering *g = calloc(1, sizeof *g);
    if (g == NULL)
        return fail("out of memory");
    *g = (struct gathering){.history = history,
                            .span = history->span,
                            .count = keep != KEEP_NOTHING ? LOAD_INTERVALS : 1,
                            .for_page = keep == KEEP_PAST,
                            .latest = {.at_end = true,
                                       .past = keep == KEEP_PAST ? add_past : NULL,
                                       .past_closure = g}};
    int status = read_all(g);
    *sum = NULL;
    if (status == GO_ON) {
        *cover = (struct span){g->from, g->to};
        *sum = g->sum;
        g->sum = NULL;
    }
    forget(g);
    free(g);
    return status;
}
