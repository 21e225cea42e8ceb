#include "format/html_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"

#define AROUND 4         /* lines before and after one that a frame names */
#define LONGEST_HEAD 300 /* lines from a function's first to one that counts */
#define MOST_TEXT 400    /* bytes of a line */

struct span {
    profile_id file;
    int64_t from, to; /* lines, both included */
};

struct source_writer {
    const struct frame_table *table;
    const struct html_sources *sources;
    struct buffer *json;
    size_t spent; /* bytes of text */
    bool any;     /* runs so far */
};

static bool is_source(const char *file)
{
    static const char *const endings[] = {
        ".py",    ".pyx", ".pxd", ".pyi",   ".rb",  ".rake", ".ru",  ".erb", ".js",   ".mjs",
        ".cjs",   ".jsx", ".ts",  ".tsx",   ".mts", ".cts",  ".vue", ".c",   ".h",    ".cc",
        ".hh",    ".cpp", ".hpp", ".cxx",   ".hxx", ".inc",  ".rs",  ".go",  ".java", ".kt",
        ".scala", ".cs",  ".php", ".swift", ".m",   ".mm",   ".lua", ".pl",  ".ex",
    };
    const char *ending = strrchr(file, '.');
    for (size_t i = 0; ending && i < sizeof(endings) / sizeof(endings[0]); i++)
        if (strcmp(ending, endings[i]) == 0)
            return true;
    return false;
}

static int compare_spans(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    return (a->from > b->from) - (a->from < b->from);
}

/* What is to be seen for a frame; false: nothing. */
static bool span_of(const struct frame_table *table, const struct frame *frame,
                    struct span *span)
{
    const bool headed = frame->start_line > 0 && frame->start_line <= frame->line &&
                        frame->line - frame->start_line < LONGEST_HEAD;
    if (frame->file == 0 || frame->line <= 0 || frame->line > INT64_MAX - AROUND ||
        !is_source(profile_text(table->profile, frame->file)))
        return false;
    int64_t from = frame->line - AROUND;
    if (headed && frame->start_line < from)
        from = frame->start_line;
    *span = (struct span){frame->file, from > 1 ? from : 1, frame->line + AROUND};
    return true;
}

/* Joins spans of a file that touch. Returns how many are left. */
static size_t join_spans(struct span *spans, size_t count)
{
    size_t joined = 0;
    qsort(spans, count, sizeof(*spans), compare_spans);
    for (size_t i = 0; i < count; i++) {
        struct span *last = joined > 0 ? &spans[joined - 1] : NULL;
        if (!last || last->file != spans[i].file || spans[i].from > last->to + 1)
            spans[joined++] = spans[i];
        else if (spans[i].to > last->to)
            last->to = spans[i].to;
    }
    return joined;
}

/* False: the file has no such line, or no more fits. */
static bool write_line(struct source_writer *w, const struct span *span, int64_t line)
{
    const char *file = profile_text(w->table->profile, span->file);
    size_t length = 0;
    const char *text = w->spent < HTML_SOURCE_MOST
                           ? w->sources->line(w->sources->closure, file, line, &length)
                           : NULL;
    if (!text)
        return false;
    if (line == span->from) {
        json_raw(w->json, w->any ? ",[" : "[");
        json_integer(w->json, span->file);
        json_raw(w->json, ",");
        json_integer(w->json, line);
    }
    json_raw(w->json, ",");
    length = length < MOST_TEXT ? length : MOST_TEXT;
    json_string(w->json, text, length);
    w->spent += length + 1;
    w->any = true;
    return true;
}

static void write_span(struct source_writer *w, const struct span *span)
{
    int64_t line = span->from;
    while (line <= span->to && write_line(w, span, line))
        line++;
    if (line > span->from)
        json_raw(w->json, "]");
}

int html_write_source(const struct frame_table *table, const struct html_sources *sources,
                      struct buffer *json)
{
    struct source_writer writer = {.table = table, .sources = sources, .json = json};
    struct span *spans =
        calloc(table->frame_count > 0 ? table->frame_count : 1, sizeof(*spans));
    size_t count = 0;
    if (!spans)
        return -ENOMEM;
    for (uint32_t i = 0; i < table->frame_count; i++)
        count += span_of(table, &table->frames[i], &spans[count]);
    count = join_spans(spans, count);
    json_raw(json, "[");
    for (size_t i = 0; i < count; i++)
        write_span(&writer, &spans[i]);
    json_raw(json, "]");
    free(spans);
    return 0;
}
