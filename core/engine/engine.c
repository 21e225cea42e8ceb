#include "cprof/cprof.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "context/process.h"
#include "cprof/context.h"
#include "engine/collector.h"
#include "engine/config.h"
#include "engine/listen.h"
#include "engine/loader.h"
#include "engine/model.h"
#include "engine/output.h"
#include "engine/patience.h"
#include "engine/resource.h"
#include "engine/sinks.h"
#include "engine/terminate.h"
#include "sample/handler.h"
#include "sample/threads.h"
#include "unwind/remote.h"

/* Seconds that fork waits for other threads' work before it goes ahead without. */
#define FORK_PATIENCE 0.05

enum engine_state {
    ENGINE_IDLE,
    ENGINE_STARTING,
    ENGINE_RUNNING,
    ENGINE_STOPPING,
    ENGINE_STUCK, /* a handler or the collector never came back: what they use stays for ever */
};

/* From just before a fork to just after. */
struct fork_view {
    bool running;
    bool lifecycle;                      /* held: nobody starts, stops or flushes */
    bool at_rest;                        /* the collector is paused */
    sigset_t mask;                       /* of the thread before */
    const struct cprof_runtime *runtime; /* whose locks are held; NULL: none */
};

/* Lock order: forking, lifecycle, lock, the collector's work, the thread registry's mutex, the
 * runtime's, the process context's. */
static struct {
    pthread_mutex_t lifecycle; /* held by start, stop and flush from beginning to end */
    pthread_mutex_t lock;      /* held for moments: guards what stats() reads */
    _Atomic enum engine_state state;
    struct config config;
    const struct cprof_runtime *runtime;
    struct budget budget;
    struct profile *model;
    struct modules *modules;
    struct exporter *exporter;
    struct collector *collector;
    struct pull_server *listener; /* NULL: none */
    struct handler_view view;
    _Atomic uint32_t wake;
    atomic_bool unknown; /* see struct handler_view, both */
    _Atomic size_t copies;
    char *output;            /* the pattern of this process's file; NULL = none */
    struct cprof_stats last; /* of the run that ended last */
    bool hooked;             /* our pthread_atfork handlers are in place */
    pthread_mutex_t forking; /* held across an announced fork; guards `fork` */
    struct fork_view fork;
    bool restart; /* [child] the parent's engine ran: cprof_fork_child() starts ours */
} engine = {.lifecycle = PTHREAD_MUTEX_INITIALIZER,
            .lock = PTHREAD_MUTEX_INITIALIZER,
            .forking = PTHREAD_MUTEX_INITIALIZER};

/* ---- building and taking down ---- */

static int report(char *error, size_t error_size, int status, const char *line)
{
    if (error_size > 0)
        snprintf(error, error_size, "%s", line);
    return status;
}

/* [collector] Tells who we are, in profiles and to other processes: that takes half a
 * millisecond, in which the thread that starts us could serve requests. */
static void introduce(void)
{
    resource_set(engine.model, &engine.config);
    if (profile_error(engine.model) != 0)
        log_warn("CPROF_MEMORY_LIMIT leaves no room for all resource attributes");
    if (engine.config.share_context)
        process_context_publish(engine.model);
}

static int start_collector(void)
{
    const struct config *config = &engine.config;
    const struct collector_config collector = {
        .gather = {.budget = &engine.budget,
                   .runtime = engine.runtime,
                   .model = engine.model,
                   .labels = config->labels.list,
                   .label_count = config->labels.count,
                   .period_ns = NS_PER_SECOND / config->rate,
                   .max_frames = config->max_frames,
                   .library_directory = config->library_directory,
                   .copies = &engine.copies},
        .modules = engine.modules,
        .exporter = engine.exporter,
        .begin = introduce,
        .interval = config->interval,
        .wake = &engine.wake,
        .unknown = &engine.unknown,
    };
    return collector_start(&collector, &engine.collector);
}

static void start_sampling(int signal)
{
    const struct config *config = &engine.config;
    engine.view = (struct handler_view){.runtime = engine.runtime,
                                        .modules = engine.modules,
                                        .native = config->native,
                                        .max_frames = (uint16_t)config->max_frames,
                                        .wake = &engine.wake,
                                        .unknown = &engine.unknown,
                                        .copies = &engine.copies};
    const struct threads_config threads = {.signal = signal,
                                           .period_ns = NS_PER_SECOND / config->rate,
                                           .record_max = handler_record_max(config->max_frames),
                                           .budget = &engine.budget};
    handler_open(&engine.view);
    threads_open(&threads);
    threads_enter(0, NULL); /* the collector finds the others */
}

