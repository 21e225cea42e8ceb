#include "engine/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own_thread.h"
#include "engine/control.h"
#include "engine/dumping.h"
#include "engine/exposition.h"
#include "engine/memory_pages.h"
#include "format/format.h"
#include "sample/threads.h"

/* Where recordings come from; `running` is the server's thread's own. */
static struct {
    struct collector *collector;
    struct budget *budget;
    unsigned running;
} source;

static void metrics(void *unused, struct buffer *out)
{
    struct figures figures;
    (void)unused;
    figures_read(source.collector, &figures);
    exposition_write(&figures, out);
}

/* A recording on its way to its page: what the collector feeds; of the pages of memory, what
 * stood at its beginning where it is to cover a time, or what is to be shown. */
struct recording {
    enum pull_page page;
    bool change;
    struct profile *profile;
};

/* What the pages that add up show first, and of which type it is. */
static const struct {
    const char *type, *column;
} shown[] = {
    [PULL_HEAP] = {"heap", "inuse_space"},
    [PULL_ALLOCS] = {"alloc", "alloc_space"},
    [PULL_LOCKS] = {"lock", "delay"},
};

/* What stands now, as the interval that is closed for it tells. */
static int read_memory(enum pull_page which, struct profile **page)
{
    struct profile *interval;
    int status = collector_tap(source.collector, source.budget, false, &interval);
    if (status != 0)
        return status;
    status = collector_untap(source.collector, interval, true);
    if (status == 0)
        status = which == PULL_LOCKS ? memory_pages_make_locks(interval, page)
                                     : memory_pages_make(interval, page);
    if (status != -ETIMEDOUT)
        profile_free(interval);
    return status;
}

static int begin_memory(const struct pull_request *request, struct recording *recording,
                        char why[PULL_WHY_SIZE])
{
    const char *column = shown[request->page].column;
    int status = request->collect ? control_collect(why) : 0;
    if (status != 0)
        return status;
    status = read_memory(request->page, &recording->profile);
    if (status == 0 && profile_value_column(recording->profile, column) < 0) {
        profile_free(recording->profile);
        status = -ENODATA;
    }
    recording->change = request->seconds > 0;
    if (status == -ENODATA)
        snprintf(why, PULL_WHY_SIZE, "there is no such profile: CPROF_TYPES does not have %s",
                 shown[request->page].type);
    else if (status != 0)
        snprintf(why, PULL_WHY_SIZE, "no profile can be taken: %s", strerror(-status));
    return status;
}

static int begin_profile(struct recording *recording, char why[PULL_WHY_SIZE])
{
    int status = collector_tap(source.collector, source.budget, true, &recording->profile);
    if (status != 0)
        snprintf(why, PULL_WHY_SIZE, "other profiles are being taken; try again");
    return status;
}

static void *begin(void *unused, const struct pull_request *request, char why[PULL_WHY_SIZE])
{
    (void)unused;
    struct recording *recording =
        source.running < PULL_TAPS ? calloc(1, sizeof *recording) : NULL;
    if (recording == NULL) {
        snprintf(why, PULL_WHY_SIZE, "other profiles are being taken; try again");
        return NULL;
    }
    recording->page = request->page;
    int status = request->page == PULL_PROFILE ? begin_profile(recording, why)
                                               : begin_memory(request, recording, why);
    if (status != 0) {
        free(recording);
        return NULL;
    }
    source.running++;
    return recording;
}

static int write_memory(const struct recording *recording, struct buffer *out)
{
    struct profile *page = recording->profile, *now = NULL;
    int status = recording->change ? read_memory(recording->page, &now) : 0;
    if (status == 0 && recording->change) {
        page = memory_pages_change(recording->profile, now);
        status = page != NULL ? 0 : -ENOMEM;
    }
    if (status == 0) {
        profile_header(page)->default_type =
            profile_string(page, shown[recording->page].column);
        status = format_pprof.write(page, out);
    }
    if (recording->change) {
        profile_free(page != recording->profile ? page : NULL);
        profile_free(now);
    }
    return status;
}

static int end_memory(const struct recording *recording, struct buffer *out)
{
    int status = out != NULL ? write_memory(recording, out) : 0;
    profile_free(recording->profile);
    return status;
}

static int end_profile(const struct recording *recording, struct buffer *out)
{
    int status = collector_untap(source.collector, recording->profile, out != NULL);
    if (status == 0 && out != NULL)
        status = format_pprof.write(recording->profile, out);
    if (status != -ETIMEDOUT)
        profile_free(recording->profile);
    return status;
}

static int end(void *unused, void *ended, struct buffer *out)
{
    struct recording *recording = ended;
    (void)unused;
    int status = recording->page == PULL_PROFILE ? end_profile(recording, out)
                                                 : end_memory(recording, out);
    free(recording);
    source.running--;
    return status;
}

static int threads(void *unused, const struct pull_request *request, struct buffer *out,
                   const char **type, char why[PULL_WHY_SIZE])
{
    (void)unused;
    return dumping_answer(source.collector, request, out, type, why);
}

static int start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    return own_thread_start(thread, OWN_THREAD_PREFIX "listen", run, argument);
}

struct pull_server *listen_new(struct collector *collector, struct budget *budget)
{
    static const struct pull_source functions = {
        .begin = begin, .end = end, .memory = true, .metrics = metrics, .threads = threads};
    source.collector = collector;
    source.budget = budget;
    source.running = 0;
    return pull_new(&functions);
}

bool listen_start(struct pull_server *server, const char *address, bool others)
{
    struct pull_address to;
    int error = -EINVAL;
    if (pull_address_parse(address, others, &to) == NULL)
        error = pull_open(server, &to);
    if (error == 0) {
        error = pull_run(server, start_thread);
        if (error != 0)
            pull_close(server);
    }
    if (error == 0)
        log_info("process %ld %s %s", (long)getpid(),
                 pull_is_sibling(server) ? "is reached through the one that listens on"
                                         : "listens on",
                 address);
    else
        log_warn("CPROF_LISTEN=%s: process %ld does not listen: %s%s", address, (long)getpid(),
                 strerror(-error),
                 error == -EADDRINUSE
                     ? "; unix:/run/app-%p.sock gives each process a socket of "
                       "its own"
                     : "");
    return error == 0;
}
