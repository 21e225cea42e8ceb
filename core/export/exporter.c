#include "export/exporter.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "export/queue.h"
#include "export/retry.h"
#include "export/sink.h"

#define MAX_SINKS 4
#define STACK_SIZE ((size_t)1 << 20)             /* TLS libraries want some */
#define MAX_QUEUED 360                           /* profiles: an hour of 10 s intervals */
#define UNBOUNDED_QUEUE_BYTES ((size_t)32 << 20) /* when there is no budget to take half of */
#define GRACE NS_PER_SECOND /* beyond stop's timeout, for an interrupted delivery to return */
#define NEVER UINT64_MAX

/* What a person was last told of a sink, so that an outage is one line and not hundreds. */
enum trouble { TROUBLE_NONE, TROUBLE_WARNING, TROUBLE_RETRYING, TROUBLE_REFUSED };

/* A sink and how it is doing. */
struct outlet {
    struct sink *sink;
    uint32_t bit;      /* in struct queued's `waiting` */
    bool busy;         /* a delivery or a save is under way */
    bool save_wanted;  /* once it has taken all that waits for it */
    unsigned failures; /* retryable ones in a row */
    uint64_t ready_at; /* CLOCK_MONOTONIC: not before, after a failure */
    enum trouble told;
};

enum phase {
    PHASE_RUNNING,
    PHASE_STOPPING,  /* deliver what there is, until the deadline */
    PHASE_GIVING_UP, /* time has run out: only sinks that are always quick go on */
    PHASE_ENDED,     /* the thread touches nothing any more */
};

struct exporter {
    pthread_t thread;
    size_t outlet_count;

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t work;  /* for the thread: something changed */
    pthread_cond_t done;  /* for flush and stop: a step ended */
    enum phase phase;
    bool orphaned; /* stop went away; the thread frees everything */
    uint64_t stop_deadline;
    struct queue queue;
    struct outlet outlets[MAX_SINKS];
    struct exporter_stats stats;
    bool failed_since_flush;
    bool dropping; /* told that the queue is full; until it has been empty */
};

/* ---- the thread ---- */

static bool has_work(const struct exporter *exporter, const struct outlet *outlet)
{
    return queue_oldest(&exporter->queue, outlet->bit) != NULL || outlet->save_wanted;
}

/* The first outlet that can do something now; *wake is when the next one can. Files come
 * first (they were made first), so that a server that hangs does not hold them up. */
static struct outlet *next_outlet(struct exporter *exporter, uint64_t *wake)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    *wake = NEVER;
    for (size_t i = 0; i < exporter->outlet_count; i++) {
        struct outlet *outlet = &exporter->outlets[i];
        if (!has_work(exporter, outlet))
            continue;
        if (exporter->phase == PHASE_GIVING_UP && outlet->sink->interrupt != NULL)
            continue;
        if (outlet->ready_at <= now)
            return outlet;
        if (outlet->ready_at < *wake)
            *wake = outlet->ready_at;
    }
    return NULL;
}

static void tell(struct outlet *outlet, const struct delivery *delivery, uint64_t wait)
{
    enum trouble trouble = delivery->status == DELIVERY_RETRY     ? TROUBLE_RETRYING
                           : delivery->status == DELIVERY_REFUSED ? TROUBLE_REFUSED
                           : delivery->warn                       ? TROUBLE_WARNING
                                                                  : TROUBLE_NONE;
    enum log_level level = trouble == outlet->told ? LOG_DEBUG : LOG_WARN;
    const char *name = outlet->sink->name;
    switch (trouble) {
    case TROUBLE_RETRYING:
        log_line(level, "%s: %s; profiles are kept, next attempt in %.1f s", name,
                 delivery->detail, (double)wait / (double)NS_PER_SECOND);
        break;
    case TROUBLE_REFUSED:
        log_line(level, "%s: a profile is lost: %s", name, delivery->detail);
        break;
    case TROUBLE_WARNING:
        log_line(level, "%s: %s", name, delivery->detail);
        break;
    case TROUBLE_NONE:
        if (outlet->told == TROUBLE_RETRYING || outlet->told == TROUBLE_REFUSED)
            log_info("%s: profiles are delivered again", name);
        break;
    }
    outlet->told = trouble;
}

