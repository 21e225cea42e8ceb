#include "collect/collector.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "base/log.h"
#include "base/own_thread.h"
#include "base/random.h"
#include "collect/loader_lock.h"
#include "collect/metrics.h"
#include "collect/resident.h"
#include "collect/survey.h"
#include "look/looks.h"
#include "look/task_looks.h"
#include "profile/combine.h"
#include "sample/hook.h"
#include "sample/pauses.h"
#include "sample/threads.h"
#include "sample/wake.h"

#define TICK_NS (NS_PER_SECOND / 4)
#define FOLLOWS_A_TICK 4                  /* see follow_modules() */
#define TAP_WAIT 1.0                      /* seconds */
#define NAME_WAIT_NS (2 * NS_PER_SECOND)  /* with a runtime that names a frame later */
#define BUSY_DRAINS 20                    /* see handlers_done() */
#define COMPILE_NS (NS_PER_SECOND / 2)    /* for tables, before a dump */
#define LAST_NAMES_NS (NS_PER_SECOND / 5) /* for the last of them: see drain_to_the_end() */

struct collector {
    struct collector_config config;
    struct gather *gather;
    struct looks_receiver receiver;
    struct looks *looks; /* NULL: nobody asks for off-CPU time or locks */
    struct task_looks_receiver task_receiver;
    struct task_looks *task_looks; /* NULL: nobody asks, or the runtime has no tasks */
    pthread_t thread;
    pthread_mutex_t work;
    pthread_mutex_t sampling; /* the handler and the timers are not taken away meanwhile */
    bool quiet;               /* they are, or are going to be */
    struct profile *taps[COLLECTOR_TAPS]; /* guarded by `work`; NULL: free */
    _Atomic bool stopping;
    _Atomic uint32_t wanted; /* flushes asked for */
    _Atomic uint32_t done;   /* flushes done; a wake word */
    _Atomic bool tapping;    /* the next flush is the begin or the end of what a tap is fed */
    _Atomic bool uncut;      /* the last such flush found no memory */
    pthread_mutex_t dumping; /* one dump at a time is asked for */
    _Atomic uint32_t dumps_wanted, dumps_done; /* the latter a wake word */
    struct dump *dump;                         /* the last one, until it is fetched; */
    int dump_status;                           /* both guarded by `work` */
    _Atomic pid_t asker;                       /* the thread that waits for it */

    /* The thread's own. */
    uint64_t began;              /* of the interval: CLOCK_MONOTONIC */
    uint64_t began_unix;         /* Unix time */
    uint64_t cpu_seen;           /* the process's CPU clock at the last look around */
    uint64_t allowed;            /* when allow_again() last did */
    uint64_t threads, unsampled; /* the most of either in the interval */
    uint64_t no_kernel;          /* the same of those without kernel frames */
    unsigned followed;           /* times that modules were found new since */
    unsigned busy_drains;        /* one after the other, at which handlers were at work */
    bool more;                   /* tables to compile: no time to sleep */
    bool hurried;                /* names are not waited for */
    bool missed;                 /* a sample met code that no module covers */
    bool rename;                 /* the interval is new: read threads' names again */
    bool warned_dropped, warned_proc;
    struct metrics metrics; /* at the last close */

    /* What the thread last published. */
    pthread_mutex_t published_lock;
    struct {
        struct gather_counts gathered;
        uint64_t stacks, cpu_ns;
        uint64_t profile_id[2]; /* of the running interval */
    } published;
};

/* ---- draining ---- */

static bool is_hurried(const struct collector *collector)
{
    return collector->hurried || atomic_load(&collector->stopping);
}

/* Reads a thread's ring to its end; false when it had to stop at a sample that has no names
 * yet, which stays where it is. Not where the ring runs full behind it: better a frame without
 * its name than samples that are lost. */
