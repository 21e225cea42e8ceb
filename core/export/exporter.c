#include "export/exporter.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own_thread.h"
#include "export/outlet.h"
#include "export/queue.h"

#define MAX_OUTLETS 9
#define MAX_QUEUED 360                           /* profiles: an hour of 10 s intervals */
#define UNBOUNDED_QUEUE_BYTES ((size_t)32 << 20) /* when there is no budget to take half of */
#define SPOOLED_NS (NS_PER_SECOND / 10) /* that an ending program waits for what is on disk */
#define GRACE NS_PER_SECOND /* beyond stop's timeout, for an interrupted delivery to return */
#define NEVER UINT64_MAX

enum phase {
    PHASE_RUNNING,
    PHASE_STOPPING,  /* deliver what there is, until the deadline */
    PHASE_GIVING_UP, /* time has run out: only sinks that are always quick go on */
};

/* A thread and the outlets it serves. */
struct worker {
    struct exporter *exporter;
    pthread_t thread;
    uint64_t cpu_ns;
};

struct exporter {
    struct worker workers[MAX_OUTLETS];
    size_t worker_count, started;
    size_t outlet_count;
    struct budget *budget;

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t work;  /* for the threads: something changed */
    pthread_cond_t done;  /* for flush and stop: a step ended */
    enum phase phase;
    size_t running; /* threads that still touch anything */
    bool orphaned;  /* stop went away; the last thread frees everything */
    uint64_t stop_deadline;
    struct queue queue;
    struct outlet outlets[MAX_OUTLETS];
    struct outlet *metrics; /* one of them, or NULL */
    struct exporter_stats stats;
    bool hastened;         /* the program ends */
    uint64_t spooled_time; /* all else has been done; 0: not yet */
    char reason[512];      /* why the last attempt of an ending program failed */
    bool failed_since_flush;
    bool dropping; /* the log says that the queue is full; until it has been empty */
    bool merging;  /* the log says that profiles are merged; likewise */
};

/* ---- the threads ---- */

static bool has_work(const struct exporter *exporter, const struct outlet *outlet)
{
    if (exporter->hastened && outlet->failures > 0)
        return false;
    return queue_oldest(&exporter->queue, outlet->bit) != NULL || outlet->save_wanted;
}

