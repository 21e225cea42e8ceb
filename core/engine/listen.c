#include "engine/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own_thread.h"
#include "collect/hot_functions.h"
#include "engine/exposition.h"
#include "format/format.h"
#include "sample/threads.h"

/* Where recordings come from; `running` is the server's thread's own. */
static struct {
    struct collector *collector;
    struct budget *budget;
    unsigned running;
} source;

static struct hot_functions hot;

void listen_reset(void)
{
    hot_init(&hot);
}

void listen_count(const struct profile *interval)
{
    hot_count(&hot, interval);
}

static void metrics(void *unused, struct buffer *out)
{
    struct cprof_stats stats;
    struct hot_series series[HOT_SERIES];
    (void)unused;
    collector_stats(source.collector, &stats);
    exposition_write(&stats, series, hot_read(&hot, series), out);
}

static void *begin(void *unused, const struct pull_request *request, char why[PULL_WHY_SIZE])
{
    struct profile *profile;
    (void)unused, (void)request;
    if (source.running == PULL_TAPS ||
        collector_tap(source.collector, source.budget, true, &profile) != 0) {
        snprintf(why, PULL_WHY_SIZE, "other profiles are being taken; try again");
        return NULL;
    }
    source.running++;
    return profile;
}

static int end(void *unused, void *recording, struct buffer *out)
{
    (void)unused;
    int status = collector_untap(source.collector, recording, out != NULL);
    source.running--;
    if (status == 0 && out != NULL)
        status = format_pprof.write(recording, out);
    if (status != -ETIMEDOUT)
        profile_free(recording);
    return status;
}

static int start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    return own_thread_start(thread, OWN_THREAD_PREFIX "listen", run, argument);
}

struct pull_server *listen_new(struct collector *collector, struct budget *budget)
{
    static const struct pull_source functions = {
        .begin = begin, .end = end, .metrics = metrics};
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
