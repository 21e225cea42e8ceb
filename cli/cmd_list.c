/* cprof list: a function's source, with what each line took beside it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cells.h"
#include "choice.h"
#include "format/json.h"
#include "listing.h"
#include "request.h"
#include "source.h"
#include "table.h"
#include "units.h"

#define MOST_TEXT 1024 /* bytes of a line */
#define TAB 4

enum { OPTION_SOURCE = OPTION_OWN };

static const char help[] =
    "Usage: cprof list [OPTIONS] NAME FILE…\n"
    "\n"
    "Prints a function's source and, beside each line, what the line used itself and with all\n"
    "that it called. NAME is the function's name or, where none has just that one, a regular\n"
    "expression that is found in names.\n"
    "\n"
    "  -n N            functions to print of many that match (default 20)\n"
    "  --source DIR    look for source files below DIR first: the profile's path, then "
    "without\n"
    "                  its first folders\n"
    "  --all-native    also the interpreter's own frames, which else count to the method\n"
    "                  that called them\n"
    "  --json          for programs: one JSON object, values in the profile's own "
    "unit\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof list --source ~/shop Cart.total profile.pb.gz\n";

struct list_options {
    struct request request;
    const char *folder; /* NULL: files are where the profile says */
};

/* Both views of one profile. */
struct reports {
    struct report functions, lines;
};

/* What is printed of one function. */
struct printer {
    const struct report *report;
    const struct listing *listing;
    const struct source *source; /* NULL: there is none */
    struct terminal terminal;
    struct cells cells;
    struct buffer *out; /* of JSON */
    bool first;
};

/* Tabs as blanks, as far as there is room. */
static size_t expand_tabs(const char *text, size_t length, char expanded[MOST_TEXT])
{
    size_t used = 0;
    for (size_t i = 0; i < length && used + TAB < MOST_TEXT; i++) {
        if (text[i] != '\t')
            expanded[used++] = text[i];
        for (bool more = text[i] == '\t'; more; more = used % TAB != 0)
            expanded[used++] = ' ';
    }
    return used;
}

static void print_text(const struct printer *p, int64_t number, bool hot, size_t taken)
{
    char expanded[MOST_TEXT];
    const struct terminal *terminal = &p->terminal;
    size_t length = 0;
    const char *text = p->source ? source_line(p->source, number, &length) : NULL;
    if (!text)
        return;
    length = expand_tabs(text, length, expanded);
    size_t width = terminal->width == TERMINAL_ENDLESS ? TERMINAL_ENDLESS
                   : terminal->width > taken + 20      ? terminal->width - taken
                                                       : 20;
    terminal_print(terminal, hot ? STYLE_PLAIN : STYLE_DIM, expanded, length, width, CUT_END,
                   false);
}

static void print_line(void *closure, const struct listing_line *line, bool gap)
{
    const struct printer *p = closure;
    const int cell = (int)cells_width(&p->cells);
    const bool hot = line->self != 0 || line->total != 0;
    FILE *file = p->terminal.file;
    if (gap)
        fprintf(file, "%*s…\n", 2 * cell + 8, "");
    if (hot) {
        cells_print(&p->cells, &p->terminal, line->self);
        cells_print(&p->cells, &p->terminal, line->total);
    } else {
        fprintf(file, "%*s", 2 * cell, "");
    }
    if (line->line > 0)
        fprintf(file, "%9" PRId64 "  ", line->line);
    else
        fprintf(file, "%9s  ", "?");
    print_text(p, line->line, hot, 2 * (size_t)cell + 11);
    fputc('\n', file);
}

/* Without a line the file of a row may be a library. */
static bool has_lines(const struct listing *listing)
{
    return listing->count > 0 && listing->lines[listing->count - 1].line > 0;
}

/* Where the text is from, and what is wrong with it. */
static void print_source(const struct printer *p)
{
    const struct profile_header *header = profile_header_const(p->report->profile);
    const struct report_row *row = p->listing->row;
    FILE *file = p->terminal.file;
    const char *path = p->source ? p->source->path : has_lines(p->listing) ? row->file : "";
    fputs("  ", file);
    terminal_print(&p->terminal, STYLE_DIM, path, strlen(path), TERMINAL_ENDLESS, CUT_START,
                   false);
    if (!p->source)
        fputs(*path ? " is not here (--source DIR)" : "no line of it is known", file);
    else if (header->time_ns > 0 && (uint64_t)p->source->changed >
                                        (header->time_ns + header->duration_ns) / 1000000000)
        fputs(" has changed since the profile was made", file);
    fputc('\n', file);
}

static void print_function(struct printer *p)
{
    const struct listing *listing = p->listing;
    p->terminal = terminal_of(stdout);
    p->cells =
        cells_of(profile_unit(p->report->profile, p->report->summary.column), p->report->whole);
    for (size_t i = 0; i < listing->count; i++) {
        cells_measure(&p->cells, listing->lines[i].self);
        cells_measure(&p->cells, listing->lines[i].total);
    }
    fputc('\n', p->terminal.file);
    table_print_row(p->report, listing->row, &p->terminal);
    print_source(p);
    listing_visit(listing, p->source ? p->source->count : 0, print_line, p);
}

