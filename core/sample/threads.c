#include "sample/threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own_thread.h"
#include "sample/arming.h"
#include "sample/by_tid.h"
#include "sample/departed.h"
#include "sample/due.h"
#include "sample/kernel_frames.h"
#include "sample/ring_pool.h"

#define SCAN_PART 1024 /* threads without a ring that a scan looks at */
#define IDLE_TICK_NS (NS_PER_SECOND / 4)
#define RING_IDLE_TICKS 4 /* an idle thread keeps its ring for so long */

struct shelf threads_shelf;

static struct {
    pthread_mutex_t mutex;
    bool open;
    struct ring_pool rings;
    _Atomic size_t high; /* records at and above have never been used */
    size_t first_free;   /* no free record below */
    size_t in_state[THREAD_LEAVING + 1];
    size_t known;               /* records of threads that live: UNARMED, OWN, SAMPLED */
    size_t overflow;            /* threads without a record at the last listing */
    uint64_t last_identity;     /* goes on over restarts */
    struct threads_counts past; /* of records that were freed */
    uint32_t listing;           /* number of the last listing */
    const struct thread *read;  /* whose ring the collector reads now */
    uint64_t supplied_ns;       /* when threads_supply() last counted a tick */
    size_t part;                /* the record at which the next scan's part begins */
    uint32_t naming;            /* scans that were to read names again */
    uint64_t still_due;         /* when threads_still() is to look again */
    bool warned_full;
    bool timed;         /* threads get timers */
    bool forked;        /* see struct threads_config */
    uint64_t last_life; /* goes on over restarts */
} registry = {.mutex = PTHREAD_MUTEX_INITIALIZER, .rings = {.shelf = &threads_shelf}};

static size_t high(void)
{
    return atomic_load_explicit(&registry.high, memory_order_acquire);
}

static void set_state(struct thread *thread, enum thread_state state)
{
    registry.in_state[thread->state]--;
    registry.in_state[state]++;
    thread->state = state;
    if (state != THREAD_UNARMED && state != THREAD_SAMPLED)
        atomic_store(&thread->life, 0);
    else if (atomic_load(&thread->life) == 0)
        atomic_store(&thread->life, ++registry.last_life);
}

/* A thread that lives, as far as we know. */
static bool is_known(const struct thread *thread)
{
    return thread->state != THREAD_FREE && thread->state != THREAD_LEAVING;
}

static pid_t current_tid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* ---- records by tid ---- */

static void link_record(struct thread *thread)
{
    by_tid_add(thread);
    registry.known++;
}

static void unlink_record(const struct thread *thread)
{
    by_tid_remove(thread);
    departed_add(thread);
    registry.known--;
}

static struct thread *take_free_record(void)
{
    size_t i = registry.first_free;
    while (i < THREADS_MAX && thread_records[i].state != THREAD_FREE)
        i++;
    registry.first_free = i;
    if (i == THREADS_MAX)
        return NULL;
    if (i >= high())
        atomic_store_explicit(&registry.high, i + 1, memory_order_release);
    return &thread_records[i];
}

static void add_counts(struct threads_counts *sum, const struct thread_counts *counts)
{
    sum->signals += thread_count(&counts->signals);
    sum->overruns += thread_count(&counts->overruns);
    sum->dropped += thread_count(&counts->dropped);
    sum->handler_ns += thread_count(&counts->handler_ns);
    uint64_t max = thread_count(&counts->handler_ns_max);
    if (max > sum->handler_ns_max)
        sum->handler_ns_max = max;
}

static void clear_counts(struct thread_counts *counts)
{
    atomic_store_explicit(&counts->signals, 0, memory_order_relaxed);
    atomic_store_explicit(&counts->overruns, 0, memory_order_relaxed);
    atomic_store_explicit(&counts->dropped, 0, memory_order_relaxed);
    atomic_store_explicit(&counts->handler_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&counts->handler_ns_max, 0, memory_order_relaxed);
}

