#include "sample/ring_pool.h"

#include <sys/mman.h>

void ring_pool_init(struct ring_pool *pool, struct budget *budget, size_t record_max,
                    struct shelf *shelf)
{
    *pool = (struct ring_pool){.budget = budget, .record_max = record_max, .shelf = shelf};
}

static size_t ring_bytes(const struct ring_pool *pool, size_t size)
{
    return sizeof(struct ring) + size + pool->record_max;
}

static struct ring *map_ring(struct ring_pool *pool, size_t size)
{
    size_t bytes = ring_bytes(pool, size);
    if (!budget_take(pool->budget, bytes))
        return NULL;
    struct ring *ring =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED) {
        budget_give(pool->budget, bytes);
        return NULL;
    }
    ring_init(ring, size, pool->record_max);
    ring->next = pool->all;
    pool->all = ring;
    pool->held += bytes;
    pool->count++;
    return ring;
}

static void unmap_ring(struct ring_pool *pool, struct ring *ring)
{
    struct ring **link = &pool->all;
    while (*link != ring)
        link = &(*link)->next;
    *link = ring->next;
    size_t bytes = ring_bytes(pool, ring->size);
    munmap(ring, bytes);
    pool->held -= bytes;
    pool->count--;
    budget_give(pool->budget, bytes);
}

/* NULL: no memory left for it. */
static struct ring *new_ring(struct ring_pool *pool)
{
    size_t limit = pool->budget->limit;
    if (limit == 0 || pool->held < limit / 8)
        return map_ring(pool, RING_SIZE);
    return pool->held < limit / 2 ? map_ring(pool, RING_SIZE_SMALL) : NULL;
}

bool ring_pool_fill(struct ring_pool *pool, size_t threads)
{
    bool enough = true;
    while (enough && pool->count < threads && shelf_count(pool->shelf) < RING_POOL_AHEAD) {
        struct ring *ring = new_ring(pool);
        enough = ring != NULL && shelf_add(pool->shelf, ring);
    }
    atomic_store(&pool->shelf->low, pool->count < threads ? RING_POOL_AHEAD / 2 : 0);
    return enough;
}

void ring_pool_give(struct ring_pool *pool, struct ring *ring)
{
    ring_init(ring, ring->size, ring->record_max);
    if (!shelf_add(pool->shelf, ring))
        unmap_ring(pool, ring);
}

void ring_pool_clear(struct ring_pool *pool)
{
    while (shelf_take(pool->shelf) != NULL)
        ;
    while (pool->all != NULL)
        unmap_ring(pool, pool->all);
}
