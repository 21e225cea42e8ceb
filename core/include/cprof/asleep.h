/*
 * The part of the seam for threads that wait (runtime.h has the rest): what a binding can say
 * of another thread, one that sleeps in the kernel, without waking it and without its
 * interpreter's lock.
 *
 * A look at a thread that sleeps runs on the collector's thread. All that it reads of the
 * thread goes through `read`: a copy, made with a system call that fails where a load would
 * crash. The thread may wake up at any moment, and what was read is then torn. So everything is
 * to be checked as far as a walk needs (ends, bounds, no circles), and nothing more: the core
 * compares the thread's CPU clock before and after, and throws away a look during which it ran.
 */
#ifndef CPROF_ASLEEP_H
#define CPROF_ASLEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cprof/runtime.h"

/* Why a thread waits: the label wait.reason, in the spelling of docs/waiting.md. */
enum cprof_wait {
    CPROF_WAIT_UNKNOWN, /* no label */
    CPROF_WAIT_IO,
    CPROF_WAIT_LOCK,
    CPROF_WAIT_GIL,
    CPROF_WAIT_GVL,
    CPROF_WAIT_SLEEP,
    CPROF_WAIT_IDLE, /* for work: a pool's worker, an event loop at rest */
    CPROF_WAIT_CHILD,
    CPROF_WAIT_PAGE_FAULT,
    CPROF_WAIT_DISK,
    CPROF_WAITS,
};

#define CPROF_WAIT_FUNCTIONS 4
#define CPROF_WAIT_NATIVE 8

/* A thread that sleeps. */
struct cprof_sleeper {
    pid_t tid;                        /* the kernel's */
    uint64_t id;                      /* the runtime's, if the binding knows it; else the tid */
    void *thread_data;                /* what cprof_thread_set_data() stored, or NULL */
    struct cprof_registers registers; /* pc and sp of its system call; fp is not known */
    uintptr_t *kept;                  /* a word of the binding's own for this thread, from look
                                         to look; 0 at first */
    uintptr_t futex;                  /* the address it waits at in futex(2); 0: it does not */
    uint64_t ran_ns;                  /* its CPU clock before the look */

    /* Copies [from, from + size) to `to`. False: not all of it can be read. */
    bool (*read)(const struct cprof_sleeper *sleeper, uintptr_t from, void *to, size_t size);
    void *memory; /* read()'s */

    /* Has it not run since the look began? What a binding keeps of it is to be of one moment.
     */
    bool (*stood)(const struct cprof_sleeper *sleeper);
};

/* What there is beside threads. */
enum cprof_beside {
    CPROF_TASK,     /* of an event loop */
    CPROF_GREENLET, /* one that is suspended */
    CPROF_FIBER,    /* the same */
    CPROF_HANDLE,   /* what an event loop waits for: a socket, a timer, a child process */
};

/* Something that waits beside threads: it has a stack of its own, or only a name. */
struct cprof_task {
    enum cprof_beside kind;
    uint64_t id;                      /* the runtime's */
    const char *name;                 /* "": none */
    const struct cprof_frame *frames; /* innermost first; then those of what awaits it */
    size_t count;
    const char *type;             /* of a handle, which has no frames: "tcp" */
    int fd;                       /* of a handle: its descriptor; -1: none */
    bool waits;                   /* else it runs, and its stack is its thread's */
    struct cprof_context context; /* of one that waits */
};

/* How many there are of what runs on threads by turns. Negative: not known. */
struct cprof_population {
    int64_t tasks, fibers, greenlets;
};
#define CPROF_POPULATION_UNKNOWN                                                               \
    ((struct cprof_population){.tasks = -1, .fibers = -1, .greenlets = -1})

/* All on the collector's thread; none may take a lock that the sleeper could hold, or touch its
 * memory but through read(). */
struct cprof_asleep {
    /* As step() of struct cprof_runtime, for runtimes whose frames lie on the native stack. A
     * frame of NULL: where it leads to is all that is wanted. A frame pointer that is not
     * aligned is not known. NULL: never. */
    bool (*step)(const struct cprof_sleeper *sleeper, struct cprof_registers *registers,
                 struct cprof_frame *frame);

    /* As walk() of struct cprof_runtime. NULL: there are no other frames. */
    size_t (*walk)(const struct cprof_sleeper *sleeper, struct cprof_frame *frames,
                   size_t capacity, bool *complete);

    /* As context(). NULL: never. */
    bool (*context)(const struct cprof_sleeper *sleeper, struct cprof_context *context);

    /* Is the lock that it waits for the interpreter's own? Then CPROF_WAIT_GIL or _GVL, and who
     * holds it as the kernel's thread id, 0 if that is not known; else CPROF_WAIT_UNKNOWN.
     * NULL: there is none. */
    enum cprof_wait (*interpreter_lock)(const struct cprof_sleeper *sleeper, pid_t *holder);

    /* What does a thread wait for that sleeps in functions[0], called by functions[1] and so
     * on, where that says more than its system call does? CPROF_WAIT_IDLE: for work. _GIL or
     * _GVL: for that one, if its system call is a lock's. _UNKNOWN: what the call says. There
     * are `count`, at most CPROF_WAIT_FUNCTIONS; names and files are those that resolve() gave.
     * NULL: never. */
    enum cprof_wait (*waits_for)(const struct cprof_function *functions, size_t count);

    /* Does a thread that is in no function of the runtime's sleep as it has no work? There are
     * the names of its `count` innermost native functions, at most CPROF_WAIT_NATIVE. NULL:
     * never. */
    bool (*is_out_of_work)(const char *const *names, size_t count);

    /* Is that a function of the runtime's own, of which its locks are made? The first that is
     * not, from the inside, is where a lock is asked for. NULL: none is. */
    bool (*is_of_locks)(const struct cprof_function *function);

    /* Calls `each` for every task that there is, whose parts are good during the call, until it
     * returns false. Returns for how many. Without the interpreter's lock: what is read may be
     * torn, and is checked as far as a walk needs; `twice`: one that waits is left out if it
     * was not found the same again. NULL: there are none. */
    size_t (*tasks)(bool (*each)(void *closure, const struct cprof_task *task), void *closure,
                    bool twice);

    /* The same for what else there is beside threads, of all other kinds; for dumps alone. */
    void (*others)(bool (*each)(void *closure, const struct cprof_task *task), void *closure);

    /* What a task, greenlet or fiber waits for whose innermost functions are those, at most
     * CPROF_WAIT_FUNCTIONS. NULL: unknown. */
    enum cprof_wait (*task_wait)(const struct cprof_function *functions, size_t count);

    /* Counts what it knows, into one of which nothing is known. It is called as often as it is
     * cheap. NULL: it knows nothing. */
    void (*count)(struct cprof_population *population);
};

#endif