static bool has_records(const struct thread *thread)
{
    const struct ring *ring = lease_ring(&thread->lease);
    return ring != NULL && ring_peek(ring) != NULL;
}

/* Takes the ring back, if it is empty and no handler is at work with it: see lease.h. */
static void end_lease(struct thread *thread)
{
    lease_mark(&thread->lease);
    if (atomic_load(&thread->handlers) != 0 || has_records(thread))
        return;
    struct ring *ring = lease_end(&thread->lease);
    if (ring != NULL)
        ring_pool_give(&registry.rings, ring);
}

/* The record's last step: nobody reads its ring any more, no handler can find it. */
static void free_record(struct thread *thread)
{
    add_counts(&registry.past, &thread->counts);
    clear_counts(&thread->counts);
    lease_mark(&thread->lease);
    struct ring *ring = lease_end(&thread->lease);
    if (ring != NULL)
        ring_pool_give(&registry.rings, ring);
    kernel_frames_settle(thread, true);
    awake_settle(thread);
    thread->bounds = (struct stack_bounds){0};
    atomic_store_explicit(&thread->data, NULL, memory_order_relaxed);
    set_state(thread, THREAD_FREE);
    if (thread_index(thread) < registry.first_free)
        registry.first_free = thread_index(thread);
}

/* ---- names ---- */

static void set_name(struct thread *thread, const char *name)
{
    if (strcmp(thread->name, name) == 0)
        return;
    size_t length = strnlen(name, THREAD_NAME_SIZE - 1);
    /* A name that is too long is not cut within a character. */
    if (name[length] != '\0')
        while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
            length--;
    memcpy(thread->name, name, length);
    thread->name[length] = '\0';
    thread->identity = ++registry.last_identity;
}

/* The calling thread asks without /proc: a process whose folder there was looked into takes 2
 * ms of its parent's time when it is reaped, and most children of a fork live for less. */
static void read_kernel_name(struct thread *thread)
{
    char path[64], name[32] = "";
    if (thread->tid == current_tid()) {
        prctl(PR_GET_NAME, name);
        set_name(thread, name);
        return;
    }
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", (int)thread->tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
    if (fd >= 0)
        close(fd);
    if (length > 0 && name[length - 1] == '\n')
        length--;
    if (length <= 0)
        return; /* it has ended */
    name[length] = '\0';
    set_name(thread, name);
}

static bool has_own_name(const struct thread *thread)
{
    return strncmp(thread->name, OWN_THREAD_PREFIX, strlen(OWN_THREAD_PREFIX)) == 0;
}

/* ---- arming ---- */

/* Sees that there are rings for all threads, and for so many new ones. Those that have left
 * keep theirs until they have been read; those without a timer may have hooks that sample. */
static bool fill_shelf(size_t new)
{
    return ring_pool_fill(&registry.rings, registry.in_state[THREAD_UNARMED] +
                                               registry.in_state[THREAD_SAMPLED] +
                                               registry.in_state[THREAD_LEAVING] + new);
}

/* UNARMED → SAMPLED, or a negative errno. */
static int arm(struct thread *thread, uint64_t from, bool enters)
{
    uint64_t now = thread_ran_ns(thread->tid);
    due_plan(thread, now, from, enters);
    if (arming_is_barred(thread))
        return -EPERM;
    if (!fill_shelf(1) && registry.rings.count == 0)
        return -ENOMEM;
    int error = arming_arm(thread, now, enters);
    if (error == 0)
        set_state(thread, THREAD_SAMPLED);
    return error;
}

/* SAMPLED → UNARMED. */
static void disarm(struct thread *thread)
{
    arming_disarm(thread);
    kernel_frames_end(thread);
    set_state(thread, THREAD_UNARMED);
}

/* Nothing of it is needed any more: neither a handler nor the collector is at work with it.
 * The handlers are looked at first: one that is gone has left its record in the ring. */
