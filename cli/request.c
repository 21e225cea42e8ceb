#include "request.h"

#include <limits.h>
#include <string.h>

#include "explain.h"
#include "format/summary.h"
#include "remote.h"

#define REASON_LABEL "wait.reason"
#define IDLE "idle"

static int take_by(struct request *request, const struct command *command, const char *argument)
{
    if (report_parse_by(argument, &request->what) == 0 && request->what.by <= REPORT_BY_STACK)
        return GO_ON;
    return wrong_usage(
        command,
        "--by needs function, line, file, module, type, thread, stack or label:KEY, not \"%s\"",
        argument);
}

int request_take(struct request *request, const struct command *command, int option,
                 char *argument)
{
    switch (option) {
    case 'n':
        return parse_number(command, "-n", argument, 1, ULONG_MAX, &request->rows);
    case OPTION_CUM:
        request->cumulative = true;
        return GO_ON;
    case OPTION_JSON:
        request->form = TABLE_JSON;
        return GO_ON;
    case OPTION_CSV:
        request->form = TABLE_CSV;
        return GO_ON;
    case OPTION_ALL_NATIVE:
        request->all_native = true;
        return GO_ON;
    case OPTION_BY:
        return take_by(request, command, argument);
    default:
        return selection_take(&request->selection, command, option, argument);
    }
}

static const char *title_of(char *const *paths, size_t count)
{
    if (count != 1 || strcmp(paths[0], "-") == 0)
        return NULL;
    if (remote_is(paths[0]))
        return paths[0];
    const char *slash = strrchr(paths[0], '/');
    return slash ? slash + 1 : paths[0];
}

int request_load(struct request *request, const struct command *command, int argc, char **argv,
                 const struct option *known,
                 int (*take)(void *request, int option, char *argument), const char **name,
                 struct profile **profile)
{
    request->rows = REQUEST_ROWS;
    int status = parse_options(command, argc, argv, REQUEST_LETTERS, known, take, request);
    if (status != GO_ON)
        return status;
    if (name && optind == argc)
        return wrong_usage(command, "which function?");
    if (name)
        *name = argv[optind++];
    status = selection_check(&request->selection, command, argc - optind);
    if (status != GO_ON)
        return status;
    request->title = title_of(argv + optind, (size_t)(argc - optind));
    *profile = selection_load(&request->selection, argv + optind, (size_t)(argc - optind));
    return *profile ? GO_ON : EXIT_FAILED;
}

/* ---- idle waits ---- */

static int64_t sum_of(const struct profile *profile)
{
    const size_t column = profile_default_column(profile);
    int64_t sum = 0;
    for (size_t i = 0; i < profile_sample_count(profile); i++) {
        const struct profile_sample sample = profile_get_sample(profile, i);
        sum += profile_value(profile, &sample, column);
    }
    return sum;
}

static bool asks_for_reasons(const struct profile_filter *filter)
{
    for (size_t i = 0; i < filter->label_count; i++)
        if (strcmp(filter->labels[i].key, REASON_LABEL) == 0)
            return true;
    return false;
}

static bool has_idle(const struct profile *profile)
{
    for (profile_id id = 0; id < profile_label_set_count(profile); id++) {
        const struct profile_label_set set = profile_get_labels(profile, id);
        for (uint32_t i = 0; i < set.count; i++)
            if (strcmp(profile_text(profile, set.labels[i].key), REASON_LABEL) == 0 &&
                strcmp(profile_text(profile, set.labels[i].text), IDLE) == 0)
                return true;
    }
    return false;
}

/* Without the waits of threads that had nothing to do, which would drown the rest. Where there
 * is nothing else, or who asks is after reasons, they stay. `*idle` is what was left out. */
static struct profile *leave_idle_out(const struct request *request, struct profile *profile,
                                      int64_t *idle)
{
    const struct profile_filter busy = {.labels = {{REASON_LABEL, IDLE, true}},
                                        .label_count = 1};
    *idle = 0;
    if (!request->hides_idle || asks_for_reasons(&request->selection.filter) ||
        !has_idle(profile))
        return profile;
    struct profile *rest = profile_select(profile, &busy);
    if (rest == NULL || profile_sample_count(rest) == 0) {
        profile_free(rest);
        return profile;
    }
    *idle = sum_of(profile) - sum_of(rest);
    profile_free(profile);
    return rest;
}

int request_serve(struct request *request, const struct command *command, int argc, char **argv,
                  const struct option *known,
                  int (*take)(void *request, int option, char *argument))
{
    struct profile *profile = NULL;
    int status = request_load(request, command, argc, argv, known, take, NULL, &profile);
    if (status != GO_ON)
        return status;
    if (request->what.by == REPORT_BY_LABEL)
        explain_key(profile, request->what.label); /* its rows are one, [none] */
    int64_t idle;
    profile = leave_idle_out(request, profile, &idle);
    const struct table_view view = {
        .what = request->what,
        .idle = idle,
        .title = request->title,
        .cumulative = request->cumulative,
        .all_native = request->all_native,
        .form = request->form,
        .rows = request->rows,
    };
    status = table_show(profile, &view);
    profile_free(profile);
    return status;
}
