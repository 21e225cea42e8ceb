#include "history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gather.h"
#include "progress.h"
#include "services.h"
#include "store/read.h"

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

/* --from and --to, whichever came first: --to is read as seen from --from, so that "yesterday
 * 14:00" to "15:00", or to "+30m", is what it says; and --from may have both. */
static int take_range(struct history *history, const struct command *command)
{
    struct span *span = &history->span;
    const char *from = history->from, *to = history->to;
    if (from != NULL && strstr(from, "..") != NULL)
        return to == NULL
                   ? history_take_span(command, "--from", from, span)
                   : wrong_usage(command, "--from \"%s\" and --to both say when it ends", from);
    if (from != NULL && take_time(command, "--from", from, &span->from) != GO_ON)
        return EXIT_USAGE;
    if (from == NULL && to != NULL && *to == '+')
        return GO_ON; /* --from is still to come */
    if (from == NULL || to == NULL)
        return to != NULL ? take_time(command, "--to", to, &span->to) : GO_ON;
    return *to != '\0' && times_parse_end(to, history_now(), span->from, &span->to)
               ? GO_ON
               : take_time(command, "--to", to, &span->to);
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
        history->from = argument;
        return take_range(history, command);
    case OPTION_TO:
        history->to = argument;
        return take_range(history, command);
    default:
        return EXIT_USAGE;
    }
}

/* ---- the whole ---- */

/* What there is in the place of a service that was asked for: its name may be a slip. */
static void fail_without_service(const struct history *history)
{
    enum { SHOWN = 8 };
    char error[FORMAT_ERROR_SIZE];
    struct buffer names = {0};
    struct services *services = services_of(history->folder, error);
    const size_t count = services != NULL ? services->count : 0;
    for (size_t i = 0; i < count && i < SHOWN; i++) {
        const char *name = services->list[i].name,
                   *before = i > 0 ? ", " : "; it has those of ";
        buffer_append(&names, before, strlen(before));
        buffer_append(&names, name, strlen(name));
    }
    const char *more = count > SHOWN ? ", …" : "";
    fail("%s: holds no profiles of service %s%.*s%s", history->folder, history->service,
         (int)names.size, names.size > 0 ? (const char *)names.data : "", more);
    services_free(services);
    buffer_free(&names);
}

static struct profile *fail_empty(const struct history *h, const struct span *held)
{
    const char *of = h->service ? " of service " : "", *name = h->service ? h->service : "";
    char from[TIMES_TEXT_SIZE], to[TIMES_TEXT_SIZE];
    if (held->to == 0) {
        if (h->service != NULL)
            fail_without_service(h);
        else
            fail("%s: holds no profiles", h->folder);
        return NULL;
    }
    const char *future = h->span.from > history_now() ? ", which is still to come" : "";
    times_write(from, held->from);
    times_write(to, held->to);
    fail("%s: no profiles%s%s of that time%s; there are those from %s to %s", h->folder, of,
         name, future, from, to);
    return NULL;
}

/* What is old is kept by the minute or the hour: more is shown than was asked for. */
static void tell_cover(const struct history *history, const struct span *span,
                       const struct span *cover)
{
    const uint64_t slack = 30 * NS_PER_SECOND;
    char from[TIMES_TEXT_SIZE], to[TIMES_TEXT_SIZE];
    if (history->tells_cover || history->span.to == 0 ||
        (cover->from + slack >= span->from && cover->to <= span->to + slack))
        return;
    times_write(from, cover->from);
    times_write(to, cover->to);
    fail("%s: what is that old is kept coarser: this is %s to %s", history->folder, from, to);
}

/* Frees what it is selected from. NULL after having said why. */
static struct profile *narrow(struct profile *sum, const struct profile_filter *filter)
{
    if (filter == NULL)
        return sum;
    struct profile *selected = profile_select(sum, filter);
    profile_free(sum);
    if (selected == NULL)
        fail("out of memory");
    return selected;
}

/* What is asked for of what there is. False, having said why: nothing. */
static bool settle_span(const struct history *history, struct span *held, struct span *span)
{
    char error[FORMAT_ERROR_SIZE];
    if (history->from == NULL && history->to != NULL && *history->to == '+') {
        fail("--to %s is a time after --from, which is missing", history->to);
        return false;
    }
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
    struct span held, cover = {0};
    struct history asked = *history;
    struct profile *sum = NULL;
    if (!settle_span(history, &held, &asked.span))
        return NULL;
    if (asked.span.from < asked.span.to && gather(&asked, keep, &sum, &cover) != GO_ON)
        return NULL;
    if (sum == NULL)
        return fail_empty(history, &held);
    tell_cover(history, &asked.span, &cover);
    return narrow(sum, filter);
}

int history_each(const struct history *history, const struct history_visitor *visitor)
{
    char error[FORMAT_ERROR_SIZE];
    struct span held, span;
    if (!settle_span(history, &held, &span))
        return EXIT_FAILED;
    if (span.from >= span.to) {
        fail_empty(history, &held);
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
