/* cprof peek: a function's callers and callees. */
#include <string.h>

#include "cells.h"
#include "choice.h"
#include "format/json.h"
#include "layout.h"
#include "neighbours.h"
#include "request.h"
#include "table.h"
#include "units.h"

#define MOST_FUNCTIONS 20 /* that are shown of those that match */
#define INDENT 3
#define GAP 3

static const char help[] =
    "Usage: cprof peek [OPTIONS] NAME FILE…\n"
    "\n"
    "Prints what a function used itself and with all that it called, who called it and what "
    "it\n"
    "called. NAME is its name or, where no function has just that one, a regular expression\n"
    "that is found in names; of many the hottest 20 are shown. Several files are merged.\n"
    "\n"
    "  -n N            callers and callees to print of each (default 20)\n"
    "  --all-native    also the interpreter's own frames, which else count to the method\n"
    "                  that called them\n"
    "  --json          for programs: one JSON object, values in the profile's own "
    "unit\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof peek Cart.total profile.pb.gz\n";

static const char *const side_words[] = {
    [NEIGHBOUR_CALLERS] = "callers",
    [NEIGHBOUR_CALLEES] = "callees",
};

/* What functions are printed with. */
struct printer {
    const struct report *report;
    struct terminal terminal;
    size_t limit;
};

static void print_neighbour(const struct printer *p, const struct cells *cells,
                            const struct layout *layout, const struct neighbour *neighbour)
{
    fprintf(p->terminal.file, "%*s", INDENT, "");
    cells_print(cells, &p->terminal, neighbour->value);
    fprintf(p->terminal.file, "%*s", GAP, "");
    layout_print(layout, neighbour->row, &p->terminal);
    fputc('\n', p->terminal.file);
}

static void print_more(const struct printer *p, size_t shown, size_t count)
{
    char text[UNITS_TEXT];
    units_count(text, (int64_t)(count - shown));
    if (count > shown)
        fprintf(p->terminal.file, "%*s%s more\n", 2 * INDENT, "", text);
}

static void print_side(const struct printer *p, const struct neighbours *neighbours,
                       enum neighbour_side side, int64_t whole)
{
    const size_t count = neighbours->count[side];
    const size_t shown = count < p->limit ? count : p->limit;
    const struct neighbour *list = neighbours->list[side];
    struct cells cells =
        cells_of(profile_unit(p->report->profile, p->report->summary.column), whole);
    struct layout layout = {.cut = CUT_END};
    for (size_t i = 0; i < shown; i++) {
        cells_measure(&cells, list[i].value);
        layout_add(&layout, list[i].row);
    }
    layout_fit(&layout, &p->terminal, INDENT + cells_width(&cells) + GAP);
    fprintf(p->terminal.file, "  %s%s%s%s\n", terminal_style(&p->terminal, STYLE_DIM),
            count ? "" : "no ", side_words[side], terminal_reset(&p->terminal, STYLE_DIM));
    for (size_t i = 0; i < shown; i++)
        print_neighbour(p, &cells, &layout, &list[i]);
    print_more(p, shown, count);
}

static int print_function(const struct printer *p, const struct report_row *row)
{
    struct neighbours neighbours;
    int status = neighbours_make(&neighbours, p->report, row);
    if (status)
        return status;
    fputc('\n', p->terminal.file);
    table_print_row(p->report, row, &p->terminal);
    for (enum neighbour_side side = 0; side < NEIGHBOUR_SIDES; side++)
        print_side(p, &neighbours, side, row->total);
    neighbours_free(&neighbours);
    return 0;
}

static int print_all(const struct report *report, const struct choice *choice, size_t shown,
                     size_t limit)
{
    const struct printer p = {
        .report = report, .terminal = terminal_of(stdout), .limit = limit};
    int status = 0;
    table_print_legend(report, &p.terminal);
    for (size_t i = 0; !status && i < shown; i++)
        status = print_function(&p, choice->rows[i]);
    if (choice->count > shown)
        fputc('\n', p.terminal.file);
    print_more(&p, shown, choice->count);
    return status;
}

/* --- JSON --- */

static void write_side(struct buffer *out, const struct neighbours *neighbours,
                       enum neighbour_side side, size_t limit)
{
    json_raw(out, side == NEIGHBOUR_CALLERS ? ",\"callers\":[" : ",\"callees\":[");
    for (size_t i = 0; i < neighbours->count[side] && i < limit; i++) {
        json_raw(out, i > 0 ? "," : "");
        struct record record = record_begin(out, RECORD_JSON);
        table_write_place(&record, neighbours->list[side][i].row);
        record_integer(&record, "value", neighbours->list[side][i].value);
        record_end(&record);
    }
    json_raw(out, "]");
}

static int write_all(const struct report *report, const struct choice *choice, size_t shown,
                     size_t limit, struct buffer *out)
{
    struct record head = record_begin(out, RECORD_JSON);
    table_write_head(&head, report);
    json_raw(out, ",\"functions\":[");
    for (size_t i = 0; i < shown; i++) {
        struct neighbours neighbours;
        int status = neighbours_make(&neighbours, report, choice->rows[i]);
        if (status)
            return status;
        json_raw(out, i > 0 ? ",\n" : "\n");
        struct record record = record_begin(out, RECORD_JSON);
        table_write_row(&record, choice->rows[i]);
        for (enum neighbour_side side = 0; side < NEIGHBOUR_SIDES; side++)
            write_side(out, &neighbours, side, limit);
        record_end(&record);
        neighbours_free(&neighbours);
    }
    json_raw(out, "]}\n");
    return out->error;
}

static int print_json(const struct report *report, const struct choice *choice, size_t shown,
                      size_t limit)
{
    struct buffer out = {0};
    int status = write_all(report, choice, shown, limit, &out);
    int written = table_flush(&out);
    return status ? status : written;
}

/* --- the command --- */

static int show(const struct request *request, const struct report *report, const char *name)
{
    struct choice choice;
    int status = choice_make(&choice, report, name);
    if (status)
        return choice_fail(status, name);
    size_t shown = choice.count < MOST_FUNCTIONS ? choice.count : MOST_FUNCTIONS;
    status = (request->form == TABLE_JSON ? print_json : print_all)(report, &choice, shown,
                                                                    request->rows);
    choice_free(&choice);
    return status ? fail("out of memory") : EXIT_DONE;
}

static int take_option(void *request, int option, char *argument)
{
    return request_take(request, &command_peek, option, argument);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"all-native", no_argument, NULL, OPTION_ALL_NATIVE},
        REQUEST_JSON_OPTION,
        SELECTION_OPTIONS,
        {0},
    };
    struct request request = {.cumulative = true};
    struct profile *profile = NULL;
    struct report report;
    const char *name = NULL;
    int status =
        request_load(&request, &command_peek, argc, argv, known, take_option, &name, &profile);
    if (status != GO_ON)
        return status;
    if (report_make(&report, profile, (struct report_rows){.by = REPORT_BY_FUNCTION}, true,
                    request.all_native)) {
        status = fail("out of memory");
    } else {
        report.title = request.title;
        status = show(&request, &report, name);
        report_free(&report);
    }
    profile_free(profile);
    return status;
}

const struct command command_peek = {
    .name = "peek",
    .summary = "a function's callers and callees",
    .help = help,
    .run = run,
};
