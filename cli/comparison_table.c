#include "comparison_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/json.h"
#include "layout.h"
#include "profile/measures.h"
#include "table.h"
#include "units.h"

#define MARK_WIDTH 1 /* "~" of noise */
#define AMOUNT_LEAST 10
#define SHARE_LEAST 9
#define CONFIDENCE_WIDTH 12
#define GAP_WIDTH 3

/* What a table is printed with. */
struct printer {
    const struct comparison *comparison;
    struct terminal terminal;
    struct layout layout;
    const char *unit;
    size_t amount, share; /* columns, with the gap on their left; of shares 0 where none are */
};

static const char *type_of(const struct comparison_side *side)
{
    return profile_type(side->profile, side->summary.column);
}

static const char *unit_of(const struct comparison_side *side)
{
    return profile_unit(side->profile, side->summary.column);
}

/* A column with the difference as a part of everything: but for shares, which are that. */
static bool has_shares(const struct comparison *comparison)
{
    return comparison->normalization != NORMALIZE_TOTAL;
}

/* "12.3 ms", "45.6%"; with `sign`, what is not negative has a plus. */
static void amount_text(const struct printer *p, char text[UNITS_TEXT], double amount,
                        bool sign)
{
    char number[UNITS_TEXT - 1];
    if (has_shares(p->comparison)) {
        char rate[UNITS_TEXT];
        units_rate(rate, amount, p->unit);
        snprintf(number, sizeof(number), "%.38s", rate);
    } else {
        snprintf(number, sizeof(number), "%.1f%%", 100 * amount);
    }
    snprintf(text, UNITS_TEXT, "%s%s", sign && amount > 0 ? "+" : "", number);
}

static void confidence_text(const struct comparison_row *row, char text[UNITS_TEXT])
{
    if (row->stands_out)
        snprintf(text, UNITS_TEXT, ">99.9%%");
    else /* rounded down: what is noise must not read as the limit */
        snprintf(text, UNITS_TEXT, "%.1f%%", floor(1000 * row->confidence) / 10);
}

static enum style row_style(const struct comparison_row *row)
{
    return !row->stands_out ? STYLE_DIM : row->delta > 0 ? STYLE_RED : STYLE_GREEN;
}

/* What a row shows, base to delta, and the share. */
struct cells {
    char amount[SIDES + 1][UNITS_TEXT], share[UNITS_TEXT];
};

static void fill_cells(const struct printer *p, const struct comparison_row *row,
                       struct cells *cells)
{
    for (enum side side = 0; side < SIDES; side++)
        amount_text(p, cells->amount[side], row->amount[side], false);
    amount_text(p, cells->amount[SIDES], row->delta, true);
    snprintf(cells->share, UNITS_TEXT, "%+.1f%%", 100 * row->share);
}

static size_t wider(size_t columns, const char *text)
{
    size_t needed = terminal_columns(text, strlen(text)) + 2;
    return needed > columns ? needed : columns;
}

/* Makes the columns as wide as a row needs. */
static void measure(struct printer *p, const struct comparison_row *row)
{
    struct cells cells;
    fill_cells(p, row, &cells);
    for (size_t i = 0; i <= SIDES; i++)
        p->amount = wider(p->amount, cells.amount[i]);
    if (has_shares(p->comparison))
        p->share = wider(p->share, cells.share);
    layout_add(&p->layout, row->what);
}

static size_t left_columns(const struct printer *p)
{
    return MARK_WIDTH + (SIDES + 1) * p->amount + p->share + CONFIDENCE_WIDTH + GAP_WIDTH;
}

static void print_amounts(const struct printer *p, const struct comparison_row *row)
{
    const struct terminal *terminal = &p->terminal;
    char text[UNITS_TEXT];
    struct cells cells;
    fill_cells(p, row, &cells);
    for (size_t i = 0; i <= SIDES; i++)
        terminal_print_right(terminal, cells.amount[i], p->amount);
    if (has_shares(p->comparison))
        terminal_print_right(terminal, cells.share, p->share);
    confidence_text(row, text);
    terminal_print_right(terminal, text, CONFIDENCE_WIDTH);
}

