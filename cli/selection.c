#include "selection.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "explain.h"
#include "format/format.h"
#include "format/frame_type.h"
#include "load.h"
#include "profile/prune.h"
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

static int add_label(struct selection *selection, const struct command *command,
                     const char *key, const char *value)
{
    if (profile_filter_label(&selection->filter,
                             (struct profile_label_match){key, value, false}))
        return GO_ON;
    return wrong_usage(command, "at most %d labels", PROFILE_FILTER_LABELS);
}

static int take_label(struct selection *selection, const struct command *command,
                      char *argument)
{
    char *equals = strchr(argument, '=');
    if (!equals || equals == argument)
        return wrong_usage(command, "--label needs KEY=VALUE, not \"%s\"", argument);
    *equals = '\0';
    return add_label(selection, command, argument, equals + 1);
}

static int take_view(struct selection *selection, const struct command *command,
                     enum view_rule rule, const char *argument)
{
    switch (view_add(&selection->view, rule, argument)) {
    case 0:
        return GO_ON;
    case -ENOSPC:
        return wrong_usage(command, "at most %d expressions", VIEW_MOST);
    default:
        return wrong_usage(command, "--%s needs a regular expression, not \"%s\"",
                           view_rule_word(rule), argument);
    }
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
    case OPTION_STATE:
        return add_label(selection, command, "thread.state", argument);
    case OPTION_REASON:
        return add_label(selection, command, "wait.reason", argument);
    case OPTION_THREAD:
        selection->filter.thread = argument;
        return GO_ON;
    case OPTION_TYPE:
        selection->type = argument;
        return GO_ON;
    case OPTION_VALUE:
        selection->value = argument;
        return GO_ON;
    case OPTION_BINARY:
        if (selection->symbolize.count == SYMBOLIZE_BINARIES)
            return wrong_usage(command, "--binary: at most %d files", SYMBOLIZE_BINARIES);
        selection->symbolize.paths[selection->symbolize.count++] = argument;
        return GO_ON;
    default:
        if (option >= OPTION_VIEW && option < OPTION_VIEW_END)
            return take_view(selection, command, (enum view_rule)(option - OPTION_VIEW),
                             argument);
        return history_take(&selection->history, command, option, argument) == GO_ON
                   ? GO_ON
                   : EXIT_USAGE;
    }
}

static void list_values(const struct profile *profile, struct word_list *list)
{
    for (size_t i = 0; i < profile_value_count(profile); i++)
        word_list_add(list, profile_type(profile, i));
}

/* Makes --value the default. */
static struct profile *apply_value(struct profile *profile, const char *value)
{
    if (!profile || !value)
        return profile;
    if (profile_value_column(profile, value) < 0) {
        struct word_list values = {.text = ""};
        list_values(profile, &values);
        fail("the profile has no value \"%s\", only: %s", value, values.text);
        profile_free(profile);
        return NULL;
    }
    profile_header(profile)->default_type = profile_string(profile, value);
    return profile;
}

/* --- frames --- */

static const char *type_of(const struct profile *profile, profile_id location)
{
    const struct profile_location *found = profile_get_location(profile, location);
    return found->other_type ? profile_text(profile, found->other_type)
                             : frame_type_name(found->type);
}

/* Is there a frame of the type? If not, says which types there are. */
static bool has_type(const struct profile *profile, const char *type)
{
    struct word_list types = {.text = ""}, values = {.text = ""};
    for (profile_id id = 1; id < profile_location_count(profile); id++) {
        if (strcmp(type_of(profile, id), type) == 0)
            return true;
        word_list_add(&types, type_of(profile, id));
    }
    list_values(profile, &values);
    fail("the profile has no frames of type \"%s\", only: %s (and the values %s: --value)",
         type, *types.text ? types.text : "none that it tells", values.text);
    return false;
}

/* An expression for just that type. */
static void type_expression(const char *type, char *expression, size_t size)
{
    size_t used = (size_t)snprintf(expression, size, "type:^");
    for (; *type && used + 4 < size; type++) {
        if (!isalnum((unsigned char)*type))
            expression[used++] = '\\';
        expression[used++] = *type;
    }
    expression[used++] = '$';
    expression[used] = '\0';
}

