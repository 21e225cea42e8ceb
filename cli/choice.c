#include "choice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "profile/pattern.h"

static void choose_named(struct choice *choice, const struct report *report, const char *name)
{
    const size_t length = strlen(name);
    for (size_t i = 0; i < report->row_count; i++) {
        const struct report_row *row = &report->rows[i];
        if (row->name_length == length && memcmp(row->name, name, length) == 0)
            choice->rows[choice->count++] = row;
    }
}

static int choose_found(struct choice *choice, const struct report *report, const char *name)
{
    struct pattern *pattern;
    int status = pattern_new(name, &pattern);
    if (status)
        return status == -ENOMEM ? status : -EINVAL;
    for (size_t i = 0; i < report->row_count; i++)
        if (pattern_finds(pattern, report->rows[i].name, report->rows[i].name_length))
            choice->rows[choice->count++] = &report->rows[i];
    pattern_free(pattern);
    return 0;
}

int choice_make(struct choice *choice, const struct report *report, const char *name)
{
    *choice = (struct choice){
        .rows = calloc(report->row_count + 1, sizeof(const struct report_row *)),
    };
    if (!choice->rows)
        return -ENOMEM;
    choose_named(choice, report, name);
    int status = choice->count == 0 ? choose_found(choice, report, name) : 0;
    if (!status && choice->count == 0)
        status = -ENOENT;
    if (status)
        choice_free(choice);
    return status;
}

int choice_fail(int status, const char *name)
{
    if (status == -EINVAL)
        return fail("no function is called \"%s\", nor is that a regular expression", name);
    return status == -ENOENT ? fail("no function matches \"%s\"", name) : fail("out of memory");
}

void choice_free(struct choice *choice)
{
    free(choice->rows);
    *choice = (struct choice){0};
}