static void print_row(const struct printer *p, const struct comparison_row *row)
{
    const struct terminal *terminal = &p->terminal;
    enum style style = row_style(row);
    struct layout layout = p->layout;
    layout.grey = !row->stands_out;
    fprintf(terminal->file, "%s%s", terminal_style(terminal, style),
            row->stands_out ? " " : "~");
    print_amounts(p, row);
    fprintf(terminal->file, "%s%*s", terminal_reset(terminal, style), GAP_WIDTH, "");
    layout_print(&layout, row->what, terminal);
    fputc('\n', terminal->file);
}

static void print_heading(const struct printer *p)
{
    FILE *file = p->terminal.file;
    int amount = (int)p->amount;
    fputs(terminal_style(&p->terminal, STYLE_DIM), file);
    fprintf(file, "%*s%*s%*s%*s", MARK_WIDTH + amount, "base", amount, "new", amount, "delta",
            (int)p->share, has_shares(p->comparison) ? "of base" : "");
    fprintf(file, "%*s%*s%s%s\n", CONFIDENCE_WIDTH, "confidence", GAP_WIDTH, "",
            report_heading(&p->comparison->report.what),
            terminal_reset(&p->terminal, STYLE_DIM));
}

static void print_side(const struct terminal *terminal, const char *word, const char *name,
                       const struct comparison_side *side, int64_t total)
{
    struct report legend = {.profile = side->profile, .summary = side->summary, .total = total};
    fprintf(terminal->file, "%s  ", word);
    terminal_print(terminal, STYLE_PLAIN, name, strlen(name), 60, CUT_START, false);
    fputs(" · ", terminal->file);
    table_print_legend(&legend, terminal);
}

/* What the numbers are. */
static void print_whole(const struct printer *p, const char *type)
{
    static const char *const how[] = {
        [NORMALIZE_SECOND] = "per second of wall time",
        [NORMALIZE_TOTAL] = "as a share of each side's total",
        [NORMALIZE_NONE] = "as it stands",
    };
    const char *what = measure_words(type);
    fputs(p->comparison->cumulative ? "total " : "self ", p->terminal.file);
    terminal_print(&p->terminal, STYLE_PLAIN, what, strlen(what), 40, CUT_END, false);
    fprintf(p->terminal.file, "%s %s; ~ is within sampling noise\n\n",
            what != type ? " time" : "", how[p->comparison->normalization]);
}

static void print_rest(const struct printer *p, size_t shown)
{
    char count[UNITS_TEXT];
    if (shown >= p->comparison->row_count)
        return;
    units_count(count, (int64_t)(p->comparison->row_count - shown));
    fprintf(p->terminal.file, "%*s%s%s more%s\n", (int)left_columns(p), "",
            terminal_style(&p->terminal, STYLE_DIM), count,
            terminal_reset(&p->terminal, STYLE_DIM));
}

void comparison_print(const struct comparison *comparison,
                      const struct comparison_side sides[SIDES], const char *const names[SIDES],
                      size_t limit)
{
    struct printer p = {
        .comparison = comparison,
        .terminal = terminal_of(stdout),
        .layout.cut = table_cut(comparison->report.what.by),
        .unit = unit_of(&sides[SIDE_NEW]),
        .amount = AMOUNT_LEAST,
        .share = has_shares(comparison) ? SHARE_LEAST : 0,
    };
    static const struct report_row whole_row = {
        .name = "everything", .name_length = 10, .file = "", .type = ""};
    struct comparison_row whole = comparison->whole;
    whole.what = &whole_row;
    size_t rows = comparison->row_count < limit ? comparison->row_count : limit;
    for (size_t i = 0; i < rows; i++)
        measure(&p, &comparison->rows[i]);
    measure(&p, &whole);
    layout_fit(&p.layout, &p.terminal, left_columns(&p));
    print_side(&p.terminal, "base", names[SIDE_BASE], &sides[SIDE_BASE],
               comparison->whole.value[SIDE_BASE]);
    print_side(&p.terminal, "new ", names[SIDE_NEW], &sides[SIDE_NEW],
               comparison->whole.value[SIDE_NEW]);
    print_whole(&p, type_of(&sides[SIDE_NEW]));
    print_heading(&p);
    if (has_shares(comparison))
        print_row(&p, &whole);
    for (size_t i = 0; i < rows; i++)
        print_row(&p, &comparison->rows[i]);
    print_rest(&p, rows);
}

