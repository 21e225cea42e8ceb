/*
 * Walking Ruby's frames, and the table of code that handlers have met.
 *
 * What the handler sees of a frame is the address of an iseq or a method entry. Such objects
 * die, move and have their addresses used again, so a handler turns each into an identity that
 * is never used again: it looks the address up in a fixed table and, when it is new, claims a
 * slot and leaves what naming will need. names.c gives the identity a name under the GVL, keeps
 * the object alive and in its place while the slot is in use, and frees the slot when the code
 * has not been sampled for a while.
 *
 * Several classes may have got a method from one `def` (a class_eval run for each): code that
 * is met under another method entry than at first gets a slot for that one as well. Where the
 * two turn out to have one name (a module's method has an entry for every class that includes
 * it), or entries can't be told apart, the code is not split any further.
 *
 * Any thread's handler may claim a slot at any time; slots are freed by the collector. Slots
 * never move: where they get scarce names.c adds a table, twice as large as the last one. When
 * there is no free slot near an address's place in any its frame gets CODE_UNKNOWN (counted as
 * failed).
 */
#ifndef CPROF_RUBY_WALK_H
#define CPROF_RUBY_WALK_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <cprof/runtime.h>

#define CODE_SLOTS 8192 /* of the first table, a power of two */
#define CODE_TABLES 8

/* Tokens. A step that shows nothing is 0. */
enum { CODE_UNKNOWN = 1, CODE_GC = 2, CODE_FIRST = 16 };

/* The position in an iseq, where it has none: JIT code writes it when it must. */
#define CODE_NO_PC ((uintptr_t)1)

enum code_state {
    CODE_CLAIMED, /* by a handler that is still writing it */
    CODE_MET,     /* waits for its name */
    CODE_NAMED,   /* or found to be nothing that has one */
};

#define CODE_KEY_FREE ((uintptr_t)0)
#define CODE_KEY_GONE ((uintptr_t)1)    /* free again, but others may lie behind it */
#define CODE_KEY_CLAIMED ((uintptr_t)2) /* neither free nor anybody's: in between */
#define CODE_KEY_FIRST ((uintptr_t)8)
#define CODE_KEY_VARIANT ((uintptr_t)1) /* added: of the code under this method entry only */

struct code_slot {
    /* The address of an iseq or a method entry, or one of CODE_KEY_*. */
    alignas(64) _Atomic uintptr_t key; /* one cache line a frame is enough to miss */
    _Atomic uint64_t id;               /* the token */
    _Atomic uint32_t last_seen;        /* walk_tick when it was sampled last */
    _Atomic uint32_t state;            /* enum code_state */
    /* What the frame's local environment had for a method entry; once there is a name, a method
     * entry that is kept alive, or 0. */
    _Atomic uintptr_t method;
    _Atomic bool whole; /* not to be split by method entries */
    /* Left by the handler for naming: */
    uintptr_t pc;    /* lies in the code of an iseq; 0 for a method entry */
    size_t gc_count; /* of the garbage collection that another thread did, else SIZE_MAX */
};

struct code_table {
    struct code_slot *slots;
    size_t count;           /* a power of two */
    _Atomic uint64_t *used; /* a bit for every slot in use: what a collection has to look at */
    _Atomic uint64_t *met;  /* … and for every one that waits for its name */
    _Atomic size_t taken;
};

extern struct code_table code_tables[CODE_TABLES];
extern _Atomic size_t code_table_count; /* those before it are complete */

/* The slot of the code as it was met first, or NULL. */
struct code_slot *code_first(uintptr_t object);

extern _Atomic uint32_t walk_tick;       /* counts seconds */
extern _Atomic uint32_t code_met;        /* slots in state CODE_MET */
extern void (*walk_ask_for_names)(void); /* signal-safe; called with the GVL held */

/* What a control frame runs, as the table knows it. */
struct met {
    uintptr_t key, method, pc;
    size_t gc_count;
};

/* [handler] The identity of the code. Two that meet it at once when it is new may give it two:
 * both get its name. */
uint64_t code_identify(struct met *met);

/* [handler] The runtime's entries. */
size_t walk(const struct cprof_interrupted *interrupted, struct cprof_frame *frames,
            size_t capacity, bool *complete);

/* Does the thread run Ruby just now? */
bool walk_runs(const struct cprof_interrupted *interrupted);

bool walk_request(const struct cprof_interrupted *thread, struct cprof_context *context);

/* Where code of Ruby's JIT lies, from when its size is set on. */
struct walk_range {
    uintptr_t start;
    _Atomic size_t size;
};
extern struct walk_range walk_jit;
bool walk_step(const struct cprof_interrupted *thread, struct cprof_registers *registers,
               struct cprof_frame *frame);

/* The iseqs and method entries of the calling thread's frames. Not for handlers. */
void walk_objects(const void *thread, void (*each)(uintptr_t object));

/* [handler] The next older tag of an interpreter loop, from `tag` on; 0 = there is none. */
uintptr_t walk_loop_tag(uintptr_t tag);

/* The rb_thread_t that each native thread ran before the first start, where it cannot be told
 * later (kept.h). Set before that; the threads live for good. */
struct walk_thread {
    pid_t tid;
    void *thread;
};
extern const struct walk_thread *walk_older;
extern size_t walk_older_count;

/* The execution context of a rb_thread_t. 0 = there is none to be looked at. */
uintptr_t walk_context(const void *thread);

#endif