static uint64_t pause_after(struct outlet *outlet, const struct delivery *delivery)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    outlet->failures++;
    uint64_t wait = delivery->retry_after
                        ? delivery->retry_after
                        : retry_backoff(outlet->failures, hash_u64(now ^ (uintptr_t)outlet));
    outlet->ready_at = now + wait;
    return wait;
}

/* Draws the consequences of one delivery (`entry`) or one save (NULL). Returns what is to be
 * freed. */
static struct queued *settle(struct exporter *exporter, struct outlet *outlet,
                             struct queued *entry, const struct delivery *delivery)
{
    struct exporter_stats *stats = &exporter->stats;
    uint64_t wait = 0;
    bool retry = delivery->status == DELIVERY_RETRY;
    outlet->busy = false;
    if (entry)
        entry->busy = false;
    if (retry) {
        wait = pause_after(outlet, delivery);
    } else {
        outlet->failures = 0;
        outlet->ready_at = 0;
    }
    if (delivery->status == DELIVERY_DONE) {
        stats->exported += delivery->profiles;
        stats->bytes_sent += delivery->bytes;
    } else if (delivery->status == DELIVERY_REFUSED) {
        stats->failed += delivery->profiles;
    }
    if (delivery->status == DELIVERY_REFUSED || (retry && entry == NULL))
        exporter->failed_since_flush = true;
    if (!retry || exporter->phase != PHASE_GIVING_UP) /* then stop() has the last word */
        tell(outlet, delivery, wait);
    struct queued *gone =
        entry && !retry ? queue_settle(&exporter->queue, entry, outlet->bit) : NULL;
    if (exporter->queue.count == 0)
        exporter->dropping = false;
    return gone;
}

/* One delivery, or one save. The lock is held at both ends and free in between. */
static void use_outlet(struct exporter *exporter, struct outlet *outlet)
{
    struct delivery delivery = {0};
    struct queued *entry = queue_oldest(&exporter->queue, outlet->bit);
    bool last = exporter->phase != PHASE_RUNNING;
    outlet->busy = true;
    if (entry)
        entry->busy = true;
    else
        outlet->save_wanted = false;
    pthread_mutex_unlock(&exporter->lock);

    if (entry)
        outlet->sink->deliver(outlet->sink, entry->profile, &delivery);
    else
        outlet->sink->save(outlet->sink, last, &delivery);

    pthread_mutex_lock(&exporter->lock);
    struct queued *gone = settle(exporter, outlet, entry, &delivery);
    if (gone) {
        pthread_mutex_unlock(&exporter->lock);
        queued_free(gone);
        pthread_mutex_lock(&exporter->lock);
    }
    exporter->stats.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    pthread_cond_broadcast(&exporter->done);
}

/* Waits for `condition`, at most until then on CLOCK_MONOTONIC. */
static void wait_until(struct exporter *exporter, pthread_cond_t *condition, uint64_t deadline)
{
    struct timespec at = {.tv_sec = (time_t)(deadline / NS_PER_SECOND),
                          .tv_nsec = (long)(deadline % NS_PER_SECOND)};
    if (deadline == NEVER)
        pthread_cond_wait(condition, &exporter->lock);
    else
        pthread_cond_timedwait(condition, &exporter->lock, &at);
}

static void destroy(struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->outlet_count; i++)
        exporter->outlets[i].sink->close(exporter->outlets[i].sink);
    queued_free(queue_clear(&exporter->queue));
    pthread_cond_destroy(&exporter->done);
    pthread_cond_destroy(&exporter->work);
    pthread_mutex_destroy(&exporter->lock);
    free(exporter);
}

