/*
 * Writes V8's .cpuprofile (cpuprofile.c names the format), for DevTools, VS Code and
 * speedscope. Every sample of the profile is one there, and lasts as long as it has time; they
 * stand one after another, whatever threads they are of, since the format has one. Where the
 * value is no time, one of it is a microsecond.
 */
#include "format/cpuprofile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/shown.h"
#include "format/v8.h"
#include "profile/clamp.h"

#define ROOT_ID 1
#define NANOSECONDS 1000 /* in one of V8's microseconds */

struct tick {
    uint32_t node;
    int64_t line;
};

struct writer {
    struct shown shown;
    struct buffer *out;
    uint32_t *first_child, *next_sibling, *hits; /* by node + 1, where 0 is the root */
    struct tick *ticks;                          /* sorted by node and line */
    size_t tick_count;
};

/* Samples with a value, and of these those with a line. */
static void count_hits(struct writer *w)
{
    for (size_t i = w->shown.first; i < w->shown.end; i++) {
        uint32_t node = w->shown.node_of[i - w->shown.first];
        if (shown_value(&w->shown, i) == 0)
            continue;
        w->hits[node]++;
        const struct frame *leaf = shown_leaf(&w->shown, i);
        if (leaf != NULL && leaf->line > 0)
            w->ticks[w->tick_count++] = (struct tick){node, leaf->line};
    }
}

static int by_place(const void *left, const void *right)
{
    const struct tick *a = left, *b = right;
    if (a->node != b->node)
        return a->node < b->node ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

static int prepare(struct writer *w)
{
    const size_t nodes = (size_t)w->shown.nodes.count + 1;
    w->first_child = calloc(nodes, sizeof(*w->first_child));
    w->next_sibling = calloc(nodes, sizeof(*w->next_sibling));
    w->hits = calloc(nodes, sizeof(*w->hits));
    w->ticks = calloc(w->shown.end - w->shown.first + 1, sizeof(*w->ticks));
    if (w->first_child == NULL || w->next_sibling == NULL || w->hits == NULL ||
        w->ticks == NULL)
        return -ENOMEM;
    for (uint32_t i = w->shown.nodes.count; i-- > 0;) {
        uint32_t parent = w->shown.nodes.list[i].first;
        w->next_sibling[i + 1] = w->first_child[parent];
        w->first_child[parent] = i + 1;
    }
    count_hits(w);
    if (w->tick_count > 0)
        qsort(w->ticks, w->tick_count, sizeof(*w->ticks), by_place);
    return 0;
}

static void write_call_frame(struct writer *w, const struct frame *frame)
{
    struct buffer url = {0};
    const char *name = frame != NULL ? frame->text : V8_ROOT;
    if (frame != NULL) {
        const char *file =
            profile_text(w->shown.profile, frame->file != 0 ? frame->file : frame->module);
        json_raw(&url, *file == '/' ? "file://" : "");
        json_raw(&url, file);
    }
    json_raw(w->out, "\"callFrame\":{\"functionName\":");
    json_string(w->out, name, strlen(name));
    json_raw(w->out, ",\"scriptId\":\"0\",\"url\":");
    json_string(w->out, url.data != NULL ? (const char *)url.data : "", url.size);
    json_raw(w->out, ",\"lineNumber\":");
    json_integer(w->out, frame != NULL ? frame->start_line - 1 : -1);
    json_raw(w->out, ",\"columnNumber\":-1}");
    if (url.error != 0)
        w->out->error = url.error;
    buffer_free(&url);
}

/* Writes the ticks of a node, the first of which is number `at`; the number behind them. */
static size_t write_ticks(struct writer *w, uint32_t node, size_t at)
{
    const char *separator = ",\"positionTicks\":[";
    size_t next;
    for (; at < w->tick_count && w->ticks[at].node == node; at = next) {
        for (next = at; next < w->tick_count && by_place(&w->ticks[at], &w->ticks[next]) == 0;)
            next++;
        json_raw(w->out, separator);
        json_raw(w->out, "{\"line\":");
        json_integer(w->out, w->ticks[at].line);
        json_raw(w->out, ",\"ticks\":");
        json_integer(w->out, (int64_t)(next - at));
        json_raw(w->out, "}");
        separator = ",";
    }
    if (*separator == ',' && separator[1] == '\0')
        json_raw(w->out, "]");
    return at;
}

static void write_nodes(struct writer *w)
{
    size_t tick = 0;
    for (uint32_t node = 0; node <= w->shown.nodes.count; node++) {
        const struct frame *frame =
            node > 0 ? &w->shown.frames.frames[w->shown.nodes.list[node - 1].second] : NULL;
        json_raw(w->out, node > 0 ? ",\n{\"id\":" : "{\"id\":");
        json_integer(w->out, ROOT_ID + (int64_t)node);
        json_raw(w->out, ",");
        write_call_frame(w, frame);
        json_raw(w->out, ",\"hitCount\":");
        json_integer(w->out, w->hits[node]);
        json_raw(w->out, ",\"children\":[");
        for (uint32_t child = w->first_child[node]; child != 0;
             child = w->next_sibling[child]) {
            json_integer(w->out, ROOT_ID + (int64_t)child);
            json_raw(w->out, w->next_sibling[child] != 0 ? "," : "");
        }
        json_raw(w->out, "]");
        tick = write_ticks(w, node, tick);
        json_raw(w->out, "}");
    }
}

/* Where a sample ends: rounded there, so that no rounding adds up. */
static int64_t end_of(struct writer *w, size_t sample, int64_t *sum)
{
    const int64_t unit = shown_nanoseconds(&w->shown);
    *sum = clamp_add(*sum, clamp_multiply(shown_value(&w->shown, sample), unit > 0 ? unit : 1));
    return unit > 0 ? *sum / NANOSECONDS : *sum;
}

static void write_samples(struct writer *w)
{
    int64_t sum = 0, before = 0, delta = 0;
    const char *separator = "";
    for (size_t i = w->shown.first; i < w->shown.end; i++) {
        if (shown_value(&w->shown, i) == 0)
            continue;
        json_raw(w->out, separator);
        json_integer(w->out, ROOT_ID + (int64_t)w->shown.node_of[i - w->shown.first]);
        separator = ",";
    }
    json_raw(w->out, "],\n\"timeDeltas\":[");
    separator = "";
    for (size_t i = w->shown.first; i < w->shown.end; i++) {
        if (shown_value(&w->shown, i) == 0)
            continue;
        json_raw(w->out, separator);
        json_integer(w->out, delta); /* how long the one before it lasted */
        int64_t end = end_of(w, i, &sum);
        delta = end - before;
        before = end;
        separator = ",";
    }
    json_raw(w->out, "],\n\"startTime\":0,\"endTime\":");
    json_integer(w->out, before);
}

int cpuprofile_write(const struct profile *p, struct buffer *out)
{
    struct writer w = {.out = out};
    int status = shown_init(&w.shown, p, SHOWN_FUNCTIONS);
    if (status == 0)
        status = prepare(&w);
    if (status == 0) {
        json_raw(out, "{\"nodes\":[");
        write_nodes(&w);
        json_raw(out, "],\n\"samples\":[");
        write_samples(&w);
        json_raw(out, "}\n");
    }
    free(w.first_child);
    free(w.next_sibling);
    free(w.hits);
    free(w.ticks);
    shown_free(&w.shown);
    return status != 0 ? status : out->error;
}