/* The worker's first outlet that can do something now; *wake is when the next one can. */
static struct outlet *next_outlet(struct exporter *exporter, const struct worker *worker,
                                  uint64_t *wake)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    *wake = NEVER;
    for (size_t i = 0; i < exporter->outlet_count; i++) {
        struct outlet *outlet = &exporter->outlets[i];
        const struct queued *entry = queue_oldest(&exporter->queue, outlet->bit);
        if (outlet->worker != worker || !has_work(exporter, outlet) ||
            (entry != NULL && entry->merging))
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

/* Does another thread have something in hand that this worker's outlets may get: two profiles
 * that are becoming one, a file that a keeper is writing? */
static bool expects_more(const struct exporter *exporter, const struct worker *worker)
{
    for (size_t i = 0; i < exporter->outlet_count; i++) {
        const struct outlet *outlet = &exporter->outlets[i];
        const struct queued *entry = queue_oldest(&exporter->queue, outlet->bit);
        if (outlet->worker == worker && entry != NULL && entry->merging)
            return true;
        if (outlet->behind && outlet->behind->worker == worker &&
            (outlet->busy || has_work(exporter, outlet)))
            return true;
    }
    return false;
}

/* Nothing is left for it, or nothing whose turn comes in time. */
static bool may_end(const struct exporter *exporter, const struct worker *worker, uint64_t wake)
{
    switch (exporter->phase) {
    case PHASE_RUNNING:
        return false;
    case PHASE_STOPPING:
        return wake >= exporter->stop_deadline && !expects_more(exporter, worker);
    case PHASE_GIVING_UP:
        return wake >= exporter->stop_deadline;
    }
    return true;
}

/* Profiles that wait, by sink. */
static uint64_t deliveries(const struct queued *list)
{
    uint64_t count = 0;
    for (; list != NULL; list = list->next)
        count += (uint64_t)__builtin_popcount(list->waiting) * list->parts;
    return count;
}

static void tell_dropped(uint64_t dropped, const char *reason)
{
    if (dropped != 0)
        log_warn("%llu profile%s could not be delivered in time and %s dropped%s",
                 (unsigned long long)dropped, dropped == 1 ? "" : "s",
                 dropped == 1 ? "is" : "are", reason);
}

/* Counts what leaves the queue undelivered. */
static uint64_t count_dropped(struct exporter *exporter, const struct queued *list)
{
    uint64_t dropped = deliveries(list);
    for (; list != NULL; list = list->next)
        if (!list->taken)
            unreported_lost(&exporter->stats.unreported, list->profile);
    exporter->stats.dropped += dropped;
    return dropped;
}

static void count(struct exporter *exporter, const struct queued *entry,
                  const struct delivery *delivery)
{
    struct exporter_stats *stats = &exporter->stats;
    uint64_t profiles = delivery->profiles * (entry ? entry->parts : 1);
    stats->dropped += delivery->dropped;
    stats->reports_sent += delivery->reports_sent;
    stats->reports_failed += delivery->reports_failed;
    unreported_add(&stats->unreported, &delivery->unreported);
    if (delivery->status == DELIVERY_DONE) {
        stats->exported += profiles;
        stats->bytes_sent += delivery->bytes;
    } else if (delivery->status == DELIVERY_REFUSED) {
        stats->failed += profiles;
    }
    if (delivery->status == DELIVERY_REFUSED ||
        (delivery->status == DELIVERY_RETRY && entry == NULL && !delivery->more))
        exporter->failed_since_flush = true;
}

/* Draws the consequences of one delivery (`entry`) or one save (NULL). `halves` stand in for a
 * profile that was too large. Returns what is to be freed. */
static struct queued *settle(struct exporter *exporter, struct outlet *outlet,
                             struct queued *entry, const struct delivery *delivery,
                             struct queued *halves)
{
    struct queued *gone = NULL;
    bool last = exporter->hastened || exporter->phase == PHASE_GIVING_UP;
    if (last && delivery->status == DELIVERY_RETRY)
        snprintf(exporter->reason, sizeof exporter->reason, " (%s: %s)", outlet->sink->name,
                 delivery->detail);
    outlet_settle(outlet, delivery, last);
    count(exporter, entry, delivery);
    outlet->save_wanted |= entry == NULL && delivery->more;
    if (entry) {
        entry->readers--;
        entry->taken |= delivery->status == DELIVERY_DONE || halves != NULL;
        entry->tried |= delivery->status == DELIVERY_RETRY;
        if (delivery->status == DELIVERY_PASSED)
            entry->waiting |= outlet->behind->bit;
        else if (outlet->behind)
            outlet->behind->save_wanted |= delivery->status == DELIVERY_DONE;
        queue_replace(&exporter->queue, entry->next, 0, halves);
        if (delivery->status != DELIVERY_RETRY)
            gone = queue_settle(&exporter->queue, entry, outlet->bit);
        if (gone && !gone->taken)
            unreported_lost(&exporter->stats.unreported, gone->profile);
    }
    if (exporter->queue.count == 0)
        exporter->dropping = exporter->merging = false;
    return gone;
}

/* One delivery, or one save. The lock is held at both ends and free in between. */
static void use_outlet(struct exporter *exporter, struct outlet *outlet)
{
    struct delivery delivery = {0};
    struct queued *entry = queue_oldest(&exporter->queue, outlet->bit), *halves = NULL;
    bool last = exporter->phase != PHASE_RUNNING;
    outlet->busy = true;
    if (entry)
        entry->readers++;
    else
        outlet->save_wanted = false;
    pthread_mutex_unlock(&exporter->lock);

    if (entry)
        outlet->sink->deliver(outlet->sink, entry->profile, &delivery);
    else
        outlet->sink->save(outlet->sink, last, &delivery);
    if (delivery.status == DELIVERY_TOO_LARGE &&
        (halves = queued_halve(entry, outlet->bit)) == NULL)
        delivery.status = DELIVERY_REFUSED;

    pthread_mutex_lock(&exporter->lock);
    struct queued *gone = settle(exporter, outlet, entry, &delivery, halves);
    if (gone) {
        pthread_mutex_unlock(&exporter->lock);
        queued_free(gone);
        pthread_mutex_lock(&exporter->lock);
    }
    outlet->worker->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    pthread_cond_broadcast(&exporter->work);
    pthread_cond_broadcast(&exporter->done);
}

/* Makes one profile of two that wait. The lock is held at both ends and free in between. */
static void merge(struct exporter *exporter, struct queued *older)
{
    struct queued *newer = older->next;
    bool tell = !exporter->merging;
    exporter->merging = true;
    older->merging = newer->merging = true;
    pthread_mutex_unlock(&exporter->lock);

    struct queued *merged = queued_merge(older, newer, exporter->budget);
    if (tell)
        log_info("many profiles wait for delivery: neighbours are merged into coarser ones");

    pthread_mutex_lock(&exporter->lock);
    older->merging = newer->merging = false;
    struct queued *gone = queue_replace(&exporter->queue, older, merged ? 2 : 1, merged);
    if (merged == NULL)
        count_dropped(exporter, gone);
    pthread_mutex_unlock(&exporter->lock);
    queued_free(gone);
    pthread_mutex_lock(&exporter->lock);
    pthread_cond_broadcast(&exporter->work);
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
    struct worker *worker = argument;
    struct exporter *exporter = worker->exporter;
    uint64_t wake;
    pthread_mutex_lock(&exporter->lock);
    for (;;) {
        bool crowded = exporter->phase == PHASE_RUNNING && queue_crowded(&exporter->queue);
        struct queued *pair = crowded ? queue_neighbours(&exporter->queue) : NULL;
        struct outlet *outlet = pair ? NULL : next_outlet(exporter, worker, &wake);
        if (pair)
            merge(exporter, pair);
        else if (outlet)
            use_outlet(exporter, outlet);
        else if (may_end(exporter, worker, wake))
            break;
        else
            wait_until(exporter, &exporter->work, wake);
    }
    bool orphaned = --exporter->running == 0 && exporter->orphaned;
    pthread_cond_broadcast(&exporter->done);
    pthread_mutex_unlock(&exporter->lock);
    if (orphaned)
        destroy(exporter);
    return NULL;
}

/* ---- making one ---- */

/* Quick sinks share the first thread; a sink that talks to a server has one of its own, so that
 * one that hangs holds up nobody else. */
static struct worker *worker_for(struct exporter *exporter, const struct sink *sink)
{
    if (sink->interrupt == NULL)
        for (size_t i = 0; i < exporter->outlet_count; i++)
            if (exporter->outlets[i].sink->interrupt == NULL)
                return exporter->outlets[i].worker;
    struct worker *worker = &exporter->workers[exporter->worker_count++];
    worker->exporter = exporter;
    return worker;
}

static struct outlet *add_sink(struct exporter *exporter, struct sink *sink)
{
    if (sink == NULL)
        return NULL;
    struct worker *worker = worker_for(exporter, sink);
    size_t i = exporter->outlet_count++;
    exporter->outlets[i] =
        (struct outlet){.sink = sink, .worker = worker, .bit = (uint32_t)1 << i};
    return &exporter->outlets[i];
}

/* A sink that sends, behind a spool if there is one. */
static bool add_sender(struct exporter *exporter, const struct exporter_options *options,
                       const struct transport_options *to, struct sink *sink, char *error,
                       size_t error_size)
{
    struct sink_spool spool;
    if (sink == NULL || options->spool_folder == NULL)
        return add_sink(exporter, sink) != NULL;
    if (sink_spool_new(options, to, sink, &spool, error, error_size) != 0) {
        sink->close(sink);
        return false;
    }
    struct outlet *courier = add_sink(exporter, spool.courier);
    courier->save_wanted = true; /* what an earlier process left */
    add_sink(exporter, spool.keeper)->behind = courier;
    return true;
}

static bool add_sinks(struct exporter *exporter, const struct exporter_options *options,
                      char *error, size_t error_size)
{
    const struct {
        const struct transport_options *to;
        struct sink *(*new)(const struct exporter_options *, char *, size_t);
    } senders[] = {{&options->otlp, sink_otlp_new},
                   {&options->pyroscope, sink_pyroscope_new},
                   {&options->parca, sink_parca_new}};
    _Static_assert(3 + 2 * sizeof senders / sizeof *senders <= MAX_OUTLETS,
                   "with spools, and metrics");
    if (options->output && !add_sink(exporter, sink_file_new(options, error, error_size)))
        return false;
    if (options->store_folder &&
        !add_sink(exporter, sink_store_new(options, error, error_size)))
        return false;
    for (size_t i = 0; i < sizeof senders / sizeof *senders; i++)
        if (senders[i].to->url != NULL &&
            !add_sender(exporter, options, senders[i].to,
                        senders[i].new(options, error, error_size), error, error_size))
            return false;
    if (options->metrics.url != NULL)
        exporter->metrics = add_sink(exporter, sink_metrics_new(options, error, error_size));
    return options->metrics.url == NULL || exporter->metrics != NULL;
}

/* The bits of the outlets that profiles come to first. */
static uint32_t first_outlets(const struct exporter *exporter)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < exporter->outlet_count; i++)
        if (exporter->outlets[i].sink->deliver != NULL)
            bits |= exporter->outlets[i].bit;
    for (size_t i = 0; i < exporter->outlet_count; i++)
        if (exporter->outlets[i].behind)
            bits &= ~exporter->outlets[i].behind->bit;
    return bits;
}

