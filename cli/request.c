#include "request.h"

#include <limits.h>
#include <string.h>

#include "remote.h"

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

int request_serve(struct request *request, const struct command *command, int argc, char **argv,
                  const struct option *known,
                  int (*take)(void *request, int option, char *argument))
{
    struct profile *profile = NULL;
    int status = request_load(request, command, argc, argv, known, take, NULL, &profile);
    if (status != GO_ON)
        return status;
    const struct table_view view = {
        .what = request->what,
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