static bool drain_thread(struct collector *collector, struct thread_view *thread)
{
    const struct module_map *map = modules_current(collector->config.modules);
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    const struct record *record;
    while (thread->ring != NULL && (record = ring_peek(thread->ring)) != NULL) {
        bool may_wait = !is_hurried(collector) && now < record->time_ns + NAME_WAIT_NS &&
                        !ring_half_full(thread->ring);
        /* Naming may take long, and the thread runs on and gets its name meanwhile. */
        threads_look_again(thread);
        int added = gather_add(collector->gather, thread, record, map, may_wait);
        if (added == -EAGAIN)
            return false;
        collector->missed |= added > 0 || record->native_end == WALK_NO_MODULE;
        ring_consume(thread->ring);
    }
    return true;
}

/* What is due of a thread besides its samples. */
static void count_owed(struct collector *collector, const struct thread_view *thread)
{
    uint32_t owed = atomic_exchange(&thread->thread->owed, 0);
    uint32_t blocked = atomic_exchange(&thread->thread->blocked, 0);
    if (owed != 0)
        gather_add_owed(collector->gather, thread, owed);
    if (blocked != 0)
        gather_add_blocked(collector->gather, thread, blocked);
}

/* What a handler at work has already read is not in its ring yet. One that the program's own
 * signal handler has jumped out of will never be done: it is waited for a number of drains. */
static bool handlers_done(struct collector *collector)
{
    collector->busy_drains = threads_busy() ? collector->busy_drains + 1 : 0;
    return collector->busy_drains == 0 || collector->busy_drains > BUSY_DRAINS;
}

/* False: something is left that has no names yet. */
static bool drain(struct collector *collector)
{
    struct thread_view thread;
    bool whole = handlers_done(collector);
    for (size_t cursor = 0; threads_next(&cursor, &thread);)
        if (drain_thread(collector, &thread))
            count_owed(collector, &thread);
        else
            whole = false;
    if (collector->looks != NULL)
        whole &= looks_name(collector->looks, is_hurried(collector));
    const struct cprof_runtime *runtime = collector->config.gather.runtime;
    if (whole && runtime != NULL && runtime->drained != NULL)
        runtime->drained();
    threads_supply();
    return whole;
}

static void publish(struct collector *collector)
{
    pthread_mutex_lock(&collector->published_lock);
    gather_count(collector->gather, &collector->published.gathered);
    collector->published.stacks = gather_stacks(collector->gather);
    collector->published.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    pthread_mutex_unlock(&collector->published_lock);
}

/* ---- looks ---- */

static int place(void *closure, const struct thread_view *thread, const struct record *record,
                 const struct wait *wait, bool may_wait, struct thread_last *where)
{
    struct collector *collector = closure;
    (void)thread;
    collector->missed |= record->native_end == WALK_NO_MODULE;
    return gather_place(collector->gather, record, wait,
                        modules_current(collector->config.modules), may_wait, where);
}

static void waited(void *closure, const struct thread_view *thread,
                   const struct thread_last *where, uint32_t microseconds, uint32_t times)
{
    const struct collector *collector = closure;
    gather_add_waited(collector->gather, thread, where, microseconds, times);
}

static void blamed(void *closure, const struct thread_last *where,
                   const struct thread_view *holder, const struct thread_last *here,
                   uint32_t microseconds)
{
    const struct collector *collector = closure;
    gather_add_blame(collector->gather, where, holder, here, microseconds);
}

static void delayed(void *closure, const struct thread_view *thread, uint32_t microseconds)
{
    const struct collector *collector = closure;
    gather_add_delayed(collector->gather, thread, microseconds);
}

static void place_task(void *closure, const struct record *record, struct thread_last *where)
{
    const struct collector *collector = closure;
    gather_place_task(collector->gather, record, modules_current(collector->config.modules),
                      where);
}

static void tasks_waited(void *closure, const struct thread_last *where, uint32_t microseconds)
{
    const struct collector *collector = closure;
    gather_add_task_waited(collector->gather, where, microseconds);
}