static int start_threads(struct exporter *exporter)
{
    int error = 0;
    pthread_mutex_lock(&exporter->lock);
    for (size_t i = 0; i < exporter->worker_count && error == 0; i++) {
        struct worker *worker = &exporter->workers[i];
        error = own_thread_start(&worker->thread, OWN_THREAD_PREFIX "export", run, worker);
        exporter->started += error == 0;
        exporter->running += error == 0;
    }
    pthread_mutex_unlock(&exporter->lock);
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
    exporter->budget = options->budget;
    exporter->queue.max_count = MAX_QUEUED;
    /* The other half is for the profile that is being gathered. */
    exporter->queue.max_bytes = options->budget && options->budget->limit
                                    ? options->budget->limit / 2
                                    : UNBOUNDED_QUEUE_BYTES;
    if (!add_sinks(exporter, options, error, error_size)) {
        destroy(exporter);
        return NULL;
    }
    int failed = start_threads(exporter);
    if (failed != 0) {
        snprintf(error, error_size, "can't start the exporter's thread: %s", strerror(-failed));
        exporter_stop(exporter, 0, NULL);
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

void exporter_submit(struct exporter *exporter, struct profile *profile)
{
    uint32_t all = first_outlets(exporter);
    if (all == 0 || profile_sample_count(profile) == 0) {
        profile_free(profile);
        return;
    }
    queued_identify(profile);
    struct queued *entry = queued_new(profile, all), *evicted = NULL;
    bool tell_full = false;
    pthread_mutex_lock(&exporter->lock);
    if (entry) {
        evicted = queue_push(&exporter->queue, entry);
        count_dropped(exporter, evicted);
        tell_full = evicted && !exporter->dropping;
        exporter->dropping |= tell_full;
    } else {
        exporter->stats.dropped += (uint64_t)__builtin_popcount(all);
    }
    pthread_cond_broadcast(&exporter->work);
    pthread_mutex_unlock(&exporter->lock);
    queued_free(evicted);
    if (tell_full)
        log_warn("too many profiles wait for delivery: the oldest are dropped, and counted in "
                 "profiles_dropped");
}

void exporter_report(struct exporter *exporter, struct buffer *metrics)
{
    if (exporter->metrics == NULL) {
        buffer_free(metrics);
        return;
    }
    bool due = sink_metrics_put(exporter->metrics->sink, metrics);
    pthread_mutex_lock(&exporter->lock);
    exporter->metrics->save_wanted |= due;
    if (due)
        pthread_cond_broadcast(&exporter->work);
    pthread_mutex_unlock(&exporter->lock);
}

/* Flush and stop want everything tried now, and gathered profiles written. */
static void hurry(struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->outlet_count; i++) {
        struct outlet *outlet = &exporter->outlets[i];
        outlet->save_wanted |= outlet->sink->save != NULL;
        outlet_hurry(outlet);
    }
    pthread_cond_broadcast(&exporter->work);
}

static bool has_ended(const struct exporter *exporter, const struct outlet *outlet)
{
    return !outlet->busy && !has_work(exporter, outlet);
}

static bool is_idle(const struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->outlet_count; i++)
        if (!has_ended(exporter, &exporter->outlets[i]))
            return false;
    return true;
}