static bool is_done(const struct thread *thread)
{
    return atomic_load(&thread->handlers) == 0 && thread != registry.read &&
           !has_records(thread) && !thread->held && !thread_is_owed(thread);
}

/* `ran_ns` is all that it has run; 0: not known. */
static void forget_at(struct thread *thread, uint64_t ran_ns)
{
    if (thread->state == THREAD_SAMPLED)
        disarm(thread);
    if (ran_ns != 0)
        due_leave(thread, ran_ns);
    unlink_record(thread);
    set_state(thread, THREAD_LEAVING);
    if (is_done(thread))
        free_record(thread);
}

static void forget(struct thread *thread)
{
    forget_at(thread, 0);
}

/* Tries to give an UNARMED thread its timer, where threads get any. A thread that is gone is
 * forgotten. */
static void try_arm(struct thread *thread, uint64_t from, bool enters)
{
    int error = 0;
    if (registry.timed)
        error = arm(thread, from, enters);
    else
        (void)fill_shelf(0); /* for hooks */
    if (error == 0 && thread->state == THREAD_SAMPLED &&
        (!enters || kernel_frames_are_worth(thread)))
        kernel_frames_add(thread);
    if (error == -EINVAL)
        forget(thread);
    else if (error != 0 && (error != -EPERM || thread->masked > 1))
        arming_warn(error);
}

/* NULL when the table is full. */
static struct thread *add_record(pid_t tid)
{
    struct thread *thread = take_free_record();
    if (thread == NULL) {
        registry.overflow++;
        if (!registry.warned_full)
            log_warn("more than %d threads: the others are not sampled", THREADS_MAX);
        registry.warned_full = true;
        return NULL;
    }
    thread->tid = tid;
    thread->id = (uint64_t)tid;
    thread->identity = ++registry.last_identity;
    thread->named = false;
    thread->planned = thread->held = false;
    thread->last = (struct thread_last){0};
    thread->age = 0;
    thread->masked = 0;
    thread->idle = 0;
    thread->seen_ns = thread->named_ns = thread->counted = thread->still_ran_ns = 0;
    thread->naming = registry.naming;
    thread->name[0] = '\0';
    set_state(thread, THREAD_UNARMED);
    link_record(thread);
    return thread;
}

/* ---- the life of the registry ---- */

void threads_open(const struct threads_config *config)
{
    pthread_mutex_lock(&registry.mutex);
    registry.past = (struct threads_counts){0};
    registry.warned_full = registry.timed = false;
    registry.overflow = 0;
    registry.forked = config->forked;
    kernel_frames_want(config->kernel, config->budget);
    ring_pool_init(&registry.rings, config->budget, config->record_max, &threads_shelf);
    registry.open = true;
    pthread_mutex_unlock(&registry.mutex);
}

void threads_arm(int signal, bool maskable, uint64_t period_ns)
{
    pthread_mutex_lock(&registry.mutex);
    due_open(period_ns);
    if (registry.forked)
        due_all_known();
    arming_open(period_ns);
    arming_use(signal, maskable);
    registry.timed = true;
    for (size_t i = 0; i < high(); i++)
        if (thread_records[i].state == THREAD_UNARMED)
            try_arm(&thread_records[i], due_from(thread_records[i].tid), registry.forked);
    pthread_mutex_unlock(&registry.mutex);
}

void threads_unarm(void)
{
    pthread_mutex_lock(&registry.mutex);
    for (size_t i = 0; i < high(); i++) {
        struct thread *thread = &thread_records[i];
        if (thread->state != THREAD_SAMPLED)
            continue;
        disarm(thread);
        due_leave(thread, thread_ran_ns(thread->tid));
        thread->planned = false;
    }
    due_close();
    registry.timed = false;
    pthread_mutex_unlock(&registry.mutex);
}

void threads_settle(void)
{
    pthread_mutex_lock(&registry.mutex);
    if (registry.timed)
        due_pay();
    pthread_mutex_unlock(&registry.mutex);
}

