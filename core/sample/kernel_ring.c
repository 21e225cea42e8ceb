/* Handler code: runs inside the handler of the kernel's samples. See kernel_ring.h. */
#include "sample/kernel_ring.h"

#include <linux/perf_event.h>

/* The ring's bytes; their number is a power of two, and events are multiples of eight. */
struct bytes {
    const unsigned char *at;
    uint64_t size;
};

static uint64_t word_at(const struct bytes *bytes, uint64_t position)
{
    return *(const volatile uint64_t *)(bytes->at + (position & (bytes->size - 1)));
}

/* The chain has marks in it where another part begins. */
static bool is_mark(uint64_t address)
{
    return address >= (uint64_t)PERF_CONTEXT_MAX;
}

/* A sample's words: the header, how many addresses, the addresses. But for the innermost
 * function they are where calls return to. */
static void read_chain(const struct bytes *bytes, uint64_t position, uint64_t words,
                       struct kernel_chain *chain)
{
    uint64_t count = word_at(bytes, position + 8);
    chain->count = 0;
    count = count < words - 2 ? count : words - 2;
    for (uint64_t i = 0; i < count && chain->count < KERNEL_FRAMES_MAX; i++) {
        uint64_t address = word_at(bytes, position + 16 + 8 * i);
        bool innermost = chain->count == 0;
        if (!is_mark(address))
            chain->functions[chain->count++] = (uintptr_t)address - !innermost;
    }
}

bool kernel_ring_next(struct perf_event_mmap_page *ring, struct kernel_chain *chain)
{
    const struct bytes bytes = {(const unsigned char *)ring + ring->data_offset,
                                ring->data_size};
    uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
    uint64_t tail = ring->data_tail;
    bool found = false;
    while (!found && tail != head) {
        const struct perf_event_header header = {
            .type = (uint32_t)word_at(&bytes, tail),
            .size = (uint16_t)(word_at(&bytes, tail) >> 48),
        };
        if (header.size < sizeof header || header.size > head - tail) {
            tail = head; /* nothing that the kernel writes */
            break;
        }
        found = header.type == PERF_RECORD_SAMPLE && header.size >= 2 * sizeof(uint64_t);
        if (found)
            read_chain(&bytes, tail, header.size / sizeof(uint64_t), chain);
        tail += header.size;
    }
    chain->more = tail != head;
    __atomic_store_n(&ring->data_tail, tail, __ATOMIC_RELEASE);
    return found;
}
