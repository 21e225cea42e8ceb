/* Handler code: runs inside the sampling signal's handler. See ring.h. */
#include "sample/ring.h"

void ring_init(struct ring *ring, size_t size, size_t record_max)
{
    ring->size = size;
    ring->record_max = record_max;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
}

static size_t place(const struct ring *ring, uint64_t position)
{
    return (size_t)position & (ring->size - 1);
}

/* Where the record after one of `bytes` at `position` begins. */
static uint64_t advance(const struct ring *ring, uint64_t position, size_t bytes)
{
    if (place(ring, position) + bytes < ring->size)
        return position + bytes;
    return (position | (ring->size - 1)) + 1;
}

/* With the consumer in this lap everything up to the end of the spare bytes is free. With it
 * in the lap before, the room ends where it still reads. */
static size_t room_at(const struct ring *ring, uint64_t head, uint64_t tail)
{
    bool same_lap = (head ^ tail) < ring->size;
    size_t to_end = ring->size + ring->record_max - place(ring, head);
    size_t to_tail = (size_t)(tail + ring->size - head);
    return same_lap || to_end < to_tail ? to_end : to_tail;
}

struct record *ring_reserve(struct ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (room_at(ring, head, tail) < ring->record_max)
        return NULL;
    return (struct record *)(ring->data + place(ring, head));
}

size_t ring_room(const struct ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    size_t room = room_at(ring, head, tail);
    size_t used = (size_t)(head - tail);
    size_t half = used < ring->size / 2 ? ring->size / 2 - used : 0;
    return room < half ? room : half;
}

bool ring_half_full(const struct ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    return head - tail > ring->size / 2;
}

static bool passes(uint64_t before, uint64_t after, size_t mark)
{
    return before <= mark && after > mark;
}

bool ring_commit(struct ring *ring, const struct record *record)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t next = advance(ring, head, record->size);
    atomic_store_explicit(&ring->head, next, memory_order_release);
    return passes(head - tail, next - tail, ring->size / 4) ||
           passes(head - tail, next - tail, ring->size / 2);
}

const struct record *ring_peek(const struct ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
        return NULL;
    return (const struct record *)(ring->data + place(ring, tail));
}

void ring_consume(struct ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    const struct record *record = (const struct record *)(ring->data + place(ring, tail));
    uint64_t next = advance(ring, tail, record->size);
    atomic_store_explicit(&ring->tail, next, memory_order_release);
}
