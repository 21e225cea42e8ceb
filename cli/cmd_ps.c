/* cprof ps: the processes that can be asked. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/json.h"
#include "format/json_read.h"
#include "process.h"
#include "request.h"
#include "terminal.h"

#define ANSWER_WAIT 2.0 /* seconds that one process may hold up the list */

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

/* What a process says of itself; texts are "" where it does not. */
struct status {
    char state[16], service[64], language[16], types[64], origin[32];
    long long since; /* Unix time; 0: not told */
};

/* A member's value into the field of its name. Numbers come as text. */
static void keep(struct status *status, const char *key, const char *value)
{
    const struct {
        const char *key;
        char *to;
        size_t size;
    } fields[] = {
        {"state", status->state, sizeof status->state},
        {"service", status->service, sizeof status->service},
        {"language", status->language, sizeof status->language},
        {"types", status->types, sizeof status->types},
        {"origin", status->origin, sizeof status->origin},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].key, key) == 0)
            snprintf(fields[i].to, fields[i].size, "%s", value);
    if (strcmp(key, "since") == 0)
        status->since = strtoll(value, NULL, 10);
}

/* One member. 0 or -EBADMSG. */
static int read_member(struct json_cursor *json, struct status *status)
{
    struct buffer key = {0}, value = {0};
    int error = json_read_key(json, &key);
    if (error == 0)
        error = json_peek(json) == '"' ? json_read_string(json, &value)
                                       : json_read_word(json, &value);
    buffer_append(&key, "", 1);
    buffer_append(&value, "", 1);
    if (error == 0 && key.error == 0 && value.error == 0)
        keep(status, (char *)key.data, (char *)value.data);
    buffer_free(&key);
    buffer_free(&value);
    return error;
}

static int read_status(const struct buffer *text, struct status *status)
{
    struct json_cursor json = {(const char *)text->data, (const char *)text->data + text->size};
    bool first = true;
    int more = 0;
    *status = (struct status){0};
    if (text->data == NULL || !json_accept(&json, '{'))
        return -EBADMSG;
    while ((more = json_member(&json, '}', &first)) == 1)
        if (read_member(&json, status) != 0)
            return -EBADMSG;
    return more;
}

static int read_file(const char *path, struct buffer *text)
{
    char bytes[4096];
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    buffer_append(text, bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    return text->error;
}

/* What a process says of itself, without waking it. */
static int inquire(struct process *process, struct buffer *text)
{
    struct answer answer = {0};
    if (process->state == PROCESS_STANDS_BY)
        return read_file(process->file, text);
    int connection = process_send(process, "GET", "/cprof/status");
    int error = connection < 0 ? connection : process_receive(connection, ANSWER_WAIT, &answer);
    if (error == 0 && answer.status != 200)
        error = -EBADMSG;
    *text = answer.body;
    return error;
}

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
    int error = inquire(process, &text);
    if (error == 0)
        error = read_status(&text, &status);
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