/* What of the profile is to be seen; says so where an expression matches nothing. */
static struct profile *apply_view(const struct view *view, struct profile *profile)
{
    uint32_t unmatched;
    if (!profile || view->count == 0)
        return profile;
    struct profile *seen = view_apply(view, profile, &unmatched);
    profile_free(profile);
    if (!seen)
        fail("out of memory");
    for (size_t i = 0; seen && i < view->count; i++)
        if (unmatched >> i & 1)
            fail("no frame matches --%s %s", view_rule_word(view->parts[i].rule),
                 view->parts[i].expression);
    return seen;
}

/* --value, --type and the expressions. What --type names was once a value, and may still be. */
static struct profile *apply_questions(const struct selection *selection,
                                       struct profile *profile)
{
    char expression[256];
    const char *type = selection->type;
    struct view view = selection->view;
    view.type_word = frame_type_name;
    if (profile && type && profile_value_column(profile, type) >= 0) {
        profile = apply_value(profile, type);
    } else if (profile && type) {
        type_expression(type, expression, sizeof(expression));
        bool known = has_type(profile, type);
        if (known && view_add(&view, VIEW_SHOW, expression)) {
            fail("--type %s: at most %d expressions", type, VIEW_MOST);
            known = false;
        }
        if (!known) {
            profile_free(profile);
            return NULL;
        }
    }
    return apply_view(&view, apply_value(profile, selection->value));
}

/* Leaves out what the profile says is of no interest, now that there are names to go by. */
static struct profile *apply_prune(struct profile *profile)
{
    struct profile *pruned;
    if (!profile_has_prune(profile) || profile_prune(profile, &pruned) != 0)
        return profile;
    profile_free(profile);
    return pruned;
}

/* Names what has none. */
static struct profile *apply_binaries(const struct selection *selection,
                                      struct profile *profile)
{
    if (!profile)
        return NULL;
    struct profile *named = symbolize(&selection->symbolize, profile);
    if (!named)
        fail("out of memory");
    return named ? apply_prune(named) : NULL;
}

struct profile *selection_apply(const struct selection *selection, struct profile *profile)
{
    profile = apply_questions(selection, apply_binaries(selection, profile));
    if (!profile || !profile_filter_narrows(&selection->filter))
        return profile;
    struct profile *selected = profile_select(profile, &selection->filter);
    if (!selected)
        fail("out of memory");
    else if (profile_sample_count(selected) == 0)
        explain_filter(&selection->filter, profile);
    profile_free(profile);
    return selected;
}

/* Files can be read again for what the filter took out of them; what came through a pipe is
 * gone. */
static void explain_files(const struct selection *selection, char *const *paths, size_t count)
{
    const struct load load = {.skip_broken = false};
    struct profile *all;
    for (size_t i = 0; i < count; i++)
        if (!load_can_read_again(paths[i]))
            return;
    if (load_files(&load, paths, count, &all) == GO_ON && all) {
        progress_end();
        explain_filter(&selection->filter, all);
    }
    profile_free(all);
}

int selection_check(const struct selection *selection, const struct command *command, int files)
{
    const struct history *history = &selection->history;
    if (history->folder && files > 0)
        return wrong_usage(command, "files or --store, not both");
    if (!history->folder && (history->service || history->span.from || history->span.to))
        return wrong_usage(command, "--service, --from and --to go with --store DIR");
    return history->folder || files > 0 ? GO_ON : wrong_usage(command, "which file?");
}

struct profile *selection_load(const struct selection *selection, char *const *paths,
                               size_t count)
{
    const struct load load = {
        .keep = selection->keep,
        .filter = profile_filter_narrows(&selection->filter) ? &selection->filter : NULL,
    };
    struct profile *profile;
    if (selection->history.folder)
        profile = history_load(&selection->history, load.keep, load.filter);
    else
        load_files(&load, paths, count, &profile);
    if (profile && load.filter && profile_sample_count(profile) == 0)
        explain_files(selection, paths, count);
    return apply_questions(selection, apply_binaries(selection, profile));
}

int selection_write(const struct selection *selection, char *const *paths, size_t count,
                    const struct output *output)
{
    struct buffer content = {0};
    struct selection wanted = *selection;
    if (wanted.keep == KEEP_INTERVALS && output->format == &format_html)
        wanted.keep = KEEP_PAST;
    struct profile *profile = selection_load(&wanted, paths, count);
    if (!profile)
        return EXIT_FAILED;
    progress_begin("writing", 0, output->path);
    int status = output->format->write(profile, &content);
    profile_free(profile);
    return output_write(output->path, &content, status);
}
