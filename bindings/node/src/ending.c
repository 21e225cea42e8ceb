#include "ending.h"

#include <dlfcn.h>

#include "cprof/cprof.h"
#include "isolate.h"
#include "isolate_list.h"
#include "names.h"

/* Told by what it is: in the module that V8 is in, and for once only. The handler that libuv
 * puts there for a program's listener stays, and interrupted calls go on after it. */
bool ending_is_nodes(int signal, const struct sigaction *handler)
{
    Dl_info theirs, v8;
    (void)signal;
    const void *in_v8 = dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv");
    unsigned flags = (unsigned)handler->sa_flags & (unsigned)(SA_RESETHAND | SA_RESTART);
    return flags == (unsigned)SA_RESETHAND && in_v8 != NULL && dladdr(in_v8, &v8) != 0 &&
           dladdr((void *)handler->sa_handler, &theirs) != 0 &&
           theirs.dli_fbase == v8.dli_fbase;
}

static void end(struct isolate *isolate)
{
    if (cprof_is_running() && isolate != NULL && isolate->attached)
        names_pending(isolate);
    cprof_end(-1);
}

static void at_exit(void)
{
    end(isolate_of_this_thread());
}

void ending_watch(void)
{
    cprof_at_exit(at_exit);
}

/* The engine is the process's: it outlives a worker, unless nobody is left to stop it. */
void ending_of_environment(struct isolate *isolate)
{
    if (isolate->thread_id == 0 || isolate_is_last(isolate))
        end(isolate);
}