static void *run(void *argument)
{
    struct exporter *exporter = argument;
    uint64_t wake;
    pthread_mutex_lock(&exporter->lock);
    for (;;) {
        struct outlet *outlet = next_outlet(exporter, &wake);
        if (outlet)
            use_outlet(exporter, outlet);
        else if (exporter->phase != PHASE_RUNNING && wake >= exporter->stop_deadline)
            break; /* nothing left, or nothing whose turn comes in time */
        else
            wait_until(exporter, &exporter->work, wake);
    }
    exporter->phase = PHASE_ENDED;
    bool orphaned = exporter->orphaned;
    pthread_cond_broadcast(&exporter->done);
    pthread_mutex_unlock(&exporter->lock);
    if (orphaned)
        destroy(exporter);
    return NULL;
}

/* ---- making one ---- */

static bool add_sink(struct exporter *exporter, struct sink *sink)
{
    if (sink == NULL)
        return false;
    size_t i = exporter->outlet_count++;
    exporter->outlets[i] = (struct outlet){.sink = sink, .bit = (uint32_t)1 << i};
    return true;
}

static bool add_sinks(struct exporter *exporter, const struct exporter_options *options,
                      char *error, size_t error_size)
{
    if (options->output && !add_sink(exporter, sink_file_new(options, error, error_size)))
        return false;
    return options->otlp.url == NULL ||
           add_sink(exporter, sink_otlp_new(options, error, error_size));
}

/* The host's signal handlers must never run on our thread: it inherits a full mask. Nor does
 * it take a stack of whatever size the host gives its own. */
static int start_thread(struct exporter *exporter)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    sigfillset(&all);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&exporter->thread, &attributes, run, exporter);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error == 0)
        pthread_setname_np(exporter->thread, "cprof-export");
    return error;
}

static void init_locks(struct exporter *exporter)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&exporter->work, &attributes);
    pthread_cond_init(&exporter->done, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&exporter->lock, NULL);
}

struct exporter *exporter_new(const struct exporter_options *options, char *error,
                              size_t error_size)
{
    struct exporter *exporter = calloc(1, sizeof *exporter);
    if (exporter == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    init_locks(exporter);
    exporter->queue.max_count = MAX_QUEUED;
    /* The other half is for the profile that is being gathered. */
    exporter->queue.max_bytes = options->budget && options->budget->limit
                                    ? options->budget->limit / 2
                                    : UNBOUNDED_QUEUE_BYTES;
    if (!add_sinks(exporter, options, error, error_size)) {
        destroy(exporter);
        return NULL;
    }
    int failed = start_thread(exporter);
    if (failed != 0) {
        snprintf(error, error_size, "can't start the exporter's thread: error %d", failed);
        destroy(exporter);
        return NULL;
    }
    return exporter;
}

/* ---- the callers' side ---- */

static uint64_t deadline_in(double seconds)
{
    double ns = seconds > 0 ? seconds * (double)NS_PER_SECOND : 0;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    return ns < 1e18 ? now + (uint64_t)ns : now + (uint64_t)1e18;
}

/* Counts, by sink, what leaves the queue undelivered. */
static uint64_t count_dropped(struct exporter *exporter, const struct queued *list)
{
    uint64_t dropped = 0;
    for (; list != NULL; list = list->next)
        dropped += (uint64_t)__builtin_popcount(list->waiting);
    exporter->stats.dropped += dropped;
    return dropped;
}

void exporter_submit(struct exporter *exporter, struct profile *profile)
{
    uint32_t all = ((uint32_t)1 << exporter->outlet_count) - 1;
    if (all == 0 || profile_sample_count(profile) == 0) {
        profile_free(profile);
        return;
    }
    struct queued *entry = queued_new(profile, all), *evicted = NULL;
    bool tell_full = false;
    pthread_mutex_lock(&exporter->lock);
    if (entry) {
        evicted = queue_push(&exporter->queue, entry);
        count_dropped(exporter, evicted);
        tell_full = evicted && !exporter->dropping;
        exporter->dropping |= tell_full;
    } else {
        exporter->stats.dropped += exporter->outlet_count;
    }
    pthread_cond_signal(&exporter->work);
    pthread_mutex_unlock(&exporter->lock);
    queued_free(evicted);
    if (tell_full)
        log_warn("too many profiles wait for delivery: the oldest are dropped, and counted in "
                 "profiles_dropped");
}

/* Flush and stop want everything tried now, and gathered profiles written. */
static void hurry(struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->outlet_count; i++) {
        struct outlet *outlet = &exporter->outlets[i];
        outlet->save_wanted = outlet->sink->save != NULL;
        outlet->failures = 0;
        outlet->ready_at = 0;
    }
    pthread_cond_signal(&exporter->work);
}

