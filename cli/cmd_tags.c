/* cprof tags: what is in a profile to ask for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "format/json.h"
#include "profile/clamp.h"
#include "request.h"
#include "table.h"
#include "units.h"

#define MOST_KEYS 100 /* that are shown of many */
#define GAP 3

static const char help[] =
    "Usage: cprof tags [OPTIONS] FILE…\n"
    "\n"
    "Prints what a profile can be asked for: its values, the types of its frames, and its\n"
    "labels and attributes (threads, services, versions, …), each with how much there is of\n"
    "it. Several files are merged.\n"
    "\n"
    "  -n N            values of each label to print (default 20)\n"
    "  --json          for programs: one JSON object, values in the profile's own "
    "unit\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof tags profile.pb.gz\n";

/* --- the keys --- */

struct keys {
    const char **list; /* sorted */
    size_t count;
};

static int compare_keys(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Of the samples' labels and the process's attributes. Times are as many as samples: nothing to
 * choose from. */
static int keys_of(const struct profile *profile, struct keys *keys)
{
    const size_t strings = profile_string_count(profile);
    bool *has = calloc(strings, sizeof(*has));
    *keys = (struct keys){.list = calloc(strings, sizeof(const char *))};
    if (has && keys->list) {
        for (profile_id id = 0; id < profile_label_set_count(profile); id++) {
            struct profile_label_set set = profile_get_labels(profile, id);
            for (uint32_t i = 0; i < set.count; i++)
                has[set.labels[i].key] = true;
        }
        for (size_t i = 0; i < profile_attribute_count(profile, PROFILE_RESOURCE); i++)
            has[profile_attribute(profile, PROFILE_RESOURCE, i)->key] = true;
        for (profile_id id = 1; id < strings; id++)
            if (has[id] && strcmp(profile_text(profile, id), PROFILE_TIME) != 0)
                keys->list[keys->count++] = profile_text(profile, id);
        qsort(keys->list, keys->count, sizeof(*keys->list), compare_keys);
    }
    free(has);
    if (has && keys->list)
        return 0;
    free(keys->list);
    return -ENOMEM;
}

static int64_t total_of(const struct profile *profile, size_t column)
{
    int64_t total = 0;
    for (size_t i = 0; i < profile_sample_count(profile); i++) {
        struct profile_sample sample = profile_get_sample(profile, i);
        total = clamp_add(total, profile_value(profile, &sample, column));
    }
    return total;
}

/* --- for people --- */

struct printer {
    const struct request *request;
    struct terminal terminal;
};

static void print_key(const struct printer *p, const char *key)
{
    fputc('\n', p->terminal.file);
    terminal_print(&p->terminal, STYLE_BOLD, key, strlen(key), TERMINAL_ENDLESS, CUT_END,
                   false);
    fputc('\n', p->terminal.file);
}

static void print_name(const struct printer *p, const char *name, size_t length, size_t taken)
{
    const size_t width = p->terminal.width;
    size_t room = width == TERMINAL_ENDLESS ? width : width > taken + 20 ? width - taken : 20;
    fprintf(p->terminal.file, "%*s", GAP, "");
    terminal_print(&p->terminal, STYLE_PLAIN, name, length, room, CUT_START, false);
    fputc('\n', p->terminal.file);
}

/* Every column in its own unit, with all there is of it. */
static void print_values(const struct printer *p, const struct profile *profile)
{
    print_key(p, "values");
    for (size_t i = 0; i < profile_value_count(profile); i++) {
        char amount[UNITS_TEXT];
        const char *type = profile_type(profile, i);
        units_value(amount, total_of(profile, i), profile_unit(profile, i));
        terminal_print_right(&p->terminal, amount, 16);
        print_name(p, type, strlen(type), 16 + GAP);
    }
}

static void print_report(const struct printer *p, const struct report *report)
{
    const size_t limit = p->request->rows;
    const size_t shown = report->row_count < limit ? report->row_count : limit;
    char more[UNITS_TEXT];
    struct cells cells =
        cells_of(profile_unit(report->profile, report->summary.column), report->whole);
    for (size_t i = 0; i < shown; i++)
        cells_measure(&cells, report->rows[i].self);
    for (size_t i = 0; i < shown; i++) {
        cells_print(&cells, &p->terminal, report->rows[i].self);
        print_name(p, report->rows[i].name, report->rows[i].name_length,
                   cells_width(&cells) + GAP);
    }
    units_count(more, (int64_t)(report->row_count - shown));
    if (report->row_count > shown)
        fprintf(p->terminal.file, "%*s%s more\n", (int)cells_width(&cells) + GAP, "", more);
}

static int print_rows(const struct printer *p, const struct profile *profile,
                      struct report_rows what, const char *heading)
{
    struct report report;
    int status = report_make(&report, profile, what, false, p->request->all_native);
    if (status)
        return status;
    if (!heading) {
        report.title = p->request->title;
        table_print_legend(&report, &p->terminal);
        print_values(p, profile);
        heading = "frame types, by what each took itself";
    }
    print_key(p, heading);
    print_report(p, &report);
    report_free(&report);
    return 0;
}

static int print_all(const struct request *request, const struct profile *profile,
                     const struct keys *keys)
{
    const struct printer p = {.request = request, .terminal = terminal_of(stdout)};
    const size_t shown = keys->count < MOST_KEYS ? keys->count : MOST_KEYS;
    int status = print_rows(&p, profile, (struct report_rows){.by = REPORT_BY_TYPE}, NULL);
    for (size_t i = 0; !status && i < shown; i++)
        status = print_rows(&p, profile, (struct report_rows){REPORT_BY_LABEL, keys->list[i]},
                            keys->list[i]);
    if (!status && keys->count > shown)
        printf("\n%zu more labels\n", keys->count - shown);
    return status;
}

/* --- JSON --- */

static void write_values(struct buffer *out, const struct profile *profile)
{
    json_raw(out, ",\"values\":[");
    for (size_t i = 0; i < profile_value_count(profile); i++) {
        const char *type = profile_type(profile, i), *unit = profile_unit(profile, i);
        json_raw(out, i > 0 ? "," : "");
        struct record record = record_begin(out, RECORD_JSON);
        record_text(&record, "type", type, strlen(type));
        record_text(&record, "unit", unit, strlen(unit));
        record_integer(&record, "total", total_of(profile, i));
        record_end(&record);
    }
    json_raw(out, "]");
}

static int write_rows(struct buffer *out, const struct request *request,
                      const struct profile *profile, struct report_rows what)
{
    struct report report;
    int status = report_make(&report, profile, what, false, request->all_native);
    if (status)
        return status;
    if (what.by == REPORT_BY_TYPE) {
        struct record head = record_begin(out, RECORD_JSON);
        table_write_head(&head, &report);
        write_values(out, profile);
        json_raw(out, ",\"frame_types\":[");
    }
    for (size_t i = 0; i < report.row_count && i < request->rows; i++) {
        json_raw(out, i > 0 ? "," : "");
        struct record record = record_begin(out, RECORD_JSON);
        record_text(&record, "name", report.rows[i].name, report.rows[i].name_length);
        record_integer(&record, "value", report.rows[i].self);
        record_end(&record);
    }
    json_raw(out, "]");
    report_free(&report);
    return 0;
}

static int print_json(const struct request *request, const struct profile *profile,
                      const struct keys *keys)
{
    struct buffer out = {0};
    int status = write_rows(&out, request, profile, (struct report_rows){.by = REPORT_BY_TYPE});
    json_raw(&out, ",\"labels\":{");
    for (size_t i = 0; !status && i < keys->count; i++) {
        json_raw(&out, i > 0 ? ",\n" : "\n");
        json_string(&out, keys->list[i], strlen(keys->list[i]));
        json_raw(&out, ":[");
        status = write_rows(&out, request, profile,
                            (struct report_rows){REPORT_BY_LABEL, keys->list[i]});
    }
    json_raw(&out, "}}\n");
    int written = table_flush(&out);
    return status ? status : written;
}

/* --- the command --- */

static int take_option(void *request, int option, char *argument)
{
    return request_take(request, &command_tags, option, argument);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {REQUEST_JSON_OPTION, SELECTION_OPTIONS, {0}};
    struct request request = {0};
    struct profile *profile = NULL;
    struct keys keys;
    int status =
        request_load(&request, &command_tags, argc, argv, known, take_option, NULL, &profile);
    if (status != GO_ON)
        return status;
    status = keys_of(profile, &keys);
    if (!status) {
        status =
            (request.form == TABLE_JSON ? print_json : print_all)(&request, profile, &keys);
        free(keys.list);
    }
    profile_free(profile);
    return status ? fail("out of memory") : EXIT_DONE;
}

const struct command command_tags = {
    .name = "tags",
    .summary = "values, labels and frame types that there are",
    .help = help,
    .run = run,
};
