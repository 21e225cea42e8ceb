/*
 * The engine: start, stop, flush, and what it tells of itself. One engine per process.
 *
 * All functions may be called from any thread unless their comment says otherwise, and never
 * from a signal handler. A binding calls the blocking ones (start, stop, flush) without its
 * interpreter's lock. Errors are 0 or a negative errno; where a person should know why, a
 * line of text is written to a buffer that the caller gives.
 */
#ifndef CPROF_CPROF_H
#define CPROF_CPROF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cprof_runtime;

struct cprof_pair {
    const char *key;
    const char *value;
};

/* What start() can be told. A field left zero (or NULL) takes the value of its environment
 * variable (see docs/configuration.md), or that variable's default. Everything is copied. */
struct cprof_options {
    const char *service_name; /* OTEL_SERVICE_NAME */
    const char *types;        /* CPROF_TYPES: comma list */
    unsigned rate;            /* CPROF_RATE: samples per second of CPU time and thread */
    double interval;          /* CPROF_INTERVAL: seconds between exports */
    const char *exporter;     /* CPROF_EXPORTER: comma list */
    const char *endpoint;     /* CPROF_ENDPOINT; for otlp OTEL_EXPORTER_OTLP_ENDPOINT */
    const char *output;       /* CPROF_OUTPUT */
    const struct cprof_pair *headers; /* added to OTEL_EXPORTER_OTLP_HEADERS */
    size_t header_count;
    const struct cprof_pair *labels; /* added to CPROF_LABELS */
    size_t label_count;
    const char *native; /* CPROF_NATIVE: "on" or "off" */
    /* Not settable by the environment: */
    const struct cprof_pair *resource; /* what the binding knows of its process:
                                          process.runtime.name, telemetry.sdk.language, … */
    size_t resource_count;
    const char *library_directory; /* where the binding's package keeps libcprof_*.so */
};

/* The self-metrics that stats() gives in every language. */
struct cprof_stats {
    uint64_t samples;           /* weight of the samples in profiles, overruns included */
    uint64_t samples_dropped;   /* lost: ring full or thread table full */
    uint64_t samples_truncated; /* kept, but the stack's root is missing */
    uint64_t samples_failed;    /* kept, but with a frame that could not be walked or named */
    uint64_t timer_overruns;    /* expiries that shared a signal with another; in `samples` */
    uint64_t threads;           /* sampled now */
    uint64_t stacks;            /* unique stacks in the running interval */
    uint64_t memory_bytes;      /* drawn from CPROF_MEMORY_LIMIT */
    uint64_t profiles_exported; /* delivered, by sink */
    uint64_t profiles_failed;   /* refused for good, by sink */
    uint64_t profiles_dropped;  /* given up: queue full, or not delivered by the end */
    uint64_t bytes_sent;        /* bodies accepted by sinks */
    uint64_t handler_ns_mean;   /* time inside the handler */
    uint64_t handler_ns_max;
    uint64_t collector_cpu_ns; /* CPU time of cprof's own threads */
};

/* The fields of struct cprof_stats in the order and spelling of the interface, so that a
 * binding can build its dictionary without repeating the list. */
/* clang-format off */
#define CPROF_STATS_FIELDS(X)                                                                 \
    X(samples) X(samples_dropped) X(samples_truncated) X(samples_failed) X(timer_overruns)    \
    X(threads) X(stacks) X(memory_bytes)                                                      \
    X(profiles_exported) X(profiles_failed) X(profiles_dropped) X(bytes_sent)                 \
    X(handler_ns_mean) X(handler_ns_max) X(collector_cpu_ns)
/* clang-format on */

/* Starts sampling. 0; -EALREADY when running; -EINVAL for a value that makes no sense;
 * -ECANCELED when OTEL_SDK_DISABLED is true. On failure `error` holds one line for people
 * that names the variable or field, the value, and what is allowed; nothing is left running.
 */
int cprof_start(const struct cprof_options *options, const struct cprof_runtime *runtime,
                char *error, size_t error_size);

/* Stops sampling, delivers what is there within `timeout` seconds, frees everything. 0;
 * -ETIMEDOUT when something was dropped undelivered; -ENOENT when not running. */
int cprof_stop(double timeout);

/* Closes the running interval and waits until every profile has been delivered. 0, -ETIMEDOUT,
 * -EIO when a sink refused one, -ENOENT. */
int cprof_flush(double timeout);

bool cprof_is_running(void);
void cprof_stats(struct cprof_stats *stats); /* zeros when never started; else the last run's */

/* The pattern of the file that this process writes, or wrote last: what it was told, with its
 * pid where another process writes that (engine/output.h). 0, -ENOENT, -ENAMETOOLONG. */
int cprof_output(char *pattern, size_t size);

/* Registers the calling thread: arms its timer at once instead of at the next scan, so that
 * short-lived threads are sampled in proportion. `id` is the runtime's own thread id, `name`
 * may be NULL. May be called again to rename. No effect when not running. */
void cprof_thread_enter(uint64_t id, const char *name);
/* Tells the identity and name of another thread, by its kernel id: for threads that the runtime
 * started before cprof. It is sampled at once, if it lives. */
void cprof_thread_describe(int tid, uint64_t id, const char *name);
/* The calling thread is about to end. Optional: the scan finds dead threads as well. */
void cprof_thread_leave(void);
/* A pointer handed to the runtime's handler functions for samples of the calling thread. */
void cprof_thread_set_data(void *data);

/* Around fork, by the runtime's own hooks, on the thread that forks: prepare announces the
 * fork and takes no lock, so other hooks may run in between; parent and child follow it in
 * their process. The child starts a fresh engine with the same options (own timers, threads,
 * rings and process attributes; nothing of the parent's unsent data). A child made behind the
 * runtime's back stays dormant. */
void cprof_fork_prepare(void);
void cprof_fork_parent(void);
void cprof_fork_child(void);

#endif
