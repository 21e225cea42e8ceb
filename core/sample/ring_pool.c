#include "sample/ring_pool.h"

#include <sys/mman.h>

void ring_pool_init(struct ring_pool *pool, struct budget *budget, size_t record_max)
{
    *pool = (struct ring_pool){.budget = budget, .record_max = record_max};
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
    pool->held += bytes;
    ring_init(ring, size, pool->record_max);
    return ring;
}

static void unmap_ring(struct ring_pool *pool, struct ring *ring)
{
    size_t bytes = ring_bytes(pool, ring->size);
    munmap(ring, bytes);
    pool->held -= bytes;
    budget_give(pool->budget, bytes);
}

struct ring *ring_pool_take(struct ring_pool *pool)
{
    struct ring *ring = pool->spare;
    if (ring != NULL) {
        pool->spare = ring->next;
        pool->spare_count--;
        ring_init(ring, ring->size, ring->record_max);
        return ring;
    }
    size_t limit = pool->budget->limit;
    if (limit == 0 || pool->held < limit / 8)
        ring = map_ring(pool, RING_SIZE);
    else if (pool->held < limit / 2)
        ring = map_ring(pool, RING_SIZE_SMALL);
    return ring;
}

void ring_pool_give(struct ring_pool *pool, struct ring *ring)
{
    if (pool->spare_count == RING_POOL_SPARES) {
        unmap_ring(pool, ring);
        return;
    }
    ring->next = pool->spare;
    pool->spare = ring;
    pool->spare_count++;
}

void ring_pool_clear(struct ring_pool *pool)
{
    while (pool->spare != NULL) {
        struct ring *ring = pool->spare;
        pool->spare = ring->next;
        unmap_ring(pool, ring);
    }
    pool->spare_count = 0;
}
