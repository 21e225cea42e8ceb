#include "comparison_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/json.h"
#include "layout.h"
#include "table.h"
#include "units.h"

#define MARK_WIDTH 1 /* "~" of noise */
#define AMOUNT_WIDTH 10
#define SHARE_WIDTH 9
#define CONFIDENCE_WIDTH 12
#define GAP_WIDTH 3

/* What a table is printed with. */
struct printer {
    const struct comparison *comparison;
    struct terminal terminal;
    struct layout layout;
    const char *unit;
};

static const char *type_of(const struct comparison_side *side)
{
    return profile_type(side->profile, side->summary.column);
}

static const char *unit_of(const struct comparison_side *side)
{
    return profile_unit(side->profile, side->summary.column);
}

static bool is_per_second(const struct comparison *comparison)
{
    return comparison->normalization == NORMALIZE_SECOND;
}

/* "12.3 ms", "45.6%"; with `sign`, what is not negative has a plus. */
static void amount_text(const struct printer *p, char text[UNITS_TEXT], double amount,
                        bool sign)
{
    char number[UNITS_TEXT - 1];
    if (is_per_second(p->comparison)) {
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

/* Padded by hand: printf counts bytes, and "µ" is more than one. */
static void print_right(const struct terminal *terminal, const char *text, size_t width)
{
    size_t columns = terminal_columns(text, strlen(text));
    fprintf(terminal->file, "%*s%s", (int)(width > columns ? width - columns : 0), "", text);
}

static enum style row_style(const struct comparison_row *row)
{
    return !row->stands_out ? STYLE_DIM : row->delta > 0 ? STYLE_RED : STYLE_GREEN;
}

static void print_amounts(const struct printer *p, const struct comparison_row *row)
{
    const struct terminal *terminal = &p->terminal;
    char text[UNITS_TEXT];
    for (enum side side = 0; side < SIDES; side++) {
        amount_text(p, text, row->amount[side], false);
        print_right(terminal, text, AMOUNT_WIDTH);
    }
    amount_text(p, text, row->delta, true);
    print_right(terminal, text, AMOUNT_WIDTH);
    if (is_per_second(p->comparison)) {
        snprintf(text, sizeof(text), "%+.1f%%", 100 * row->share);
        print_right(terminal, text, SHARE_WIDTH);
    }
    confidence_text(row, text);
    print_right(terminal, text, CONFIDENCE_WIDTH);
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
    const struct terminal *terminal = &p->terminal;
    bool per_second = is_per_second(p->comparison);
    fputs(terminal_style(terminal, STYLE_DIM), terminal->file);
    fprintf(terminal->file, "%*s%*s%*s%*s", MARK_WIDTH + AMOUNT_WIDTH, "base", AMOUNT_WIDTH,
            "new", AMOUNT_WIDTH, "delta", per_second ? SHARE_WIDTH : 0,
            per_second ? "of base" : "");
    fprintf(terminal->file, "%*s%*s%s%s\n", CONFIDENCE_WIDTH, "confidence", GAP_WIDTH, "",
            report_by_word(p->comparison->report.by), terminal_reset(terminal, STYLE_DIM));
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
    fprintf(p->terminal.file, "%s %s %s; ~ is within sampling noise\n\n",
            p->comparison->cumulative ? "total" : "self",
            strcmp(type, "cpu") == 0 ? "CPU time" : type,
            is_per_second(p->comparison) ? "per second of wall time"
                                         : "as a share of each side's total");
}

static void print_rest(const struct printer *p, size_t shown)
{
    char count[UNITS_TEXT];
    if (shown >= p->comparison->row_count)
        return;
    units_count(count, (int64_t)(p->comparison->row_count - shown));
    size_t left = MARK_WIDTH + 3 * AMOUNT_WIDTH + CONFIDENCE_WIDTH + GAP_WIDTH;
    fprintf(p->terminal.file, "%*s%s%s more%s\n",
            (int)left + (is_per_second(p->comparison) ? SHARE_WIDTH : 0), "",
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
        .layout.cut = table_cut(comparison->report.by),
        .unit = unit_of(&sides[SIDE_NEW]),
    };
    static const struct report_row whole_row = {
        .name = "everything", .name_length = 10, .file = "", .type = ""};
    struct comparison_row whole = comparison->whole;
    whole.what = &whole_row;
    size_t rows = comparison->row_count < limit ? comparison->row_count : limit;
    for (size_t i = 0; i < rows; i++)
        layout_add(&p.layout, comparison->rows[i].what);
    layout_add(&p.layout, &whole_row);
    size_t fixed = MARK_WIDTH + 3 * AMOUNT_WIDTH + CONFIDENCE_WIDTH + GAP_WIDTH;
    layout_fit(&p.layout, &p.terminal, fixed + (is_per_second(comparison) ? SHARE_WIDTH : 0));
    print_side(&p.terminal, "base", names[SIDE_BASE], &sides[SIDE_BASE],
               comparison->whole.value[SIDE_BASE]);
    print_side(&p.terminal, "new ", names[SIDE_NEW], &sides[SIDE_NEW],
               comparison->whole.value[SIDE_NEW]);
    print_whole(&p, type_of(&sides[SIDE_NEW]));
    print_heading(&p);
    if (is_per_second(comparison))
        print_row(&p, &whole);
    for (size_t i = 0; i < rows; i++)
        print_row(&p, &comparison->rows[i]);
    print_rest(&p, rows);
}

/* --- JSON --- */

static void write_text(struct buffer *out, const char *key, const char *text)
{
    json_raw(out, key);
    json_string(out, text, strlen(text));
}

static void write_integer(struct buffer *out, const char *key, int64_t value)
{
    json_raw(out, key);
    json_integer(out, value);
}

/* JSON knows no infinity; a comparison never makes one of files that hold something. */
static void write_real(struct buffer *out, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof(text), "%.9g", isfinite(value) ? value : 0);
    json_raw(out, key);
    json_raw(out, text);
}

static void write_amounts(struct buffer *out, const struct comparison_row *row)
{
    write_integer(out, "\"base\":", row->value[SIDE_BASE]);
    write_integer(out, ",\"new\":", row->value[SIDE_NEW]);
    write_integer(out, ",\"base_samples\":", row->samples[SIDE_BASE]);
    write_integer(out, ",\"new_samples\":", row->samples[SIDE_NEW]);
    write_real(out, ",\"base_normalized\":", row->amount[SIDE_BASE]);
    write_real(out, ",\"new_normalized\":", row->amount[SIDE_NEW]);
    write_real(out, ",\"delta\":", row->delta);
    write_real(out, ",\"delta_of_base_total\":", row->share);
    write_real(out, ",\"z\":", row->z);
    write_real(out, ",\"confidence\":", row->confidence);
    json_raw(out, row->stands_out ? ",\"stands_out\":true}" : ",\"stands_out\":false}");
}

static void write_row(struct buffer *out, const struct comparison_row *row)
{
    const struct report_row *what = row->what;
    json_raw(out, "{\"name\":");
    json_string(out, what->name, what->name_length);
    write_text(out, ",\"file\":", what->file);
    write_integer(out, ",\"line\":", what->line);
    write_text(out, ",\"frame_type\":", what->type);
    json_raw(out, ",");
    write_amounts(out, row);
}

int comparison_print_json(const struct comparison *comparison,
                          const struct comparison_side sides[SIDES],
                          const char *const names[SIDES], size_t limit)
{
    static const char *const side_keys[SIDES] = {"{\"base\":{\"file\":", ",\"new\":{\"file\":"};
    struct buffer out = {0};
    for (enum side side = 0; side < SIDES; side++) {
        const struct profile_header *header = profile_header_const(sides[side].profile);
        const char *service = sides[side].summary.service;
        write_text(&out, side_keys[side], names[side]);
        write_text(&out, ",\"service\":", service ? service : "");
        write_integer(&out, ",\"duration_ns\":", (int64_t)header->duration_ns);
        json_raw(&out, "}");
    }
    write_text(&out, ",\"type\":", type_of(&sides[SIDE_NEW]));
    write_text(&out, ",\"unit\":", unit_of(&sides[SIDE_NEW]));
    write_text(&out, ",\"value\":", comparison->cumulative ? "total" : "self");
    write_text(&out, ",\"normalized\":", is_per_second(comparison) ? "per second" : "by total");
    json_raw(&out, ",\"total\":{");
    write_amounts(&out, &comparison->whole);
    json_raw(&out, ",\"rows\":[");
    for (size_t i = 0; i < comparison->row_count && i < limit; i++) {
        json_raw(&out, i > 0 ? ",\n" : "\n");
        write_row(&out, &comparison->rows[i]);
    }
    json_raw(&out, "]}\n");
    if (!out.error)
        fwrite(out.data, 1, out.size, stdout);
    int status = out.error;
    buffer_free(&out);
    return status;
}
