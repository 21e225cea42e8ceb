#include "sample/threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/own_thread.h"
#include "sample/ring_pool.h"

#define BUCKETS 1024 /* hash chains by tid; a power of two */

struct thread thread_records[THREADS_MAX]; /* untouched pages cost nothing */

/* Threads that have left, and may go on: what they had run by then, and when they are due for
 * their next sample. Each in the place of its tid; one that another takes is found later as if
 * it had never been known. */
static struct leaver {
    uint32_t session; /* of the registry */
    pid_t tid;
    uint64_t ran_ns;
    int64_t due_ns; /* of its CPU time; before ran_ns: overdue */
} leavers[THREADS_MAX];

static struct {
    pthread_mutex_t mutex;
    bool open;
    uint32_t session; /* counts threads_open() */
    struct threads_config config;
    struct ring_pool rings;
    _Atomic size_t high;        /* records at and above have never been used */
    size_t first_free;          /* no free record below */
    size_t known;               /* records of threads that live: UNARMED, OWN, SAMPLED */
    size_t overflow;            /* threads without a record at the last listing */
    uint64_t last_generation;   /* goes on over restarts */
    uint64_t last_identity;     /* likewise */
    struct threads_counts past; /* of records that were freed */
    uint32_t listing;           /* number of the last listing */
    const struct thread *read;  /* whose ring the collector reads now */
    uint64_t tick_ns;           /* the kernel's */
    bool scanned;               /* since threads_open() */
    bool told_unarmed, told_full;
    uint16_t buckets[BUCKETS]; /* index + 1 of the chain's first record */
} registry = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static size_t index_of(const struct thread *thread)
{
    return (size_t)(thread - thread_records);
}

