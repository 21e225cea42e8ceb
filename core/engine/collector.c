#include "engine/collector.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own_thread.h"
#include "base/random.h"
#include "engine/loader.h"
#include "engine/metrics.h"
#include "engine/patience.h"
#include "engine/terminate.h"
#include "profile/combine.h"
#include "sample/handler.h"
#include "sample/threads.h"
#include "sample/wake.h"

#define TICK_NS (NS_PER_SECOND / 4)
#define FOLLOWS_A_TICK 4                /* see follow_modules() */
#define TAP_PATIENCE 1.0                /* seconds */
#define PATIENCE_NS (2 * NS_PER_SECOND) /* with a runtime that names a frame later */
#define BUSY_DRAINS 20                  /* see handlers_done() */

struct collector {
    struct collector_config config;
    struct gather *gather;
    pthread_t thread;
    pthread_mutex_t work;
    struct profile *taps[COLLECTOR_TAPS]; /* guarded by `work`; NULL: free */
    _Atomic bool quiet;
    _Atomic bool stopping;
    _Atomic uint32_t wanted; /* flushes asked for */
    _Atomic uint32_t done;   /* flushes done; a wake word */

    /* The thread's own. */
    uint64_t began;              /* of the interval: CLOCK_MONOTONIC */
    uint64_t began_unix;         /* Unix time */
    uint64_t cpu_seen;           /* the process's CPU clock at the last look around */
    uint64_t allowed;            /* when allow_again() last did */
    uint64_t threads, unsampled; /* the most of either in the interval */
    unsigned followed;           /* times that modules were found new since */
    unsigned busy_drains;        /* one after the other, at which handlers were at work */
    bool more;                   /* tables to compile: no time to sleep */
    bool missed;                 /* a sample met code that no module covers */
    bool rename;                 /* the interval is new: read threads' names again */
    bool told_taken, told_dropped, told_proc;
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

/* Reads a thread's ring to its end; false when it had to stop at a sample that has no names
 * yet, which stays where it is. Not where the ring runs full behind it: better a frame without
 * its name than samples that are lost. */
static bool drain_thread(struct collector *collector, const struct thread_view *thread)
{
    const struct module_map *map = modules_current(collector->config.modules);
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    const struct record *record;
    while ((record = ring_peek(thread->ring)) != NULL) {
        bool patient = !atomic_load(&collector->stopping) && !terminate_requested() &&
                       now < record->time_ns + PATIENCE_NS && !ring_half_full(thread->ring);
        int added = gather_add(collector->gather, thread, record, map, patient);
        if (added == -EAGAIN)
            return false;
        collector->missed |= added > 0 || record->native_end == WALK_NO_MODULE;
        ring_consume(thread->ring);
    }
    return true;
}

/* What a handler at work has already read is not in its ring yet. One that the program's own
 * signal handler has jumped out of will never be done: it is waited for a number of drains. */
static bool handlers_done(struct collector *collector)
{
    collector->busy_drains = threads_busy() ? collector->busy_drains + 1 : 0;
    return collector->busy_drains == 0 || collector->busy_drains > BUSY_DRAINS;
}

static void drain(struct collector *collector)
{
    struct thread_view thread;
    bool whole = handlers_done(collector);
    for (size_t cursor = 0; threads_next(&cursor, &thread);)
        whole &= drain_thread(collector, &thread);
    const struct cprof_runtime *runtime = collector->config.gather.runtime;
    if (whole && runtime != NULL && runtime->drained != NULL)
        runtime->drained();
}

static void publish(struct collector *collector)
{
    pthread_mutex_lock(&collector->published_lock);
    gather_count(collector->gather, &collector->published.gathered);
    collector->published.stacks = gather_stacks(collector->gather);
    collector->published.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    pthread_mutex_unlock(&collector->published_lock);
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
    if (!loader_answers(0))
        return;
    if (collector->missed)
        modules_miss(modules);
    collector->missed = false;
    if (modules_refresh(modules, threads_reader, NULL) != 1)
        return;
    naming_modules_changed(gather_naming(collector->gather), modules_current(modules));
    if (++collector->followed < FOLLOWS_A_TICK)
        atomic_store_explicit(collector->config.unknown, false, memory_order_relaxed);
}

static void follow_threads(struct collector *collector)
{
    int error = threads_scan(collector->rename);
    collector->rename = false;
    if (error != 0 && !collector->told_proc) {
        collector->told_proc = true;
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
}

/* A signal of ours under somebody else's disposition could kill the program. */
static void check_handler(struct collector *collector)
{
    if (collector->told_taken || handler_installed() || atomic_load(&collector->quiet))
        return; /* looked at in this order: we are quiet before we take it away ourselves */
    collector->told_taken = true;
    threads_disarm();
    log_warn("the program has replaced the handler of cprof's signal: sampling stops");
}

static void look_around(struct collector *collector)
{
    collector->more = false;
    if (atomic_load(&collector->stopping))
        return;
    check_handler(collector);
    collector->more = loader_answers(0) && modules_compile(collector->config.modules);
    /* A process that has hardly run since has no new threads or code worth looking for. */
    uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t period = collector->config.gather.period_ns;
    if (!collector->missed && !collector->rename && cpu - collector->cpu_seen < period)
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
    collector->threads = collector->unsampled = 0;
    uint64_t id[2];
    random_words(id);
    id[0] |= id[0] == 0; /* all zero would be none */
    pthread_mutex_lock(&collector->published_lock);
    memcpy(collector->published.profile_id, id, sizeof id);
    pthread_mutex_unlock(&collector->published_lock);
}

/* What a profile that was lost had told of others is to be told anew. */
static void count_untold(const struct collector *collector, struct cprof_stats *stats)
{
    struct exporter_stats sinks;
    exporter_stats(collector->config.exporter, &sinks);
    stats->profiles_failed += sinks.untold.failed;
    stats->profiles_dropped += sinks.untold.dropped;
}

static void attach_metrics(struct collector *collector, struct profile *profile)
{
    struct gather_counts gathered;
    gather_count(collector->gather, &gathered);
    struct metrics now = {.samples_unlinked = gathered.unlinked,
                          .samples_unlabelled = gathered.unlabelled,
                          .threads_unsampled = collector->unsampled};
    collector_stats(collector, &now.stats);
    count_untold(collector, &now.stats);
    now.stats.threads = collector->threads;
    metrics_attach(profile, &now, &collector->metrics);
    if (now.stats.samples_dropped != 0 && !collector->told_dropped) {
        collector->told_dropped = true;
        log_warn("%llu samples were dropped: a thread's buffer was full",
                 (unsigned long long)now.stats.samples_dropped);
    }
}

static void feed_taps(struct collector *collector, const struct profile *profile)
{
    for (size_t i = 0; i < COLLECTOR_TAPS; i++)
        if (collector->taps[i] != NULL)
            profile_merge(collector->taps[i], profile); /* what has no room is [overflow] */
}

static void close_interval(struct collector *collector, bool last)
{
    publish(collector);
    struct profile *profile =
        last ? gather_end(collector->gather) : gather_close(collector->gather);
    if (profile == NULL)
        return; /* no memory for the next one: this one goes on */
    struct profile_header *header = profile_header(profile);
    header->time_ns = collector->began_unix;
    header->duration_ns = clock_ns(CLOCK_MONOTONIC) - collector->began;
    collector_profile_id(collector, header->profile_id);
    if (profile_sample_count(profile) > 0) /* else it is not sent, and would tell nobody */
        attach_metrics(collector, profile);
    feed_taps(collector, profile);
    exporter_submit(collector->config.exporter, profile);
    begin_interval(collector);
}

/* ---- the thread ---- */

static uint64_t interval_ns(const struct collector *collector)
{
    return (uint64_t)(collector->config.interval * (double)NS_PER_SECOND);
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
    drain(collector);
    look_around(collector);
    uint64_t age = clock_ns(CLOCK_MONOTONIC) - collector->began;
    if (stopping || flush || age >= interval_ns(collector))
        close_interval(collector, stopping);
    naming_rest(gather_naming(collector->gather));
    publish(collector);
    pthread_mutex_unlock(&collector->work);
    if (flush) {
        atomic_store(&collector->done, wanted);
        wake_waiters(&collector->done);
    }
    return !stopping;
}

/* The process is about to die of SIGTERM, and waits for us with that. */
static void wind_up(struct collector *collector)
{
    pthread_mutex_lock(&collector->work);
    drain(collector);
    close_interval(collector, false);
    pthread_mutex_unlock(&collector->work);
    exporter_flush(collector->config.exporter, TERMINATE_SECONDS);
    terminate_now();
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
        if (again && terminate_requested())
            wind_up(collector);
        if (again && !collector->more)
            wake_wait(wake, seen, TICK_NS);
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
                               .published_lock = PTHREAD_MUTEX_INITIALIZER};
    made->gather = gather_new(&config->gather);
    int error = made->gather != NULL ? 0 : -ENOMEM;
    if (error == 0) {
        begin_interval(made);
        error = own_thread_start(&made->thread, OWN_THREAD_PREFIX "collect", run, made);
    }
    if (error != 0)
        collector_free(made);
    else
        *collector = made;
    return error;
}

int collector_flush(struct collector *collector, double timeout)
{
    uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(timeout * (double)NS_PER_SECOND);
    uint32_t number = atomic_fetch_add(&collector->wanted, 1) + 1;
    wake_post(collector->config.wake);
    for (;;) {
        uint32_t done = atomic_load(&collector->done);
        if ((int32_t)(done - number) >= 0)
            return 0;
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (now >= deadline)
            return -ETIMEDOUT;
        wake_wait(&collector->done, done, deadline - now);
    }
}

/* Puts `new` where `old` is. */
static bool change_tap(struct collector *collector, struct profile *old, struct profile *new)
{
    bool changed = false;
    if (!lock_within(&collector->work, TAP_PATIENCE))
        return false;
    for (size_t i = 0; i < COLLECTOR_TAPS && !changed; i++) {
        if (collector->taps[i] == old) {
            collector->taps[i] = new;
            changed = true;
        }
    }
    pthread_mutex_unlock(&collector->work);
    return changed;
}

struct profile *collector_tap(struct collector *collector)
{
    struct profile *profile = profile_new(collector->config.gather.budget);
    if (profile == NULL)
        return NULL;
    if (collector_flush(collector, TAP_PATIENCE) == 0 && change_tap(collector, NULL, profile))
        return profile;
    profile_free(profile);
    return NULL;
}

int collector_untap(struct collector *collector, struct profile *profile, bool complete)
{
    int flushed = complete ? collector_flush(collector, TAP_PATIENCE) : 0;
    if (!change_tap(collector, profile, NULL))
        return -ETIMEDOUT;
    return flushed == 0 ? 0 : -EIO;
}

void collector_quiet(struct collector *collector)
{
    atomic_store(&collector->quiet, true);
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
    gather_free(collector->gather);
    free(collector);
}

void collector_profile_id(struct collector *collector, uint8_t id[16])
{
    pthread_mutex_lock(&collector->published_lock);
    memcpy(id, collector->published.profile_id, sizeof collector->published.profile_id);
    pthread_mutex_unlock(&collector->published_lock);
}

void collector_stats(struct collector *collector, struct cprof_stats *stats)
{
    struct threads_counts threads;
    threads_count(&threads);
    struct exporter_stats sinks;
    exporter_stats(collector->config.exporter, &sinks);
    pthread_mutex_lock(&collector->published_lock);
    *stats = (struct cprof_stats){
        .samples = collector->published.gathered.samples,
        .samples_dropped = threads.dropped,
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
        .handler_ns_mean = threads.signals != 0 ? threads.handler_ns / threads.signals : 0,
        .handler_ns_max = threads.handler_ns_max,
        .collector_cpu_ns = collector->published.cpu_ns + sinks.cpu_ns,
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
