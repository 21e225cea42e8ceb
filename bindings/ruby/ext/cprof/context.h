/*
 * What the running code works for, its span and its labels, where handlers find it.
 *
 * Both belong to fibers, and Ruby keeps them there: labels in a fiber-local variable of ours,
 * the span wherever OpenTelemetry has it (spans.h). What the running fiber has is copied to a
 * record of its Ruby thread whenever it changes or another fiber takes over, so a handler reads
 * nothing but the record. A thread that never had either has no record.
 *
 * Other processes are told the same of the native thread (cprof/context.h).
 *
 * A record is written by its own thread only, under the GVL. It has two versions, of which a
 * handler that interrupts the writing sees the older one whole. It goes with its thread.
 */
#ifndef CPROF_RUBY_CONTEXT_H
#define CPROF_RUBY_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ruby.h>

#include <cprof/runtime.h>

struct span;

struct context_record {
    struct cprof_context versions[2];
    _Atomic unsigned current; /* the version that holds */
    uint8_t span_flags;       /* not for handlers */
    uint32_t age;             /* context_age when it was right, and followed from then on */
};

/* [handler] The record of the Ruby thread that the native one runs, or NULL. */
extern __thread struct context_record *context_here __attribute__((tls_model("initial-exec")));

/* [handler] A thread that was in a span before anybody followed it is not up to date until
 * context_reload() has run on it, or the first change there. */
extern _Atomic uint32_t context_age;
extern __thread uint32_t context_seen __attribute__((tls_model("initial-exec")));

static inline bool context_is_stale(void)
{
    const struct context_record *record = context_here;
    uint32_t age = atomic_load_explicit(&context_age, memory_order_relaxed);
    return (record != NULL ? record->age : context_seen) != age;
}

/* Once, under the GVL. */
void context_init(void);

/* Under the GVL, for the running fiber: its labels or its span have changed, or everything may
 * have. */
void context_labels_changed(void);
void context_span_changed(const struct span *span);
void context_reload(void);

/* The same as context_reload() where no code of the application's may run (spans.h). */
void context_reload_quietly(void);

/* Under the GVL. From now on the Ractor's fibers are followed. */
void context_follow(void);

/* Under the GVL. Nobody has followed for a while: all threads are stale. */
void context_renew(void);

/* The native thread begins to run this Ruby thread, or ends it. May run where nothing of Ruby
 * may be called. */
void context_enter(VALUE thread);
void context_leave(VALUE thread);

#endif
