/* cprof ps: the processes that can be asked. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "process.h"
#include "request.h"
#include "status.h"
#include "terminal.h"

static const char help[] =
    "Usage: cprof ps [OPTIONS]\n"
    "\n"
    "Lists the running processes that cprof is in and that can be asked: yours, or all if you\n"
    "are root. Those that stand by are not woken for it.\n"
    "\n"
    "  --json          for programs: one JSON object a line\n"
    "\n"
    "Example:\n"
    "  cprof ps\n";

static void print_cell(const struct terminal *terminal, const char *text, size_t width)
{
    terminal_print(terminal, STYLE_PLAIN, text, strlen(text), width, CUT_END, true);
    fputs("  ", stdout);
}

static void print_row(const struct terminal *terminal, pid_t pid, const struct status *status)
{
    char since[32] = "", on[128];
    time_t seconds = (time_t)status->since;
    struct tm when;
    if (seconds > 0 && localtime_r(&seconds, &when))
        strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S", &when);
    bool runs = strcmp(status->state, "on") == 0;
    snprintf(on, sizeof on, "%s%s%s%s%s", status->state, runs ? ": " : "",
             runs ? status->types : "", runs && status->origin[0] ? ", by " : "",
             runs ? status->origin : "");
    printf("%7ld  ", (long)pid);
    print_cell(terminal, status->service, 30);
    print_cell(terminal, status->language, 8);
    print_cell(terminal, since, 19);
    terminal_print(terminal, STYLE_PLAIN, on, strlen(on), TERMINAL_ENDLESS, CUT_END, false);
    putchar('\n');
}

static void print_process(struct process *process, const struct terminal *terminal, bool json)
{
    struct buffer text = {0};
    struct status status;
    int error = status_inquire(process, &text, &status);
    if (error != 0) {
        status = (struct status){0};
        snprintf(status.state, sizeof status.state, "no answer");
    }
    if (!json)
        print_row(terminal, process->pid, &status);
    else if (error == 0)
        fwrite(text.data, 1, text.size, stdout);
    buffer_free(&text);
}

static int compare(const void *left, const void *right)
{
    const long a = *(const long *)left, b = *(const long *)right;
    return (a > b) - (a < b);
}

/* All process numbers; the caller frees them. */
static long *list_all(size_t *count)
{
    struct buffer list = {0};
    DIR *all = opendir("/proc");
    const struct dirent *entry;
    while (all && (entry = readdir(all)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0)
            buffer_append(&list, &pid, sizeof pid);
    }
    if (all)
        closedir(all);
    *count = list.error == 0 ? list.size / sizeof(long) : 0;
    if (list.data)
        qsort(list.data, *count, sizeof(long), compare);
    return (long *)(void *)list.data;
}

static void list(bool json)
{
    const struct terminal terminal = terminal_of(stdout);
    size_t count, shown = 0;
    long *all = list_all(&count);
    for (size_t i = 0; i < count; i++) {
        struct process process;
        process_find((pid_t)all[i], &process);
        if (process.state != PROCESS_LISTENS && process.state != PROCESS_STANDS_BY)
            continue;
        if (!json && shown++ == 0)
            printf("%7s  %-30s  %-8s  %-19s  %s\n", "PID", "SERVICE", "LANGUAGE", "SINCE",
                   "STATE");
        print_process(&process, &terminal, json);
    }
    if (!json && shown == 0)
        puts("no process can be asked (docs: CPROF_ENABLED=on or standby)");
    free(all);
}

static int take_option(void *json, int option, char *argument)
{
    (void)option, (void)argument;
    *(bool *)json = true;
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        REQUEST_JSON_OPTION,
        {0},
    };
    bool json = false;
    int status = parse_options(&command_ps, argc, argv, "", known, take_option, &json);
    if (status != GO_ON)
        return status;
    if (optind != argc)
        return wrong_usage(&command_ps, "\"%s\" is one word too many", argv[optind]);
    list(json);
    return EXIT_DONE;
}

const struct command command_ps = {
    .name = "ps",
    .summary = "the processes that can be asked, and what is on in them",
    .help = help,
    .run = run,
};