static size_t high(void)
{
    return atomic_load_explicit(&registry.high, memory_order_acquire);
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

static uint16_t *bucket_of(pid_t tid)
{
    return &registry.buckets[hash_u64((uint64_t)tid) & (BUCKETS - 1)];
}

static struct thread *find(pid_t tid)
{
    for (uint16_t link = *bucket_of(tid); link != 0; link = thread_records[link - 1].next)
        if (thread_records[link - 1].tid == tid)
            return &thread_records[link - 1];
    return NULL;
}

static void link_record(struct thread *thread)
{
    uint16_t *bucket = bucket_of(thread->tid);
    thread->next = *bucket;
    *bucket = (uint16_t)(index_of(thread) + 1);
    registry.known++;
}

static void unlink_record(const struct thread *thread)
{
    uint16_t *link = bucket_of(thread->tid);
    while (*link != index_of(thread) + 1)
        link = &thread_records[*link - 1].next;
    *link = thread->next;
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

static uint64_t read_count(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static void add_counts(struct threads_counts *sum, const struct thread_counts *counts)
{
    sum->signals += read_count(&counts->signals);
    sum->overruns += read_count(&counts->overruns);
    sum->dropped += read_count(&counts->dropped);
    sum->handler_ns += read_count(&counts->handler_ns);
    uint64_t max = read_count(&counts->handler_ns_max);
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

/* The record's last step: nobody reads its ring any more, no handler can find it. */
static void free_record(struct thread *thread)
{
    add_counts(&registry.past, &thread->counts);
    clear_counts(&thread->counts);
    if (thread->ring != NULL)
        ring_pool_give(&registry.rings, thread->ring);
    thread->ring = NULL;
    thread->bounds = (struct stack_bounds){0};
    atomic_store_explicit(&thread->data, NULL, memory_order_relaxed);
    thread->state = THREAD_FREE;
    if (index_of(thread) < registry.first_free)
        registry.first_free = index_of(thread);
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

static void read_kernel_name(struct thread *thread)
{
    char path[64], name[32];
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", (int)thread->tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
    if (fd >= 0)
        close(fd);
    if (length > 0 && name[length - 1] == '\n')
        length--;
    name[length < 0 ? 0 : length] = '\0';
    set_name(thread, name);
}

static bool has_own_name(const struct thread *thread)
{
    return strncmp(thread->name, OWN_THREAD_PREFIX, strlen(OWN_THREAD_PREFIX)) == 0;
}

/* ---- arming ---- */

static void tell_unarmed(int error)
{
    if (registry.told_unarmed)
        return;
    registry.told_unarmed = true;
    if (error == -EAGAIN)
        log_warn("no timer for some threads: the limit of pending signals (ulimit -i) is "
                 "reached; they are not sampled");
    else if (error == -ENOMEM)
        log_warn("no buffer for some threads within CPROF_MEMORY_LIMIT; they are not sampled");
    else
        log_warn("no timer for some threads (%s); they are not sampled", strerror(-error));
}

/* When the timer of a new thread shall expire first, for one that has run `ran_ns` unseen;
 * *backlog is how often it would have expired before.
 *
 * The kernel looks at CPU timers in its tick only, so a thread that ends between two ticks
 * takes its last expiries with it: half a tick's worth, 40 % of a life of 5 ms at 250 ticks a
 * second. Therefore the random first expiry is rounded down to a whole tick: it is then the
 * n-th tick in the thread's life that takes the sample, with equal chances for each, and a
 * life of any length gets its share. At rates above the tick's the first tick stands for
 * several periods, of which the kernel counts those since the thread began; the backlog adds
 * the others on average. */
static uint64_t first_of_new(const struct thread *thread, uint64_t ran_ns, uint32_t *backlog)
{
    uint64_t period = registry.config.period_ns;
    uint64_t tick = registry.tick_ns;
    uint64_t random = hash_combine(clock_ns(CLOCK_MONOTONIC), thread->identity);
    uint64_t first = 1 + random % period / tick * tick;
    uint64_t uncounted = tick > period ? random % (tick / period) : 0;
    uint64_t missed = ran_ns >= first ? (ran_ns - first) / period + 1 : 0;
    *backlog = (uint32_t)(missed + uncounted);
    return first + missed * period - ran_ns;
}

/* The same of a thread that has left and goes on: as if it had not left. What is overdue waits
 * for the first tick, as for the others' expiries: the kernel would else take it on the spot.
 */
static uint64_t first_again(int64_t late_ns, uint32_t *backlog)
{
    *backlog = late_ns > 0 ? (uint32_t)((uint64_t)late_ns / registry.config.period_ns) : 0;
    return late_ns < 0 ? (uint64_t)-late_ns : 1;
}

static uint64_t cpu_of(pid_t tid)
{
    struct timespec time = {0};
    clock_gettime(thread_clock(tid), &time);
    return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

/* One that has run less is another with its tid. */
static const struct leaver *find_leaver(pid_t tid, uint64_t now)
{
    const struct leaver *left = &leavers[tid % THREADS_MAX];
    bool same = left->tid == tid && left->session == registry.session && left->ran_ns <= now;
    return same ? left : NULL;
}

/* The first expiry and the backlog; from here on the thread's samples are counted. */
static uint64_t plan(struct thread *thread, uint64_t ran_ns, uint32_t *backlog)
{
    uint64_t now = cpu_of(thread->tid);
    const struct leaver *left = find_leaver(thread->tid, now);
    if (left != NULL) {
        thread->due_ns = left->due_ns;
        return first_again((int64_t)now - left->due_ns, backlog);
    }
    uint64_t first = first_of_new(thread, ran_ns, backlog);
    thread->due_ns = (int64_t)(now + first) - (int64_t)(*backlog * registry.config.period_ns);
    return first;
}

/* UNARMED → SAMPLED, or a negative errno. */
static int arm(struct thread *thread, uint64_t ran_ns)
{
    if (thread->ring == NULL)
        thread->ring = ring_pool_take(&registry.rings);
    if (thread->ring == NULL)
        return -ENOMEM;
    uint32_t backlog;
    uint64_t first = plan(thread, ran_ns, &backlog);
    uint64_t generation = ++registry.last_generation;
    atomic_store_explicit(&thread->backlog, backlog, memory_order_relaxed);
    atomic_store_explicit(&thread->generation, generation, memory_order_release);
    int error = timer_arm(&thread->timer, thread->tid, registry.config.signal,
                          generation << THREADS_SHIFT | index_of(thread), first,
                          registry.config.period_ns);
    if (error != 0) {
        atomic_store(&thread->generation, 0);
        return error;
    }
    thread->state = THREAD_SAMPLED;
    return 0;
}

/* SAMPLED → LEAVING. A handler that is under way sees generation 0 or has marked itself in
 * `handlers` (both sequentially consistent). */
static void retire(struct thread *thread)
{
    timer_disarm(&thread->timer);
    atomic_store(&thread->generation, 0);
    unlink_record(thread);
    thread->state = THREAD_LEAVING;
}

/* Nothing of it is needed any more: neither a handler nor the collector is at work with it.
 * The handlers are looked at first: one that is gone has left its record in the ring. */
static bool is_done(const struct thread *thread)
{
    return atomic_load(&thread->handlers) == 0 && thread != registry.read &&
           ring_peek(thread->ring) == NULL;
}

static void forget(struct thread *thread)
{
    if (thread->state == THREAD_SAMPLED) {
        retire(thread);
        if (is_done(thread))
            free_record(thread);
    } else {
        unlink_record(thread);
        free_record(thread);
    }
}

/* Tries to give an UNARMED thread its timer. A thread that is gone is forgotten. */
static void try_arm(struct thread *thread, uint64_t ran_ns)
{
    int error = arm(thread, ran_ns);
    if (error == -EINVAL)
        forget(thread);
    else if (error != 0)
        tell_unarmed(error);
}

/* NULL when the table is full. */
static struct thread *add_record(pid_t tid)
{
    struct thread *thread = take_free_record();
    if (thread == NULL) {
        registry.overflow++;
        if (!registry.told_full)
            log_warn("more than %d threads: the others are not sampled", THREADS_MAX);
        registry.told_full = true;
        return NULL;
    }
    thread->tid = tid;
    thread->id = (uint64_t)tid;
    thread->identity = ++registry.last_identity;
    thread->named = false;
    thread->age = 0;
    thread->name[0] = '\0';
    thread->state = THREAD_UNARMED;
    link_record(thread);
    return thread;
}

/* ---- the life of the registry ---- */

/* The coarse clock advances by one tick. */
static uint64_t tick_length(void)
{
    struct timespec tick;
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || tick.tv_sec != 0 ||
        tick.tv_nsec <= 0)
        return NS_PER_SECOND / 250;
    return (uint64_t)tick.tv_nsec;
}

void threads_open(const struct threads_config *config)
{
    pthread_mutex_lock(&registry.mutex);
    registry.config = *config;
    registry.past = (struct threads_counts){0};
    registry.told_unarmed = registry.told_full = false;
    registry.tick_ns = tick_length();
    registry.scanned = false;
    registry.session++;
    registry.overflow = 0;
    /* A random start keeps foreign timers' values from ever naming one of ours. */
    if (registry.last_generation == 0)
        registry.last_generation = hash_u64(clock_ns(CLOCK_REALTIME)) >> 24;
    ring_pool_init(&registry.rings, config->budget, config->record_max);
    registry.open = true;
    pthread_mutex_unlock(&registry.mutex);
}

void threads_disarm(void)
{
    pthread_mutex_lock(&registry.mutex);
    registry.open = false;
    for (size_t i = 0; i < high(); i++)
        if (is_known(&thread_records[i]))
            forget(&thread_records[i]);
    pthread_mutex_unlock(&registry.mutex);
}

void threads_close(void)
{
    pthread_mutex_lock(&registry.mutex);
    for (size_t i = 0; i < high(); i++)
        if (thread_records[i].state == THREAD_LEAVING)
            free_record(&thread_records[i]);
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
    if (registry.open) {
        thread = find(current_tid());
        /* A record of this tid whose timer is dead belonged to a thread before us. */
        if (thread != NULL && thread->state == THREAD_SAMPLED && !timer_alive(&thread->timer)) {
            forget(thread);
            thread = NULL;
        }
        if (thread == NULL)
            thread = add_record(current_tid());
    }
    if (thread != NULL) {
        describe(thread, id, name);
        /* Ours once, perhaps, but now a thread of the host has this tid. */
        if (thread->state == THREAD_OWN)
            thread->state = THREAD_UNARMED;
        if (thread->state == THREAD_UNARMED)
            try_arm(thread, 0);
    }
    pthread_mutex_unlock(&registry.mutex);
}

/* The runtime may keep the native thread for its next one. */
static void note_leaver(const struct thread *thread)
{
    uint64_t samples =
        read_count(&thread->counts.signals) + read_count(&thread->counts.overruns);
    leavers[thread->tid % THREADS_MAX] = (struct leaver){
        .session = registry.session,
        .tid = thread->tid,
        .ran_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID),
        .due_ns = thread->due_ns + (int64_t)(samples * registry.config.period_ns)};
}

void threads_leave(void)
{
    pthread_mutex_lock(&registry.mutex);
    struct thread *thread = registry.open ? find(current_tid()) : NULL;
    if (thread != NULL && thread->state == THREAD_SAMPLED)
        note_leaver(thread);
    if (thread != NULL)
        forget(thread);
    pthread_mutex_unlock(&registry.mutex);
}

void threads_set_data(void *data)
{
    pthread_mutex_lock(&registry.mutex);
    struct thread *thread = registry.open ? find(current_tid()) : NULL;
    if (thread != NULL)
        atomic_store_explicit(&thread->data, data, memory_order_release);
    pthread_mutex_unlock(&registry.mutex);
}

/* ---- the scan ---- */

/* A look at one record we know. */
static void visit(struct thread *thread, bool rename)
{
    if (thread->state == THREAD_SAMPLED && !timer_alive(&thread->timer)) {
        forget(thread);
        return;
    }
    /* Threads name themselves shortly after they begin: look a second time. */
    bool young = thread->age < 2 && ++thread->age == 2;
    if (!thread->named && (rename || young))
        read_kernel_name(thread);
    if (thread->state == THREAD_SAMPLED && !thread->named && has_own_name(thread))
        forget(thread); /* listed again, and known as our own then */
    else if (thread->state == THREAD_OWN && !has_own_name(thread))
        thread->state = THREAD_UNARMED; /* a tid that was ours and has been reused */
    if (thread->state == THREAD_UNARMED)
        try_arm(thread, 0);
}

/* What a thread that we have not seen yet ran since the scan before; at the first scan it may
 * be older than us. */
static uint64_t unseen_ns(pid_t tid)
{
    return registry.scanned ? cpu_of(tid) : 0;
}

static void discover(pid_t tid)
{
    struct thread *thread = find(tid);
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
        thread->state = THREAD_OWN;
    else
        try_arm(thread, unseen_ns(tid));
}

void threads_describe(pid_t tid, uint64_t id, const char *name)
{
    pthread_mutex_lock(&registry.mutex);
    if (registry.open && find(tid) == NULL)
        discover(tid);
    struct thread *thread = registry.open ? find(tid) : NULL;
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

int threads_scan(bool rename)
{
    int error = 0;
    pthread_mutex_lock(&registry.mutex);
    if (registry.open) {
        for (size_t i = 0; i < high(); i++)
            if (is_known(&thread_records[i]))
                visit(&thread_records[i], rename);
        /* The directory's link count tells how many threads there are. With the dead ones
         * gone from our count, a difference is threads that we do not know. */
        struct stat tasks;
        if (stat("/proc/self/task", &tasks) != 0)
            error = -errno;
        else if (tasks.st_nlink != registry.known + 2)
            error = list_threads();
        registry.scanned = true;
    }
    pthread_mutex_unlock(&registry.mutex);
    return error;
}

/* ---- reading ---- */

static bool has_records(const struct thread *thread)
{
    return thread->ring != NULL && ring_peek(thread->ring) != NULL;
}

bool threads_next(size_t *cursor, struct thread_view *view)
{
    pthread_mutex_lock(&registry.mutex);
    registry.read = NULL;
    for (; *cursor < high() && registry.read == NULL; ++*cursor) {
        struct thread *thread = &thread_records[*cursor];
        if (has_records(thread)) {
            *view = (struct thread_view){.thread = thread,
                                         .ring = thread->ring,
                                         .id = thread->id,
                                         .identity = thread->identity};
            memcpy(view->name, thread->name, sizeof view->name);
            registry.read = thread;
        } else if (thread->state == THREAD_LEAVING && is_done(thread)) {
            free_record(thread);
        }
    }
    bool found = registry.read != NULL;
    pthread_mutex_unlock(&registry.mutex);
    return found;
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
    counts->unsampled = registry.overflow;
    for (size_t i = 0; i < high(); i++) {
        add_counts(counts, &thread_records[i].counts);
        counts->sampled += thread_records[i].state == THREAD_SAMPLED;
        counts->unsampled += thread_records[i].state == THREAD_UNARMED;
    }
    pthread_mutex_unlock(&registry.mutex);
}

bool threads_busy(void)
{
    for (size_t i = 0; i < high(); i++)
        if (atomic_load(&thread_records[i].handlers) != 0)
            return true;
    return false;
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
    for (size_t i = 0; i < high(); i++) {
        struct thread *thread = &thread_records[i];
        atomic_store(&thread->generation, 0);
        /* Handlers of the parent's other threads do not go on here. */
        atomic_store(&thread->handlers, 0);
        atomic_store(&thread->reader.holds, NULL);
        if (thread->state != THREAD_FREE)
            free_record(thread);
    }
    memset(registry.buckets, 0, sizeof registry.buckets);
    registry.known = 0;
    registry.read = NULL;
    ring_pool_clear(&registry.rings);
}