void threads_disarm(void)
{
    pthread_mutex_lock(&registry.mutex);
    registry.open = false;
    for (size_t i = 0; i < high(); i++)
        if (is_known(&thread_records[i]))
            forget_at(&thread_records[i], thread_ran_ns(thread_records[i].tid));
    if (registry.timed)
        due_close();
    pthread_mutex_unlock(&registry.mutex);
}

void threads_move(int signal)
{
    pthread_mutex_lock(&registry.mutex);
    arming_use(signal, true);
    for (size_t i = 0; i < high(); i++) {
        struct thread *thread = &thread_records[i];
        if (thread->state == THREAD_SAMPLED) {
            disarm(thread);
            try_arm(thread, UINT64_MAX, false);
        }
    }
    pthread_mutex_unlock(&registry.mutex);
}

/* One whose event is of no use gets its timer back. */
static void give_timer_back(struct thread *thread)
{
    disarm(thread);
    try_arm(thread, UINT64_MAX, false);
}

void threads_drop_kernel(void)
{
    pthread_mutex_lock(&registry.mutex);
    kernel_frames_close();
    for (size_t i = 0; i < high(); i++)
        if (thread_records[i].state == THREAD_SAMPLED)
            give_timer_back(&thread_records[i]);
    pthread_mutex_unlock(&registry.mutex);
}

void threads_close(void)
{
    pthread_mutex_lock(&registry.mutex);
    for (size_t i = 0; i < high(); i++)
        if (thread_records[i].state == THREAD_LEAVING) {
            atomic_store(&thread_records[i].owed, 0);
            atomic_store(&thread_records[i].blocked, 0);
            thread_records[i].held = false;
            free_record(&thread_records[i]);
        }
    kernel_frames_close();
    ring_pool_clear(&registry.rings);
    pthread_mutex_unlock(&registry.mutex);
}

/* What the runtime says of the thread wins over what the kernel says. */
static void describe(struct thread *thread, uint64_t id, const char *name)
{
    if (id != 0 && id != thread->id) {
        thread->id = id;
        thread->identity = ++registry.last_identity;
    }
    if (name != NULL) {
        set_name(thread, name);
        thread->named = true;
    } else if (thread->name[0] == '\0') {
        read_kernel_name(thread);
    }
}

void threads_enter(uint64_t id, const char *name)
{
    pthread_mutex_lock(&registry.mutex);
    struct thread *thread = NULL;
    uint64_t from = UINT64_MAX;
    if (registry.open) {
        thread = by_tid_find(current_tid());
        /* A record of this tid whose timer is dead belonged to a thread before us. */
        if (thread != NULL && thread->state == THREAD_SAMPLED && !timer_alive(&thread->timer)) {
            forget(thread);
            thread = NULL;
        }
        if (thread == NULL) {
            from = due_from(current_tid());
            thread = add_record(current_tid());
        }
    }
    if (thread != NULL) {
        describe(thread, id, name);
        /* Ours once, perhaps, but now a thread of the host has this tid. */
        if (thread->state == THREAD_OWN)
            set_state(thread, THREAD_UNARMED);
        if (thread->state == THREAD_UNARMED)
            try_arm(thread, from, true);
    }
    pthread_mutex_unlock(&registry.mutex);
}

void threads_leave(void)
{
    pthread_mutex_lock(&registry.mutex);
    struct thread *thread = registry.open ? by_tid_find(current_tid()) : NULL;
    if (thread != NULL) {
        uint64_t ran = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        if (thread->state == THREAD_SAMPLED)
            due_note_leaver(thread, ran);
        forget_at(thread, ran);
    }
    pthread_mutex_unlock(&registry.mutex);
}

void threads_set_data(void *data)
{
    pthread_mutex_lock(&registry.mutex);
    struct thread *thread = registry.open ? by_tid_find(current_tid()) : NULL;
    if (thread != NULL)
        atomic_store_explicit(&thread->data, data, memory_order_release);
    pthread_mutex_unlock(&registry.mutex);
}

