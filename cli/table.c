#include "table.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cells.h"
#include "command.h"
#include "format/json.h"
#include "layout.h"
#include "profile/clamp.h"
#include "profile/measures.h"
#include "profile/unit.h"
#include "progress.h"
#include "terminal.h"
#include "units.h"

#define GAP_WIDTH 3 /* between the amounts and the names */

/* What a table is printed with. */
struct printer {
    const struct report *report;
    struct terminal terminal;
    struct layout layout;
    struct cells cells;
};

static const char *shown_type(const struct report *report)
{
    return profile_type(report->profile, report->summary.column);
}

static const char *shown_unit(const struct report *report)
{
    return profile_unit(report->profile, report->summary.column);
}

/* Rows of whole samples have nothing that they call. */
static bool is_flat(const struct report *report)
{
    return report->what.by >= REPORT_BY_THREAD;
}

/* Types and units come from files. */
static void print_text(const struct terminal *terminal, const char *text)
{
    terminal_print(terminal, STYLE_PLAIN, text, strlen(text), 40, CUT_END, false);
}

/* "298 s of CPU", "1.20 GiB of alloc", "1,234 samples", "12.3 M cycles of work" */
static void print_amount(const struct report *report, const struct terminal *terminal)
{
    const char *type = shown_type(report), *unit = shown_unit(report);
    char value[UNITS_TEXT];
    units_value(value, report->total, unit);
    fputs(value, terminal->file);
    if (strcmp(type, "samples") == 0) {
        fprintf(terminal->file, " sample%s", report->total == 1 ? "" : "s");
        return;
    }
    bool of_type = unit_kind(unit) != UNIT_COUNT;
    if (!of_type && *unit && strcmp(unit, "count") != 0 && strcmp(unit, type) != 0 &&
        strcmp(unit, UNITS_MILLIONTHS) != 0) {
        fputc(' ', terminal->file);
        print_text(terminal, unit);
        of_type = true;
    }
    fputs(of_type ? " of " : " ", terminal->file);
    print_text(terminal, measure_words(type));
}

/* A pprof file has one period, CPU's, also where other values were merged into it. */
static bool has_period(const struct report *report, const struct profile_period *period)
{
    const char *type = shown_type(report);
    return strcmp(profile_text(report->profile, period->type.type), "cpu") != 0 ||
           strcmp(type, "cpu") == 0 || strcmp(type, "samples") == 0;
}

static void print_period(const struct report *report, FILE *file)
{
    const size_t sheet = profile_column_sheet(report->profile, report->summary.column);
    const struct profile_period *period = profile_period_const(report->profile, sheet);
    char text[UNITS_TEXT];
    if (has_period(report, period) &&
        units_period(text, period->value, profile_text(report->profile, period->type.unit)))
        fprintf(file, " %s", text);
}

void table_print_legend(const struct report *report, const struct terminal *terminal)
{
    FILE *file = terminal->file;
    const struct profile_summary *summary = &report->summary;
    const struct profile_header *header = profile_header_const(report->profile);
    char text[UNITS_TEXT];
    const char *title = summary->service ? summary->service : report->title;
    if (title) {
        terminal_print(terminal, STYLE_BOLD, title, strlen(title), 60, CUT_START, false);
        fputs(" · ", file);
    } else if (summary->services > 1) {
        fprintf(file, "%zu services · ", summary->services);
    }
    print_amount(report, terminal);
    if (header->duration_ns > 0 && header->duration_ns <= INT64_MAX) {
        units_duration(text, (int64_t)header->duration_ns);
        fprintf(file, " in %s", text);
    }
    if (strcmp(shown_type(report), "samples") != 0) {
        units_count(text, summary->samples);
        fprintf(file, " · %s sample%s", text, summary->samples == 1 ? "" : "s");
    }
    print_period(report, file);
    if (summary->threads > 0) {
        units_count(text, (int64_t)summary->threads);
        fprintf(file, " · %s thread%s", text, summary->threads == 1 ? "" : "s");
    }
    if (report->idle != 0) {
        units_value(text, report->idle, shown_unit(report));
        fprintf(file, " · %s idle left out", text);
    }
    fputc('\n', file);
}

static void print_row(const struct printer *p, const struct report_row *row)
{
    cells_print(&p->cells, &p->terminal, row->self);
    if (!is_flat(p->report))
        cells_print(&p->cells, &p->terminal, row->total);
    fprintf(p->terminal.file, "%*s", GAP_WIDTH, "");
    layout_print(&p->layout, row, &p->terminal);
    fputc('\n', p->terminal.file);
}

static void print_heading(const struct printer *p)
{
    const struct terminal *terminal = &p->terminal;
    const char *type = shown_type(p->report);
    size_t cell = cells_width(&p->cells), columns = terminal_columns(type, strlen(type));
    fputs(terminal_style(terminal, STYLE_DIM), terminal->file);
    if (is_flat(p->report)) {
        fprintf(terminal->file, "%*s", (int)(columns < cell ? cell - columns : 0), "");
        terminal_print(terminal, STYLE_PLAIN, type, strlen(type), cell, CUT_END, false);
    } else {
        fprintf(terminal->file, "%*s%*s", (int)cell, "self", (int)cell, "total");
    }
    fprintf(terminal->file, "%*s%s%s\n", GAP_WIDTH, "", report_heading(&p->report->what),
            terminal_reset(terminal, STYLE_DIM));
}

static int64_t self_from(const struct report *report, size_t shown)
{
    int64_t self = 0;
    for (size_t i = shown; i < report->row_count; i++)
        self = clamp_add(self, report->rows[i].self);
    return self;
}

