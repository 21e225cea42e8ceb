#include "selection.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "format/format.h"
#include "load.h"
#include "progress.h"

/* Copies an id of `digits` hex digits in lower case. */
static int take_id(const struct command *command, const char *name, const char *argument,
                   size_t digits, char *id)
{
    if (strlen(argument) != digits || strspn(argument, "0123456789abcdefABCDEF") != digits)
        return wrong_usage(command, "--%s needs %zu hex digits, not \"%s\"", name, digits,
                           argument);
    for (size_t i = 0; i <= digits; i++)
        id[i] = (char)tolower((unsigned char)argument[i]);
    return GO_ON;
}

static int take_label(struct selection *selection, const struct command *command,
                      char *argument)
{
    char *equals = strchr(argument, '=');
    if (!equals || equals == argument)
        return wrong_usage(command, "--label needs KEY=VALUE, not \"%s\"", argument);
    *equals = '\0';
    selection->filter.label_key = argument;
    selection->filter.label_value = equals + 1;
    return GO_ON;
}

int selection_take(struct selection *selection, const struct command *command, int option,
                   char *argument)
{
    switch (option) {
    case OPTION_SPAN:
        selection->filter.span_id = selection->span;
        return take_id(command, "span", argument, 16, selection->span);
    case OPTION_TRACE:
        selection->filter.trace_id = selection->trace;
        return take_id(command, "trace", argument, 32, selection->trace);
    case OPTION_LABEL:
        return take_label(selection, command, argument);
    case OPTION_THREAD:
        selection->filter.thread = argument;
        return GO_ON;
    case OPTION_TYPE:
        selection->type = argument;
        return GO_ON;
    default:
        return EXIT_USAGE;
    }
}

static bool selects(const struct profile_filter *filter)
{
    return filter->trace_id || filter->span_id || filter->label_key || filter->thread;
}

/* Says which types there are. */
static void fail_type(const struct profile *profile, const char *type)
{
    char known[512] = "";
    for (size_t i = 0; i < profile_value_count(profile); i++) {
        if (i > 0)
            strncat(known, ", ", sizeof(known) - strlen(known) - 1);
        strncat(known, profile_type(profile, i), sizeof(known) - strlen(known) - 1);
    }
    fail("the profile has no type \"%s\", only: %s", type, known);
}

/* Makes --type the default value. */
static struct profile *apply_type(const struct selection *selection, struct profile *profile)
{
    if (!profile || !selection->type)
        return profile;
    if (profile_value_column(profile, selection->type) < 0) {
        fail_type(profile, selection->type);
        profile_free(profile);
        return NULL;
    }
    profile_header(profile)->default_type = profile_string(profile, selection->type);
    return profile;
}

struct profile *selection_apply(const struct selection *selection, struct profile *profile)
{
    profile = apply_type(selection, profile);
    if (!profile || !selects(&selection->filter))
        return profile;
    struct profile *selected = profile_select(profile, &selection->filter);
    profile_free(profile);
    if (!selected)
        fail("out of memory");
    return selected;
}

struct profile *selection_load(const struct selection *selection, char *const *paths,
                               size_t count)
{
    const struct load load = {
        .intervals = selection->intervals,
        .filter = selects(&selection->filter) ? &selection->filter : NULL,
    };
    struct profile *profile;
    load_files(&load, paths, count, &profile);
    return apply_type(selection, profile);
}

int selection_write(const struct selection *selection, char *const *paths, size_t count,
                    const char *output)
{
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *profile = selection_load(selection, paths, count);
    if (!profile)
        return EXIT_FAILED;
    progress_begin("writing", 0, output);
    int status = format_write_file(profile, output, error);
    progress_end();
    profile_free(profile);
    return status ? fail("%s", error) : EXIT_DONE;
}
