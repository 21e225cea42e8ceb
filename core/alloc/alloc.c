#include "alloc/alloc.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "alloc/malloc.h"
#include "base/log.h"
#include "cprof/runtime.h"
#include "sample/hook.h"
#include "sample/take.h"

static struct {
    unsigned users;
    uint64_t period;
    const struct cprof_runtime *runtime; /* whose hooks are in */
} alloc;

/* What the runtime keeps from malloc is missing where it has no hooks. */
static void runtime_in(const struct cprof_runtime *runtime)
{
    const char *why = NULL;
    int status = runtime->alloc_open(&why);
    alloc.runtime = status == 0 ? runtime : NULL;
    if (status != 0)
        log_warn("what %s allocates without malloc is not counted: %s", runtime->name,
                 why != NULL ? why : strerror(-status));
}

static int hooks_in(const char **why)
{
    const struct take_view *view = take_seen();
    const struct cprof_runtime *runtime = view != NULL ? view->runtime : NULL;
    bool native = malloc_hook();
    if (runtime != NULL && runtime->alloc_open != NULL)
        runtime_in(runtime);
    if (native || alloc.runtime != NULL)
        return 0;
    *why = "no module calls malloc in a way that can be counted";
    return -ENOTSUP;
}

static void hooks_out(void)
{
    if (alloc.runtime != NULL && alloc.runtime->alloc_close != NULL)
        alloc.runtime->alloc_close();
    alloc.runtime = NULL;
    malloc_unhook();
}

int alloc_open(uint64_t period, const char **why)
{
    int status = alloc.users == 0 ? hooks_in(why) : 0;
    if (status != 0)
        return status;
    if (alloc.users == 0 || period < alloc.period)
        alloc.period = period;
    alloc.users++;
    hook_open(CPROF_EVENT_ALLOC, SOURCE_ALLOC, alloc.period);
    return 0;
}

void alloc_close(void)
{
    if (--alloc.users > 0)
        return;
    hook_close(CPROF_EVENT_ALLOC);
    hooks_out();
}