static void print_rest(const struct printer *p, size_t shown)
{
    const struct report *report = p->report;
    if (shown >= report->row_count)
        return;
    char count[UNITS_TEXT];
    units_count(count, (int64_t)(report->row_count - shown));
    cells_print(&p->cells, &p->terminal, self_from(report, shown));
    size_t left = (is_flat(report) ? 0 : cells_width(&p->cells)) + GAP_WIDTH;
    fprintf(p->terminal.file, "%*s%s%s more%s\n", (int)left, "",
            terminal_style(&p->terminal, STYLE_DIM), count,
            terminal_reset(&p->terminal, STYLE_DIM));
}

void table_print_row(const struct report *report, const struct report_row *row,
                     const struct terminal *terminal)
{
    struct printer p = {
        .report = report,
        .terminal = *terminal,
        .layout = {.cut = table_cut(report->what.by)},
        .cells = cells_of(shown_unit(report), report->whole),
    };
    cells_measure(&p.cells, row->self);
    cells_measure(&p.cells, row->total);
    layout_add(&p.layout, row);
    layout_fit(&p.layout, terminal, 2 * cells_width(&p.cells) + GAP_WIDTH);
    print_heading(&p);
    print_row(&p, row);
}

enum terminal_cut table_cut(enum report_by by)
{
    return by == REPORT_BY_STACK ? CUT_START : CUT_END;
}

/* Sees how wide the first `rows` rows are, and what stands for the others. */
static void measure(struct printer *p, size_t rows)
{
    const struct report *report = p->report;
    for (size_t i = 0; i < rows; i++) {
        cells_measure(&p->cells, report->rows[i].self);
        cells_measure(&p->cells, report->rows[i].total);
        layout_add(&p->layout, &report->rows[i]);
    }
    cells_measure(&p->cells, self_from(report, rows));
    layout_fit(&p->layout, &p->terminal,
               (is_flat(report) ? 1 : 2) * (cells_width(&p->cells)) + GAP_WIDTH);
}

void table_print(const struct report *report, size_t limit, FILE *file)
{
    struct printer p = {
        .report = report,
        .terminal = terminal_of(file),
        .layout = {.cut = table_cut(report->what.by)},
        .cells = cells_of(shown_unit(report), report->whole),
    };
    if (report->row_count == 0) {
        fputs("The profile has no samples that match.\n", file);
        return;
    }
    size_t rows = report->row_count < limit ? report->row_count : limit;
    measure(&p, rows);
    table_print_legend(report, &p.terminal);
    fputc('\n', file);
    print_heading(&p);
    for (size_t i = 0; i < rows; i++)
        print_row(&p, &report->rows[i]);
    print_rest(&p, rows);
}

/* --- for programs --- */

void table_write_place(struct record *record, const struct report_row *row)
{
    record_text(record, "name", row->name, row->name_length);
    record_text(record, "file", row->file, strlen(row->file));
    record_integer(record, "line", row->line);
    record_text(record, "frame_type", row->type, strlen(row->type));
}

void table_write_row(struct record *record, const struct report_row *row)
{
    table_write_place(record, row);
    record_integer(record, "self", row->self);
    record_integer(record, "total", row->total);
}

void table_write_head(struct record *record, const struct report *report)
{
    const struct profile_header *header = profile_header_const(report->profile);
    const char *service = report->summary.service ? report->summary.service : "";
    record_text(record, "service", service, strlen(service));
    record_text(record, "type", shown_type(report), strlen(shown_type(report)));
    record_text(record, "unit", shown_unit(report), strlen(shown_unit(report)));
    record_integer(record, "total", report->total);
    record_integer(record, "samples", report->summary.samples);
    record_integer(record, "threads", (int64_t)report->summary.threads);
    record_integer(record, "duration_ns", (int64_t)header->duration_ns);
    if (report->idle != 0)
        record_integer(record, "idle", report->idle);
}

static void write_row(struct buffer *out, enum record_format format,
                      const struct report_row *row)
{
    struct record record = record_begin(out, format);
    table_write_row(&record, row);
    record_end(&record);
}

static void write_json(const struct report *report, size_t limit, struct buffer *out)
{
    struct record head = record_begin(out, RECORD_JSON);
    table_write_head(&head, report);
    json_raw(out, ",\"rows\":[");
    for (size_t i = 0; i < report->row_count && i < limit; i++) {
        json_raw(out, i > 0 ? ",\n" : "\n");
        write_row(out, RECORD_JSON, &report->rows[i]);
    }
    json_raw(out, "]}\n");
}

static void write_csv(const struct report *report, size_t limit, struct buffer *out)
{
    static const struct report_row none = {.name = "", .file = "", .type = ""};
    write_row(out, RECORD_CSV_KEYS, &none);
    for (size_t i = 0; i < report->row_count && i < limit; i++)
        write_row(out, RECORD_CSV, &report->rows[i]);
}

int table_flush(struct buffer *out)
{
    if (!out->error)
        fwrite(out->data, 1, out->size, stdout);
    int status = out->error;
    buffer_free(out);
    return status;
}

static int print_report(const struct report *report, const struct table_view *view)
{
    if (view->form == TABLE_TEXT) {
        table_print(report, view->rows, stdout);
        return 0;
    }
    struct buffer out = {0};
    (view->form == TABLE_JSON ? write_json : write_csv)(report, view->rows, &out);
    return table_flush(&out);
}

int table_show(const struct profile *profile, const struct table_view *view)
{
    struct report report;
    progress_begin("counting", 0, "samples");
    int status = report_make(&report, profile, view->what, view->cumulative, view->all_native);
    if (status)
        return fail("out of memory");
    progress_end();
    report.title = view->title;
    report.idle = view->idle;
    status = print_report(&report, view);
    report_free(&report);
    return status ? fail("out of memory") : EXIT_DONE;
}