/* Ends sampling. False when a handler did not come back. */
static bool end_sampling(void)
{
    threads_disarm();
    if (handler_close() == 0)
        return true;
    log_warn("a thread does not leave the signal handler: cprof can't start again");
    return false;
}

/* What does not sample any more, and has handed its last profile on. */
static void take_down(void)
{
    if (engine.collector != NULL)
        collector_free(engine.collector);
    if (engine.modules != NULL)
        modules_free(engine.modules);
    profile_free(engine.model);
    engine.collector = NULL;
    engine.modules = NULL;
    engine.model = NULL;
}

/* Looks at the modules before the first timer is armed, so that the very first sample has a
 * full stack. In the child of a fork they may not be there to be seen (loader.h): then the
 * parent's snapshot has to do. */
static int see_modules(void)
{
    if (engine.modules == NULL)
        engine.modules = modules_new(&engine.budget);
    if (engine.modules == NULL || engine.model == NULL)
        return -ENOMEM;
    if (!loader_answers(FORK_PATIENCE)) {
        log_info("the loader is locked since the fork: code is known as the parent knew it");
        return 0;
    }
    int status = modules_refresh(engine.modules, threads_reader, NULL);
    return status < 0 ? status : 0;
}

/* Settles which file this process writes. */
static int choose_output(bool forked)
{
    const char *told = engine.config.output;
    char *own = told == NULL ? NULL
                : forked     ? output_beside(told, (long)getpid())
                             : output_claim(told);
    if (told != NULL && own == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&engine.lock);
    free(engine.output);
    engine.output = own;
    pthread_mutex_unlock(&engine.lock);
    return 0;
}

/* A fork at any moment finds it here while it has descriptors. */
static void show_listener(struct pull_server *listener)
{
    pthread_mutex_lock(&engine.lock);
    engine.listener = listener;
    pthread_mutex_unlock(&engine.lock);
}

static void stop_listener(void)
{
    struct pull_server *listener = engine.listener;
    if (listener == NULL)
        return;
    pull_stop(listener);
    show_listener(NULL);
    pull_free(listener);
}

static void start_listener(void)
{
    const struct config *config = &engine.config;
    struct pull_server *listener = config->listen != NULL ? listen_new(engine.collector) : NULL;
    if (listener == NULL)
        return;
    show_listener(listener);
    if (!listen_start(listener, config->listen, config->listen_public))
        stop_listener();
}

/* Starts with engine.config. */
static int build(bool forked, char *error, size_t error_size)
{
    int signal = handler_choose();
    if (signal < 0)
        return report(error, error_size, signal, "no real-time signal is free");
    int status = choose_output(forked);
    if (status != 0)
        return report(error, error_size, status, strerror(-status));
    engine.exporter =
        sinks_open(&engine.config, engine.output, &engine.budget, error, error_size);
    if (engine.exporter == NULL)
        return -EINVAL;
    engine.model = model_new(&engine.config, &engine.budget);
    status = see_modules();
    if (status == 0) {
        start_sampling(signal);
        if (engine.config.share_context)
            process_context_open();
        status = start_collector();
        if (status == 0) {
            start_listener();
            terminate_arm(&engine.wake);
            return 0;
        }
        process_context_withdraw();
        end_sampling();
        threads_close();
    }
    exporter_stop(engine.exporter, 0, NULL);
    engine.exporter = NULL;
    take_down();
    return report(error, error_size, status, strerror(-status));
}

static double seconds_until(uint64_t deadline)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    return now < deadline ? (double)(deadline - now) / (double)NS_PER_SECOND : 0;
}

static uint64_t deadline_in(double timeout)
{
    double bounded = timeout > 0 ? (timeout < 86400 ? timeout : 86400) : 0;
    return clock_ns(CLOCK_MONOTONIC) + (uint64_t)(bounded * (double)NS_PER_SECOND);
}

/* ---- start, stop, flush ---- */

static void before_fork(void);
static void after_fork_in_parent(void);
static void after_fork_in_child(void);

static int hook_fork(void)
{
    if (!engine.hooked)
        engine.hooked =
            pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
    return engine.hooked ? 0 : -ENOMEM;
}

