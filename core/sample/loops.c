#include "sample/loops.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "cprof/syscall.h"
#include "sample/turn_times.h"

enum loop_state { LOOP_FREE, LOOP_OPEN, LOOP_LEFT };

struct turn {
    _Atomic uint64_t began, ended;
};

struct cprof_loop {
    /* Under the mutex. */
    enum loop_state state;
    pid_t tid;
    char name[THREAD_NAME_SIZE];
    uint64_t (*waited)(void *closure);
    void *closure;
    bool resources;
    struct turn_sums before; /* at the last close of an interval */
    uint64_t closed;         /* `ended` at that time */
    uint64_t p50_ns, p90_ns, p99_ns, mean_ns, max_ns;

    _Atomic unsigned run; /* in which it was entered */

    /* The loop's thread writes. `ended` and `waited_then` are of one moment while `version` is
     * even and stays the same. */
    _Atomic uint64_t version;
    _Atomic uint64_t ended;       /* when the last turn did, or the loop was entered */
    _Atomic uint64_t waited_then; /* for how long it had waited by then */
    _Atomic uint64_t wait_began;  /* of loops without waited(); 0: it does not wait */
    _Atomic uint64_t waited_ns;   /* theirs, without the wait under way */
    _Atomic uint64_t active_ns, idle_ns;
    _Atomic uint64_t longest; /* since the last close of an interval */
    _Atomic unsigned handles, requests;
    _Atomic uint64_t word_counts[LOOP_WORDS];
    struct turn_times times;
    struct turn turns[LOOP_TURNS]; /* of LOOP_10MS and more, by number modulo LOOP_TURNS */
    _Atomic uint64_t turn_count;