/* Elapsed time is that of threads. False: no memory. */
static bool prepare_task_looks(struct collector *collector, uint64_t period)
{
    const struct gather_config *gather = &collector->config.gather;
    const struct cprof_asleep *asleep =
        gather->runtime != NULL ? gather->runtime->asleep : NULL;
    if (asleep == NULL || asleep->tasks == NULL ||
        !source_counts(gather->sources, SOURCE_OFFCPU, SOURCE_OFFCPU))
        return true;
    collector->task_receiver = (struct task_looks_receiver){
        .closure = collector, .place = place_task, .waited = tasks_waited};
    const struct task_looks_config config = {.budget = gather->budget,
                                             .asleep = asleep,
                                             .period_ns = period,
                                             .receiver = &collector->task_receiver};
    collector->task_looks = task_looks_new(&config);
    return collector->task_looks != NULL;
}

/* Between two rounds of looks: for off-CPU time, or else for native locks. 0: there are none.
 */
static uint64_t looks_period(const struct source_set *sources)
{
    bool offcpu = sources->making[SOURCE_OFFCPU] != 0 && !sources->failed[SOURCE_OFFCPU];
    bool locks = sources->open[SOURCE_LOCK] || sources->open[SOURCE_BLAME];
    if (offcpu)
        return sources->making[SOURCE_OFFCPU];
    return locks && look_is_possible() == 0 ? source_at(SOURCE_OFFCPU)->usual : 0;
}

/* False: no memory. */
static bool prepare_looks(struct collector *collector)
{
    const struct gather_config *gather = &collector->config.gather;
    uint64_t period = looks_period(gather->sources);
    if (period == 0)
        return true;
    collector->receiver = (struct looks_receiver){
        .closure = collector, .place = place, .waited = waited, .delayed = delayed};
    if (gather->sources->open[SOURCE_BLAME])
        collector->receiver.blamed = blamed;
    const struct looks_config config = {.looker = {.budget = gather->budget,
                                                   .runtime = gather->runtime,
                                                   .native = collector->config.native,
                                                   .kernel = collector->config.kernel,
                                                   .max_frames = gather->max_frames},
                                        .period_ns = period,
                                        .receiver = &collector->receiver};
    collector->looks = looks_new(&config);
    return collector->looks != NULL && prepare_task_looks(collector, period);
}

static bool looks_are_due(const struct collector *collector, uint64_t now)
{
    return collector->looks != NULL && looks_due(collector->looks) <= now;
}

static bool task_looks_are_due(const struct collector *collector, uint64_t now)
{
    return collector->task_looks != NULL && task_looks_due(collector->task_looks) <= now;
}

/* When the next look of either kind is due; UINT64_MAX: none. */
static uint64_t next_look(const struct collector *collector)
{
    const uint64_t threads =
        collector->looks != NULL ? looks_due(collector->looks) : UINT64_MAX;
    const uint64_t tasks =
        collector->task_looks != NULL ? task_looks_due(collector->task_looks) : UINT64_MAX;
    return threads < tasks ? threads : tasks;
}

/* The threads are forgotten when sampling ends: what they waited at last is settled then. */
static void look(struct collector *collector, uint64_t now)
{
    pthread_mutex_lock(&collector->work);
    pthread_mutex_lock(&collector->sampling);
    if (!collector->quiet && looks_are_due(collector, now))
        looks_round(collector->looks, modules_current(collector->config.modules));
    if (!collector->quiet && task_looks_are_due(collector, now))
        task_looks_round(collector->task_looks);
    pthread_mutex_unlock(&collector->sampling);
    pthread_mutex_unlock(&collector->work);
}

/* ---- dumps ---- */

static const struct module_map *current_map(void *closure)
{
    const struct collector *collector = closure;
    return modules_current(collector->config.modules);
}

/* Sampling may end while nobody holds the locks. */
static bool rest_in_survey(void *closure, uint64_t ns)
{
    struct collector *collector = closure;
    const struct timespec pause = {.tv_nsec = (long)ns};
    pthread_mutex_unlock(&collector->sampling);
    pthread_mutex_unlock(&collector->work);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&collector->work);
    pthread_mutex_lock(&collector->sampling);
    if (collector->quiet || atomic_load(&collector->stopping))
        return false;
    drain(collector);
    return true;
}

