/*
 * A set of addresses, for bindings whose runtime has no list of its objects of some kind: each
 * is put in where it is made and taken out where it is freed; the collector takes a copy.
 *
 * Any thread; a lock is held for moments. Around fork(2) nobody may hold it: lock and unlock
 * it there (fork_lock of runtime.h). Grows to CPROF_ADDRESSES_MAX; what is more is left out.
 */
#ifndef CPROF_ADDRESSES_H
#define CPROF_ADDRESSES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define CPROF_ADDRESSES_MAX ((size_t)1 << 17)

struct cprof_addresses {
    pthread_mutex_t lock;
    uintptr_t *slots; /* open addressing; 0: free */
    size_t size;      /* a power of two, at least twice the count */
    size_t count;
};

#define CPROF_ADDRESSES_INIT                                                                   \
    {                                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                      \
    }

/* No effect where it is there already, or is 0; or is not there. */
void cprof_addresses_add(struct cprof_addresses *set, uintptr_t address);
void cprof_addresses_remove(struct cprof_addresses *set, uintptr_t address);
size_t cprof_addresses_count(struct cprof_addresses *set);

/* All of them, in any order, as memory that the caller frees. NULL: none, or no memory. */
uintptr_t *cprof_addresses_copy(struct cprof_addresses *set, size_t *count);

void cprof_addresses_lock(struct cprof_addresses *set);
void cprof_addresses_unlock(struct cprof_addresses *set);

#endif