/* ---- the scan ---- */

/* Threads name themselves shortly after they begin: look a second time. Later when an interval
 * begins: one that has not run since has no samples that could want its new name. */
static bool name_may_differ(struct thread *thread)
{
    bool young = thread->age < 2 && ++thread->age == 2;
    bool due = thread->naming != registry.naming && thread->named_ns != thread->seen_ns;
    return !thread->named && (young || due);
}

/* Is such a look still to come? */
static bool name_is_due(const struct thread *thread)
{
    return !thread->named && (thread->age < 2 || thread->naming != registry.naming);
}

/* By its samples, which tell as much as its clock and its timer would, for two system calls
 * less. */
static bool is_at_work(struct thread *thread)
{
    uint64_t before = thread->counted;
    thread->counted = thread_count(&thread->counts.signals);
    return thread->state == THREAD_SAMPLED && thread->counted != before;
}

/* A look at one record we know. */
static void visit(struct thread *thread)
{
    bool at_work = is_at_work(thread);
    if (at_work)
        thread->masked = 0; /* our own handler may be what a look has met */
    if (at_work)
        kernel_frames_add(thread);
    kernel_frames_settle(thread, false);
    if (at_work && !name_is_due(thread))
        return;
    uint64_t ran = thread_ran_ns(thread->tid); /* another one's, if that has the tid now */
    bool has_run = ran != thread->seen_ns;
    thread->seen_ns = ran;
    if (thread->state == THREAD_SAMPLED && has_run && !timer_alive(&thread->timer)) {
        forget(thread);
        return;
    }
    if (name_may_differ(thread)) {
        read_kernel_name(thread);
        thread->naming = registry.naming;
        thread->named_ns = ran;
    }
    if (thread->state == THREAD_SAMPLED && has_run && !at_work && arming_is_futile(thread, ran))
        disarm(thread); /* and with the timer what it has pending */
    if (thread->state == THREAD_SAMPLED && has_run && !at_work &&
        kernel_frames_are_futile(thread, ran))
        give_timer_back(thread);
    if (thread->state == THREAD_SAMPLED && !thread->named && has_own_name(thread))
        forget(thread); /* listed again, and known as our own then */
    else if (thread->state == THREAD_OWN && !has_own_name(thread))
        set_state(thread, THREAD_UNARMED); /* a tid that was ours and has been reused */
    if (thread->state == THREAD_UNARMED)
        try_arm(thread, UINT64_MAX, false);
    if (thread->state == THREAD_UNARMED && has_run && registry.timed)
        due_owe(thread, ran);
}

/* Those that are awake, and a part of the others: one that has died asleep is missed when the
 * threads are counted. */
static void visit_known(void)
{
    size_t count = high();
    size_t begin = registry.part < count ? registry.part : 0;
    for (size_t i = 0; i < count; i++) {
        bool in_part = i - begin < SCAN_PART || count <= SCAN_PART;
        if (is_known(&thread_records[i]) && (in_part || awake_is(i)))
            visit(&thread_records[i]);
    }
    registry.part = begin + SCAN_PART;
}

static void discover(pid_t tid)
{
    struct thread *thread = by_tid_find(tid);
    bool new = thread == NULL;
    if (new)
        thread = add_record(tid);
    if (thread == NULL)
        return;
    thread->listing = registry.listing;
    if (!new)
        return;
    read_kernel_name(thread);
    if (has_own_name(thread))
        set_state(thread, THREAD_OWN);
    else
        try_arm(thread, due_from(tid), false);
}

void threads_describe(pid_t tid, uint64_t id, const char *name)
{
    pthread_mutex_lock(&registry.mutex);
    if (registry.open && by_tid_find(tid) == NULL)
        discover(tid);
    struct thread *thread = registry.open ? by_tid_find(tid) : NULL;
    if (thread != NULL)
        describe(thread, id, name);
    pthread_mutex_unlock(&registry.mutex);
}