    struct cprof_loop *next_parent; /* see parents */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cprof_loop *loops[LOOPS_MAX]; /* under it, as is the next one */
static bool running;
static _Atomic unsigned run, loop_count;
static struct cprof_loop *parents; /* of processes that this one was forked from */

/* ---- words ---- */

static const struct {
    uint64_t least_ns;
    const char *text;
} words[LOOP_WORDS] = {[LOOP_10MS] = {NS_PER_SECOND / 100, "10ms"},
                       [LOOP_100MS] = {NS_PER_SECOND / 10, "100ms"},
                       [LOOP_1S] = {NS_PER_SECOND, "1s"}};

static enum loop_word word_of(uint64_t ns)
{
    enum loop_word word = LOOP_1S;
    while (ns < words[word].least_ns)
        word--;
    return word;
}

const char *loop_word_text(enum loop_word word)
{
    return words[word].text;
}

/* ---- the loop's thread ---- */

static uint64_t read_relaxed(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void write_relaxed(_Atomic uint64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

static uint64_t waited_by(const struct cprof_loop *loop, uint64_t now)
{
    if (loop->waited != NULL)
        return loop->waited(loop->closure);
    const uint64_t began = read_relaxed(&loop->wait_began);
    return read_relaxed(&loop->waited_ns) + (began != 0 && began < now ? now - began : 0);
}

/* How long the turn has taken that is under way, if `waited` is what it has waited by now. */
static uint64_t active_of(uint64_t ended, uint64_t waited_then, uint64_t waited, uint64_t now)
{
    const uint64_t all = now > ended ? now - ended : 0;
    const uint64_t idle = waited > waited_then ? waited - waited_then : 0;
    return all > idle ? all - idle : 0;
}

static void remember(struct cprof_loop *loop, uint64_t began, uint64_t ended)
{
    const uint64_t number = read_relaxed(&loop->turn_count);
    struct turn *turn = &loop->turns[number % LOOP_TURNS];
    write_relaxed(&turn->began, began);
    write_relaxed(&turn->ended, ended);
    atomic_store_explicit(&loop->turn_count, number + 1, memory_order_release);
}

static void begin_from(struct cprof_loop *loop, uint64_t now, uint64_t waited)
{
    const uint64_t version = read_relaxed(&loop->version);
    write_relaxed(&loop->version, version + 1);
    atomic_thread_fence(memory_order_release);
    write_relaxed(&loop->ended, now);
    write_relaxed(&loop->waited_then, waited);
    atomic_store_explicit(&loop->version, version + 2, memory_order_release);
}

static void end_turn(struct cprof_loop *loop, uint64_t now)
{
    const uint64_t waited = waited_by(loop, now), ended = read_relaxed(&loop->ended);
    const uint64_t active = active_of(ended, read_relaxed(&loop->waited_then), waited, now);
    const enum loop_word word = word_of(active);
    if (word != LOOP_SHORT)
        remember(loop, now - active, now);
    write_relaxed(&loop->word_counts[word], read_relaxed(&loop->word_counts[word]) + 1);
    write_relaxed(&loop->active_ns, read_relaxed(&loop->active_ns) + active);
    write_relaxed(&loop->idle_ns, read_relaxed(&loop->idle_ns) + (now - ended - active));
    if (active > read_relaxed(&loop->longest))
        write_relaxed(&loop->longest, active);
    turn_times_add(&loop->times, active);
    begin_from(loop, now, waited);
}

bool cprof_loop_is_current(const struct cprof_loop *loop)
{
    return atomic_load_explicit(&loop->run, memory_order_relaxed) == atomic_load(&run);
}

void cprof_loop_waits(struct cprof_loop *loop)
{
    const uint64_t now = clock_ns(CLOCK_MONOTONIC);
    end_turn(loop, now);
    if (loop->waited == NULL)
        write_relaxed(&loop->wait_began, now);
}

void cprof_loop_wakes(struct cprof_loop *loop)
{
    const uint64_t began = read_relaxed(&loop->wait_began);
    const uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (began == 0)
        return;
    write_relaxed(&loop->waited_ns, read_relaxed(&loop->waited_ns) + (now - began));
    write_relaxed(&loop->wait_began, 0);
}

void cprof_loop_holds(struct cprof_loop *loop, unsigned handles, unsigned requests)
{
    atomic_store_explicit(&loop->handles, handles, memory_order_relaxed);
    atomic_store_explicit(&loop->requests, requests, memory_order_relaxed);
}

/* ---- the list ---- */

/* The one that this thread has left in this run, else one that is free, else one that another
 * has left; NULL: none. */
static struct cprof_loop *choose(pid_t tid)
{
    struct cprof_loop *chosen = NULL;
    for (size_t i = 0; i < LOOPS_MAX; i++) {
        if (loops[i] == NULL)
            loops[i] = chosen == NULL ? calloc(1, sizeof *loops[i]) : NULL;
        if (loops[i] == NULL)
            break;
        if (loops[i]->state == LOOP_LEFT && loops[i]->tid == tid)
            return loops[i];
        if (loops[i]->state == LOOP_FREE ||
            (loops[i]->state == LOOP_LEFT && (chosen == NULL || chosen->state == LOOP_LEFT)))
            chosen = loops[i];
    }
    return chosen;
}

/* A thread may end without leaving its loop: where the hooks that would tell of it were taken
 * out before, as a run ended. */
static void leave_for_those_who_ended(void)
{
    const uintptr_t process = (uintptr_t)getpid();
    for (size_t i = 0; i < LOOPS_MAX && loops[i] != NULL; i++) {
        const uintptr_t tid = (uintptr_t)loops[i]->tid;
        if (loops[i]->state != LOOP_OPEN ||
            cprof_syscall(SYS_tgkill, process, tid, 0, 0, 0, 0) != -ESRCH)
            continue;
        loops[i]->waited = NULL;
        loops[i]->state = LOOP_FREE;
    }
}

static void make_new(struct cprof_loop *loop, pid_t tid, uint64_t now)
{
    *loop = (struct cprof_loop){.tid = tid, .closed = now};
    atomic_store(&loop->run, atomic_load(&run));
}

static struct cprof_loop *enter(const struct cprof_loop_options *options)
{
    const pid_t tid = (pid_t)syscall(SYS_gettid);
    const uint64_t now = clock_ns(CLOCK_MONOTONIC);
    struct cprof_loop *loop = choose(tid);
    if (loop == NULL) {
        leave_for_those_who_ended();
        loop = choose(tid);
    }
    if (loop == NULL)
        return NULL;
    if (loop->state == LOOP_FREE || loop->tid != tid)
        make_new(loop, tid, now);
    snprintf(loop->name, sizeof loop->name, "%s", options->name);
    loop->waited = options->waited;
    loop->closure = options->closure;
    loop->resources = options->resources;
    loop->state = LOOP_OPEN;
    write_relaxed(&loop->wait_began, 0);
    begin_from(loop, now, waited_by(loop, now));
    atomic_fetch_add(&loop_count, 1);
    return loop;
}

struct cprof_loop *cprof_loop_enter(const struct cprof_loop_options *options)
{
    pthread_mutex_lock(&lock);
    struct cprof_loop *loop = running ? enter(options) : NULL;
    pthread_mutex_unlock(&lock);
    return loop;
}

/* What it was in ends as well. */
void cprof_loop_leave(struct cprof_loop *loop)
{
    pthread_mutex_lock(&lock);
    if (loop->state == LOOP_OPEN && cprof_loop_is_current(loop))
        end_turn(loop, clock_ns(CLOCK_MONOTONIC));
    loop->waited = NULL;
    loop->state = cprof_loop_is_current(loop) ? LOOP_LEFT : LOOP_FREE;
    pthread_mutex_unlock(&lock);
}

void loops_open(void)
{
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&run, 1);
    running = true;
    atomic_store(&loop_count, 0);
    for (size_t i = 0; i < LOOPS_MAX && loops[i] != NULL; i++)
        if (loops[i]->state == LOOP_LEFT)
            loops[i]->state = LOOP_FREE;
    pthread_mutex_unlock(&lock);
}

void loops_close(void)
{
    pthread_mutex_lock(&lock);
    running = false;
    pthread_mutex_unlock(&lock);
}

/* What there was stays as it is: a thread of the child may still have it. */
void loops_fork_child(void)
{
    pthread_mutex_init(&lock, NULL);
    running = false;
    atomic_fetch_add(&run, 1);
    atomic_store(&loop_count, 0);
    for (size_t i = 0; i < LOOPS_MAX && loops[i] != NULL; i++) {
        loops[i]->next_parent = parents;
        parents = loops[i];
        loops[i] = NULL;
    }
}

bool loops_any(void)
{
    return atomic_load_explicit(&loop_count, memory_order_relaxed) > 0;
}

/* ---- readers, with the mutex ---- */

static bool is_shown(const struct cprof_loop *loop)
{
    return loop != NULL && loop->state != LOOP_FREE && cprof_loop_is_current(loop);
}

/* When the last turn ended, and how long the one under way takes by now: 0, it waits. */
struct now_view {
    uint64_t now, ended, active;
};

static struct now_view look(const struct cprof_loop *loop)
{
    enum { TRIES = 8 };
    struct now_view view = {0};
    for (int i = 0; i < TRIES; i++) {
        const uint64_t version = atomic_load_explicit(&loop->version, memory_order_acquire);
        view.ended = read_relaxed(&loop->ended);
        const uint64_t then = read_relaxed(&loop->waited_then);
        view.now = clock_ns(CLOCK_MONOTONIC);
        const uint64_t waited = loop->state == LOOP_OPEN ? waited_by(loop, view.now) : 0;
        view.active =
            loop->state == LOOP_OPEN ? active_of(view.ended, then, waited, view.now) : 0;
        atomic_thread_fence(memory_order_acquire);
        if (version % 2 == 0 && read_relaxed(&loop->version) == version)
            return view;
    }
    view.active = 0; /* turns end faster than one can look */
    return view;
}

static enum loop_word past_turn(const struct cprof_loop *loop, uint64_t time)
{
    const uint64_t count = atomic_load_explicit(&loop->turn_count, memory_order_acquire);
    for (uint64_t i = count; i-- > 0 && count - i < LOOP_TURNS;) {
        const struct turn *turn = &loop->turns[i % LOOP_TURNS];
        const uint64_t began = read_relaxed(&turn->began), ended = read_relaxed(&turn->ended);
        if (time >= ended)
            break;
        if (time >= began)
            return word_of(ended - began);
    }
    return LOOP_SHORT;
}

static enum loop_word turn_of(const struct cprof_loop *loop, uint64_t time, bool *open)
{
    const struct now_view view = look(loop);
    *open = false;
    if (time < view.ended)
        return past_turn(loop, time);
    if (time < view.now - view.active)
        return LOOP_SHORT; /* it waited */
    const enum loop_word word = word_of(view.active);
    *open = view.active > 0 && word != LOOP_1S;
    return word;
}

enum loop_word loops_turn(pid_t tid, uint64_t time, bool *open)
{
    enum loop_word word = LOOP_SHORT;
    *open = false;
    if (!loops_any())
        return word;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < LOOPS_MAX && loops[i] != NULL; i++)
        if (is_shown(loops[i]) && loops[i]->tid == tid) {
            word = turn_of(loops[i], time, open);
            break;
        }
    pthread_mutex_unlock(&lock);
    return word;
}

/* ---- figures ---- */

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void close_interval(struct cprof_loop *loop)
{
    struct turn_sums sums, now;
    const struct now_view view = look(loop);
    turn_times_read(&loop->times, &now);
    sums = now;
    turn_sums_subtract(&sums, &loop->before);
    loop->before = now;
    uint64_t span = view.ended - loop->closed, longest = atomic_exchange(&loop->longest, 0);
    loop->closed = view.ended;
    if (loop->state == LOOP_OPEN) {
        turn_sums_add(&sums, view.active);
        span += view.now - view.ended;
    }
    loop->max_ns = most(view.active, longest);
    loop->p50_ns = turn_sums_quantile(&sums, span, loop->max_ns, 0.5);
    loop->p90_ns = turn_sums_quantile(&sums, span, loop->max_ns, 0.9);
    loop->p99_ns = turn_sums_quantile(&sums, span, loop->max_ns, 0.99);
    loop->mean_ns = turn_sums_mean(&sums, span);
}

void loops_close_interval(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < LOOPS_MAX; i++)
        if (is_shown(loops[i]))
            close_interval(loops[i]);
    pthread_mutex_unlock(&lock);
}

