/*
 * The engine: start, stop, flush, and what it reports of itself. One engine per process.
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

/* What start() can be given. A field left zero (or NULL) takes the value of its environment
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
    const char *origin; /* who starts, in the line for whoever starts again: "CPROF_ENABLED";
                           NULL: the program */
    /* Not settable by the environment: */
    const struct cprof_pair *resource; /* what the binding knows of its process:
                                          process.runtime.name, telemetry.sdk.language, … */
    size_t resource_count;
    const char *library_directory; /* where the binding's package keeps libcprof_*.so */
    bool block;                    /* set by cprof_capture_begin() */
};

/* The self-metrics that stats() gives in every language, in the order and spelling of the
 * interface: X(field, kind). A COUNT goes up from the start on, a LEVEL stands as it is, and so
 * does a MEAN, of `samples`. */
/* clang-format off */
#define CPROF_STATS_FIELDS(X)                                                                   \
    X(samples, COUNT)           /* weight of the samples in profiles, overruns included */      \
    X(samples_dropped, COUNT)   /* lost: ring full or thread table full */                      \
    X(samples_truncated, COUNT) /* kept, but the stack's root is missing */                     \
    X(samples_failed, COUNT)    /* kept, but with a frame that could not be walked or named */  \
    X(timer_overruns, COUNT)    /* expiries that shared a signal with another; in `samples` */  \
    X(threads, LEVEL)           /* sampled now */                                               \
    X(stacks, LEVEL)            /* unique stacks in the running interval */                     \
    X(memory_bytes, LEVEL)      /* drawn from CPROF_MEMORY_LIMIT */                             \
    X(profiles_exported, COUNT) /* delivered, by sink */                                        \
    X(profiles_failed, COUNT)   /* refused for good, by sink */                                 \
    X(profiles_dropped, COUNT)  /* given up: queue full, or not delivered by the end */         \
    X(bytes_sent, COUNT)        /* bodies accepted by sinks */                                  \
    X(metrics_exported, COUNT)  /* reports of these figures that a server took */               \
    X(metrics_failed, COUNT)    /* and those that did not arrive */                             \
    X(handler_ns_mean, MEAN)    /* time inside the handler */                                   \
    X(handler_ns_max, LEVEL)                                                                    \
    X(collector_cpu_ns, COUNT)  /* CPU time of cprof's own threads */                           \
    X(alloc_bytes, COUNT)       /* that the program has allocated, as sampled */                \
    X(heap_bytes, LEVEL)        /* of these not yet freed */                                    \
    X(resident_bytes, LEVEL)    /* of the process in memory, as the kernel says */             \
    X(gc_collections, COUNT)    /* of the runtime's garbage, where `gc` is on */                \
    X(gc_pause_ns, COUNT)       /* how long they held up their threads */                       \
    X(gc_cpu_ns, COUNT)         /* CPU time of these threads meanwhile */
/* clang-format on */

#define CPROF_STATS_FIELD(field, kind) uint64_t field;
struct cprof_stats {
    CPROF_STATS_FIELDS(CPROF_STATS_FIELD)
};

/* Starts sampling: 0. Or, where it runs already, joins: CPROF_JOINED, and one line on standard
 * error, once a run, says so and which options the running profile does not take over. -EINVAL
 * for a value that makes no sense; -ECANCELED when OTEL_SDK_DISABLED is true. On failure
 * `error` holds one line for people that names the variable or field, the value, and what is
 * allowed, and nothing has changed. So it does with -EBUSY, where another copy of cprof (two
 * packages that each bring one) profiles the process already: the line says which.
 *
 * Starts are counted, those of a forked child with its parent's: each cprof_stop() gives one
 * back, and the last one stops. `cprof run` and CPROF_ENABLED start before the program's own
 * line does, and lose nothing by its stop(). A forked child that is going to be profiled counts
 * as running, also before cprof_fork_child(), as other hooks may come first: the call starts
 * its engine. */
#define CPROF_JOINED 1
int cprof_start(const struct cprof_options *options, const struct cprof_runtime *runtime,
                char *error, size_t error_size);

/* Gives a start back. The last one stops sampling, delivers what is there within `timeout`
 * seconds, and frees everything; before that it is a cprof_flush(). 0; -ETIMEDOUT when
 * something was dropped undelivered; -EIO when a sink refused one for good since the last
 * flush; -ENOENT when not running. Whether it runs on is what cprof_is_running() says then. */
int cprof_stop(double timeout);

/* The program ends: stops, however often it was started, and can't be asked any more
 * (cprof_control_open()). As cprof_stop() of the last start, but
 * in a hurry: what a server does not take at the first try is given up, so that one that is
 * away holds up no program's end. A negative timeout: CPROF_EXIT_TIMEOUT. */
int cprof_end(double timeout);

/* Stops, however often it was started, as cprof_stop() of the last start does. */
int cprof_stop_all(double timeout);

