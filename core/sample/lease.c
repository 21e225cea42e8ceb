/* Handler code: runs inside the sampling signal's handler. See lease.h. */
#include "sample/lease.h"

static const uintptr_t MARK = 1;

static struct ring *ring_of(uintptr_t word)
{
    return (struct ring *)(word & ~MARK);
}

/* ---- the shelf ---- */

struct ring *shelf_take(struct shelf *shelf)
{
    for (size_t i = 0; i < SHELF_SIZE; i++) {
        if (atomic_load_explicit(&shelf->rings[i], memory_order_relaxed) == NULL)
            continue;
        struct ring *ring = atomic_exchange(&shelf->rings[i], NULL);
        if (ring != NULL) {
            atomic_fetch_sub(&shelf->count, 1);
            return ring;
        }
    }
    return NULL;
}

bool shelf_add(struct shelf *shelf, struct ring *ring)
{
    for (size_t i = 0; i < SHELF_SIZE; i++) {
        if (atomic_load_explicit(&shelf->rings[i], memory_order_relaxed) != NULL)
            continue;
        atomic_fetch_add(&shelf->count, 1); /* first, as it may be taken at once */
        atomic_store(&shelf->rings[i], ring);
        return true;
    }
    return false;
}

/* ---- the lease ---- */

/* Only this thread's handler puts a ring in, so nothing can have come between. */
static struct ring *begin(struct lease *lease, struct shelf *shelf, bool *low)
{
    struct ring *ring = shelf_take(shelf);
    if (ring != NULL)
        atomic_store(&lease->word, (uintptr_t)ring);
    *low = ring == NULL || shelf_count(shelf) < atomic_load(&shelf->low);
    return ring;
}

struct ring *lease_use(struct lease *lease, struct shelf *shelf, bool *low)
{
    uintptr_t word = atomic_load(&lease->word);
    *low = false;
    /* All that can come between is that the collector ends the lease. One that it marks again
     * later is safe: it will see us at work. */
    if ((word & MARK) != 0 &&
        !atomic_compare_exchange_strong(&lease->word, &word, word & ~MARK))
        word = 0;
    return word != 0 ? ring_of(word) : begin(lease, shelf, low);
}

struct ring *lease_ring(const struct lease *lease)
{
    return ring_of(atomic_load_explicit(&lease->word, memory_order_acquire));
}

bool lease_mark(struct lease *lease)
{
    uintptr_t word = atomic_load(&lease->word);
    if (ring_of(word) == NULL || (word & MARK) != 0)
        return ring_of(word) != NULL;
    atomic_compare_exchange_strong(&lease->word, &word, word | MARK);
    return false;
}

struct ring *lease_end(struct lease *lease)
{
    uintptr_t word = atomic_load(&lease->word);
    if ((word & MARK) == 0 || !atomic_compare_exchange_strong(&lease->word, &word, 0))
        return NULL;
    return ring_of(word);
}
