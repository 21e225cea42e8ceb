#include "table.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "format/json.h"
#include "layout.h"
#include "progress.h"
#include "terminal.h"
#include "units.h"

#define AMOUNT_WIDTH 9 /* "12.34 s", "1,234,567" */
#define SHARE_WIDTH 7  /* "100.0%" */
#define CELL_WIDTH (AMOUNT_WIDTH + SHARE_WIDTH)
#define GAP_WIDTH 3 /* between the amounts and the names */

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
    return report->by >= REPORT_BY_THREAD;
}

/* "298 s of CPU", "1.2 GiB of alloc", "1,234 samples" */
static void print_amount(const struct report *report, FILE *file)
{
    const char *type = shown_type(report), *unit = shown_unit(report);
    char value[UNITS_TEXT];
    units_value(value, report->total, unit);
    if (strcmp(type, "samples") == 0)
        fprintf(file, "%s samples", value);
    else if (strcmp(type, "cpu") == 0)
        fprintf(file, "%s of CPU", value);
    else
        fprintf(file, "%s of %s", value, type);
}

static void print_rate(const struct report *report, FILE *file)
{
    const struct profile_header *header = profile_header_const(report->profile);
    const char *unit = profile_text(report->profile, header->period_type.unit);
    if (header->period > 0 && strcmp(unit, "nanoseconds") == 0)
        fprintf(file, " at %.4g Hz", 1e9 / (double)header->period);
}

void table_print_legend(const struct report *report, const struct terminal *terminal)
{
    FILE *file = terminal->file;
    const struct profile_summary *summary = &report->summary;
    const struct profile_header *header = profile_header_const(report->profile);
    char text[UNITS_TEXT];
    if (summary->service) {
        terminal_print(terminal, STYLE_BOLD, summary->service, strlen(summary->service), 60,
                       CUT_END, false);
        fputs(" · ", file);
    }
    print_amount(report, file);
    if (header->duration_ns > 0 && header->duration_ns <= INT64_MAX) {
        units_value(text, (int64_t)header->duration_ns, "nanoseconds");
        fprintf(file, " in %s", text);
    }
    if (strcmp(shown_type(report), "samples") != 0) {
        units_count(text, summary->samples);
        fprintf(file, " · %s sample%s", text, summary->samples == 1 ? "" : "s");
    }
    print_rate(report, file);
    if (summary->threads > 0) {
        units_count(text, (int64_t)summary->threads);
        fprintf(file, " · %s thread%s", text, summary->threads == 1 ? "" : "s");
    }
    fputc('\n', file);
}

static void print_cell(const struct terminal *terminal, int64_t value, int64_t whole,
                       const char *unit)
{
    char amount[UNITS_TEXT], share[UNITS_TEXT];
    units_value(amount, value, unit);
    units_share(share, value, whole);
    enum style style = whole > 0 && value >= whole / 10 ? STYLE_BOLD
                       : value == 0                     ? STYLE_DIM
                                                        : STYLE_PLAIN;
    /* Padded by hand: printf counts bytes, and "µ" and "–" are more than one. */
    fprintf(terminal->file, "%*s",
            (int)(AMOUNT_WIDTH - terminal_columns(amount, strlen(amount))), "");
    fprintf(terminal->file, "%s%s", terminal_style(terminal, style), amount);
    fprintf(terminal->file, "%*s", (int)(SHARE_WIDTH - terminal_columns(share, strlen(share))),
            "");
    fprintf(terminal->file, "%s%s", share, terminal_reset(terminal, style));
}

static void print_row(const struct report *report, const struct report_row *row,
                      const struct layout *layout, const struct terminal *terminal)
{
    const char *unit = shown_unit(report);
    print_cell(terminal, row->self, report->total, unit);
    if (!is_flat(report))
        print_cell(terminal, row->total, report->total, unit);
    fprintf(terminal->file, "%*s", GAP_WIDTH, "");
    layout_print(layout, row, terminal);
    fputc('\n', terminal->file);
}

static void print_heading(const struct report *report, const struct terminal *terminal)
{
    fputs(terminal_style(terminal, STYLE_DIM), terminal->file);
    if (is_flat(report))
        fprintf(terminal->file, "%*s", CELL_WIDTH, shown_type(report));
    else
        fprintf(terminal->file, "%*s%*s", CELL_WIDTH, "self", CELL_WIDTH, "total");
    fprintf(terminal->file, "%*s%s%s\n", GAP_WIDTH, "", report_by_word(report->by),
            terminal_reset(terminal, STYLE_DIM));
}

