#include "engine/fork.h"

#include <errno.h>
#include <pthread.h>

#include "base/deadline.h"
#include "collect/loader_lock.h"
#include "context/process.h"
#include "engine/capture.h"
#include "engine/control.h"
#include "engine/memory_pages.h"
#include "engine/state.h"
#include "sample/install.h"
#include "sample/loops.h"
#include "sample/threads.h"
#include "unwind/remote.h"

/* Set on the thread that forks, from the runtime's first hook to its last. */
static _Thread_local bool announced;

bool fork_is_announced(void)
{
    return announced;
}

void fork_is_over(void)
{
    announced = false;
}

/* A runtime runs code of its own between its hooks and the fork itself, other threads' too: a
 * lock held there could wait for the interpreter's for ever. So the hooks only announce the
 * fork, and all is locked and brought to rest in the C library's handlers, right at it. */
void cprof_fork_prepare(void)
{
    engine.restart = false; /* a daemon forks twice after this */
    announced = true;
}

void cprof_fork_parent(void)
{
    announced = false;
}

/* What a child that starts anew needs is brought to rest, within bounds; our signal is kept
 * away so that no handler is under way on this thread. */
static void bring_to_rest(void)
{
    engine.fork.mask = handler_block();
    engine.fork.lifecycle = lock_within(&engine.lifecycle, FORK_WAIT);
    pthread_mutex_lock(&engine.lock);
    engine.fork.running = engine_runs(); /* only now does it stay so */
    if (engine_is_made())
        engine.fork.at_rest = collector_pause(engine.collector, FORK_WAIT);
    else /* or it is being made */
        engine.fork.at_rest = engine.fork.running && engine.fork.lifecycle;
    threads_fork_prepare();
}

/* The child of a fork that nobody announced may be any: one that runs another program at once,
 * or one that goes on with the interpreter, in which only the core stays dormant. So nothing is
 * waited for there, and what is locked are things that are held for moments: the descriptors
 * that the child is to close, and what the binding's own code needs in the child too. The
 * runtime's locks come last: the collector may want them until it is at rest. */
static void before_fork(void)
{
    pthread_mutex_lock(&engine.forking);
    engine.fork = (struct fork_view){0};
    if (announced) {
        bring_to_rest();
    } else {
        pthread_mutex_lock(&engine.lock);
        engine.fork.running = engine_runs();
    }
    captures_fork_lock();
    if (engine.listener != NULL)
        pull_fork_lock(engine.listener);
    control_fork_lock();
    bool used = atomic_load(&engine.state) != ENGINE_IDLE;
    engine.fork.runtime = used ? engine.runtime : NULL;
    if (engine.fork.runtime != NULL && engine.fork.runtime->fork_lock != NULL)
        engine.fork.runtime->fork_lock();
    process_context_fork_lock();
}

static void unlock_runtime(void)
{
    const struct cprof_runtime *runtime = engine.fork.runtime;
    process_context_fork_unlock();
    if (runtime != NULL && runtime->fork_unlock != NULL)
        runtime->fork_unlock();
}

static void after_fork_in_parent(void)
{
    unlock_runtime();
    control_fork_unlock();
    captures_fork_unlock();
    if (engine.listener != NULL)
        pull_fork_unlock(engine.listener);
    if (!announced) {
        pthread_mutex_unlock(&engine.lock);
        pthread_mutex_unlock(&engine.forking);
        return;
    }
    threads_fork_parent();
    if (engine.fork.at_rest && engine.collector != NULL)
        collector_resume(engine.collector);
    pthread_mutex_unlock(&engine.lock);
    if (engine.fork.lifecycle)
        pthread_mutex_unlock(&engine.lifecycle);
    uint64_t mask = engine.fork.mask;
    pthread_mutex_unlock(&engine.forking);
    handler_unblock(mask);
}

/* [child] Lets go of everything that stood in the parent. What was at rest is freed, and the
 * modules with their tables stay: this process has the same. What was not is left where it
 * lies, its pages shared with the parent. */
static void forget_parent(bool at_rest)
{
    bool running = engine_runs();
    engine.forking = engine.lifecycle = engine.lock =
        (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    loader_lock_doubt();
    unwind_library_fork_child();
    if (engine.listener != NULL)
        pull_fork_child(engine.listener);
    engine.listener = NULL;
    control_fork_child();
    output_release(&engine.claim);
    take_show(NULL);
    process_context_forget();
    threads_fork_child();
    loops_fork_child();
    if (running && engine.exporter != NULL)
        exporter_abandon(engine.exporter);
    engine.exporter = NULL;
    if (at_rest && running && engine.collector != NULL) {
        engine.inherited.collector = engine.collector;
        engine.inherited.model = engine.model;
    } else if (!at_rest) {
        engine.inherited.collector = NULL;
        engine.inherited.model = NULL;
        engine.inherited.blocks = (struct blocks){0};
        engine.modules = NULL;
        budget_init(&engine.budget, engine.config.memory_limit);
        (void)budget_take(&engine.budget, budget_used(&engine.binding_budget));
    }
    captures_fork_child(at_rest);
    memory_pages_fork_child(at_rest);
    engine.collector = NULL;
    engine.model = NULL;
    engine.last = (struct cprof_stats){0};
    atomic_store(&engine.state, ENGINE_IDLE);
}

/* The child of a fork that no hook announced stays dormant, unless the runtime's hook for the
 * child is called all the same (uWSGI forks so). */
static void after_fork_in_child(void)
{
    unlock_runtime();
    engine.restart |= engine.fork.running;
    uint64_t mask = engine.fork.mask;
    forget_parent(engine.fork.at_rest);
    if (announced)
        handler_unblock(mask);
}

int fork_hook(void)
{
    if (!engine.hooked)
        engine.hooked =
            pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
    return engine.hooked ? 0 : -ENOMEM;
}
