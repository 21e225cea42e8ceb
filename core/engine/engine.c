#include "cprof/cprof.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/at_exit.h"
#include "base/clock.h"
#include "base/deadline.h"
#include "base/log.h"
#include "base/note.h"
#include "base/own_thread.h"
#include "collect/collector.h"
#include "collect/loader_lock.h"
#include "config/config.h"
#include "context/process.h"
#include "cprof/context.h"
#include "engine/alone.h"
#include "engine/capture.h"
#include "engine/control.h"
#include "engine/copy.h"
#include "engine/dumping.h"
#include "engine/figures.h"
#include "engine/fork.h"
#include "engine/join.h"
#include "engine/later.h"
#include "engine/listen.h"
#include "engine/memory_pages.h"
#include "engine/model.h"
#include "engine/otlp_metrics.h"
#include "engine/output.h"
#include "engine/sinks.h"
#include "engine/state.h"
#include "engine/terminate.h"
#include "resource/resource.h"
#include "sample/loops.h"
#include "sample/take.h"
#include "sample/threads.h"

/* The binding's tables may take so much of the budget. */
#define BINDING_SHARE 3

/* ---- building and taking down ---- */

static int report(char *error, size_t error_size, int status, const char *line)
{
    if (error_size > 0)
        snprintf(error, error_size, "%s", line);
    return status;
}

/* [collector] Tells who we are, in profiles and to other processes, and where we can be asked:
 * that takes half a millisecond, in which the thread that starts us could serve requests. */
static void introduce(void)
{
    resource_set(engine.model, &engine.config);
    if (profile_error(engine.model) != 0)
        log_warn("CPROF_MEMORY_LIMIT leaves no room for all resource attributes");
    if (engine.config.share_context)
        process_context_publish(engine.model);
    if (!engine.config.resource_full)
        resource_keep_identity(engine.model, &engine.config);
    control_listen();
}

static void look_for_an_end(struct collector *collector);
static void end_process(void);

/* [collector] What monitoring is told of, page by page and report by report. */
static void count_interval(struct collector *collector, const struct profile *interval)
{
    figures_count(interval, engine.runtime);
    if (engine.config.listen != NULL)
        memory_pages_count(interval);
    if (!engine.config.otlp_metrics)
        return;
    struct figures figures;
    struct buffer message = {0};
    figures_read(collector, &figures);
    otlp_metrics_write(&figures, interval, engine.began_unix, clock_ns(CLOCK_REALTIME),
                       &message);
    if (message.error == 0)
        exporter_report(engine.exporter, &message);
    else
        buffer_free(&message);
}

static int start_collector(void)
{
    const struct config *config = &engine.config;
    engine.left = false;
    figures_reset();
    loops_open();
    memory_pages_reset(config->listen != NULL ? &engine.budget : NULL);
    engine.began_unix = clock_ns(CLOCK_REALTIME);
    const struct collector_config collector = {
        .gather = {.budget = &engine.budget,
                   .spare = captures_budget(),
                   .runtime = engine.runtime,
                   .model = engine.model,
                   .labels = config->labels.list,
                   .label_count = config->labels.count,
                   .thread_labels = config->thread_labels,
                   .timestamps = config->timestamps,
                   .sources = &engine.config.sources,
                   .max_frames = config->max_frames,
                   .blocks = &engine.inherited.blocks,
                   .library_directory = config->library_directory,
                   .copies = &engine.copies},
        .modules = engine.modules,
        .native = config->native,
        .kernel = config->kernel,
        .exporter = engine.exporter,
        .begin = introduce,
        .turned = look_for_an_end,
        .closed = config->listen != NULL || config->otlp_metrics ? count_interval : NULL,
        .interval = config->interval,
        .wake = &engine.wake,
        .unknown = &engine.unknown,
    };
    return collector_start(&collector, &engine.collector);
}

/* In the child of a fork before the rest is there: see put_off(). */
static void open_threads(bool forked)
{
    const struct threads_config threads = {.forked = forked,
                                           .kernel = engine.config.kernel,
                                           .record_max =
                                               take_record_max(engine.config.max_frames),
                                           .budget = &engine.budget};
    threads_open(&threads);
    if (forked)
        threads_enter(0, NULL);
}

/* The sources that the program has asked for. 0, or a negative errno with *why when none can be
 * had. */
