/* cprof advise: known costly habits, each with what it rests on. */
#include <stdlib.h>
#include <string.h>

#include "advice.h"
#include "cells.h"
#include "format/json.h"
#include "layout.h"
#include "request.h"
#include "table.h"
#include "units.h"

#define MOST_SITES 3   /* that are shown of one advice */
#define MOST_FRAMES 12 /* of its stack, innermost first */
#define GAP 3
#define INDENT 6

static const char help[] =
    "Usage: cprof advise [OPTIONS] FILE…\n"
    "\n"
    "Looks for known costly habits: regular expressions compiled each time, Python code in\n"
    "place of a C codec, imports and TLS handshakes within requests, exceptions as control\n"
    "flow, a held up event loop, N+1 queries, … Prints those that stand out, with the "
    "numbers,\n"
    "the callers and the heaviest stack; of a healthy program nothing.\n"
    "\n"
    "  -n N            findings to print (default 20)\n"
    "  --rules         list all that is known, with what to do\n"
    "  --json          for programs: one JSON object\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof advise profile.pb.gz\n";

enum { OPTION_RULES = OPTION_OWN };

/* What findings are printed with. */
struct printer {
    const struct profile *profile;
    const struct advice_list *advice;
    struct terminal terminal;
    struct layout layout; /* of a stack */
};

static struct report_row row_of(const struct printer *p, uint32_t index)
{
    if (index == ADVICE_NO_FRAME)
        return (struct report_row){
            .name = "[nothing]", .name_length = strlen("[nothing]"), .file = "", .type = ""};
    const struct frame *frame = &p->advice->frames.frames[index];
    return (struct report_row){
        .name = frame->text,
        .name_length = frame->text_length,
        .file = profile_text(p->profile, frame->file ? frame->file : frame->module),
        .line = frame->line,
        .type = frame_type_of(&p->advice->frames, frame),
    };
}

/* "34.0% of CPU time", "40 spans of a trace": what is over the threshold. */
static void print_measured(const struct printer *p, const struct advice *advice)
{
    FILE *file = p->terminal.file;
    char value[UNITS_TEXT], samples[UNITS_TEXT];
    units_value(value, advice->value, profile_unit(p->profile, advice->column));
    units_count(samples, advice->samples);
    fprintf(file, "   %s in %s samples: ", value, samples);
    switch (advice->rule->measure) {
    case RULE_SPANS:
        fprintf(file, "%.1f%% of spans (%zu)\n", 100 * advice->measured, advice->spans);
        break;
    case RULE_REPEAT:
        fprintf(file, "%zu spans of one trace\n", advice->spans);
        break;
    case RULE_RATE:
        fprintf(file, "%.0f a second\n", advice->measured);
        break;
    case RULE_SHARE:
        fprintf(file, "%.1f%% of CPU time\n", 100 * advice->measured);
        break;
    default:
        fprintf(file, "%.1f%% of what CPU time there is\n", 100 * advice->measured);
    }
}

static void print_site(const struct printer *p, const struct advice *advice, size_t number)
{
    struct report_row row = row_of(p, advice->sites[number].frame);
    struct cells cells = cells_of(profile_unit(p->profile, advice->column), advice->value);
    struct layout layout = {.cut = CUT_END};
    cells_measure(&cells, advice->sites[number].value);
    layout_add(&layout, &row);
    layout_fit(&layout, &p->terminal, cells_width(&cells) + GAP);
    cells_print(&cells, &p->terminal, advice->sites[number].value);
    fprintf(p->terminal.file, "%*s", GAP, "");
    layout_print(&layout, &row, &p->terminal);
    fputc('\n', p->terminal.file);
}

/* Calls back for the frames of the heaviest stack, innermost first. */
static void visit_stack(const struct printer *p, const struct advice *advice,
                        void (*visit)(void *closure, const struct report_row *row),
                        void *closure)
{
    uint32_t *frames = calloc(frame_table_deepest(&p->advice->frames) + 1, sizeof(*frames));
    if (!frames)
        return;
    size_t depth = frame_table_expand(
        &p->advice->frames, profile_get_stack(p->profile, advice->sites[0].stack), frames);
    for (size_t i = 0; i < depth && i < MOST_FRAMES; i++) {
        struct report_row row = row_of(p, frames[depth - 1 - i]);
        visit(closure, &row);
    }
    free(frames);
}

static void measure_frame(void *closure, const struct report_row *row)
{
    struct printer *p = closure;
    layout_add(&p->layout, row);
}

static void print_frame(void *closure, const struct report_row *row)
{
    const struct printer *p = closure;
    fprintf(p->terminal.file, "%*s", INDENT, "");
    layout_print(&p->layout, row, &p->terminal);
    fputc('\n', p->terminal.file);
}

static void print_stack(struct printer *p, const struct advice *advice)
{
    p->layout = (struct layout){.cut = CUT_END};
    visit_stack(p, advice, measure_frame, p);
    layout_fit(&p->layout, &p->terminal, INDENT);
    visit_stack(p, advice, print_frame, p);
}