/* --- JSON --- */

static void write_line(void *closure, const struct listing_line *line, bool gap)
{
    struct printer *p = closure;
    size_t length = 0;
    const char *text = p->source ? source_line(p->source, line->line, &length) : NULL;
    (void)gap;
    json_raw(p->out, p->first ? "" : ",");
    struct record record = record_begin(p->out, RECORD_JSON);
    record_integer(&record, "line", line->line);
    record_integer(&record, "self", line->self);
    record_integer(&record, "total", line->total);
    if (text)
        record_text(&record, "text", text, length < MOST_TEXT ? length : MOST_TEXT);
    record_end(&record);
    p->first = false;
}

static void write_function(struct printer *p)
{
    const char *path = p->source ? p->source->path : "";
    struct record record = record_begin(p->out, RECORD_JSON);
    table_write_row(&record, p->listing->row);
    record_text(&record, "source", path, strlen(path));
    json_raw(p->out, ",\"lines\":[");
    p->first = true;
    listing_visit(p->listing, p->source ? p->source->count : 0, write_line, p);
    json_raw(p->out, "]");
    record_end(&record);
}

/* --- the command --- */

static int show_function(const struct list_options *options, const struct reports *reports,
                         const struct report_row *row, struct buffer *out)
{
    struct listing listing;
    struct source source;
    if (listing_make(&listing, row, &reports->lines))
        return -ENOMEM;
    bool found = has_lines(&listing) && source_open(&source, row->file, options->folder) == 0;
    struct printer p = {
        .report = &reports->functions,
        .listing = &listing,
        .source = found ? &source : NULL,
        .out = out,
    };
    if (out)
        write_function(&p);
    else
        print_function(&p);
    if (found)
        source_free(&source);
    listing_free(&listing);
    return 0;
}

static void print_more(size_t count)
{
    char text[UNITS_TEXT];
    units_count(text, (int64_t)count);
    printf("\n%s more functions match\n", text);
}

static int print_all(const struct list_options *options, const struct reports *reports,
                     const struct choice *choice, size_t shown)
{
    const struct terminal terminal = terminal_of(stdout);
    int status = 0;
    table_print_legend(&reports->functions, &terminal);
    for (size_t i = 0; !status && i < shown; i++)
        status = show_function(options, reports, choice->rows[i], NULL);
    if (choice->count > shown)
        print_more(choice->count - shown);
    return status;
}

static int print_json(const struct list_options *options, const struct reports *reports,
                      const struct choice *choice, size_t shown)
{
    struct buffer out = {0};
    int status = 0;
    struct record head = record_begin(&out, RECORD_JSON);
    table_write_head(&head, &reports->functions);
    json_raw(&out, ",\"functions\":[");
    for (size_t i = 0; !status && i < shown; i++) {
        json_raw(&out, i > 0 ? ",\n" : "\n");
        status = show_function(options, reports, choice->rows[i], &out);
    }
    json_raw(&out, "]}\n");
    int written = table_flush(&out);
    return status ? status : written;
}

static int show(const struct list_options *options, const struct reports *reports,
                const char *name)
{
    struct choice choice;
    int status = choice_make(&choice, &reports->functions, name);
    if (status)
        return choice_fail(status, name);
    size_t shown = choice.count < options->request.rows ? choice.count : options->request.rows;
    status = (options->request.form == TABLE_JSON ? print_json : print_all)(options, reports,
                                                                            &choice, shown);
    choice_free(&choice);
    return status ? fail("out of memory") : EXIT_DONE;
}

static int list(const struct list_options *options, const struct profile *profile,
                const char *name)
{
    struct reports reports;
    const bool all_native = options->request.all_native;
    if (report_make(&reports.functions, profile, (struct report_rows){.by = REPORT_BY_FUNCTION},
                    true, all_native))
        return fail("out of memory");
    int status;
    if (report_make(&reports.lines, profile, (struct report_rows){.by = REPORT_BY_LINE}, true,
                    all_native)) {
        status = fail("out of memory");
    } else {
        reports.functions.title = options->request.title;
        status = show(options, &reports, name);
        report_free(&reports.lines);
    }
    report_free(&reports.functions);
    return status;
}

static int take_option(void *closure, int option, char *argument)
{
    struct list_options *options = closure;
    if (option != OPTION_SOURCE)
        return request_take(&options->request, &command_list, option, argument);
    options->folder = argument;
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"source", required_argument, NULL, OPTION_SOURCE},
        {"all-native", no_argument, NULL, OPTION_ALL_NATIVE},
        REQUEST_JSON_OPTION,
        SELECTION_OPTIONS,
        {0},
    };
    struct list_options options = {.request.cumulative = true};
    struct profile *profile = NULL;
    const char *name = NULL;
    int status = request_load(&options.request, &command_list, argc, argv, known, take_option,
                              &name, &profile);
    if (status != GO_ON)
        return status;
    status = list(&options, profile, name);
    profile_free(profile);
    return status;
}

const struct command command_list = {
    .name = "list",
    .summary = "a function's source lines with what each took",
    .help = help,
    .run = run,
};