static int start_sampling(bool forked, const char **why)
{
    const struct config *config = &engine.config;
    engine.view = (struct take_view){.runtime = engine.runtime,
                                     .modules = engine.modules,
                                     .native = config->native,
                                     .max_frames = (uint16_t)config->max_frames,
                                     .wake = &engine.wake,
                                     .unknown = &engine.unknown,
                                     .copies = &engine.copies};
    take_show(&engine.view);
    if (!forked)
        open_threads(false);
    int status = sources_open(&engine.config.sources, why);
    if (status == 0 && !forked)
        threads_enter(0, NULL); /* the collector finds the others */
    return status;
}

/* Ends sampling. False when a take did not come back. */
static bool end_sampling(void)
{
    threads_disarm();
    loops_close();
    take_show(NULL);
    bool clean = threads_wait() == 0;
    sources_close(&engine.config.sources);
    if (!clean)
        log_warn("a thread does not leave the signal handler: cprof can't start again");
    return clean;
}

/* What does not sample any more, and has handed its last profile on. */
static void take_down(void)
{
    if (engine.collector != NULL)
        collector_free(engine.collector);
    if (engine.modules != NULL)
        modules_free(engine.modules);
    profile_free(engine.model);
    memory_pages_reset(NULL);
    engine.collector = NULL;
    engine.modules = NULL;
    engine.model = NULL;
}

/* Looks at the modules before the first timer is armed, so that the very first sample has a
 * full stack. In the child of a fork they may not be there to be seen (loader_lock.h): then the
 * parent's snapshot has to do. */