/* Closes the running interval and waits until every profile has been delivered. 0, -ETIMEDOUT,
 * -EIO when a sink refused one, -ENOENT. */
int cprof_flush(double timeout);

/* The profile of a block: all that the process does between the two calls, written by
 * cprof_capture_end() to the file that options->output names (its ending picks the format;
 * %p, %n, %t, %s as in CPROF_OUTPUT), beside whatever the running engine exports. At most
 * CPROF_CAPTURES at a time.
 *
 * begin() counts as a start, and end() gives it back: where nothing runs, the engine is started
 * for the block with these options, and without an exporter unless one is named. Where it runs,
 * its own settings hold; a line names those that the block asked for otherwise. Blocks that are
 * under way at the same time and name the same file (without %n) share one profile, from the
 * first begin() to the last end(): so does a function that calls itself. A forked child
 * continues with profiles of its own, in files beside its parent's; what no end() has ended is
 * written by cprof_end().
 *
 * begin(): 0, CPROF_JOINED, or what cprof_start() fails with; -EINVAL also for a file that
 * can't be written. All else (-EBUSY: none is left; -ENOMEM; -ETIMEDOUT) is no mistake of the
 * program's: the binding says the line and runs the block. end(): 0; -EALREADY when cprof_end()
 * or the last cprof_stop() has ended it, with its file; else why there is no file. Both write
 * one line to `error` when they fail, end() not with -EALREADY. Both may take some seconds. */
#define CPROF_CAPTURES 16
int cprof_capture_begin(const struct cprof_options *options,
                        const struct cprof_runtime *runtime, uint64_t *capture, char *error,
                        size_t error_size);
int cprof_capture_end(uint64_t capture, double timeout, char *error, size_t error_size);

/* Control at run time: the process's owner can ask it what is on, switch profiling on and off,
 * and have a profile (engine/control.h, docs/control.md). What is asked for is done by the
 * binding, as it may have to hold the interpreter's lock: it handles CONTROL_SIGNAL
 * (control/folder.h, SIGURG) by the runtime's own means, on the main thread or where that leads
 * to, takes the order, obeys as if the program had called it, and says so.
 *
 * open(): from now on it can be asked; where nothing runs it stands by, which costs a file.
 * Once a process, before the engine is started; `language` is a constant. 0; -EALREADY; or
 * another negative errno with a line in `error`. */
int cprof_control_open(const char *language, char *error, size_t error_size);

enum cprof_order_kind {
    CPROF_ORDER_START,   /* with these options, those not given as usual */
    CPROF_ORDER_STOP,    /* cprof_stop_all() */
    CPROF_ORDER_RELEASE, /* cprof_stop(): gives back a CPROF_ORDER_START */
    CPROF_ORDER_COLLECT, /* the runtime collects garbage, if it can be made to */
};

struct cprof_order {
    enum cprof_order_kind kind;
    struct cprof_options options; /* origin, types, rate, exporter, output */
};

/* False: there is nothing to do any more, maybe because somebody only wanted to wake us. What
 * it gives stays until cprof_control_done(), which gets 0 or a negative errno, with a line for
 * people or NULL. */
bool cprof_control_take(struct cprof_order *order);
void cprof_control_done(int status, const char *why);

/* All threads now (docs/dump.md), as "text", "json" or "pprof": waits for the collector,
 * without the interpreter's lock. *page is to be freed with free(). 0, or a negative errno with
 * a line in `error`: -EINVAL for another format, -ECANCELED where nothing runs. */
int cprof_dump(const char *format, char **page, size_t *size, char *error, size_t error_size);

bool cprof_is_running(void);
void cprof_stats(struct cprof_stats *stats); /* zeros when never started; else the last run's */

/* Draws from what CPROF_MEMORY_LIMIT has for the binding's tables that grow, a third of it.
 * False: there is no room. What is held outlives a stop, and counts in a forked child too. */
bool cprof_memory_take(size_t bytes);
void cprof_memory_give(size_t bytes);

/* A line for people on standard error, after "cprof: ", as all of cprof's. */
void cprof_say(const char *line);

/* The pattern of the file that this process writes, or wrote last: what it was given, with its
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

/* The program no longer handles a signal that it did: what ends the process then waits for the
 * running interval again. Optional, and takes no longer than a moment. */
void cprof_signals_freed(void);

/* Has `call` called when the process ends by exit(): for runtimes that may end it without a
 * word. It may stop the engine, and may be called more than once. Once a process. */
void cprof_at_exit(void (*call)(void));

/* Around fork, by the runtime's own hooks, on the thread that forks: prepare announces the
 * fork and takes no lock, so other hooks may run in between; parent and child follow it in
 * their process. The child starts a fresh engine with the same options (own timers, threads,
 * rings and process attributes; nothing of the parent's unsent data). A child made behind the
 * runtime's back stays dormant. */
void cprof_fork_prepare(void);
void cprof_fork_parent(void);
void cprof_fork_child(void);

#endif