static int survey(struct collector *collector, struct dump **dump)
{
    const struct gather_config *gather = &collector->config.gather;
    const struct survey_config config = {.gather = collector->gather,
                                         .asker = atomic_load(&collector->asker),
                                         .looker = {.budget = gather->budget,
                                                    .runtime = gather->runtime,
                                                    .native = collector->config.native,
                                                    .kernel = collector->config.kernel,
                                                    .max_frames = gather->max_frames},
                                         .closure = collector,
                                         .map = current_map,
                                         .rest = rest_in_survey};
    int status = -ECANCELED;
    pthread_mutex_lock(&collector->sampling);
    if (!collector->quiet && !atomic_load(&collector->stopping))
        status = survey_take(&config, dump);
    pthread_mutex_unlock(&collector->sampling);
    return status;
}

static void follow_modules(struct collector *collector);
static void follow_threads(struct collector *collector);

/* What has been loaded and started just now is known as well as what is old; tables that take
 * long to compile are waited for, within bounds. */
static void know_all(struct collector *collector)
{
    uint64_t until = clock_ns(CLOCK_MONOTONIC) + COMPILE_NS;
    follow_modules(collector);
    while (loader_lock_is_usable(0) && modules_compile(collector->config.modules) &&
           clock_ns(CLOCK_MONOTONIC) < until)
        continue;
    follow_threads(collector);
}

/* With `work`. */
static void dump_if_wanted(struct collector *collector)
{
    uint32_t wanted = atomic_load(&collector->dumps_wanted);
    if (wanted == atomic_load(&collector->dumps_done))
        return;
    struct dump *dump = NULL;
    know_all(collector);
    int status = survey(collector, &dump);
    dump_free(collector->dump); /* of one who did not wait for it */
    collector->dump = dump;
    collector->dump_status = status;
    atomic_store(&collector->dumps_done, wanted);
    wake_waiters(&collector->dumps_done);
}

/* ---- looking around ---- */

/* What handlers may do once a tick, or so many times, as it costs us: wake us at a sample in
 * code that no module covers, so that what was just loaded is known at the next; copy stacks.
 * Some code stays unknown for ever, or beyond the rules. */
static void allow_again(struct collector *collector)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (now - collector->allowed < TICK_NS)
        return;
    collector->allowed = now;
    collector->followed = 0;
    atomic_store_explicit(collector->config.unknown, false, memory_order_relaxed);
    gather_tick(collector->gather);
}

/* Where the loader is locked for ever nothing is loaded any more, and what is known stays. A
 * program that loads one library after the other, as at its start, may wake us for the next
 * without waiting for the tick; one that never ends loading, a few times only. */
static void follow_modules(struct collector *collector)
{
    struct modules *modules = collector->config.modules;
    if (!loader_lock_is_usable(0))
        return;
    if (collector->missed)
        modules_miss(modules);
    collector->missed = false;
    bool changed = modules_refresh(modules, threads_reader, NULL) == 1;
    sources_follow(collector->config.gather.sources, changed);
    changed |= naming_unwind(gather_naming(collector->gather), modules);
    if (!changed)
        return;
    naming_modules_changed(gather_naming(collector->gather), modules_current(modules));
    if (++collector->followed < FOLLOWS_A_TICK)
        atomic_store_explicit(collector->config.unknown, false, memory_order_relaxed);
}

static void follow_threads(struct collector *collector)
{
    int error = threads_scan(collector->rename);
    collector->rename = false;
    if (error != 0 && !collector->warned_proc) {
        collector->warned_proc = true;
        log_warn("can't list the threads in /proc/self/task (%s): only those that enter by "
                 "themselves are sampled",
                 strerror(-error));
    }
}

/* For the profile, which is closed after the threads that it tells of have ended. */
static void see_most_threads(struct collector *collector)
{
    struct threads_counts now;
    threads_count(&now);
    if (now.sampled > collector->threads)
        collector->threads = now.sampled;
    if (now.unsampled > collector->unsampled)
        collector->unsampled = now.unsampled;
    if (now.no_kernel > collector->no_kernel)
        collector->no_kernel = now.no_kernel;
}

/* The CPU time of a process that has hardly run. */
static uint64_t hardly(const struct collector *collector)
{
    uint64_t period = collector->config.gather.sources->making[SOURCE_CPU];
    return period != 0 ? period : NS_PER_SECOND / 100;
}

