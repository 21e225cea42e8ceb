#include "asleep.h"

#include <stdatomic.h>
#include <string.h>

#include <ruby.h>
#include <ruby/version.h>

#include "copied.h"
#include "fibers.h"
#include "gvl.h"
#include "walk_frames.h"

enum { FRAMES_MAX = 1 << 16 };

/* ---- threads that have slept since before the start ---- */

static struct {
    _Atomic pid_t tid;
    void *_Atomic thread;
} since[ASLEEP_SINCE_START];
static _Atomic size_t since_count;

void asleep_none(void)
{
    atomic_store(&since_count, 0);
}

void asleep_since(pid_t tid, void *thread)
{
    size_t count = atomic_load(&since_count);
    if (count == ASLEEP_SINCE_START)
        return;
    atomic_store(&since[count].tid, 0);
    atomic_store(&since[count].thread, thread);
    atomic_store(&since[count].tid, tid);
    atomic_store(&since_count, count + 1);
}

void asleep_awake(pid_t tid)
{
    size_t count = atomic_load(&since_count);
    for (size_t i = 0; i < count; i++)
        if (atomic_load_explicit(&since[i].tid, memory_order_relaxed) == tid)
            atomic_store(&since[i].tid, 0);
}

static uintptr_t thread_since(pid_t tid)
{
    size_t count = atomic_load(&since_count);
    for (size_t i = 0; i < count; i++)
        if (atomic_load(&since[i].tid) == tid)
            return (uintptr_t)atomic_load(&since[i].thread);
    return 0;
}

/* ---- what a native thread says of itself ---- */

/* False: nothing. */
static bool read_here(struct reader *reader, struct asleep_here *here)
{
    return reader->sleeper->thread_data != NULL &&
           copy(reader, reader->sleeper->thread_data, here, sizeof *here);
}

/* The rb_thread_t; 0: none. */
static uintptr_t thread_of(struct reader *reader)
{
    struct asleep_here here;
    bool over = true;
    if (reader->sleeper->thread_data == NULL)
        return thread_since(reader->sleeper->tid);
    if (!read_here(reader, &here) || !copy(reader, here.over, &over, sizeof over) || over)
        return 0;
    return word(reader, (uintptr_t)here.running, 0);
}

static uintptr_t context_of(struct reader *reader)
{
    uintptr_t thread = thread_of(reader);
    return thread != 0 ? word(reader, thread, layout.thread_ec) : 0;
}

/* ---- the seam ---- */

static size_t walk_asleep(const struct cprof_sleeper *sleeper, struct cprof_frame *out,
                          size_t capacity, bool *complete)
{
    struct reader reader = {.sleeper = sleeper};
    struct frames frames;
    *complete = true;
    if (!layout.trusted || !find_frames(&reader, context_of(&reader), &frames) ||
        frames.count > FRAMES_MAX)
        return 0;
    if (rb_during_gc())
        frames.gc_count = rb_gc_count();
    return write_frames(&reader, &frames, sleeper->registers.sp, out, 0, capacity, complete);
}

static bool request_asleep(const struct cprof_sleeper *sleeper, struct cprof_context *context)
{
    struct reader reader = {.sleeper = sleeper};
    struct asleep_here here;
    struct context_record *address, record;
    if (!read_here(&reader, &here) || !copy(&reader, here.context, &address, sizeof address) ||
        address == NULL || !copy(&reader, address, &record, sizeof record) ||
        record.age != atomic_load(&context_age))
        return false;
    *context = record.versions[record.current & 1];
    return true;
}

/* ---- the GVL ---- */

/* From 3.2 on Ruby tells who begins to wait for it and who has got it. */
static enum cprof_wait gvl(const struct cprof_sleeper *sleeper, pid_t *holder)
{
    struct reader reader = {.sleeper = sleeper};
    struct asleep_here here;
    bool waits = false;
    pid_t last = gvl_holder();
    *holder = last != sleeper->tid ? last : 0;
    return read_here(&reader, &here) && copy(&reader, here.waits, &waits, sizeof waits) && waits
               ? CPROF_WAIT_GVL
               : CPROF_WAIT_UNKNOWN;
}

/* ---- what functions wait for ---- */

/* Ruby's own, by name. What it sleeps in is a condition of the thread's or a descriptor for
 * signals, whatever it waits for. */
