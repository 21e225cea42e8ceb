/*
 * The seam: what a language binding teaches the core about its interpreter.
 *
 * A binding hands cprof_start() one `struct cprof_runtime`, a table of functions that must
 * stay valid until cprof_stop() has returned. Each entry is marked with where it runs:
 *
 *   [handler]    inside the sampling signal's handler, on the sampled thread. May read memory
 *                and do arithmetic. May not allocate, lock, wait, log, change errno, take
 *                a reference, or touch thread-local storage that was not touched before.
 *   [collector]  on cprof's own thread, without any interpreter lock. May take locks that no
 *                sampled thread holds for long; must not call the interpreter unless the
 *                binding takes the interpreter's lock itself.
 *
 * The core never includes an interpreter's header and never looks inside a token.
 */
#ifndef CPROF_RUNTIME_H
#define CPROF_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sigaction;

/* The value of a location's profile.frame.type attribute. */
enum cprof_frame_type {
    CPROF_FRAME_UNKNOWN,
    CPROF_FRAME_NATIVE,
    CPROF_FRAME_KERNEL,
    CPROF_FRAME_CPYTHON,
    CPROF_FRAME_RUBY,
    CPROF_FRAME_V8JS,
};

/* Special values of cprof_frame.stack: the frame runs in the same native frame as the next
 * older interpreter frame that names one; */
#define CPROF_STACK_INHERIT ((uintptr_t)0)
/* it is the oldest frame of one call of the interpreter loop whose stack address is not known:
 * pairs with the next native frame whose role is CPROF_ROLE_INTERPRETER. */
#define CPROF_STACK_BOUNDARY ((uintptr_t)1)

/* One interpreter frame as the handler saw it. The core copies it and hands it back to
 * resolve(); equal (token, position) pairs must always resolve alike. */
struct cprof_frame {
    uint64_t token;    /* what runs, e.g. the address of a code object */
    uint64_t position; /* where in it, e.g. an instruction offset; a binding whose tokens can
                          be reused puts a generation into the upper bits */
    uintptr_t stack;   /* an address on the native stack inside the frame of the native
                          function that runs this frame, or one of the values above */
};

/* The machine registers of a point on a native stack. */
struct cprof_registers {
    uintptr_t pc; /* program counter */
    uintptr_t sp; /* stack pointer */
    uintptr_t fp; /* frame pointer register (rbp, x29), whatever it holds */
};

/* What the handler knows of the thread it interrupted. */
struct cprof_interrupted {
    const void *ucontext; /* the handler's third argument; NULL where a hook in ordinary code
                             takes the sample (sample.h) */
    struct cprof_registers registers; /* taken from it; of a hook's caller, whose pc is then a
                                         return address */
    void *thread_data;                /* what cprof_thread_set_data() stored, or NULL */
    pid_t tid;                        /* the kernel's; 0 where no handler runs */
};

/* Which request the thread was serving. All zero: none. */
struct cprof_context {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint32_t label_set; /* the binding's own number for a set of labels; 0 = none */
    bool unreadable;    /* a span is active, but could not be read: counted */
};

/* What the collector wants to know of an interpreter frame. The strings belong to the binding
 * and must stay valid until its next resolve() or drained() call. UTF-8. */
struct cprof_function {
    const char *name;           /* as interface.md spells it: Cart.total */
    const char *file;           /* as the runtime reports it; NULL = none */
    int64_t line;               /* the line running; 0 = unknown */
    int64_t column;             /* from 1; 0 = unknown */
    int64_t start_line;         /* the line on which the function begins; 0 = unknown */
    enum cprof_frame_type type; /* CPROF_FRAME_CPYTHON, … */
    uintptr_t native;           /* where the native function begins that implements it, as
                                   native_start() tells; 0 = none, or not known */
    const struct cprof_function *caller; /* whose code this one was inlined into, and so on:
                                            shown as its callers; NULL = none. At most 15 */
};

/* What a native frame is to the interpreter. */
enum cprof_role {
    CPROF_ROLE_PLAIN,       /* native code like any other: shown */
    CPROF_ROLE_PLUMBING,    /* a trampoline or entry stub that users never wrote: not shown */
    CPROF_ROLE_INTERPRETER, /* the interpreter loop: not shown; interpreted frames stand in
                               its place */
    CPROF_ROLE_BASE,        /* the first function of a stack that was laid over another one (a
                               greenlet's): shown, and nothing older is, being another's */
    CPROF_ROLE_CHORE, /* begins work that the runtime does for itself in between (a step of
                         V8's collector): shown, with cprof_runtime.chore as its caller */
    CPROF_ROLE_OWN,   /* cprof's, a hook in the way of the program's calls: not shown. The core
                         finds these by itself */
};

struct cprof_asleep; /* asleep.h */

struct cprof_runtime {
    const char *name; /* "cpython", "ruby", "v8" */

    /* [handler] Writes the interrupted thread's interpreter frames, innermost first, at most
     * `capacity`. Returns how many were written; sets *complete to false when older frames
     * were left out or could not be read (counted as truncated). NULL: no interpreter. */
    size_t (*walk)(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                   size_t capacity, bool *complete);

    /* [handler] For runtimes whose frames lie on the native stack itself (V8): called by the
     * native walker for each pc before it looks at unwind tables. Returns false if pc is not
     * the runtime's; else writes the frame (its stack field is set by the core; a token of
     * zero is no frame, only code that the runtime can step over; its position is then zero,
     * or an address of the same code in a module, where this is a copy of it) and moves
     * *registers to the caller. NULL: never. */
    bool (*step)(const struct cprof_interrupted *thread, struct cprof_registers *registers,
                 struct cprof_frame *frame);