static void look_around(struct collector *collector)
{
    collector->more = false;
    if (atomic_load(&collector->stopping))
        return;
    pthread_mutex_lock(&collector->sampling);
    if (!collector->quiet)
        sources_tick(collector->config.gather.sources);
    pthread_mutex_unlock(&collector->sampling);
    collector->more = loader_lock_is_usable(0) && modules_compile(collector->config.modules);
    /* A process that has hardly run since has no new threads or code worth looking for: but for
     * looks, as those may wait. */
    uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (!collector->missed && !collector->rename &&
        cpu - collector->cpu_seen < hardly(collector) &&
        (collector->looks == NULL || !threads_differ()))
        return;
    collector->cpu_seen = cpu;
    follow_modules(collector);
    follow_threads(collector);
    see_most_threads(collector);
}

/* ---- closing an interval ---- */

static void begin_interval(struct collector *collector)
{
    collector->began = clock_ns(CLOCK_MONOTONIC);
    collector->began_unix = clock_ns(CLOCK_REALTIME);
    collector->rename = true;
    collector->threads = collector->unsampled = collector->no_kernel = 0;
    uint64_t id[2];
    random_words(id);
    id[0] |= id[0] == 0; /* all zero would be none */
    pthread_mutex_lock(&collector->published_lock);
    memcpy(collector->published.profile_id, id, sizeof id);
    pthread_mutex_unlock(&collector->published_lock);
}

/* What a profile that was lost had reported of others is to be reported again. */
static void count_unreported(const struct collector *collector, struct cprof_stats *stats)
{
    struct exporter_stats sinks;
    exporter_stats(collector->config.exporter, &sinks);
    stats->profiles_failed += sinks.unreported.failed;
    stats->profiles_dropped += sinks.unreported.dropped;
}

static void count_looks(const struct collector *collector, const struct gather_counts *gathered,
                        struct metrics *now)
{
    struct looks_counts looks = {0};
    if (collector->looks != NULL)
        looks_count(collector->looks, &looks);
    now->looks = looks.taken;
    now->looks_unmoved = looks.unmoved;
    now->looks_cut = gathered->looks_cut;
    now->looks_torn = looks.torn;
    now->looks_refused = looks.refused;
    now->looks_skipped = looks.skipped;
    now->looks_without_room = looks.without_room;
    now->looks_cpu_ns = looks.cpu_ns;
    struct task_looks_counts tasks = {0};
    if (collector->task_looks != NULL)
        task_looks_count(collector->task_looks, &tasks);
    now->task_looks = tasks.taken;
    now->task_looks_cut = tasks.cut;
    now->task_looks_cpu_ns = tasks.cpu_ns;
}

static void attach_metrics(struct collector *collector, struct profile *profile)
{
    struct gather_counts gathered;
    gather_count(collector->gather, &gathered);
    struct metrics now = {.samples_unlinked = gathered.unlinked,
                          .samples_unlabelled = gathered.unlabelled,
                          .samples_blocked = gathered.blocked,
                          .threads_unsampled = collector->unsampled};
    count_looks(collector, &gathered, &now);
    collector_stats(collector, &now.stats);
    count_unreported(collector, &now.stats);
    now.stats.threads = collector->threads;
    metrics_attach(profile, &now, &collector->metrics);
    if (collector->config.kernel)
        metrics_attach_kernel(profile, collector->no_kernel);
    if (now.stats.samples_dropped != 0 && !collector->warned_dropped) {
        collector->warned_dropped = true;
        log_warn("%llu samples were dropped: the buffers were full",
                 (unsigned long long)now.stats.samples_dropped);
    }
}

static void feed_taps(struct collector *collector, const struct profile *profile)
{
    for (size_t i = 0; i < COLLECTOR_TAPS; i++)
        if (collector->taps[i] != NULL)
            profile_merge_later(collector->taps[i],
                                profile); /* what has no room is [overflow] */
}

/* How an interval's profile is handed on: an ordinary one goes on where there is no memory for
 * the next one; a cut draws on what is spare then; the last has no next one. */
