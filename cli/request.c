#include "request.h"

#include <limits.h>

#include "table.h"

static int take_by(struct request *request, const struct command *command, const char *argument)
{
    if (report_parse_by(argument, &request->by) == 0 && request->by <= REPORT_BY_STACK)
        return GO_ON;
    return wrong_usage(
        command, "--by needs function, line, file, module, type, thread or stack, not \"%s\"",
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
        request->json = true;
        return GO_ON;
    case OPTION_BY:
        return take_by(request, command, argument);
    default:
        return selection_take(&request->selection, command, option, argument);
    }
}

int request_serve(struct request *request, const struct command *command, int argc, char **argv,
                  const struct option *known,
                  int (*take)(void *request, int option, char *argument))
{
    request->rows = REQUEST_ROWS;
    int status = parse_options(command, argc, argv, REQUEST_LETTERS, known, take, request);
    if (status != GO_ON)
        return status;
    if (optind == argc)
        return wrong_usage(command, "which file?");
    struct profile *profile =
        selection_load(&request->selection, argv + optind, (size_t)(argc - optind));
    if (!profile)
        return EXIT_FAILED;
    status =
        table_show(profile, request->by, request->cumulative, request->rows, request->json);
    profile_free(profile);
    return status;
}
