/* cprof leaks: which stacks keep ever more. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "growth.h"
#include "layout.h"
#include "levels.h"
#include "profile/age.h"
#include "progress.h"
#include "request.h"
#include "units.h"

#define AMOUNT_WIDTH 11
#define AGE_WIDTH 8
#define CONFIDENCE_WIDTH 12
#define GAP_WIDTH 3

static const char help[] =
    "Usage: cprof leaks [OPTIONS] FILE…\n"
    "\n"
    "Prints the stacks whose live bytes grow over all of the files, four at least, of one\n"
    "process at different times, or over a time of its history: by more than sampling noise\n"
    "explains, from each quarter of the time to the next, and more than they go up and down.\n"
    "Growth is per hour, with one standard deviation. Confidence is that none of all stacks\n"
    "would look so by chance. Oldest is how old the oldest blocks are at the end, at least\n"
    "(1m, 10m, 1h or 1d). Exits with 3 if there are any, with 0 if not.\n"
    "\n"
    "  -n N            rows to print (default 20)\n"
    "  --all-native    also the interpreter's own frames, which else count to the method\n"
    "                  that called them\n"
    "  --json, --csv   for programs: one JSON object, or comma-separated rows\n" HISTORY_HELP
        SELECTION_HELP "\n"
    "Example:\n"
    "  CPROF_TYPES=heap CPROF_INTERVAL=60 CPROF_OUTPUT=%n.pb.gz python app.py\n"
    "  cprof leaks *.pb.gz\n";

struct leak {
    struct growth growth;
    const char *stack;
    const char *oldest; /* a word of profile/age.h, or "" */
};

struct leaks {
    struct levels levels;
    struct leak *list; /* the fastest first */
    size_t count;
    double first, last; /* of everything, at the two ends */
};

/* ---- which there are ---- */

static int compare_leaks(const void *left, const void *right)
{
    const struct leak *a = left, *b = right;
    if (a->growth.per_hour != b->growth.per_hour)
        return a->growth.per_hour > b->growth.per_hour ? -1 : 1;
    return strcmp(a->stack, b->stack);
}

static const char *word_of(const struct levels *levels, size_t stack)
{
    const char *word = age_word(levels_age(levels, stack));
    return word != NULL ? word : "";
}

static int find(struct leaks *leaks)
{
    const struct levels *levels = &leaks->levels;
    leaks->list = calloc(levels->stack_count + 1, sizeof(*leaks->list));
    if (!leaks->list)
        return fail("out of memory");
    for (size_t i = 0; i < levels->stack_count; i++) {
        const double *values = levels_of(levels, i);
        const struct growth_series series = {.times = levels->times,
                                             .levels = values,
                                             .count = levels->count,
                                             .period = (double)levels->period};
        const struct growth growth = growth_of(&series, levels->stack_count);
        leaks->first += values[0];
        leaks->last += values[levels->count - 1];
        if (growth.grows)
            leaks->list[leaks->count++] = (struct leak){.growth = growth,
                                                        .stack = levels_text(levels, i),
                                                        .oldest = word_of(levels, i)};
    }
    if (leaks->count > 0)
        qsort(leaks->list, leaks->count, sizeof(*leaks->list), compare_leaks);
    return GO_ON;
}

/* ---- for people ---- */

static void print_bytes(const struct terminal *terminal, double bytes, bool sign, size_t width)
{
    char text[UNITS_TEXT], signed_text[UNITS_TEXT + 3];
    units_value(text, (int64_t)bytes, "bytes");
    snprintf(signed_text, sizeof(signed_text), "%s%s", sign ? "±" : "", text);
    terminal_print_right(terminal, signed_text, width);
}

/* "110 min", "3.5 h" */
static void print_span(FILE *file, uint64_t ns)
{
    double seconds = (double)ns / 1e9;
    if (seconds < 120)
        fprintf(file, "%.3g s", seconds);
    else if (seconds < 7200)
        fprintf(file, "%.3g min", seconds / 60);
    else
        fprintf(file, "%.1f h", seconds / 3600);
}

static void print_head(const struct leaks *leaks, const struct terminal *terminal)
{
    const struct levels *levels = &leaks->levels;
    const char *service = profile_service(levels->profile);
    char first[UNITS_TEXT], last[UNITS_TEXT];
    units_value(first, (int64_t)leaks->first, "bytes");
    units_value(last, (int64_t)leaks->last, "bytes");
    if (service) {
        terminal_print(terminal, STYLE_BOLD, service, strlen(service), 60, CUT_START, false);
        fputs(" · ", terminal->file);
    }
    fprintf(terminal->file, "%zu profiles in ", levels->count);
    print_span(terminal->file, levels->times[levels->count - 1] - levels->times[0]);
    fprintf(terminal->file, " · %s alive, then %s\n\n", first, last);
}

static void print_heading(const struct terminal *terminal)
{
    FILE *file = terminal->file;
    fputs(terminal_style(terminal, STYLE_DIM), file);
    fprintf(file, "%*s%*s%*s%*s%*s%*s%*s%s%s\n", AMOUNT_WIDTH, "growth/h", AMOUNT_WIDTH, "",
            AMOUNT_WIDTH, "first", AMOUNT_WIDTH, "last", AGE_WIDTH, "oldest", CONFIDENCE_WIDTH,
            "confidence", GAP_WIDTH, "", "stack", terminal_reset(terminal, STYLE_DIM));
}