typedef struct profile *closing(struct gather *gather);

/* False: it goes on. */
static bool close_interval(struct collector *collector, closing *close)
{
    threads_settle();
    drain(collector);
    if (collector->looks != NULL)
        looks_settle(collector->looks, close == gather_end);
    if (collector->task_looks != NULL)
        task_looks_settle(collector->task_looks);
    publish(collector);
    struct profile *profile = close(collector->gather);
    if (profile == NULL)
        return false;
    struct profile_header *header = profile_header(profile);
    header->time_ns = collector->began_unix;
    header->duration_ns = clock_ns(CLOCK_MONOTONIC) - collector->began;
    collector_profile_id(collector, header->profile_id);
    if (profile_sample_count(profile) > 0) /* else it is not sent, and would tell nobody */
        attach_metrics(collector, profile);
    feed_taps(collector, profile);
    if (collector->config.closed != NULL)
        collector->config.closed(collector, profile);
    exporter_submit(collector->config.exporter, profile);
    begin_interval(collector);
    return true;
}

/* ---- the thread ---- */

static uint64_t interval_ns(const struct collector *collector)
{
    return (uint64_t)(collector->config.interval * (double)NS_PER_SECOND);
}

/* For what can't wait for a later drain. The runtime goes on meanwhile, and can still name what
 * ran last; then the rest goes as it is. */
static void drain_to_the_end(struct collector *collector)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + LAST_NAMES_NS;
    while (!drain(collector) && clock_ns(CLOCK_MONOTONIC) < deadline)
        nanosleep(&moment, NULL);
    collector->hurried = true;
    drain(collector);
    collector->hurried = false;
}

/* One turn. False when it was the last. */
static bool turn(struct collector *collector)
{
    bool stopping = atomic_load(&collector->stopping);
    uint32_t wanted = atomic_load(&collector->wanted);
    bool flush = wanted != atomic_load(&collector->done);
    pthread_mutex_lock(&collector->work);
    /* First, as naming what is drained may take longer than a tick. */
    allow_again(collector);
    if (!stopping)
        follow_modules(collector);
    bool cut = flush && atomic_exchange(&collector->tapping, false);
    if (cut)
        drain_to_the_end(collector);
    else
        drain(collector);
    look_around(collector);
    uint64_t age = clock_ns(CLOCK_MONOTONIC) - collector->began;
    if (stopping || flush || age >= interval_ns(collector)) {
        bool closed = close_interval(collector, stopping ? gather_end
                                                : cut    ? gather_cut
                                                : flush  ? gather_flush
                                                         : gather_close);
        if (cut)
            atomic_store(&collector->uncut, !closed);
    }
    dump_if_wanted(collector);
    threads_still();
    naming_rest(gather_naming(collector->gather));
    publish(collector);
    pthread_mutex_unlock(&collector->work);
    if (flush) {
        atomic_store(&collector->done, wanted);
        wake_waiters(&collector->done);
    }
    return !stopping;
}

void collector_wind_up(struct collector *collector)
{
    exporter_hasten(collector->config.exporter);
    pthread_mutex_lock(&collector->work);
    drain_to_the_end(collector);
    close_interval(collector, gather_cut);
    pthread_mutex_unlock(&collector->work);
}

/* The first interval's profile was made before the model was complete. */
static void begin(struct collector *collector)
{
    pthread_mutex_lock(&collector->work);
    collector->config.begin();
    profile_free(gather_close(collector->gather));
    follow_threads(collector);
    pthread_mutex_unlock(&collector->work);
}

/* Until the next turn, but for looks. */
static void rest(struct collector *collector, uint32_t seen)
{
    _Atomic uint32_t *wake = collector->config.wake;
    uint64_t now = clock_ns(CLOCK_MONOTONIC), end = now + TICK_NS;
    do {
        uint64_t until = end;
        if (next_look(collector) <= now)
            look(collector, now);
        if (next_look(collector) < until)
            until = next_look(collector);
        now = clock_ns(CLOCK_MONOTONIC);
        if (now < until)
            wake_wait(wake, seen, until - now);
        now = clock_ns(CLOCK_MONOTONIC);
    } while (atomic_load(wake) == seen && now < end);
}