static bool is_idle(const struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->outlet_count; i++)
        if (exporter->outlets[i].busy || has_work(exporter, &exporter->outlets[i]))
            return false;
    return true;
}

int exporter_flush(struct exporter *exporter, double timeout)
{
    uint64_t deadline = deadline_in(timeout);
    pthread_mutex_lock(&exporter->lock);
    hurry(exporter);
    while (!is_idle(exporter) && clock_ns(CLOCK_MONOTONIC) < deadline)
        wait_until(exporter, &exporter->done, deadline);
    int result = !is_idle(exporter) ? -ETIMEDOUT : exporter->failed_since_flush ? -EIO : 0;
    exporter->failed_since_flush = false;
    pthread_mutex_unlock(&exporter->lock);
    return result;
}

void exporter_stats(struct exporter *exporter, struct exporter_stats *stats)
{
    pthread_mutex_lock(&exporter->lock);
    *stats = exporter->stats;
    pthread_mutex_unlock(&exporter->lock);
}

static void wait_for_end(struct exporter *exporter, uint64_t deadline)
{
    while (exporter->phase != PHASE_ENDED && clock_ns(CLOCK_MONOTONIC) < deadline)
        wait_until(exporter, &exporter->done, deadline);
}

static void give_up(struct exporter *exporter)
{
    exporter->phase = PHASE_GIVING_UP;
    pthread_cond_signal(&exporter->work);
    for (size_t i = 0; i < exporter->outlet_count; i++)
        if (exporter->outlets[i].sink->interrupt)
            exporter->outlets[i].sink->interrupt(exporter->outlets[i].sink);
}

int exporter_stop(struct exporter *exporter, double timeout, struct exporter_stats *last)
{
    uint64_t deadline = deadline_in(timeout);
    pthread_mutex_lock(&exporter->lock);
    exporter->phase = PHASE_STOPPING;
    exporter->stop_deadline = deadline;
    hurry(exporter);
    wait_for_end(exporter, deadline);
    if (exporter->phase != PHASE_ENDED)
        give_up(exporter);
    wait_for_end(exporter, deadline + GRACE);
    uint64_t dropped = count_dropped(exporter, exporter->queue.oldest);
    if (last)
        *last = exporter->stats;
    bool ended = exporter->phase == PHASE_ENDED;
    exporter->orphaned = !ended;
    pthread_t thread = exporter->thread;
    pthread_mutex_unlock(&exporter->lock);

    if (dropped)
        log_warn("%llu profile%s could not be delivered in time and %s dropped",
                 (unsigned long long)dropped, dropped == 1 ? "" : "s",
                 dropped == 1 ? "is" : "are");
    if (ended) {
        pthread_join(thread, NULL);
        destroy(exporter);
    } else {
        pthread_detach(thread);
    }
    return dropped || !ended ? -ETIMEDOUT : 0;
}

/* The parent's thread may have been anywhere when the fork happened. The queue is whole if
 * nobody held its lock, and may be freed then, with the sinks that were not in use and are
 * nothing but memory (a run's file: a quarter of the budget). What the thread held, and what
 * is connected to a server, is left where it lies: the pages are shared with the parent until
 * somebody writes to them. */
void exporter_abandon(struct exporter *exporter)
{
    if (pthread_mutex_trylock(&exporter->lock) != 0)
        return;
    queued_free(queue_clear(&exporter->queue));
    for (size_t i = 0; i < exporter->outlet_count; i++) {
        const struct outlet *outlet = &exporter->outlets[i];
        if (!outlet->busy && outlet->sink->interrupt == NULL)
            outlet->sink->close(outlet->sink);
    }
}