static bool quick_are_idle(const struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->outlet_count; i++)
        if (exporter->outlets[i].sink->interrupt == NULL &&
            !has_ended(exporter, &exporter->outlets[i]))
            return false;
    return true;
}

/* Is nothing left to be done but to send what is on disk already? */
static bool rest_is_spooled(const struct exporter *exporter)
{
    uint32_t couriers = 0;
    for (size_t i = 0; i < exporter->outlet_count; i++)
        if (exporter->outlets[i].behind)
            couriers |= exporter->outlets[i].behind->bit;
    for (size_t i = 0; i < exporter->outlet_count; i++) {
        const struct outlet *outlet = &exporter->outlets[i];
        bool in_memory = queue_oldest(&exporter->queue, outlet->bit) != NULL;
        if ((couriers & outlet->bit) ? in_memory : !has_ended(exporter, outlet))
            return false;
    }
    return couriers != 0;
}

/* Until when flush and stop wait, as things stand. */
static uint64_t end_of_wait(struct exporter *exporter, uint64_t deadline)
{
    if (!exporter->hastened || !rest_is_spooled(exporter))
        return deadline;
    if (exporter->spooled_time == 0)
        exporter->spooled_time = clock_ns(CLOCK_MONOTONIC);
    uint64_t spooled = exporter->spooled_time + SPOOLED_NS;
    return spooled < deadline ? spooled : deadline;
}