static void print_advice(struct printer *p, const struct advice *advice)
{
    FILE *file = p->terminal.file;
    fprintf(file, "\n%s%s%s (%s)\n", terminal_style(&p->terminal, STYLE_BOLD),
            advice->rule->title, terminal_reset(&p->terminal, STYLE_BOLD), advice->rule->name);
    print_measured(p, advice);
    fprintf(file, "   %s\n", advice->rule->remedy);
    fprintf(file, "  called by\n");
    for (size_t i = 0; i < advice->site_count && i < MOST_SITES; i++)
        print_site(p, advice, i);
    fprintf(file, "  heaviest stack, innermost first\n");
    print_stack(p, advice);
}

static void print_all(const struct request *request, const struct profile *profile,
                      const struct advice_list *advice)
{
    struct printer p = {.profile = profile, .advice = advice, .terminal = terminal_of(stdout)};
    char cpu[UNITS_TEXT];
    units_value(cpu, advice->cpu, profile_unit(profile, advice->cpu_column));
    if (advice->asked == 0)
        puts("The profile has no CPU time, which is what the rules are about.");
    else if (advice->count == 0)
        printf("Nothing stands out in %s of CPU time: %zu rules were asked (--rules).\n", cpu,
               advice->asked);
    for (size_t i = 0; i < advice->count && i < request->rows; i++)
        print_advice(&p, &advice->list[i]);
    if (advice->count > request->rows)
        printf("\n%zu more\n", advice->count - request->rows);
}

/* --- JSON --- */

struct writer {
    struct printer printer;
    struct buffer out;
    bool first;
};

static void write_frame(void *closure, const struct report_row *row)
{
    struct writer *w = closure;
    json_raw(&w->out, w->first ? "" : ",");
    struct record record = record_begin(&w->out, RECORD_JSON);
    table_write_place(&record, row);
    record_end(&record);
    w->first = false;
}

static void write_advice(struct writer *w, const struct advice *advice)
{
    static const char *const measures[] = {
        [RULE_SHARE] = "share of CPU time",   [RULE_SPANS] = "share of spans",
        [RULE_REPEAT] = "spans of one trace", [RULE_LABEL] = "ratio to CPU time",
        [RULE_COLUMN] = "ratio to CPU time",  [RULE_RATE] = "per second",
    };
    const struct rule *rule = advice->rule;
    const char *unit = profile_unit(w->printer.profile, advice->column);
    struct record record = record_begin(&w->out, RECORD_JSON);
    record_text(&record, "rule", rule->name, strlen(rule->name));
    record_text(&record, "title", rule->title, strlen(rule->title));
    record_text(&record, "remedy", rule->remedy, strlen(rule->remedy));
    record_text(&record, "measure", measures[rule->measure], strlen(measures[rule->measure]));
    record_real(&record, "measured", advice->measured);
    record_real(&record, "threshold", rule->threshold);
    record_integer(&record, "value", advice->value);
    record_text(&record, "unit", unit, strlen(unit));
    record_integer(&record, "samples", advice->samples);
    record_integer(&record, "spans", (int64_t)advice->spans);
    json_raw(&w->out, ",\"callers\":[");
    for (size_t i = 0; i < advice->site_count; i++) {
        struct report_row row = row_of(&w->printer, advice->sites[i].frame);
        json_raw(&w->out, i > 0 ? "," : "");
        struct record site = record_begin(&w->out, RECORD_JSON);
        table_write_place(&site, &row);
        record_integer(&site, "value", advice->sites[i].value);
        record_end(&site);
    }
    json_raw(&w->out, "],\"stack\":[");
    w->first = true;
    visit_stack(&w->printer, advice, write_frame, w);
    json_raw(&w->out, "]");
    record_end(&record);
}

static int print_json(const struct request *request, const struct profile *profile,
                      const struct advice_list *advice)
{
    struct writer w = {.printer = {.profile = profile, .advice = advice}};
    struct record head = record_begin(&w.out, RECORD_JSON);
    record_integer(&head, "cpu", advice->cpu);
    record_integer(&head, "rules", (int64_t)advice->asked);
    json_raw(&w.out, ",\"advice\":[");
    for (size_t i = 0; i < advice->count && i < request->rows; i++) {
        json_raw(&w.out, i > 0 ? ",\n" : "\n");
        write_advice(&w, &advice->list[i]);
    }
    json_raw(&w.out, "]}\n");
    return table_flush(&w.out);
}

/* --- the command --- */

static int list_rules(void)
{
    for (size_t i = 0; i < rule_count; i++)
        printf("%s\n   %s.\n   %s\n", rules[i].name, rules[i].title, rules[i].remedy);
    return EXIT_DONE;
}

static int take_option(void *closure, int option, char *argument)
{
    if (option == OPTION_RULES)
        return list_rules();
    return request_take(closure, &command_advise, option, argument);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"rules", no_argument, NULL, OPTION_RULES},
        REQUEST_JSON_OPTION,
        SELECTION_OPTIONS,
        {0},
    };
    struct request request = {0};
    struct profile *profile = NULL;
    struct advice_list advice;
    int status =
        request_load(&request, &command_advise, argc, argv, known, take_option, NULL, &profile);
    if (status != GO_ON)
        return status;
    status = advice_make(&advice, profile);
    if (!status) {
        if (request.form == TABLE_JSON)
            status = print_json(&request, profile, &advice);
        else
            print_all(&request, profile, &advice);
        advice_free(&advice);
    }
    profile_free(profile);
    return status ? fail("out of memory") : EXIT_DONE;
}

const struct command command_advise = {
    .name = "advise",
    .summary = "known costly habits, each with its evidence",
    .help = help,
    .run = run,
};
