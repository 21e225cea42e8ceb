#include "collect/loader_lock.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/own_thread.h"
#include "sample/threads.h"
#include "sample/wake.h"
#include "unwind/listing.h"

enum { USABLE, DOUBTED, ASKED };

static _Atomic uint32_t state = USABLE; /* a wake word */

static void *ask(void *unused)
{
    struct loader_state unread;
    loader_state_read(&unread);
    atomic_store(&state, USABLE);
    wake_waiters(&state);
    return unused;
}

void loader_lock_doubt(void)
{
    atomic_store(&state, DOUBTED);
}

bool loader_lock_is_usable(double seconds)
{
    uint32_t seen = DOUBTED;
    pthread_t thread;
    if (atomic_compare_exchange_strong(&state, &seen, ASKED)) {
        if (own_thread_start(&thread, OWN_THREAD_PREFIX "loader", ask, NULL) == 0)
            pthread_detach(thread);
        else
            atomic_store(&state, DOUBTED); /* the next one tries again */
    }
    const uint64_t deadline =
        clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * (double)NS_PER_SECOND);
    while ((seen = atomic_load(&state)) == ASKED) {
        uint64_t now = clock_ns(CLOCK_MONOTONIC);
        if (now >= deadline)
            break;
        wake_wait(&state, seen, deadline - now);
    }
    return seen == USABLE;
}
