#include "status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json_read.h"

#define ANSWER_WAIT 2.0 /* seconds that one process may hold up a list */

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
        {"store", status->store, sizeof status->store},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].key, key) == 0)
            snprintf(fields[i].to, fields[i].size, "%s", value);
    if (strcmp(key, "since") == 0)
        status->since = strtoll(value, NULL, 10);
    if (strcmp(key, "pid") == 0)
        status->pid = strtoll(value, NULL, 10);
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
    if (text->data == NULL || !json_accept(&json, '{'))
        return -EBADMSG;
    while ((more = json_member(&json, '}', &first)) == 1)
        if (read_member(&json, status) != 0)
            return -EBADMSG;
    return more;
}

static int read_file(const char *path, struct buffer *text)
{
    char bytes[2 * PATH_MAX];
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    buffer_append(text, bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    return text->error;
}

static int ask(struct process *process, struct buffer *text)
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

int status_inquire(struct process *process, struct buffer *text, struct status *status)
{
    *status = (struct status){0};
    int error = ask(process, text);
    return error != 0 ? error : read_status(text, status);
}