int cprof_start(const struct cprof_options *options, const struct cprof_runtime *runtime,
                char *error, size_t error_size)
{
    pthread_mutex_lock(&engine.lifecycle);
    int status = 0;
    if (atomic_load(&engine.state) == ENGINE_RUNNING)
        status = report(error, error_size, -EALREADY, "already running");
    else if (atomic_load(&engine.state) == ENGINE_STUCK)
        status = report(error, error_size, -EBUSY, "the last run has not come to its end");
    else
        status = config_load(&engine.config, options, error, error_size);
    if (status == 0 && hook_fork() != 0) {
        config_free(&engine.config);
        status = report(error, error_size, -ENOMEM, strerror(ENOMEM));
    }
    if (status == 0) {
        engine.runtime = runtime;
        /* Only the limit: what a run that ended late still holds stays counted. */
        engine.budget.limit = engine.config.memory_limit;
        atomic_store(&engine.state, ENGINE_STARTING);
        status = build(false, error, error_size);
        if (status != 0)
            config_free(&engine.config);
        atomic_store(&engine.state, status == 0 ? ENGINE_RUNNING : ENGINE_IDLE);
    }
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

/* What the last run counted, for stats() from now on. */
static void keep_stats(void)
{
    struct cprof_stats last;
    collector_stats(engine.collector, &last);
    last.threads = last.stacks = last.memory_bytes = 0;
    pthread_mutex_lock(&engine.lock);
    engine.last = last;
    atomic_store(&engine.state, ENGINE_STOPPING);
    pthread_mutex_unlock(&engine.lock);
}

static int stop_exporter(uint64_t deadline)
{
    struct exporter_stats sinks = {0};
    int status = exporter_stop(engine.exporter, seconds_until(deadline), &sinks);
    engine.exporter = NULL;
    pthread_mutex_lock(&engine.lock);
    engine.last.profiles_exported = sinks.exported;
    engine.last.profiles_failed = sinks.failed;
    engine.last.profiles_dropped = sinks.dropped;
    engine.last.bytes_sent = sinks.bytes_sent;
    pthread_mutex_unlock(&engine.lock);
    return status;
}

/* Takes the running engine down; 0 or -ETIMEDOUT. */
static int stop_running(uint64_t deadline)
{
    stop_listener();
    collector_quiet(engine.collector);
    bool clean = end_sampling();
    bool ended = collector_stop(engine.collector, seconds_until(deadline)) == 0;
    process_context_withdraw(); /* now that nobody publishes it any more */
    if (!ended) {
        /* It waits for something that does not come, in the runtime or the loader. */
        log_warn("the collector does not end in time: what it held is lost");
        keep_stats();
        atomic_store(&engine.state, ENGINE_STUCK);
        terminate_disarm();
        return -ETIMEDOUT;
    }
    keep_stats();
    int status = stop_exporter(deadline);
    if (clean) {
        threads_close();
        take_down();
        config_free(&engine.config);
    }
    atomic_store(&engine.state, clean ? ENGINE_IDLE : ENGINE_STUCK);
    terminate_disarm();
    return status;
}

int cprof_stop(double timeout)
{
    uint64_t deadline = deadline_in(timeout);
    if (!cprof_is_running())
        return -ENOENT;
    if (!lock_within(&engine.lifecycle, seconds_until(deadline)))
        return -ETIMEDOUT; /* another thread's flush or start takes longer */
    int status = cprof_is_running() ? stop_running(deadline) : -ENOENT;
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

int cprof_flush(double timeout)
{
    uint64_t deadline = deadline_in(timeout);
    if (!cprof_is_running())
        return -ENOENT;
    if (!lock_within(&engine.lifecycle, seconds_until(deadline)))
        return -ETIMEDOUT;
    int status = -ENOENT;
    if (cprof_is_running()) {
        status = collector_flush(engine.collector, seconds_until(deadline));
        if (status == 0)
            status = exporter_flush(engine.exporter, seconds_until(deadline));
    }
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

bool cprof_is_running(void)
{
    return atomic_load(&engine.state) == ENGINE_RUNNING;
}

int cprof_output(char *pattern, size_t size)
{
    pthread_mutex_lock(&engine.lock);
    int length = engine.output ? snprintf(pattern, size, "%s", engine.output) : -1;
    pthread_mutex_unlock(&engine.lock);
    return length < 0 ? -ENOENT : (size_t)length < size ? 0 : -ENAMETOOLONG;
}

void cprof_stats(struct cprof_stats *stats)
{
    pthread_mutex_lock(&engine.lock);
    if (cprof_is_running())
        collector_stats(engine.collector, stats);
    else
        *stats = engine.last;
    pthread_mutex_unlock(&engine.lock);
}

bool cprof_span_profile_id(uint8_t id[16])
{
    pthread_mutex_lock(&engine.lock);
    bool wanted = cprof_is_running() && engine.config.span_profile_id;
    if (wanted)
        collector_profile_id(engine.collector, id);
    pthread_mutex_unlock(&engine.lock);
    return wanted;
}

void cprof_thread_enter(uint64_t id, const char *name)
{
    threads_enter(id, name);
}

void cprof_thread_describe(int tid, uint64_t id, const char *name)
{
    threads_describe(tid, id, name);
}

void cprof_thread_leave(void)
{
    threads_leave();
}

void cprof_thread_set_data(void *data)
{
    threads_set_data(data);
}

/* ---- fork ---- */

/* A runtime runs code of its own between its hooks and the fork itself, other threads' too: a
 * lock held there could wait for the interpreter's for ever. So the hooks only announce the
 * fork, and all is locked and brought to rest in the C library's handlers, right at it. */
static _Thread_local bool announced;

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
    sigset_t ours;
    sigemptyset(&ours);
    if (cprof_is_running())
        sigaddset(&ours, handler_choose());
    pthread_sigmask(SIG_BLOCK, &ours, &engine.fork.mask);
    engine.fork.lifecycle = lock_within(&engine.lifecycle, FORK_PATIENCE);
    pthread_mutex_lock(&engine.lock);
    engine.fork.running = cprof_is_running(); /* only now does it stay so */
    engine.fork.at_rest =
        engine.fork.running && collector_pause(engine.collector, FORK_PATIENCE);
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
        engine.fork.running = cprof_is_running();
    }
    if (engine.listener != NULL)
        pull_fork_lock(engine.listener);
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
    if (engine.listener != NULL)
        pull_fork_unlock(engine.listener);
    if (!announced) {
        pthread_mutex_unlock(&engine.lock);
        pthread_mutex_unlock(&engine.forking);
        return;
    }
    threads_fork_parent();
    if (engine.fork.at_rest)
        collector_resume(engine.collector);
    pthread_mutex_unlock(&engine.lock);
    if (engine.fork.lifecycle)
        pthread_mutex_unlock(&engine.lifecycle);
    sigset_t mask = engine.fork.mask;
    pthread_mutex_unlock(&engine.forking);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* [child] Lets go of everything that stood in the parent. What was at rest is freed, and the
 * modules with their tables stay: this process has the same. What was not is left where it
 * lies, its pages shared with the parent. */
static void forget_parent(bool at_rest)
{
    bool running = cprof_is_running();
    engine.forking = engine.lifecycle = engine.lock =
        (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    loader_doubt();
    unwind_library_fork_child();
    if (engine.listener != NULL)
        pull_fork_child(engine.listener);
    engine.listener = NULL;
    output_fork_child();
    handler_show(NULL);
    process_context_forget();
    threads_fork_child();
    if (running)
        exporter_abandon(engine.exporter);
    engine.exporter = NULL;
    if (at_rest) {
        collector_free(engine.collector);
        profile_free(engine.model);
    } else {
        engine.modules = NULL;
        budget_init(&engine.budget, engine.config.memory_limit);
    }
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
    sigset_t mask = engine.fork.mask;
    forget_parent(engine.fork.at_rest);
    if (announced)
        pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* The engine anew, with the parent's options. */
static void start_in_child(void)
{
    char error[256] = "";
    atomic_store(&engine.state, ENGINE_STARTING);
    int status = build(true, error, sizeof error);
    if (status != 0)
        log_warn("not profiling the forked process %ld: %s", (long)getpid(), error);
    else if (engine.output != NULL)
        log_info("the forked process %ld writes to %s", (long)getpid(), engine.output);
    atomic_store(&engine.state, status == 0 ? ENGINE_RUNNING : ENGINE_IDLE);
}

void cprof_fork_child(void)
{
    announced = false;
    if (engine.restart)
        start_in_child();
    engine.restart = false;
}
