#include "locks.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ruby/fiber/scheduler.h>
#include <ruby/version.h>

#include <cprof/cprof.h>
#include <cprof/readable.h>
#include <cprof/waiters.h>

#include "gvl.h"
#include "layout.h"
#include "methods.h"
#include "module.h"
#include "threads.h"
#include "walk.h"

/* ---- the methods ---- */

enum class { MUTEX, MONITOR, CONDITION, QUEUE, SIZED, CLASSES };

static const char *const class_names[CLASSES] = {[MUTEX] = "Thread::Mutex",
                                                 [MONITOR] = "Monitor",
                                                 [CONDITION] = "Thread::ConditionVariable",
                                                 [QUEUE] = "Thread::Queue",
                                                 [SIZED] = "Thread::SizedQueue"};

#define ANY (-1)
#if RUBY_API_VERSION_CODE >= 30200
#define SINCE_3_2(name) name
#else
#define SINCE_3_2(name) NULL
#endif

/* The hook's name, whose method it is and which; how many arguments its C function takes, or
 * the builtin that it calls. */
#define HOOKED(ROW)                                                                            \
    ROW(mutex_lock, MUTEX, "lock", 0, NULL)                                                    \
    ROW(mutex_unlock, MUTEX, "unlock", 0, NULL)                                                \
    ROW(mutex_synchronize, MUTEX, "synchronize", 0, NULL)                                      \
    ROW(mutex_sleep, MUTEX, "sleep", ANY, NULL)                                                \
    ROW(monitor_enter, MONITOR, "enter", 0, NULL)                                              \
    ROW(monitor_exit, MONITOR, "exit", 0, NULL)                                                \
    ROW(monitor_synchronize, MONITOR, "synchronize", 0, NULL)                                  \
    ROW(condition_wait, CONDITION, "wait", ANY, NULL)                                          \
    ROW(condition_signal, CONDITION, "signal", 0, NULL)                                        \
    ROW(condition_broadcast, CONDITION, "broadcast", 0, NULL)                                  \
    ROW(queue_pop, QUEUE, "pop", ANY, SINCE_3_2("rb_queue_pop"))                               \
    ROW(queue_push, QUEUE, "push", 1, NULL)                                                    \
    ROW(queue_close, QUEUE, "close", 0, NULL)                                                  \
    ROW(sized_pop, SIZED, "pop", ANY, SINCE_3_2("rb_szqueue_pop"))                             \
    ROW(sized_push, SIZED, "push", ANY, SINCE_3_2("rb_szqueue_push"))                          \
    ROW(sized_close, SIZED, "close", 0, NULL)

/* Those that are only asked. */
#define ASKED(ROW)                                                                             \
    ROW(mutex_owned, MUTEX, "owned?", 0, NULL)                                                 \
    ROW(monitor_owned, MONITOR, "mon_owned?", 0, NULL)                                         \
    ROW(queue_closed, QUEUE, "closed?", 0, NULL)

#define NUMBER(name, class, spelled, count, builtin) of_##name,
enum number {
    HOOKED(NUMBER) HOOK_COUNT,
    LAST_HOOK = HOOK_COUNT - 1,
    ASKED(NUMBER) METHOD_COUNT
};
#undef NUMBER