static int list_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL)
        return -errno;
    registry.listing++;
    registry.overflow = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        int tid = atoi(entry->d_name);
        if (tid > 0)
            discover((pid_t)tid);
    }
    closedir(tasks);
    for (size_t i = 0; i < high(); i++)
        if (is_known(&thread_records[i]) && thread_records[i].listing != registry.listing)
            forget(&thread_records[i]);
    return 0;
}

/* The directory's link count tells how many threads there are. 1; 0: as many as we know; or a
 * negative errno. */
static int count_differs(void)
{
    struct stat tasks;
    if (stat("/proc/self/task", &tasks) != 0)
        return -errno;
    return tasks.st_nlink != registry.known + 2;
}

bool threads_differ(void)
{
    pthread_mutex_lock(&registry.mutex);
    bool differ = registry.open && count_differs() > 0;
    pthread_mutex_unlock(&registry.mutex);
    return differ;
}

int threads_scan(bool rename)
{
    int error = 0;
    pthread_mutex_lock(&registry.mutex);
    if (registry.open) {
        registry.naming += rename;
        visit_known();
        /* With the dead ones gone from our count, a difference is threads that we do not know.
         */
        error = count_differs();
        if (error > 0)
            error = list_threads();
        due_all_known();
    }
    pthread_mutex_unlock(&registry.mutex);
    return error;
}

/* ---- reading ---- */

static void show_identity(const struct thread *thread, struct thread_view *view)
{
    view->id = thread->id;
    view->identity = thread->identity;
    memcpy(view->name, thread->name, sizeof view->name);
}

void threads_look_again(struct thread_view *view)
{
    pthread_mutex_lock(&registry.mutex);
    if (view->identity != view->thread->identity)
        show_identity(view->thread, view);
    pthread_mutex_unlock(&registry.mutex);
}

bool threads_next(size_t *cursor, struct thread_view *view)
{
    pthread_mutex_lock(&registry.mutex);
    registry.read = NULL;
    size_t end = high();
    for (; registry.read == NULL && (*cursor = awake_next(*cursor, end)) < end; ++*cursor) {
        struct thread *thread = &thread_records[*cursor];
        if (has_records(thread) || thread_is_owed(thread)) {
            *view = (struct thread_view){.thread = thread, .ring = lease_ring(&thread->lease)};
            show_identity(thread, view);
            registry.read = thread;
        } else if (thread->state == THREAD_LEAVING && is_done(thread)) {
            free_record(thread);
        }
    }
    bool found = registry.read != NULL;
    pthread_mutex_unlock(&registry.mutex);
    return found;
}

bool threads_living(size_t *cursor, bool (*wanted)(void *closure, const struct thread *thread),
                    void *closure, struct thread_view *view)
{
    pthread_mutex_lock(&registry.mutex);
    registry.read = NULL;
    for (size_t end = high(); registry.read == NULL && *cursor < end; ++*cursor) {
        struct thread *thread = &thread_records[*cursor];
        if (!is_known(thread) || thread->state == THREAD_OWN || !wanted(closure, thread))
            continue;
        *view = (struct thread_view){.thread = thread};
        show_identity(thread, view);
        registry.read = thread;
    }
    bool found = registry.read != NULL;
    pthread_mutex_unlock(&registry.mutex);
    return found;
}

/* A second, and another one for each 512 threads. */
static bool is_time_for_still(uint64_t now)
{
    if (now < registry.still_due)
        return false;
    registry.still_due = now + NS_PER_SECOND + high() * (NS_PER_SECOND / 512);
    return true;
}