    /* [handler] The same for a pc that step() did not know and that comes from no file: code
     * that the runtime compiled elsewhere (WebAssembly). NULL: never. */
    bool (*step_unmapped)(const struct cprof_interrupted *thread,
                          struct cprof_registers *registers, struct cprof_frame *frame);

    /* [handler] Reads the active span and labels, into a context that is all zero. Returns
     * false when there is nothing to tell. NULL: never. */
    bool (*context)(const struct cprof_interrupted *thread, struct cprof_context *context);

    /* Stands as the caller of the oldest native function that is a chore, on stacks that do not
     * show it already; named by resolve(). A token of zero: there are no chores. */
    struct cprof_frame chore;

    /* [collector] Names a frame. Must answer for code that has died since it was sampled.
     * 0, or a negative errno: the core then shows "[unknown]" and counts it as failed.
     * -ENODATA: counted as failed too, but shown by what `function` says in place of its name.
     * -EAGAIN: not yet, the interpreter will name it when its lock allows. The core leaves
     * the sample where it is and asks again at later drains, for some two seconds, while the
     * thread's ring is less than half full, and not when stopping; then -EAGAIN is an error
     * like any other, unless `function` has a name, by which it is shown then. */
    int (*resolve)(const struct cprof_frame *frame, struct cprof_function *function);

    /* [collector] What the native function `symbol` (its linkage name; NULL when the pc has no
     * symbol) of the module at path `module` is. NULL: everything is plain. Answers are
     * cached by the core. */
    enum cprof_role (*role)(const char *symbol, const char *module);

    /* [collector] The same by address, for interpreters that come stripped: asked before
     * role() with a pc inside the native function; role() decides where it answers
     * CPROF_ROLE_PLAIN. Cached as well. NULL: never. */
    enum cprof_role (*role_at)(uintptr_t pc);

    /* [collector] Where the native function around `pc` begins; 0 = not known. An interpreter
     * frame that INHERITs and is implemented by that function (cprof_function.native) stands
     * right above it, wherever between two interpreter loops it is. Cached. NULL: never. */
    uintptr_t (*native_start)(uintptr_t pc);

    /* [collector] The name of the native function that starts at `start` and has no symbol,
     * for interpreters that know the functions of stripped files. role() is asked about that
     * name then. 0; -ENOENT: it has none, kept like any answer; -EAGAIN as in resolve(), the
     * fallback being the name without a symbol; -EBUSY: the fallback for this sample, and ask
     * again at the next. NULL: never. */
    int (*native_name)(uintptr_t start, char *name, size_t size);

    /* [collector] The labels of a set that context() reported: calls `each` for every pair.
     * The strings need to live only during the call; one set is told alike each time. Sets
     * with other numbers but the same pairs are one. NULL: there are no label sets. */
    void (*labels)(uint32_t label_set,
                   void (*each)(void *closure, const char *key, const char *value),
                   void *closure);

    /* [collector] Every sample whose handler began before the previous drained() call has been
     * resolved: what was kept only to name those samples may go. NULL: not interested. */
    void (*drained)(void);

    /* [start] Puts hooks where the runtime allocates what never reaches malloc, that count
     * CPROF_EVENT_ALLOC (sample.h). 0, or a negative errno with *why for people. May be called
     * again without alloc_close(), in the child of a fork. NULL: there are none. */
    int (*alloc_open)(const char **why);
    /* [start] Takes them out, or leaves them to count for nothing where that can't be. */
    void (*alloc_close)(void);

    /* [handler] The calling thread has used up another period of its CPU time. For hooks that
     * are in for a part of the time only: while allocations are sampled the timers run, whether
     * or not anything counts CPU time. NULL: not interested. */
    void (*tick)(const struct cprof_interrupted *thread);

    /* [start] The same for hooks where threads of the runtime wait for its locks, or let them
     * go, that count CPROF_EVENT_LOCK and CPROF_EVENT_BLAME. NULL: there are none. */
    int (*lock_open)(const char **why);
    void (*lock_close)(void);

    /* [start] Has its hook told of each exception that is raised, which counts
     * CPROF_EVENT_EXCEPTION (sample.h). As alloc_open(). NULL: it can't be. */
    int (*exception_open)(const char **why);
    /* [start] Maybe after the interpreter's end. */
    void (*exception_close)(void);

    /* [start] Has its hooks told of each pause of the garbage collector: cprof_gc_begin() and
     * cprof_gc_end() of sample.h. As exception_open(). */
    int (*gc_open)(const char **why);
    void (*gc_close)(void);

    /* [fork] Takes and releases the locks that the binding's own code holds for moments, so
     * that a forked child finds none of them held. Called inside fork(2) itself, on the thread
     * that forks, whether or not a hook announced the fork: must not run interpreter code, and
     * who holds such a lock must not wait for the interpreter's. NULL: none. */
    void (*fork_lock)(void);
    void (*fork_unlock)(void);

    /* [start] Is that a handler which the runtime itself put there, to end the process as the
     * signal's default would? Then nobody handles the signal (engine/terminate.h). NULL: it
     * puts none there. */
    bool (*ends_process)(int signal, const struct sigaction *handler);

    /* What it can say of threads that wait. NULL: nothing; their native frames are shown. */
    const struct cprof_asleep *asleep;
};

#endif