#define ROW(name, class, spelled, count, builtin)                                              \
    [of_##name] = {class, spelled, count, builtin},
static const struct {
    enum class class;
    const char *name;
    int argument_count;
    const char *builtin;
} rows[METHOD_COUNT] = {HOOKED(ROW) ASKED(ROW)};
#undef ROW

static struct method methods[METHOD_COUNT];
static bool found[CLASSES];
static bool hooked; /* under the GVL */
static atomic_bool wanted;

typedef VALUE (*function_0)(VALUE);
typedef VALUE (*function_1)(VALUE, VALUE);
typedef VALUE (*function_any)(int, const VALUE *, VALUE);
typedef VALUE (*builtin_2)(void *, VALUE, VALUE, VALUE);
typedef VALUE (*builtin_3)(void *, VALUE, VALUE, VALUE, VALUE);

static inline VALUE ask(enum number number, VALUE self)
{
    return ((function_0)methods[number].function)(self);
}

/* ---- is it free? ---- */

/* Words of structs. */
static struct {
    size_t mutex, owner; /* a Monitor's Mutex, and who has entered it */
    size_t items;        /* a Queue's array */
    size_t max;          /* of a SizedQueue, how much has room */
} words;

static inline VALUE word_of(VALUE object, size_t word)
{
    return ((const VALUE *)methods_data(object))[word];
}

/* A Mutex's struct begins with who has it. */
static inline bool mutex_is_taken(VALUE mutex)
{
    return word_of(mutex, 0) != 0;
}

/* Whom the fiber that runs here (its context) has been found to be. */
static __thread struct {
    uintptr_t context;
    VALUE owner;
} self_here;

static bool is_mine(VALUE monitor, uintptr_t context)
{
    if (!RTEST(ask(of_monitor_owned, monitor)))
        return false;
    self_here.context = context;
    self_here.owner = word_of(monitor, words.owner);
    return true;
}

static inline bool is_anothers(VALUE monitor)
{
    if (__builtin_expect(!mutex_is_taken(word_of(monitor, words.mutex)), 1))
        return false;
    uintptr_t context = walk_context(threads_running);
    if (context != 0 && context == self_here.context &&
        word_of(monitor, words.owner) == self_here.owner)
        return false;
    return !is_mine(monitor, context);
}

static inline bool has_less(VALUE queue, long count)
{
    VALUE items = word_of(queue, words.items);
    return !RB_SPECIAL_CONST_P(items) && RARRAY_LEN(items) < count;
}

static inline bool is_empty(VALUE queue)
{
    return has_less(queue, 1);
}

static inline bool is_full(VALUE queue)
{
    return !has_less(queue, (long)word_of(queue, words.max));
}

/* ---- a call that waits ---- */

struct call {
    enum number number;
    VALUE self;
    int count; /* of `arguments`; of a builtin: those below */
    const VALUE *arguments;
    void *context;
    VALUE given[3];
};

static VALUE go_on(const struct call *call)
{
    const method_function function = methods[call->number].function;
    if (rows[call->number].builtin != NULL && call->number == of_sized_push)
        return ((builtin_3)function)(call->context, call->self, call->given[0], call->given[1],
                                     call->given[2]);
    if (rows[call->number].builtin != NULL)
        return ((builtin_2)function)(call->context, call->self, call->given[0], call->given[1]);
    if (rows[call->number].argument_count == ANY)
        return ((function_any)function)(call->count, call->arguments, call->self);
    return ((function_0)function)(call->self);
}

/* Who has it already waits for nobody; of an object that is closed nothing is waited for. */
static bool waits(const struct call *call)
{
    switch (rows[call->number].class) {
    case MUTEX:
        return !RTEST(ask(of_mutex_owned, call->self));
    case QUEUE:
    case SIZED:
        return !RTEST(ask(of_queue_closed, call->self));
    default:
        return true;
    }
}

struct waiting {
    const struct call *call;
    const struct cprof_registers *caller;
    struct cprof_waiter waiter;
};

static VALUE wait_now(VALUE argument)
{
    return go_on(((const struct waiting *)argument)->call);
}

static VALUE end_wait(VALUE argument)
{
    const struct waiting *waiting = (const struct waiting *)argument;
    struct cprof_waited of;
    uint64_t waited = cprof_wait_ends(&waiting->waiter, &of);
    uint64_t period = cprof_due(CPROF_EVENT_LOCK, waited);
    if (period != 0)
        cprof_take_wait(CPROF_EVENT_LOCK, period, waited, &of, waiting->caller);
    gvl_within = false;
    return Qnil;
}

/* However it ends, by another thread's Timeout or kill too. With a scheduler other fibers run
 * meanwhile, and this one may never be resumed: it is on no list. */
static VALUE wait_for(const struct call *call, const struct cprof_registers *caller)
{
    if (!atomic_load_explicit(&wanted, memory_order_relaxed) || !module_in_main_ractor() ||
        !waits(call))
        return go_on(call);
    struct waiting waiting = {.call = call, .caller = caller};
    bool alone = NIL_P(rb_fiber_scheduler_current());
    gvl_within = alone; /* the wait for the GVL at its end is part of it */
    cprof_wait_begins(&waiting.waiter, call->self, alone);
    return rb_ensure(wait_now, (VALUE)&waiting, end_wait, (VALUE)&waiting);
}

__attribute__((noinline)) static VALUE wait_0(VALUE self, enum number number)
{
    const struct cprof_registers caller = cprof_caller();
    const struct call call = {.number = number, .self = self};
    return wait_for(&call, &caller);
}

__attribute__((noinline)) static VALUE wait_any(int count, const VALUE *arguments, VALUE self,
                                                enum number number)
{
    const struct cprof_registers caller = cprof_caller();
    const struct call call = {
        .number = number, .self = self, .count = count, .arguments = arguments};
    return wait_for(&call, &caller);
}

/* ---- a call that lets go while others wait ---- */

/* Just let go, or about to be: others wait until we give the GVL away. */
__attribute__((noinline)) static void let_go(VALUE self)
{
    const struct cprof_registers caller = cprof_caller();
    const struct cprof_waited of = {.lock = self};
    if (!atomic_load_explicit(&wanted, memory_order_relaxed) || !module_in_main_ractor())
        return;
    uint64_t waited = cprof_lets_go(self, (pid_t)syscall(SYS_gettid));
    uint64_t period = waited != 0 ? cprof_due(CPROF_EVENT_BLAME, waited) : 0;
    if (period != 0)
        cprof_take_wait(CPROF_EVENT_BLAME, period, waited, &of, &caller);
}

static inline VALUE then_let_go(VALUE result, VALUE self)
{
    if (cprof_has_waiters(self))
        let_go(self);
    return result;
}

/* ---- Mutex and Monitor ---- */

static VALUE mutex_lock(VALUE self)
{
    if (__builtin_expect(mutex_is_taken(self), 0))
        return wait_0(self, of_mutex_lock);
    return ask(of_mutex_lock, self);
}

static VALUE mutex_unlock(VALUE self)
{
    return then_let_go(ask(of_mutex_unlock, self), self);
}

/* As Ruby's own does it, with our two. */
static VALUE mutex_synchronize(VALUE self)
{
    if (!rb_block_given_p())
        return ask(of_mutex_synchronize, self); /* which raises */
    mutex_lock(self);
    return rb_ensure(rb_yield, Qundef, mutex_unlock, self);
}

/* Lets it go, sleeps, and has it again in the end: that wait is not told apart. */
static VALUE mutex_sleep(int count, const VALUE *arguments, VALUE self)
{
    if (cprof_has_waiters(self) && RTEST(ask(of_mutex_owned, self)))
        let_go(self);
    return ((function_any)methods[of_mutex_sleep].function)(count, arguments, self);
}

static VALUE monitor_enter(VALUE self)
{
    if (__builtin_expect(is_anothers(self), 0))
        return wait_0(self, of_monitor_enter);
    return ask(of_monitor_enter, self);
}

/* One that is still entered has not been let go. */
static VALUE monitor_exit(VALUE self)
{
    VALUE result = ask(of_monitor_exit, self);
    if (cprof_has_waiters(self) && !RTEST(ask(of_monitor_owned, self)))
        let_go(self);
    return result;
}

static VALUE monitor_synchronize(VALUE self)
{
    monitor_enter(self);
    return rb_ensure(rb_yield, Qundef, monitor_exit, self);
}

/* ---- ConditionVariable ---- */

static VALUE condition_wait(int count, const VALUE *arguments, VALUE self)
{
    return wait_any(count, arguments, self, of_condition_wait);
}

static VALUE condition_signal(VALUE self)
{
    return then_let_go(ask(of_condition_signal, self), self);
}

static VALUE condition_broadcast(VALUE self)
{
    return then_let_go(ask(of_condition_broadcast, self), self);
}

/* ---- Queue and SizedQueue ---- */

static VALUE queue_push(VALUE self, VALUE object)
{
    return then_let_go(((function_1)methods[of_queue_push].function)(self, object), self);
}

static VALUE queue_close(VALUE self)
{
    return then_let_go(ask(of_queue_close, self), self);
}

static VALUE sized_close(VALUE self)
{
    return then_let_go(ask(of_sized_close, self), self);
}

#if RUBY_API_VERSION_CODE >= 30200

/* pop(non_block, timeout) */
__attribute__((noinline)) static VALUE wait_builtin(void *context, VALUE self, VALUE first,
                                                    VALUE second, VALUE third,
                                                    enum number number)
{
    const struct cprof_registers caller = cprof_caller();
    const struct call call = {
        .number = number, .self = self, .context = context, .given = {first, second, third}};
    return wait_for(&call, &caller);
}

static inline bool may_wait(VALUE non_block, VALUE timeout)
{
    return !RTEST(non_block) && timeout != INT2FIX(0);
}

static VALUE queue_pop(void *context, VALUE self, VALUE non_block, VALUE timeout)
{
    if (is_empty(self) && may_wait(non_block, timeout))
        return wait_builtin(context, self, non_block, timeout, Qnil, of_queue_pop);
    return ((builtin_2)methods[of_queue_pop].function)(context, self, non_block, timeout);
}

static VALUE sized_pop(void *context, VALUE self, VALUE non_block, VALUE timeout)
{
    if (is_empty(self) && may_wait(non_block, timeout))
        return wait_builtin(context, self, non_block, timeout, Qnil, of_sized_pop);
    return then_let_go(
        ((builtin_2)methods[of_sized_pop].function)(context, self, non_block, timeout), self);
}

static VALUE sized_push(void *context, VALUE self, VALUE object, VALUE non_block, VALUE timeout)
{
    VALUE result;
    if (is_full(self) && may_wait(non_block, timeout))
        result = wait_builtin(context, self, object, non_block, timeout, of_sized_push);
    else
        result = ((builtin_3)methods[of_sized_push].function)(context, self, object, non_block,
                                                              timeout);
    return then_let_go(result, self);
}

#else

/* pop(non_block = false), push(object, non_block = false) */
static inline bool may_wait(int count, const VALUE *arguments, int place)
{
    return count <= place || !RTEST(arguments[place]);
}

static VALUE queue_pop(int count, const VALUE *arguments, VALUE self)
{
    if (is_empty(self) && may_wait(count, arguments, 0))
        return wait_any(count, arguments, self, of_queue_pop);
    return ((function_any)methods[of_queue_pop].function)(count, arguments, self);
}

static VALUE sized_pop(int count, const VALUE *arguments, VALUE self)
{
    if (is_empty(self) && may_wait(count, arguments, 0))
        return wait_any(count, arguments, self, of_sized_pop);
    return then_let_go(((function_any)methods[of_sized_pop].function)(count, arguments, self),
                       self);
}

static VALUE sized_push(int count, const VALUE *arguments, VALUE self)
{
    VALUE result;
    if (is_full(self) && may_wait(count, arguments, 1))
        result = wait_any(count, arguments, self, of_sized_push);
    else
        result = ((function_any)methods[of_sized_push].function)(count, arguments, self);
    return then_let_go(result, self);
}

#endif

/* ---- what is there ---- */

#define HOOK(name, class, spelled, count, builtin) [of_##name] = (method_function)name,
static const method_function hooks[HOOK_COUNT] = {HOOKED(HOOK)};
#undef HOOK

#define A_MAX 0x5a17c0de /* of a SizedQueue, and nothing else */

/* An object of each class that there is; 0: none. */
static VALUE make(enum class class)
{
    if (class == MONITOR && !rb_const_defined(rb_cObject, rb_intern("Monitor")))
        return 0;
    VALUE max = INT2FIX(A_MAX);
    return rb_class_new_instance(class == SIZED ? 1 : 0, &max,
                                 rb_path2class(class_names[class]));
}

static bool try_mutex(VALUE mutex)
{
    bool before = mutex_is_taken(mutex);
    ask(of_mutex_lock, mutex);
    bool locked = mutex_is_taken(mutex);
    ask(of_mutex_unlock, mutex);
    return !before && locked && !mutex_is_taken(mutex);
}

/* Which of the words is it? False: none. */
static bool find_word(VALUE object, bool (*is_it)(VALUE word), size_t *word)
{
    enum { WORDS = 16 };
    VALUE seen[WORDS];
    if (!cprof_read_all(seen, (uintptr_t)methods_data(object), sizeof seen))
        return false;
    for (*word = 0; *word < WORDS; ++*word)
        if (is_it(seen[*word]))
            return true;
    return false;
}

static bool head_of(VALUE word, uintptr_t head[2])
{
    return !RB_SPECIAL_CONST_P(word) && cprof_read_all(head, word, 2 * sizeof *head);
}

static bool is_mutex(VALUE word)
{
    uintptr_t head[2];
    return head_of(word, head) && head[1] == rb_path2class(class_names[MUTEX]);
}

static bool is_self(VALUE word)
{
    return word == rb_thread_current() || word == rb_fiber_current();
}

static bool is_array(VALUE word)
{
    uintptr_t head[2];
    return head_of(word, head) && (head[0] & RUBY_T_MASK) == T_ARRAY;
}

static bool is_max(VALUE word)
{
    return word == A_MAX;
}

static bool learn_monitor(VALUE monitor)
{
    ask(of_monitor_enter, monitor);
    bool known = find_word(monitor, is_mutex, &words.mutex) &&
                 find_word(monitor, is_self, &words.owner) &&
                 mutex_is_taken(word_of(monitor, words.mutex));
    ask(of_monitor_exit, monitor);
    return known && !mutex_is_taken(word_of(monitor, words.mutex));
}

static bool learn_queue(VALUE queue)
{
    return find_word(queue, is_array, &words.items) && is_empty(queue) &&
           RTEST(((function_1)methods[of_queue_push].function)(queue, Qtrue)) &&
           !is_empty(queue) && has_less(queue, 2);
}

static bool learn_sized(VALUE queue)
{
    size_t items;
    return find_word(queue, is_array, &items) && items == words.items &&
           find_word(queue, is_max, &words.max);
}

static bool find_all(const VALUE *objects)
{
    for (enum number number = 0; number < METHOD_COUNT; number++) {
        enum class class = rows[number].class;
        if (objects[class] != 0 && methods[number].function == NULL &&
            !methods_find(objects[class], rows[number].name, rows[number].argument_count,
                          rows[number].builtin, &methods[number]))
            return false;
    }
    return true;
}

static VALUE find(VALUE unused)
{
    VALUE objects[CLASSES];
    (void)unused;
    if (!methods_learn(rb_path2class("Cprof::Native")))
        return Qfalse;
    for (enum class class = 0; class < CLASSES; class ++)
        objects[class] = make(class);
    if (!find_all(objects) || !try_mutex(objects[MUTEX]) ||
        (objects[MONITOR] != 0 && !learn_monitor(objects[MONITOR])) ||
        !learn_queue(objects[QUEUE]) || !learn_sized(objects[SIZED]))
        return Qfalse;
    for (enum class class = 0; class < CLASSES; class ++)
        found[class] = objects[class] != 0;
    return Qtrue;
}

/* ---- in and out ---- */

int locks_open(const char **why)
{
    if (!layout.trusted) {
        *why = "the locks of this Ruby are not known";
        return -ENOTSUP;
    }
    atomic_store(&wanted, true);
    gvl_count(true);
    return 0;
}

void locks_close(void)
{
    atomic_store(&wanted, false);
    gvl_count(false);
}

void locks_follow(void)
{
    if (hooked || !atomic_load(&wanted))
        return;
    int failed = 0;
    VALUE pending = rb_errinfo(); /* the program's $! */
    VALUE known = rb_protect(find, Qnil, &failed);
    if (failed)
        rb_set_errinfo(pending);
    if (failed || !RTEST(known)) {
        cprof_say("lock and blame: the locks of this Ruby are not as expected; waits for them "
                  "are not counted");
        return;
    }
    hooked = true;
    for (enum number number = 0; number < HOOK_COUNT; number++)
        if (found[rows[number].class])
            methods_replace(&methods[number], hooks[number]);
}

void locks_forget(void)
{
    if (!hooked || atomic_load(&wanted))
        return;
    hooked = false;
    for (enum number number = 0; number < HOOK_COUNT; number++)
        if (found[rows[number].class])
            methods_restore(&methods[number], hooks[number]);
}

void locks_child(void)
{
    cprof_waiters_child();
    gvl_child();
}
