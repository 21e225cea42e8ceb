/*
 * A dump: all threads of the process at one moment, and what there is beside them (tasks,
 * greenlets, fibers, open handles), each with its state, what it waits for and since when, its
 * span, labels and stack (collect/survey.h takes it).
 *
 * Stacks, links and label sets lie in a profile of the dump's own, which also has one sample a
 * thread: that is the dump as pprof.
 *
 * Whoever was given it owns it, and frees it; not locked.
 */
#ifndef CPROF_DUMP_DUMP_H
#define CPROF_DUMP_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "look/wait.h"
#include "profile/profile.h"
#include "sample/thread.h"

/* Where the stack is from. */
enum dump_view {
    DUMP_ASLEEP,  /* the thread sleeps, and was walked there */
    DUMP_SAMPLED, /* it runs: its last sample */
    DUMP_UNSEEN,  /* it runs, and has no sample yet; or the kernel does not say where it sleeps
                   */
};

enum dump_kind {
    DUMP_THREAD,
    DUMP_TASK,
    DUMP_GREENLET,
    DUMP_FIBER,
    DUMP_HANDLE, /* its stack is one word: what it is */
    DUMP_KINDS,
};
#define DUMP_KIND_LABEL "kind"

/* Of a task what a task has: no tid, no holder, no ages. */
struct dump_thread {
    enum dump_kind kind;
    pid_t tid;
    uint64_t id; /* the runtime's; else the tid */
    char name[THREAD_NAME_SIZE];
    enum dump_view view;
    struct wait wait;        /* its state is WAIT_STATES where nobody knows */
    uint64_t still_ns;       /* it has not run for at least so long; 0: not known */
    uint64_t age_ns;         /* of its sample; 0: younger than the question */
    profile_id stack;        /* 0: none */
    profile_id link, labels; /* labels: the thread's and the wait's too */
    unsigned deadlock;       /* which one of the dump it is part of, from 1; 0: none */
    size_t holder;           /* the thread that holds what it waits for: index + 1; 0: none */
};

struct dump {
    struct profile *profile;
    uint64_t time_ns; /* Unix time */
    uint64_t took_ns; /* from the question to the last look */
    struct dump_thread *threads;
    size_t count, capacity;
    unsigned deadlocks;
    bool incomplete;          /* there was no memory for all threads */
    bool limited[DUMP_KINDS]; /* there are more than are shown */
};

/* NULL: no memory. The profile becomes the dump's. */
struct dump *dump_new(struct profile *profile);
void dump_free(struct dump *dump); /* NULL is allowed */

/* A new thread, all zero; NULL: no memory, and the dump is incomplete. */
struct dump_thread *dump_add(struct dump *dump);

/* How many there are of a kind. */
size_t dump_count(const struct dump *dump, enum dump_kind kind);

/* "thread", "task", … */
const char *dump_kind_word(enum dump_kind kind);

/* The word of its state, and of its reason; NULL: none. */
const char *dump_state(const struct dump_thread *thread);

#endif