void threads_still(void)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    pthread_mutex_lock(&registry.mutex);
    size_t end = is_time_for_still(now) ? high() : 0;
    for (size_t i = 0; i < end; i++) {
        struct thread *thread = &thread_records[i];
        if (!is_known(thread) || thread->state == THREAD_OWN)
            continue;
        uint64_t ran_ns = thread_ran_ns(thread->tid);
        if (ran_ns != thread->still_ran_ns)
            thread->still_since_ns = now;
        thread->still_ran_ns = ran_ns;
    }
    pthread_mutex_unlock(&registry.mutex);
}

void threads_name(pid_t tid, char name[THREAD_NAME_SIZE])
{
    pthread_mutex_lock(&registry.mutex);
    struct thread *thread = by_tid_find(tid);
    if (thread != NULL && name_is_due(thread)) /* one that has just begun */
        read_kernel_name(thread);
    const char *last = thread == NULL ? departed_name(tid) : thread->name;
    snprintf(name, THREAD_NAME_SIZE, "%s", last != NULL ? last : "");
    pthread_mutex_unlock(&registry.mutex);
}

/* One that is awake: still, or for how long not? */
static void look_after(struct thread *thread, bool tick, bool scarce)
{
    bool used = !lease_mark(&thread->lease);
    if (used)
        thread->idle = 0;
    else if (tick && thread->idle < RING_IDLE_TICKS)
        thread->idle++;
    if (scarce || thread->idle == RING_IDLE_TICKS)
        end_lease(thread);
    awake_settle(thread);
}

void threads_supply(void)
{
    pthread_mutex_lock(&registry.mutex);
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    bool tick = now - registry.supplied_ns >= IDLE_TICK_NS;
    bool scarce = registry.open && !fill_shelf(0);
    if (tick)
        registry.supplied_ns = now;
    if (tick || scarce)
        for (size_t i = 0, end = high(); (i = awake_next(i, end)) < end; i++)
            look_after(&thread_records[i], tick, scarce);
    pthread_mutex_unlock(&registry.mutex);
}

struct modules_reader *threads_reader(void *closure, size_t index)
{
    (void)closure;
    if (index >= high())
        return NULL;
    return &thread_records[index].reader;
}

void threads_count(struct threads_counts *counts)
{
    pthread_mutex_lock(&registry.mutex);
    *counts = registry.past;
    counts->no_kernel = kernel_frames_refused();
    counts->sampled = registry.in_state[THREAD_SAMPLED];
    counts->unsampled =
        registry.overflow + (registry.timed ? registry.in_state[THREAD_UNARMED] : 0);
    for (size_t i = 0; i < high(); i++)
        add_counts(counts, &thread_records[i].counts);
    pthread_mutex_unlock(&registry.mutex);
}

bool threads_busy(void)
{
    for (size_t i = 0, end = high(); (i = awake_next(i, end)) < end; i++)
        if (atomic_load(&thread_records[i].handlers) != 0)
            return true;
    return false;
}

int threads_wait(void)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000};
    for (int tries = 0; threads_busy(); tries++) {
        if (tries == 10000)
            return -ETIMEDOUT;
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* ---- fork ---- */

void threads_fork_prepare(void)
{
    pthread_mutex_lock(&registry.mutex);
}

void threads_fork_parent(void)
{
    pthread_mutex_unlock(&registry.mutex);
}

void threads_fork_child(void)
{
    registry.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    registry.open = false;
    kernel_frames_fork_child();
    for (size_t i = 0; i < high(); i++) {
        struct thread *thread = &thread_records[i];
        atomic_store(&thread->generation, 0);
        /* Handlers of the parent's other threads do not go on here. */
        atomic_store(&thread->handlers, 0);
        atomic_store(&thread->reader.holds, NULL);
        atomic_store(&thread->owed, 0);
        atomic_store(&thread->blocked, 0);
        thread->held = false;
        if (thread->state != THREAD_FREE)
            free_record(thread);
    }
    memset(threads_awake, 0, sizeof threads_awake);
    by_tid_clear();
    departed_clear();
    registry.known = 0;
    registry.read = NULL;
    ring_pool_clear(&registry.rings);
}