/* --- for programs --- */

static void write_text(struct record *record, const char *key, const char *text)
{
    record_text(record, key, text, strlen(text));
}

static void write_amounts(struct record *record, const struct comparison_row *row)
{
    record_integer(record, "base", row->value[SIDE_BASE]);
    record_integer(record, "new", row->value[SIDE_NEW]);
    record_integer(record, "base_samples", row->samples[SIDE_BASE]);
    record_integer(record, "new_samples", row->samples[SIDE_NEW]);
    record_real(record, "base_normalized", row->amount[SIDE_BASE]);
    record_real(record, "new_normalized", row->amount[SIDE_NEW]);
    record_real(record, "delta", row->delta);
    record_real(record, "delta_of_base_total", row->share);
    record_real(record, "z", row->z);
    record_real(record, "confidence", row->confidence);
    record_flag(record, "stands_out", row->stands_out);
}

static void write_row(struct buffer *out, enum record_format format,
                      const struct comparison_row *row)
{
    struct record record = record_begin(out, format);
    table_write_place(&record, row->what);
    write_amounts(&record, row);
    record_end(&record);
}

static void write_sides(struct buffer *out, const struct comparison *comparison,
                        const struct comparison_side sides[SIDES],
                        const char *const names[SIDES])
{
    static const char *const keys[SIDES] = {"\"base\":", ",\"new\":"};
    for (enum side side = 0; side < SIDES; side++) {
        const struct profile_header *header = profile_header_const(sides[side].profile);
        const char *service = sides[side].summary.service;
        json_raw(out, keys[side]);
        struct record record = record_begin(out, RECORD_JSON);
        write_text(&record, "file", names[side]);
        write_text(&record, "service", service ? service : "");
        record_integer(&record, "duration_ns", (int64_t)header->duration_ns);
        record_real(&record, "samples_per_observation", comparison->weight[side]);
        record_end(&record);
    }
}

int comparison_print_json(const struct comparison *comparison,
                          const struct comparison_side sides[SIDES],
                          const char *const names[SIDES], size_t limit)
{
    static const char *const how[] = {[NORMALIZE_SECOND] = "per second",
                                      [NORMALIZE_TOTAL] = "by total",
                                      [NORMALIZE_NONE] = "no"};
    struct buffer out = {0};
    struct record head = record_begin(&out, RECORD_JSON);
    write_sides(&out, comparison, sides, names);
    head.begun = true;
    write_text(&head, "type", type_of(&sides[SIDE_NEW]));
    write_text(&head, "unit", unit_of(&sides[SIDE_NEW]));
    write_text(&head, "value", comparison->cumulative ? "total" : "self");
    write_text(&head, "normalized", how[comparison->normalization]);
    json_raw(&out, ",\"total\":");
    struct record whole = record_begin(&out, RECORD_JSON);
    write_amounts(&whole, &comparison->whole);
    record_end(&whole);
    json_raw(&out, ",\"rows\":[");
    for (size_t i = 0; i < comparison->row_count && i < limit; i++) {
        json_raw(&out, i > 0 ? ",\n" : "\n");
        write_row(&out, RECORD_JSON, &comparison->rows[i]);
    }
    json_raw(&out, "]}\n");
    return table_flush(&out);
}

int comparison_print_csv(const struct comparison *comparison, size_t limit)
{
    static const struct report_row none = {.name = "", .file = "", .type = ""};
    struct buffer out = {0};
    write_row(&out, RECORD_CSV_KEYS, &(struct comparison_row){.what = &none});
    for (size_t i = 0; i < comparison->row_count && i < limit; i++)
        write_row(&out, RECORD_CSV, &comparison->rows[i]);
    return table_flush(&out);
}