static void print_leak(const struct leak *leak, const struct layout *layout,
                       const struct terminal *terminal)
{
    const struct report_row row = {
        .name = leak->stack, .name_length = strlen(leak->stack), .file = "", .type = ""};
    print_bytes(terminal, leak->growth.per_hour, false, AMOUNT_WIDTH);
    print_bytes(terminal, leak->growth.deviation, true, AMOUNT_WIDTH);
    print_bytes(terminal, leak->growth.first, false, AMOUNT_WIDTH);
    print_bytes(terminal, leak->growth.last, false, AMOUNT_WIDTH);
    terminal_print_right(terminal, leak->oldest, AGE_WIDTH);
    terminal_print_right(terminal, ">99.9%", CONFIDENCE_WIDTH);
    fprintf(terminal->file, "%*s", GAP_WIDTH, "");
    layout_print(layout, &row, terminal);
    fputc('\n', terminal->file);
}

static void print_leaks(const struct leaks *leaks, size_t most)
{
    const struct terminal terminal = terminal_of(stdout);
    struct layout layout = {.cut = CUT_START};
    size_t shown = leaks->count < most ? leaks->count : most;
    print_head(leaks, &terminal);
    if (leaks->count == 0) {
        fputs("No stack grows by more than sampling noise.\n", terminal.file);
        return;
    }
    for (size_t i = 0; i < shown; i++)
        layout_add(&layout, &(struct report_row){.name = leaks->list[i].stack,
                                                 .name_length = strlen(leaks->list[i].stack),
                                                 .file = "",
                                                 .type = ""});
    layout_fit(&layout, &terminal, 4 * AMOUNT_WIDTH + AGE_WIDTH + CONFIDENCE_WIDTH + GAP_WIDTH);
    print_heading(&terminal);
    for (size_t i = 0; i < shown; i++)
        print_leak(&leaks->list[i], &layout, &terminal);
    if (shown < leaks->count)
        fprintf(terminal.file, "and %zu more\n", leaks->count - shown);
}

/* ---- for programs ---- */

static void write_leak(struct buffer *out, enum record_format format, const struct leak *leak)
{
    struct record record = record_begin(out, format);
    record_text(&record, "stack", leak->stack, strlen(leak->stack));
    record_real(&record, "bytes_per_hour", leak->growth.per_hour);
    record_real(&record, "deviation", leak->growth.deviation);
    record_integer(&record, "first", (int64_t)leak->growth.first);
    record_integer(&record, "last", (int64_t)leak->growth.last);
    record_real(&record, "confidence", leak->growth.confidence);
    record_text(&record, "oldest", leak->oldest, strlen(leak->oldest));
    record_end(&record);
}

static void write_json(const struct leaks *leaks, size_t shown, struct buffer *out)
{
    const struct levels *levels = &leaks->levels;
    const char *service = profile_service(levels->profile);
    struct record head = record_begin(out, RECORD_JSON);
    record_text(&head, "service", service ? service : "", service ? strlen(service) : 0);
    record_integer(&head, "profiles", (int64_t)levels->count);
    record_integer(&head, "from_ns", (int64_t)levels->times[0]);
    record_integer(&head, "to_ns", (int64_t)levels->times[levels->count - 1]);
    record_integer(&head, "first", (int64_t)leaks->first);
    record_integer(&head, "last", (int64_t)leaks->last);
    record_integer(&head, "stacks", (int64_t)levels->stack_count);
    json_raw(out, ",\"leaks\":[");
    for (size_t i = 0; i < shown; i++) {
        json_raw(out, i > 0 ? "," : "");
        write_leak(out, RECORD_JSON, &leaks->list[i]);
    }
    json_raw(out, "]");
    record_end(&head);
}

static int write_leaks(const struct leaks *leaks, enum table_form form, size_t most)
{
    struct buffer out = {0};
    size_t shown = leaks->count < most ? leaks->count : most;
    if (form == TABLE_JSON) {
        write_json(leaks, shown, &out);
        json_raw(&out, "\n");
    } else {
        static const struct leak none = {.stack = "", .oldest = ""};
        write_leak(&out, RECORD_CSV_KEYS, &none);
        for (size_t i = 0; i < shown; i++)
            write_leak(&out, RECORD_CSV, &leaks->list[i]);
    }
    return table_flush(&out) ? fail("out of memory") : GO_ON;
}

/* ---- the command ---- */

static int show(const struct request *request, struct leaks *leaks)
{
    if (leaks->levels.count < GROWTH_LEAST)
        return fail("%zu profiles with bytes in use are too few: growth shows in %d or more",
                    leaks->levels.count, GROWTH_LEAST);
    int status = find(leaks);
    if (status != GO_ON)
        return status;
    progress_end();
    if (request->form == TABLE_TEXT)
        print_leaks(leaks, request->rows);
    else
        status = write_leaks(leaks, request->form, request->rows);
    return status != GO_ON ? status : leaks->count > 0 ? EXIT_GREW : EXIT_DONE;
}

static int take_option(void *request, int option, char *argument)
{
    return request_take(request, &command_leaks, option, argument);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"all-native", no_argument, NULL, OPTION_ALL_NATIVE},
        REQUEST_JSON_OPTION,
        REQUEST_CSV_OPTION,
        HISTORY_OPTIONS,
        SELECTION_OPTIONS,
        {0},
    };
    struct request request = {.rows = REQUEST_ROWS};
    struct leaks leaks = {0};
    int status = parse_options(&command_leaks, argc, argv, REQUEST_LETTERS, known, take_option,
                               &request);
    if (status == GO_ON)
        status = selection_check(&request.selection, &command_leaks, argc - optind);
    if (status == GO_ON)
        status = levels_load(&leaks.levels, &request.selection, request.all_native,
                             argv + optind, (size_t)(argc - optind));
    if (status != GO_ON)
        return status;
    status = show(&request, &leaks);
    free(leaks.list);
    levels_free(&leaks.levels);
    return status;
}

const struct command command_leaks = {
    .name = "leaks",
    .summary = "stacks that keep ever more memory",
    .help = help,
    .run = run,
};
