#include "recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "status.h"

#define PIECE "/debug/pprof/profile?seconds=0.01" /* closes the interval that runs */
#define PIECE_WAIT 10.0                           /* seconds */
#define WRITTEN_NS (2 * NS_PER_SECOND)            /* until what is closed is in the folder */
#define MOMENT_NS 1000000

/* Of one process. */
struct one {
    struct history history;
    struct profile_filter filter;
    char number[24];
};

static void set_process(struct one *one, long pid)
{
    snprintf(one->number, sizeof one->number, "%ld", pid);
    one->filter = (struct profile_filter){0};
    profile_filter_label(&one->filter,
                         (struct profile_label_match){"process.pid", one->number, false});
}

static struct profile *load(const struct one *one, enum load_keep keep)
{
    struct profile *profile = history_load(&one->history, keep, &one->filter);
    if (!profile || profile_sample_count(profile) > 0)
        return profile;
    profile_free(profile);
    fail("%s: there is nothing of process %s of that time", one->history.folder, one->number);
    return NULL;
}

/* ---- one that runs ---- */

/* What happened at the moment is in the folder once the interval that ran then is. An idle
 * process leaves none: that is waited for in vain, but not long. */
static void wait_for(struct one *one, uint64_t moment)
{
    const uint64_t until = clock_ns(CLOCK_MONOTONIC) + WRITTEN_NS;
    const struct timespec pause = {.tv_nsec = 20000000};
    uint64_t end = 0;
    one->history.span = (struct span){moment - MOMENT_NS, moment};
    while (history_end(&one->history, &one->filter, &end) == GO_ON && end == 0 &&
           clock_ns(CLOCK_MONOTONIC) < until)
        nanosleep(&pause, NULL);
}

static void close_interval(struct process *process, struct one *one)
{
    struct answer answer = {0};
    const uint64_t moment = history_now();
    int connection = process_send(process, "GET", PIECE);
    if (connection >= 0 && process_receive(connection, PIECE_WAIT, &answer) == 0 &&
        answer.status == 200)
        wait_for(one, moment);
    buffer_free(&answer.body);
}

/* The folder as it is seen from here: the process may be in a container. */
static void find_folder(const struct process *process, const char *folder, char *path,
                        size_t size)
{
    struct stat here, there;
    snprintf(path, size, "/proc/%ld/root%s", (long)process->pid, folder);
    if (stat(path, &there) != 0 || (stat(folder, &here) == 0 && here.st_dev == there.st_dev &&
                                    here.st_ino == there.st_ino))
        snprintf(path, size, "%s", folder);
}

struct profile *recorder_ask(struct process *process, uint64_t last, enum load_keep keep)
{
    char folder[PATH_MAX + 32];
    struct buffer text = {0};
    struct status status;
    struct one one = {.history.folder = folder, .history.service = status.service};
    int error = status_inquire(process, &text, &status);
    buffer_free(&text);
    if (error != 0 || status.store[0] == '\0') {
        if (error != 0)
            process_fail(process, error);
        else
            fail("process %ld keeps no history: CPROF_STORE_DIR was not set where it was "
                 "started",
                 (long)process->pid);
        return NULL;
    }
    find_folder(process, status.store, folder, sizeof folder);
    set_process(&one, (long)status.pid);
    if (strcmp(status.state, "on") == 0)
        close_interval(process, &one);
    const uint64_t now = history_now();
    one.history.span = (struct span){now > last ? now - last : 1, now};
    return load(&one, keep);
}

/* ---- one that may have ended ---- */

/* Back from now, further each time: most ask for what happened lately. */
static int find_end(struct one *one, uint64_t *end)
{
    static const uint64_t hours[] = {1, 24, 0 /* all */};
    const uint64_t now = history_now();
    int status = GO_ON;
    *end = 0;
    for (size_t i = 0; i < sizeof hours / sizeof *hours && status == GO_ON && *end == 0; i++) {
        uint64_t back = hours[i] * 3600 * NS_PER_SECOND;
        one->history.span = (struct span){back > 0 ? now - back : 0, UINT64_MAX};
        status = history_end(&one->history, &one->filter, end);
    }
    return status;
}

struct profile *recorder_find(const struct history *history, long pid, uint64_t last,
                              enum load_keep keep)
{
    uint64_t end;
    struct one one = {.history = *history};
    set_process(&one, pid);
    if (find_end(&one, &end) != GO_ON)
        return NULL;
    if (end == 0) {
        fail("%s: holds nothing of process %ld%s%s", history->folder, pid,
             history->service ? " of service " : "", history->service ? history->service : "");
        return NULL;
    }
    one.history.span = (struct span){end > last ? end - last : 1, end};
    return load(&one, keep);
}
