#include "strip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "format/digest.h"
#include "format/json.h"
#include "loopback.h"
#include "profile/measures.h"
#include "services.h"
#include "store/read.h"
#include "strip/page.h"

#define BARS 960
#define NS_PER_MS 1000000

static void put(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text));
}

/* ---- the list ---- */

static void write_service(const struct held_service *service, struct buffer *out)
{
    char code[4], from[TIMES_TEXT_SIZE], to[TIMES_TEXT_SIZE];
    put(out, "<li><a href=\"history?s=");
    for (const char *c = service->name; *c != '\0'; c++) {
        snprintf(code, sizeof code, "%%%02X", (unsigned)(unsigned char)*c);
        put(out, code);
    }
    put(out, "\">");
    loopback_escape(out, *service->name != '\0' ? service->name : "(without a name)");
    times_write(from, service->from);
    times_write(to, service->to);
    put(out, "</a> <span>");
    put(out, from);
    put(out, " to ");
    put(out, to);
    put(out, "</span>");
}

int strip_write_services(const char *folder, struct buffer *out)
{
    char error[FORMAT_ERROR_SIZE];
    struct services *services = services_of(folder, error);
    if (services == NULL)
        return fail("%s", error);
    if (services->count == 0)
        put(out, "<li>It holds no profiles.");
    for (size_t i = 0; i < services->count; i++)
        write_service(&services->list[i], out);
    services_free(services);
    return GO_ON;
}

/* ---- the strip ---- */

/* Amounts of a type, by bars; of a level (profile/measures.h) what there was on average. */
struct bars {
    char type[64], unit[32];
    bool level;
    size_t intervals;
    double amounts[BARS];
};

struct strip {
    struct span span;
    size_t types;
    struct bars bars[DIGEST_TYPES];
};

static struct bars *bars_of(struct strip *strip, const struct store_mark *mark)
{
    for (size_t i = 0; i < strip->types; i++)
        if (strcmp(strip->bars[i].type, mark->type) == 0 &&
            strcmp(strip->bars[i].unit, mark->unit) == 0)
            return &strip->bars[i];
    if (strip->types == DIGEST_TYPES || strlen(mark->type) >= sizeof strip->bars->type ||
        strlen(mark->unit) >= sizeof strip->bars->unit)
        return NULL;
    struct bars *bars = &strip->bars[strip->types++];
    snprintf(bars->type, sizeof bars->type, "%s", mark->type);
    snprintf(bars->unit, sizeof bars->unit, "%s", mark->unit);
    bars->level = measure_is_level(mark->type);
    return bars;
}

/* An interval's amount goes to the bars that it lies over, by how much of it does; a level, by
 * how much of the bar that is. */
static void add_mark(void *closure, const struct store_mark *mark)
{
    struct strip *strip = closure;
    struct bars *bars = bars_of(strip, mark);
    if (bars == NULL)
        return;
    const double step = (double)(strip->span.to - strip->span.from) / BARS;
    const double from = ((double)mark->from - (double)strip->span.from) / step;
    const double length = mark->to > mark->from ? (double)(mark->to - mark->from) / step : 1e-9;
    bars->intervals++;
    for (size_t i = from > 0 ? (size_t)from : 0; i < BARS && (double)i < from + length; i++) {
        double begin = from > (double)i ? from : (double)i;
        double end = from + length < (double)i + 1 ? from + length : (double)i + 1;
        bars->amounts[i] += (double)mark->total * (end - begin) / (bars->level ? 1 : length);
    }
}

static void forget_marks(void *closure)
{
    struct strip *strip = closure;
    memset(strip->bars, 0, sizeof strip->bars);
    strip->types = 0;
}

/* CPU time where there is any, else what most intervals have: of as many the last, which is
 * bytes rather than objects. */
static const struct bars *choose(const struct strip *strip)
{
    const struct bars *best = &strip->bars[0];
    for (size_t i = 0; i < strip->types; i++) {
        const struct bars *bars = &strip->bars[i];
        if (strcmp(bars->type, "cpu") == 0)
            return bars;
        best = bars->intervals >= best->intervals ? bars : best;
    }
    return best;
}

static void put_text(struct buffer *out, const char *key, const char *text)
{
    put(out, key);
    json_string(out, text, strlen(text));
}

static void put_number(struct buffer *out, const char *key, int64_t number)
{
    put(out, key);
    json_integer(out, number);
}

static void write_data(const struct strip *strip, const char *service, bool whole,
                       struct buffer *out)
{
    const struct bars *bars = choose(strip);
    put_text(out, "{\"service\":", service);
    put_text(out, ",\"type\":", bars->type);
    put_text(out, ",\"unit\":", bars->unit);
    put_number(out, ",\"from\":", (int64_t)(strip->span.from / NS_PER_MS));
    put_number(out, ",\"to\":", (int64_t)(strip->span.to / NS_PER_MS));
    put_number(out, ",\"intervals\":", (int64_t)bars->intervals);
    put(out, whole ? ",\"whole\":true" : ",\"whole\":false");
    put(out, bars->level ? ",\"level\":true" : ",\"level\":false");
    for (size_t i = 0; i < BARS; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s%.6g", i == 0 ? ",\"amounts\":[" : ",",
                 bars->amounts[i]);
        put(out, text);
    }
    put(out, "]}");
}

static int survey_strip(const struct history *history, struct strip *strip)
{
    char error[FORMAT_ERROR_SIZE];
    const struct store_range range = {
        .service = history->service, .from = strip->span.from, .to = strip->span.to};
    const struct store_survey survey = {
        .closure = strip, .mark = add_mark, .again = forget_marks};
    return store_survey(history->folder, &range, &survey, error) == 0 ? GO_ON
                                                                      : fail("%s", error);
}

/* The part of what there is that was asked for. */
static int settle(const struct history *history, struct span *span, bool *whole)
{
    char error[FORMAT_ERROR_SIZE];
    struct span held;
    if (store_extent(history->folder, history->service, &held.from, &held.to, error) != 0)
        return fail("%s", error);
    *span = history->span;
    if (span->from < held.from)
        span->from = held.from;
    if (span->to == 0 || span->to > held.to)
        span->to = held.to;
    *whole = span->from == held.from && span->to == held.to;
    if (span->from < span->to && span->to - span->from >= BARS * UINT64_C(1000))
        return GO_ON;
    return fail("%s: holds nothing of service %s of that time", history->folder,
                history->service);
}

int strip_write_page(const struct history *history, struct buffer *out)
{
    bool whole = false;
    struct strip *strip = calloc(1, sizeof *strip);
    if (strip == NULL)
        return fail("out of memory");
    int status = settle(history, &strip->span, &whole);
    if (status == GO_ON)
        status = survey_strip(history, strip);
    if (status == GO_ON) {
        buffer_append(out, strip_page_head, strip_page_head_size);
        write_data(strip, history->service, whole, out);
        buffer_append(out, strip_page_tail, strip_page_tail_size);
    }
    free(strip);
    return status;
}