static void *run(void *argument)
{
    struct collector *collector = argument;
    _Atomic uint32_t *wake = collector->config.wake;
    bool again = true;
    if (collector->config.begin != NULL)
        begin(collector);
    while (again) {
        uint32_t seen = atomic_load(wake);
        again = turn(collector);
        if (again && collector->config.turned != NULL)
            collector->config.turned(collector);
        if (again && !collector->more)
            rest(collector, seen);
    }
    return NULL;
}

int collector_start(const struct collector_config *config, struct collector **collector)
{
    struct collector *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    *made = (struct collector){.config = *config,
                               .work = PTHREAD_MUTEX_INITIALIZER,
                               .dumping = PTHREAD_MUTEX_INITIALIZER,
                               .sampling = PTHREAD_MUTEX_INITIALIZER,
                               .published_lock = PTHREAD_MUTEX_INITIALIZER};
    made->gather = gather_new(&config->gather);
    int error = made->gather != NULL && prepare_looks(made) ? 0 : -ENOMEM;
    if (error == 0) {
        begin_interval(made);
        error = own_thread_start(&made->thread, COLLECTOR_THREAD, run, made);
    }
    if (error != 0)
        collector_free(made);
    else
        *collector = made;
    return error;
}

/* Asks for one more of what is wanted, and waits until it is done. 0, or -ETIMEDOUT. */
static int ask(struct collector *collector, _Atomic uint32_t *wanted, _Atomic uint32_t *done,
               double timeout)
{
    uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(timeout * (double)NS_PER_SECOND);
    uint32_t number = atomic_fetch_add(wanted, 1) + 1;
    wake_post(collector->config.wake);
    for (;;) {
        uint32_t seen = atomic_load(done);
        if ((int32_t)(seen - number) >= 0)
            return 0;
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (now >= deadline)
            return -ETIMEDOUT;
        wake_wait(done, seen, deadline - now);
    }
}

int collector_flush(struct collector *collector, double timeout)
{
    return ask(collector, &collector->wanted, &collector->done, timeout);
}

static int fetch_dump(struct collector *collector, double timeout, struct dump **dump)
{
    int status = ask(collector, &collector->dumps_wanted, &collector->dumps_done, timeout);
    if (status != 0)
        return status;
    pthread_mutex_lock(&collector->work);
    *dump = collector->dump;
    collector->dump = NULL;
    status = collector->dump_status;
    pthread_mutex_unlock(&collector->work);
    return status;
}

int collector_dump(struct collector *collector, double timeout, struct dump **dump)
{
    if (!lock_within(&collector->dumping, timeout))
        return -ETIMEDOUT;
    atomic_store(&collector->asker, (pid_t)syscall(SYS_gettid));
    int status = fetch_dump(collector, timeout, dump);
    pthread_mutex_unlock(&collector->dumping);
    return status;
}

/* Closes the interval at the begin or the end of what a tap is fed: what ran before goes before
 * it, with its names or without. */
static int flush_for_tap(struct collector *collector)
{
    atomic_store(&collector->tapping, true);
    int status = collector_flush(collector, TAP_WAIT);
    return status == 0 && atomic_load(&collector->uncut) ? -ENOMEM : status;
}

/* Puts `new` where `old` is. 0, -EBUSY when that is nowhere, -ETIMEDOUT. */
static int change_tap(struct collector *collector, struct profile *old, struct profile *new)
{
    int status = -EBUSY;
    if (!lock_within(&collector->work, TAP_WAIT))
        return -ETIMEDOUT;
    for (size_t i = 0; i < COLLECTOR_TAPS && status != 0; i++) {
        if (collector->taps[i] == old) {
            collector->taps[i] = new;
            status = 0;
        }
    }
    pthread_mutex_unlock(&collector->work);
    return status;
}

