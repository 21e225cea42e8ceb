#include "engine/listen.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own_thread.h"
#include "format/format.h"
#include "sample/threads.h"

static void *begin(void *collector)
{
    return collector_tap(collector);
}

static int end(void *collector, void *recording, struct buffer *out)
{
    int status = collector_untap(collector, recording, out != NULL);
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

struct pull_server *listen_new(struct collector *collector)
{
    const struct pull_source source = {.context = collector, .begin = begin, .end = end};
    return pull_new(&source);
}

bool listen_start(struct pull_server *server, const char *address, bool others)
{
    struct pull_address to;
    int error = -EINVAL;
    if (pull_address_parse(address, others, &to) == NULL)
        error = pull_start(server, &to, start_thread);
    if (error == 0)
        log_info("process %ld listens on %s", (long)getpid(), address);
    else
        log_warn("CPROF_LISTEN=%s: process %ld does not listen: %s", address, (long)getpid(),
                 strerror(-error));
    return error == 0;
}