static const struct waiting {
    const char *name;
    enum cprof_wait reason;
} waiting[] = {
    {"Kernel#sleep", CPROF_WAIT_SLEEP},
    {"Thread.stop", CPROF_WAIT_SLEEP},
    {"Thread#join", CPROF_WAIT_LOCK},
    {"Thread#value", CPROF_WAIT_LOCK},
    {"Thread::Mutex#lock", CPROF_WAIT_LOCK},
    {"Thread::Mutex#synchronize", CPROF_WAIT_LOCK},
    {"Thread::Mutex#sleep", CPROF_WAIT_LOCK},
    {"Thread::ConditionVariable#wait", CPROF_WAIT_LOCK},
    {"Thread::Queue#pop", CPROF_WAIT_LOCK},
    {"Thread::SizedQueue#pop", CPROF_WAIT_LOCK},
    {"Thread::SizedQueue#push", CPROF_WAIT_LOCK},
    {"Monitor#enter", CPROF_WAIT_LOCK},
    {"Monitor#synchronize", CPROF_WAIT_LOCK},
    {"Monitor#wait_for_cond", CPROF_WAIT_LOCK},
    {"Process.wait", CPROF_WAIT_CHILD},
    {"Process.wait2", CPROF_WAIT_CHILD},
    {"Process.waitpid", CPROF_WAIT_CHILD},
    {"Process.waitpid2", CPROF_WAIT_CHILD},
    {"Process::Status.wait", CPROF_WAIT_CHILD},
    {"Kernel#system", CPROF_WAIT_CHILD},
};

/* Where a thread without work waits: the name's end, and the file's. Between it and what it
 * sleeps in are functions of Ruby's. */
static const struct resting {
    const char *name, *file;
} resting[] = {
    {"Puma::ThreadPool#spawn_thread", "puma/thread_pool.rb"},
    {"Puma::Server#handle_servers", "puma/server.rb"},
    {"Puma::Reactor#select_loop", "puma/reactor.rb"},
    {"WEBrick::GenericServer#start", "webrick/server.rb"},
    {"Timeout.create_timeout_thread", "/timeout.rb"},
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);
    return length >= size && strcmp(text + length - size, end) == 0;
}

static bool rests(const struct cprof_function *functions, size_t count)
{
    for (size_t f = 0; f < count; f++)
        for (size_t i = 0; i < sizeof resting / sizeof resting[0]; i++)
            if (ends_with(functions[f].name, resting[i].name) &&
                ends_with(functions[f].file, resting[i].file))
                return true;
    return false;
}

/* Before 3.2 a lock of no other kind is the GVL. */
static enum cprof_wait waits_for(const struct cprof_function *functions, size_t count)
{
    if (count == 0)
        return CPROF_WAIT_UNKNOWN;
    if (rests(functions, count))
        return CPROF_WAIT_IDLE;
    for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++)
        if (strcmp(functions[0].name, waiting[i].name) == 0)
            return waiting[i].reason;
    return RUBY_API_VERSION_CODE < 30200 ? CPROF_WAIT_GVL : CPROF_WAIT_UNKNOWN;
}

/* Hooks of a fiber's scheduler, by the end of their names: what a fiber waits for that is in
 * one of them. One may call another: the outermost tells more. */
static const struct waiting hooks[] = {
    {"#kernel_sleep", CPROF_WAIT_SLEEP}, {"#io_wait", CPROF_WAIT_IO},
    {"#io_read", CPROF_WAIT_IO},         {"#io_write", CPROF_WAIT_IO},
    {"#io_select", CPROF_WAIT_IO},       {"#address_resolve", CPROF_WAIT_IO},
    {"#process_wait", CPROF_WAIT_CHILD}, {"#block", CPROF_WAIT_LOCK},
};

static enum cprof_wait fiber_wait(const struct cprof_function *functions, size_t count)
{
    for (size_t f = count; f-- > 0;) {
        for (size_t i = 0; i < sizeof hooks / sizeof hooks[0]; i++)
            if (ends_with(functions[f].name, hooks[i].name))
                return hooks[i].reason;
        for (size_t i = 0; i < sizeof waiting / sizeof waiting[0]; i++)
            if (strcmp(functions[f].name, waiting[i].name) == 0)
                return waiting[i].reason;
    }
    return CPROF_WAIT_UNKNOWN;
}

/* Of which a lock is made. */
static bool is_of_locks(const struct cprof_function *function)
{
    static const char *const classes[] = {"Thread::Mutex#",
                                          "Monitor#",
                                          "MonitorMixin#",
                                          "MonitorMixin::ConditionVariable#",
                                          "Thread::ConditionVariable#",
                                          "Thread::Queue#",
                                          "Thread::SizedQueue#"};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strncmp(function->name, classes[i], strlen(classes[i])) == 0)
            return true;
    return false;
}

const struct cprof_asleep asleep = {.walk = walk_asleep,
                                    .context = request_asleep,
                                    .interpreter_lock = gvl,
                                    .waits_for = waits_for,
                                    .is_of_locks = is_of_locks,
                                    .others = fibers_each,
                                    .task_wait = fiber_wait,
                                    .count = fibers_count};