static int see_modules(void)
{
    if (engine.modules == NULL)
        engine.modules = modules_new(&engine.budget);
    if (engine.modules == NULL || engine.model == NULL)
        return -ENOMEM;
    if (!loader_lock_is_usable(FORK_WAIT)) {
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
                             : output_claim(&engine.claim, told);
    if (told != NULL && own == NULL)
        return -ENOMEM;
    if (told == NULL)
        output_release(&engine.claim);
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
    pull_rest(listener);
    pull_close(listener);
    show_listener(NULL);
    pull_free(listener);
}

static void start_listener(void)
{
    const struct config *config = &engine.config;
    struct pull_server *listener =
        config->listen != NULL ? listen_new(engine.collector, &engine.budget) : NULL;
    if (listener == NULL)
        return;
    show_listener(listener);
    if (!listen_start(listener, config->listen, config->listen_public))
        stop_listener();
}

/* Under the lock, as signals may become free in any thread. */
static void arm_endings(void)
{
    pthread_mutex_lock(&engine.lock);
    terminate_arm(&engine.wake, engine.runtime, engine.config.exit_timeout);
    pthread_mutex_unlock(&engine.lock);
}

static void disarm_endings(void)
{
    pthread_mutex_lock(&engine.lock);
    terminate_disarm();
    pthread_mutex_unlock(&engine.lock);
}

void cprof_signals_freed(void)
{
    pthread_mutex_lock(&engine.lock);
    if (engine_is_made())
        terminate_arm(&engine.wake, engine.runtime, engine.config.exit_timeout);
    pthread_mutex_unlock(&engine.lock);
}

void cprof_at_exit(void (*call)(void))
{
    at_exit_call(call);
}

/* After the exporter: a source may want to be no first thread of the process. */
static int begin_run(bool forked, const char **why)
{
    int status = start_sampling(forked, why);
    if (status == 0) {
        if (engine.config.share_context)
            process_context_open();
        control_begun();
        status = start_collector();
        if (status == 0) {
            captures_retap(engine.collector);
            start_listener();
            arm_endings();
            note_started();
            return 0;
        }
        process_context_withdraw();
    }
    end_sampling();
    threads_close();
    return status;
}

/* All but the heap. */
static void free_inherited(void)
{
    if (engine.inherited.collector != NULL) {
        collector_yield_blocks(engine.inherited.collector, &engine.inherited.blocks);
        collector_free(engine.inherited.collector);
    }
    profile_free(engine.inherited.model);
    engine.inherited.collector = NULL;
    engine.inherited.model = NULL;
}

/* Starts with engine.config. */
static int build(bool forked, char *error, size_t error_size)
{
    free_inherited();
    if (!forked) /* it has been without its hooks */
        blocks_free(&engine.inherited.blocks);
    engine.run++;
    int status = choose_output(forked);
    if (status == 0)
        status = captures_open(&engine.budget, engine.config.service_name);
    if (status != 0)
        return report(error, error_size, status, strerror(-status));
    engine.exporter =
        sinks_open(&engine.config, engine.output, &engine.budget, error, error_size);
    if (engine.exporter == NULL)
        return -EINVAL;
    const char *why = NULL;
    engine.model = model_new(&engine.config, &engine.budget);
    status = see_modules();
    if (status == 0)
        status = begin_run(forked, &why);
    if (status == 0)
        return 0;
    exporter_stop(engine.exporter, 0, NULL);
    engine.exporter = NULL;
    take_down();
    return report(error, error_size, status, why != NULL ? why : strerror(-status));
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

/* ---- the start of a forked child ---- */

/* With the parent's options. */
static void build_in_child(void)
{
    char error[256] = "";
    int status = build(true, error, sizeof error);
    if (status != 0) {
        threads_disarm();
        threads_close();
        note_refused(error);
        log_warn("not profiling the forked process %ld: %s", (long)getpid(), error);
    } else if (engine.output != NULL) {
        log_info("the forked process %ld writes to %s", (long)getpid(), engine.output);
    }
    atomic_store(&engine.state, status == 0 ? ENGINE_RUNNING : ENGINE_IDLE);
}

/* [its own thread] */
static void build_later(void)
{
    pthread_mutex_lock(&engine.lifecycle);
    if (atomic_load(&engine.state) == ENGINE_PUT_OFF)
        build_in_child();
    pthread_mutex_unlock(&engine.lifecycle);
}

/* For who needs the engine itself, with the lifecycle lock. False: none runs. */
static bool make(void)
{
    if (atomic_load(&engine.state) == ENGINE_PUT_OFF)
        build_in_child();
    return engine_is_made();
}

/* The end of a child before its start; with the lifecycle lock. False: there is an engine to be
 * stopped, as it is made, or was due by now: what has run is to be counted. */
static bool call_off(void)
{
    if (atomic_load(&engine.state) != ENGINE_PUT_OFF || later_is_due())
        return false;
    threads_disarm();
    threads_close();
    atomic_store(&engine.state, ENGINE_IDLE);
    return true;
}

/* ---- start, stop, flush ---- */

static int start_first(const struct cprof_options *options, const struct cprof_runtime *runtime,
                       char *error, size_t error_size)
{
    if (copy_runs(error, error_size))
        return -EBUSY;
    config_free(&engine.config); /* a fork's child has its parent's, */
    captures_finish();           /* and its blocks */
    note_open();
    int status = config_load(&engine.config, options, error, error_size);
    if (status != 0) {
        note_refused(error);
        return status;
    }
    if (fork_hook() != 0) {
        config_free(&engine.config);
        return report(error, error_size, -ENOMEM, strerror(ENOMEM));
    }
    engine.runtime = runtime;
    engine.told_start = engine.told_block = false;
    atomic_store(&engine.exit_timeout, engine.config.exit_timeout);
    /* Only the limit: what a run that ended late still holds stays counted. */
    engine.budget.limit = engine.config.memory_limit;
    engine.binding_budget.limit = engine.config.memory_limit / BINDING_SHARE;
    atomic_store(&engine.state, ENGINE_STARTING);
    status = build(false, error, error_size);
    if (status != 0) {
        note_refused(error);
        config_free(&engine.config);
    }
    engine.starts = status == 0;
    atomic_store(&engine.state, status == 0 ? ENGINE_RUNNING : ENGINE_IDLE);
    return status;
}

static int join(const struct cprof_options *options, char *error, size_t error_size)
{
    static const struct cprof_options none;
    const struct cprof_options *given = options != NULL ? options : &none;
    struct config asked;
    char differences[128];
    int status = config_load(&asked, given, error, error_size);
    if (status != 0)
        return status;
    join_differences(&engine.config, &asked, given, differences, sizeof differences);
    config_free(&asked);
    bool *told = given->block ? &engine.told_block : &engine.told_start;
    if (!*told)
        *told = join_tell(&engine.config, given->block, differences);
    engine.starts++;
    return CPROF_JOINED;
}

/* With the lifecycle lock. */
static int start_or_join(const struct cprof_options *options,
                         const struct cprof_runtime *runtime, char *error, size_t error_size)
{
    engine.restart = false; /* a dormant child that starts by itself */
    (void)make();
    switch (atomic_load(&engine.state)) {
    case ENGINE_RUNNING:
        return join(options, error, error_size);
    case ENGINE_STUCK:
        return report(error, error_size, -EBUSY, "the last run has not come to its end");
    default:
        return start_first(options, runtime, error, error_size);
    }
}

/* Another hook of the child of a fork may have come before ours. */
static void lock_to_start(void)
{
    if (fork_is_announced() && engine.restart)
        cprof_fork_child();
    pthread_mutex_lock(&engine.lifecycle);
}

int cprof_start(const struct cprof_options *options, const struct cprof_runtime *runtime,
                char *error, size_t error_size)
{
    lock_to_start();
    int status = start_or_join(options, runtime, error, error_size);
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
    engine.last.metrics_exported = sinks.reports_sent;
    engine.last.metrics_failed = sinks.reports_failed;
    pthread_mutex_unlock(&engine.lock);
    return status;
}

/* Takes the running engine down; 0, -ETIMEDOUT or -EIO. */
static int stop_running(uint64_t deadline)
{
    struct threads_counts threads;
    if (call_off()) {
        control_stopped();
        return 0;
    }
    if (!make())
        return -ENOENT;
    stop_listener();
    collector_quiet(engine.collector);
    threads_count(&threads);
    bool clean = end_sampling();
    bool ended = collector_stop(engine.collector, seconds_until(deadline)) == 0;
    process_context_withdraw(); /* now that nobody publishes it any more */
    if (!ended) {
        /* It waits for something that does not come, in the runtime or the loader. */
        log_warn("the collector does not end in time: what it held is lost");
        keep_stats();
        atomic_store(&engine.state, ENGINE_STUCK);
        disarm_endings();
        return -ETIMEDOUT;
    }
    captures_finish();
    keep_stats();
    int status = stop_exporter(deadline);
    note_ended(engine.last.samples, threads.unsampled);
    if (clean) {
        threads_close();
        take_down();
        config_free(&engine.config);
    }
    atomic_store(&engine.state, clean ? ENGINE_IDLE : ENGINE_STUCK);
    disarm_endings();
    control_stopped();
    return status;
}

static int flush_running(uint64_t deadline)
{
    if (!make())
        return -ENOENT;
    int status = collector_flush(engine.collector, seconds_until(deadline));
    if (status == 0)
        status = exporter_flush(engine.exporter, seconds_until(deadline));
    return status;
}

/* Gives a start back; the last one stops. */
static int stop_or_leave(uint64_t deadline)
{
    return --engine.starts > 0 ? flush_running(deadline) : stop_running(deadline);
}

/* Does something with the running engine; other threads' starts, stops and flushes are waited
 * for. */
static int with_running(double timeout, int (*act)(uint64_t deadline))
{
    uint64_t deadline = deadline_in(timeout);
    if (!cprof_is_running())
        return -ENOENT;
    if (!lock_within(&engine.lifecycle, seconds_until(deadline)))
        return -ETIMEDOUT;
    int status = cprof_is_running() ? act(deadline) : -ENOENT;
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

int cprof_stop(double timeout)
{
    return with_running(timeout, stop_or_leave);
}

static int end_running(uint64_t deadline)
{
    if (call_off())
        return 0;
    if (!make())
        return -ENOENT;
    exporter_hasten(engine.exporter);
    return stop_running(deadline);
}

int cprof_stop_all(double timeout)
{
    return with_running(timeout, stop_running);
}

int cprof_end(double timeout)
{
    control_close();
    return with_running(timeout < 0 ? atomic_load(&engine.exit_timeout) : timeout, end_running);
}

int cprof_flush(double timeout)
{
    return with_running(timeout, flush_running);
}

int cprof_dump(const char *format, char **page, size_t *size, char *error, size_t error_size)
{
    if (!lock_within(&engine.lifecycle, DUMPING_WAIT))
        return report(
            error, error_size, -ETIMEDOUT,
            "no dump can be taken: another thread's start, stop or flush takes too long");
    int status = make() ? dumping_page(engine.collector, format, page, size, error, error_size)
                        : report(error, error_size, -ECANCELED,
                                 "no dump can be taken: cprof is not running");
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

/* ---- the program ends ---- */

/* [collector] A signal ends the process, and waits for us with that. */
static void die(struct collector *collector)
{
    collector_wind_up(collector);
    captures_rescue();
    exporter_flush(engine.exporter, atomic_load(&engine.exit_timeout));
    control_unlink();
    terminate_now();
}

/* What the C library does when the last thread of a process ends. Not on the collector, as that
 * is waited for. From now on this thread takes the signals of the process, as the others are
 * gone: SIGTERM still ends it. */
static void *leave(void *unused)
{
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    cprof_end(-1);
    exit(0);
    return unused;
}

/* [collector] The program's last thread has ended. */
static void end_process(void)
{
    pthread_t thread;
    if (own_thread_start(&thread, OWN_THREAD_PREFIX "end", leave, NULL) == 0)
        pthread_detach(thread);
    else
        leave(NULL); /* what the collector still holds is lost */
}

static void look_for_an_end(struct collector *collector)
{
    if (terminate_requested())
        die(collector);
    control_look();
    if (!engine.left && alone()) {
        engine.left = true;
        end_process();
    }
}

/* ---- the profile of a block ---- */

/* Without a flush: the block has a file of its own. */
static void give_back(uint64_t deadline)
{
    if (--engine.starts == 0)
        stop_running(deadline);
}

int cprof_capture_begin(const struct cprof_options *options,
                        const struct cprof_runtime *runtime, uint64_t *capture, char *error,
                        size_t error_size)
{
    struct cprof_options given = *options;
    given.block = true;
    if (given.output == NULL || given.output[0] == '\0')
        return report(error, error_size, -EINVAL, "output: the profile's file is needed");
    lock_to_start();
    int started = start_or_join(&given, runtime, error, error_size), status = started;
    if (started >= 0)
        status = captures_begin(engine.collector, given.output, capture, error, error_size);
    if (started >= 0 && status != 0)
        give_back(deadline_in(0));
    pthread_mutex_unlock(&engine.lifecycle);
    return status != 0 ? status : started;
}

int cprof_capture_end(uint64_t capture, double timeout, char *error, size_t error_size)
{
    uint64_t deadline = deadline_in(timeout);
    if (!cprof_is_running())
        return -EALREADY;
    if (!lock_within(&engine.lifecycle, seconds_until(deadline)))
        return report(error, error_size, -ETIMEDOUT,
                      "a block's profile is not written: another thread's start, stop or flush "
                      "takes too long");
    int status = -EALREADY;
    if (make())
        status = captures_end(engine.collector, capture, error, error_size);
    if (status != -EALREADY)
        give_back(deadline);
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

int cprof_control_open(const char *language, char *error, size_t error_size)
{
    pthread_mutex_lock(&engine.lifecycle);
    int status = fork_hook();
    status = status == 0 ? control_open(language, error, error_size)
                         : report(error, error_size, status, strerror(-status));
    pthread_mutex_unlock(&engine.lifecycle);
    return status;
}

bool cprof_is_running(void)
{
    return engine_runs();
}

bool cprof_memory_take(size_t bytes)
{
    return budget_take(&engine.binding_budget, bytes);
}

void cprof_memory_give(size_t bytes)
{
    budget_give(&engine.binding_budget, bytes);
}

void cprof_say(const char *line)
{
    log_warn("%s", line);
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
    if (engine_is_made())
        collector_stats(engine.collector, stats);
    else
        *stats = engine.last;
    pthread_mutex_unlock(&engine.lock);
}

static bool read_profile_id(uint8_t id[16], bool of_span)
{
    pthread_mutex_lock(&engine.lock);
    bool wanted = engine_is_made() && (!of_span || engine.config.span_profile_id);
    if (wanted)
        collector_profile_id(engine.collector, id);
    pthread_mutex_unlock(&engine.lock);
    return wanted;
}

bool cprof_span_profile_id(uint8_t id[16])
{
    return read_profile_id(id, true);
}

bool cprof_profile_id(uint8_t id[16])
{
    return read_profile_id(id, false);
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

/* ---- the child of a fork ---- */

/* Most children end, or run another program, before it would be worth it. Threads can enter at
 * once, as the runtime's hooks have them do now. */
static void put_off(void)
{
    (void)choose_output(true); /* building tries again, and says what is wrong */
    open_threads(true);
    atomic_store(&engine.state, ENGINE_PUT_OFF);
    if (later_call(build_later, end_process) != 0)
        build_in_child();
}

void cprof_fork_child(void)
{
    fork_is_over();
    if (engine.restart)
        put_off();
    engine.restart = false;
    control_forked();
}