void exporter_hasten(struct exporter *exporter)
{
    pthread_mutex_lock(&exporter->lock);
    exporter->hastened = true;
    pthread_mutex_unlock(&exporter->lock);
}

/* An ending program's files are written even when time has run out. */
static void await_quick(struct exporter *exporter)
{
    uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + GRACE;
    while (exporter->hastened && !quick_are_idle(exporter) &&
           clock_ns(CLOCK_MONOTONIC) < deadline)
        wait_until(exporter, &exporter->done, deadline);
}

int exporter_flush(struct exporter *exporter, double timeout)
{
    uint64_t deadline = deadline_in(timeout);
    pthread_mutex_lock(&exporter->lock);
    hurry(exporter);
    while (!is_idle(exporter) && clock_ns(CLOCK_MONOTONIC) < end_of_wait(exporter, deadline))
        wait_until(exporter, &exporter->done, end_of_wait(exporter, deadline));
    await_quick(exporter);
    int result = !is_idle(exporter) ? -ETIMEDOUT : exporter->failed_since_flush ? -EIO : 0;
    exporter->failed_since_flush = false;
    if (exporter->hastened)
        tell_dropped(deliveries(exporter->queue.oldest), exporter->reason);
    pthread_mutex_unlock(&exporter->lock);
    return result;
}

static void copy_stats(const struct exporter *exporter, struct exporter_stats *stats)
{
    *stats = exporter->stats;
    stats->waiting = exporter->queue.count;
    for (size_t i = 0; i < exporter->worker_count; i++)
        stats->cpu_ns += exporter->workers[i].cpu_ns;
}

void exporter_stats(struct exporter *exporter, struct exporter_stats *stats)
{
    pthread_mutex_lock(&exporter->lock);
    copy_stats(exporter, stats);
    pthread_mutex_unlock(&exporter->lock);
}

static void give_up(struct exporter *exporter)
{
    exporter->phase = PHASE_GIVING_UP;
    pthread_cond_broadcast(&exporter->work);
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
    while (exporter->running > 0 && clock_ns(CLOCK_MONOTONIC) < end_of_wait(exporter, deadline))
        wait_until(exporter, &exporter->done, end_of_wait(exporter, deadline));
    if (exporter->running > 0)
        give_up(exporter);
    deadline = clock_ns(CLOCK_MONOTONIC) + GRACE;
    while (exporter->running > 0 && clock_ns(CLOCK_MONOTONIC) < deadline)
        wait_until(exporter, &exporter->done, deadline);
    uint64_t dropped = count_dropped(exporter, exporter->queue.oldest);
    if (last)
        copy_stats(exporter, last);
    char reason[sizeof exporter->reason];
    memcpy(reason, exporter->reason, sizeof reason);
    bool ended = exporter->running == 0, failed = exporter->failed_since_flush;
    size_t started = exporter->started;
    pthread_t threads[MAX_OUTLETS];
    for (size_t i = 0; i < started; i++)
        threads[i] = exporter->workers[i].thread;
    exporter->orphaned = !ended;
    pthread_mutex_unlock(&exporter->lock);

    tell_dropped(dropped, reason);
    for (size_t i = 0; i < started; i++) {
        if (ended)
            pthread_join(threads[i], NULL);
        else
            pthread_detach(threads[i]);
    }
    if (ended)
        destroy(exporter);
    return dropped || !ended ? -ETIMEDOUT : failed ? -EIO : 0;
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