static void print_rest(const struct report *report, size_t shown,
                       const struct terminal *terminal)
{
    if (shown >= report->row_count)
        return;
    int64_t self = 0;
    for (size_t i = shown; i < report->row_count; i++)
        self += report->rows[i].self;
    char count[UNITS_TEXT];
    units_count(count, (int64_t)(report->row_count - shown));
    print_cell(terminal, self, report->total, shown_unit(report));
    fprintf(terminal->file, "%*s%s%s more%s\n", (is_flat(report) ? 0 : CELL_WIDTH) + GAP_WIDTH,
            "", terminal_style(terminal, STYLE_DIM), count,
            terminal_reset(terminal, STYLE_DIM));
}

enum terminal_cut table_cut(enum report_by by)
{
    return by == REPORT_BY_STACK ? CUT_START : CUT_END;
}

void table_print(const struct report *report, size_t limit, FILE *file)
{
    struct terminal terminal = terminal_of(file);
    if (report->row_count == 0) {
        fputs("The profile has no samples that match.\n", file);
        return;
    }
    size_t rows = report->row_count < limit ? report->row_count : limit;
    struct layout layout = {.cut = table_cut(report->by)};
    for (size_t i = 0; i < rows; i++)
        layout_add(&layout, &report->rows[i]);
    layout_fit(&layout, &terminal, (is_flat(report) ? 1 : 2) * CELL_WIDTH + GAP_WIDTH);
    table_print_legend(report, &terminal);
    fputc('\n', file);
    print_heading(report, &terminal);
    for (size_t i = 0; i < rows; i++)
        print_row(report, &report->rows[i], &layout, &terminal);
    print_rest(report, rows, &terminal);
}

/* --- JSON --- */

static void write_text(struct buffer *out, const char *key, const char *text, size_t length)
{
    json_raw(out, key);
    json_string(out, text, length);
}

static void write_number(struct buffer *out, const char *key, int64_t value)
{
    json_raw(out, key);
    json_integer(out, value);
}

static void write_row(struct buffer *out, const struct report_row *row)
{
    write_text(out, "{\"name\":", row->name, row->name_length);
    write_text(out, ",\"file\":", row->file, strlen(row->file));
    write_number(out, ",\"line\":", row->line);
    write_text(out, ",\"frame_type\":", row->type, strlen(row->type));
    write_number(out, ",\"self\":", row->self);
    write_number(out, ",\"total\":", row->total);
    json_raw(out, "}");
}

static int print_json(const struct report *report, size_t limit)
{
    const struct profile_header *header = profile_header_const(report->profile);
    const char *service = report->summary.service ? report->summary.service : "";
    struct buffer out = {0};
    write_text(&out, "{\"service\":", service, strlen(service));
    write_text(&out, ",\"type\":", shown_type(report), strlen(shown_type(report)));
    write_text(&out, ",\"unit\":", shown_unit(report), strlen(shown_unit(report)));
    write_number(&out, ",\"total\":", report->total);
    write_number(&out, ",\"samples\":", report->summary.samples);
    write_number(&out, ",\"threads\":", (int64_t)report->summary.threads);
    write_number(&out, ",\"duration_ns\":", (int64_t)header->duration_ns);
    json_raw(&out, ",\"rows\":[");
    for (size_t i = 0; i < report->row_count && i < limit; i++) {
        json_raw(&out, i > 0 ? ",\n" : "\n");
        write_row(&out, &report->rows[i]);
    }
    json_raw(&out, "]}\n");
    if (!out.error)
        fwrite(out.data, 1, out.size, stdout);
    int status = out.error;
    buffer_free(&out);
    return status;
}

int table_show(const struct profile *profile, enum report_by by, bool cumulative, size_t limit,
               bool json)
{
    struct report report;
    progress_begin("counting", 0, "samples");
    int status = report_make(&report, profile, by, cumulative);
    if (status)
        return fail("out of memory");
    progress_end();
    if (json)
        status = print_json(&report, limit);
    else
        table_print(&report, limit, stdout);
    report_free(&report);
    return status ? fail("out of memory") : EXIT_DONE;
}