static struct loop_figures figures_of(const struct cprof_loop *loop)
{
    const struct now_view view = look(loop);
    struct loop_figures figures = {
        .active_ns = read_relaxed(&loop->active_ns),
        .idle_ns = read_relaxed(&loop->idle_ns),
        .p50_ns = loop->p50_ns,
        .p90_ns = loop->p90_ns,
        .p99_ns = loop->p99_ns,
        .mean_ns = loop->mean_ns,
        .max_ns = most(view.active, most(loop->max_ns, read_relaxed(&loop->longest))),
        .resources = loop->resources && loop->state == LOOP_OPEN,
        .handles = atomic_load_explicit(&loop->handles, memory_order_relaxed),
        .requests = atomic_load_explicit(&loop->requests, memory_order_relaxed)};
    snprintf(figures.name, sizeof figures.name, "%s", loop->name);
    for (size_t i = 0; i < LOOP_WORDS; i++)
        figures.turns[i] = read_relaxed(&loop->word_counts[i]);
    return figures;
}

size_t loops_read(struct loop_figures figures[LOOPS_MAX])
{
    size_t count = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < LOOPS_MAX; i++)
        if (is_shown(loops[i]))
            figures[count++] = figures_of(loops[i]);
    pthread_mutex_unlock(&lock);
    return count;
}