int collector_tap(struct collector *collector, struct budget *budget, bool exact,
                  struct profile **profile)
{
    struct profile *made = profile_new(budget);
    if (made == NULL)
        return -ENOMEM;
    int status = exact ? flush_for_tap(collector) : 0;
    if (status == 0)
        status = change_tap(collector, NULL, made);
    if (status == 0)
        *profile = made;
    else
        profile_free(made);
    return status;
}

int collector_untap(struct collector *collector, struct profile *profile, bool complete)
{
    int flushed = complete ? flush_for_tap(collector) : 0;
    if (change_tap(collector, profile, NULL) != 0)
        return -ETIMEDOUT;
    return flushed == 0 ? 0 : -EIO;
}

void collector_quiet(struct collector *collector)
{
    pthread_mutex_lock(&collector->sampling);
    collector->quiet = true;
    pthread_mutex_unlock(&collector->sampling);
}

int collector_stop(struct collector *collector, double timeout)
{
    atomic_store(&collector->stopping, true);
    wake_post(collector->config.wake);
    const struct timespec until = time_in(timeout > 1 ? timeout : 1);
    int error = pthread_timedjoin_np(collector->thread, NULL, &until);
    if (error != 0)
        pthread_detach(collector->thread);
    return -error;
}

/* Taps are left over where the listener gave one up, and in the child of a fork. */
void collector_free(struct collector *collector)
{
    for (size_t i = 0; i < COLLECTOR_TAPS; i++)
        profile_free(collector->taps[i]);
    looks_free(collector->looks);
    task_looks_free(collector->task_looks);
    dump_free(collector->dump);
    gather_free(collector->gather);
    free(collector);
}

void collector_yield_blocks(struct collector *collector, struct blocks *blocks)
{
    gather_yield_blocks(collector->gather, blocks);
}

void collector_profile_id(struct collector *collector, uint8_t id[16])
{
    pthread_mutex_lock(&collector->published_lock);
    memcpy(id, collector->published.profile_id, sizeof collector->published.profile_id);
    pthread_mutex_unlock(&collector->published_lock);
}

static uint64_t lost_by_hooks(void)
{
    uint64_t lost = 0;
    for (int event = 0; event < CPROF_EVENTS; event++)
        lost += hook_counts((enum cprof_event)event).lost;
    return lost;
}

void collector_stats(struct collector *collector, struct cprof_stats *stats)
{
    struct threads_counts threads;
    threads_count(&threads);
    struct exporter_stats sinks;
    exporter_stats(collector->config.exporter, &sinks);
    const uint64_t resident = resident_bytes();
    const struct pauses pauses = pauses_total();
    pthread_mutex_lock(&collector->published_lock);
    *stats = (struct cprof_stats){
        .samples = collector->published.gathered.samples,
        .samples_dropped = threads.dropped + lost_by_hooks(),
        .samples_truncated = collector->published.gathered.truncated,
        .samples_failed = collector->published.gathered.failed,
        .timer_overruns = threads.overruns,
        .threads = threads.sampled,
        .stacks = collector->published.stacks,
        .memory_bytes = budget_used(collector->config.gather.budget),
        .profiles_exported = sinks.exported,
        .profiles_failed = sinks.failed,
        .profiles_dropped = sinks.dropped,
        .bytes_sent = sinks.bytes_sent,
        .metrics_exported = sinks.reports_sent,
        .metrics_failed = sinks.reports_failed,
        .handler_ns_mean = threads.signals != 0 ? threads.handler_ns / threads.signals : 0,
        .handler_ns_max = threads.handler_ns_max,
        .collector_cpu_ns = collector->published.cpu_ns + sinks.cpu_ns,
        .alloc_bytes = collector->published.gathered.alloc_bytes,
        .heap_bytes = collector->published.gathered.heap_bytes,
        .resident_bytes = resident,
        .gc_collections = pauses.collections,
        .gc_pause_ns = pauses.wall_ns,
        .gc_cpu_ns = pauses.cpu_ns,
    };
    pthread_mutex_unlock(&collector->published_lock);
}

bool collector_pause(struct collector *collector, double seconds)
{
    return lock_within(&collector->work, seconds);
}

void collector_resume(struct collector *collector)
{
    pthread_mutex_unlock(&collector->work);
}
