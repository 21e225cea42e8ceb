#include "sample/awake.h"

_Atomic uint64_t threads_awake[THREADS_MAX / 64];

void awake_mark(const struct thread *thread)
{
    size_t index = thread_index(thread);
    atomic_fetch_or(&threads_awake[index / 64], awake_bit(index));
}

bool awake_is(size_t index)
{
    return (atomic_load_explicit(&threads_awake[index / 64], memory_order_relaxed) &
            awake_bit(index)) != 0;
}

size_t awake_next(size_t index, size_t end)
{
    while (index < end) {
        uint64_t bits = atomic_load(&threads_awake[index / 64]) >> index % 64;
        if (bits != 0) {
            index += (size_t)__builtin_ctzll(bits);
            break;
        }
        index = (index / 64 + 1) * 64;
    }
    return index < end ? index : end;
}

static bool has_work(const struct thread *thread)
{
    return lease_ring(&thread->lease) != NULL || atomic_load(&thread->handlers) != 0 ||
           thread->held || thread_is_owed(thread);
}

/* A handler marks itself and then looks at the bit; here the bit goes first. So one of the two
 * sees the other. */
void awake_settle(const struct thread *thread)
{
    size_t index = thread_index(thread);
    if (has_work(thread))
        return;
    atomic_fetch_and(&threads_awake[index / 64], ~awake_bit(index));
    if (has_work(thread))
        awake_mark(thread);
}
