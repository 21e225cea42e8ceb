/* Handler code: runs inside signal handlers and inside malloc. See by_tid.h. */
#include "sample/by_tid.h"

#include "base/hash.h"

#define BUCKETS 4096 /* a power of two */

static _Atomic uint16_t buckets[BUCKETS]; /* index + 1 of the chain's first record */

static _Atomic uint16_t *bucket_of(pid_t tid)
{
    return &buckets[hash_u64((uint64_t)tid) & (BUCKETS - 1)];
}

struct thread *by_tid_find(pid_t tid)
{
    uint16_t link = atomic_load_explicit(bucket_of(tid), memory_order_acquire);
    for (size_t steps = 0; link != 0 && steps < THREADS_MAX; steps++) {
        struct thread *thread = &thread_records[link - 1];
        if (atomic_load_explicit(&thread->tid, memory_order_relaxed) == tid)
            return thread;
        link = atomic_load_explicit(&thread->next, memory_order_acquire);
    }
    return NULL;
}

void by_tid_add(struct thread *thread)
{
    _Atomic uint16_t *bucket = bucket_of(thread->tid);
    atomic_store_explicit(&thread->next, atomic_load(bucket), memory_order_relaxed);
    atomic_store_explicit(bucket, (uint16_t)(thread_index(thread) + 1), memory_order_release);
}

void by_tid_remove(const struct thread *thread)
{
    _Atomic uint16_t *link = bucket_of(thread->tid);
    while (atomic_load(link) != thread_index(thread) + 1)
        link = &thread_records[atomic_load(link) - 1].next;
    atomic_store_explicit(link, atomic_load(&thread->next), memory_order_release);
}

void by_tid_clear(void)
{
    for (size_t i = 0; i < BUCKETS; i++)
        atomic_store_explicit(&buckets[i], 0, memory_order_relaxed);
}
