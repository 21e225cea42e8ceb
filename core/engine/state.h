/*
 * The one engine of the process: what its files share. Who guards what is said beside it.
 */
#ifndef CPROF_ENGINE_STATE_H
#define CPROF_ENGINE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "collect/collector.h"
#include "config/config.h"
#include "cprof/cprof.h"
#include "cprof/runtime.h"
#include "engine/output.h"
#include "export/exporter.h"
#include "profile/profile.h"
#include "pull/server.h"
#include "sample/take.h"
#include "unwind/modules.h"

enum engine_state {
    ENGINE_IDLE,
    ENGINE_STARTING,
    ENGINE_PUT_OFF, /* in a forked child: runs, for all who ask; what they need is made then,
                       or a little later (later.h) */
    ENGINE_RUNNING,
    ENGINE_STOPPING,
    ENGINE_STUCK, /* a handler or the collector never came back: what they use stays for ever */
};

/* From just before a fork to just after. */
struct fork_view {
    bool running;
    bool lifecycle;                      /* held: nobody starts, stops or flushes */
    bool at_rest;                        /* the collector is paused */
    uint64_t mask;                       /* of the thread before; handler_block() */
    const struct cprof_runtime *runtime; /* whose locks are held; NULL: none */
};

/* Lock order: forking, lifecycle, lock, the collector's work, the thread registry's mutex, the
 * runtime's, the process context's. */
struct engine {
    pthread_mutex_t lifecycle; /* held by start, stop and flush from beginning to end */
    pthread_mutex_t lock;      /* held for moments: guards what stats() reads */
    _Atomic enum engine_state state;
    unsigned run;                /* number of the run; guarded by lifecycle */
    unsigned starts;             /* not given back; guarded by lifecycle */
    bool told_start, told_block; /* in this run: that one joined, see engine/join.h */
    struct config config;
    const struct cprof_runtime *runtime;
    struct budget budget;
    struct budget binding_budget; /* what the binding's own tables may take of it */
    uint64_t began_unix;          /* the run, Unix time in ns */
    struct profile *model;
    struct modules *modules;
    struct exporter *exporter;
    struct collector *collector;
    struct pull_server *listener; /* NULL: none */
    _Atomic double exit_timeout;  /* config's */
    struct take_view view;
    _Atomic uint32_t wake;
    atomic_bool unknown; /* see struct take_view, both */
    _Atomic size_t copies;
    char *output; /* the pattern of this process's file; NULL = none */
    struct output_claim claim;
    struct cprof_stats last; /* of the run that ended last */
    bool left;               /* [collector] the program's last thread has ended */
    bool hooked;             /* our pthread_atfork handlers are in place */
    pthread_mutex_t forking; /* held across an announced fork; guards `fork` */
    struct fork_view fork;
    bool restart; /* [child] the parent's engine ran: cprof_fork_child() starts ours */
    /* [child] The parent's, which nobody uses. Freeing them takes longer than most children
     * live. */
    struct {
        struct collector *collector;
        struct profile *model;
        struct blocks blocks; /* of its heap, which is the child's too */
    } inherited;
};

extern struct engine engine;

/* Does it run, for all who ask? */
static inline bool engine_runs(void)
{
    enum engine_state state = atomic_load(&engine.state);
    return state == ENGINE_RUNNING || state == ENGINE_PUT_OFF;
}

/* Is all that it needs made? */
static inline bool engine_is_made(void)
{
    return atomic_load(&engine.state) == ENGINE_RUNNING;
}

#endif
