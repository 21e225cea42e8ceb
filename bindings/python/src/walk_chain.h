/*
 * Handler code, and that of looks at threads that sleep (asleep.c): the chain of a thread's
 * Python frames. Whoever includes this has seen() and sure() from readable.h, for the calling
 * thread, or from copies.h, for another one; what they return is good for some further reads
 * only. Who awaits a task is read by its own thread only: WALK_WITHOUT_AWAITERS.
 */
#include "graves.h"

/* One link of the chain, as the layout headers report it. */
struct raw_frame {
    const void *older;
    uintptr_t code;    /* address of the code object; 0 when this is no Python function */
    int64_t offset;    /* bytes from the first instruction; negative before it */
    uintptr_t run_end; /* not 0: the frame is the oldest of one call of the eval loop, and this
                          is where on the native stack that call runs */
};

/* Each layout defines struct chain (with a field `frame`, the next link to read),
 * chain_start() and chain_read(). Both return false when the memory they were led to can't be
 * what it should be. */
#if defined(WALK_UNSUPPORTED)
#elif PY_VERSION_HEX < 0x030B0000
#include "walk_310.h"
#elif PY_VERSION_HEX < 0x030C0000
#include "walk_311.h"
#elif PY_VERSION_HEX < 0x030D0000
#include "walk_312.h"
#else
#include "walk_313.h"
#endif

#ifndef WALK_UNSUPPORTED

/* Links that are no Python function (entry frames) take no room in the output, so the number
 * of links followed has its own bound: a chain that is torn into a circle must end. */
static size_t link_limit(size_t capacity)
{
    return 4 * capacity + 64;
}

static struct cprof_frame python_frame(const struct raw_frame *raw)
{
    return (struct cprof_frame){
        .token = raw->code,
        .position = position_pack(graves_sampled(raw->code),
                                  raw->offset < 0 ? 0 : (uint32_t)raw->offset),
        .stack = CPROF_STACK_INHERIT,
    };
}

#ifdef WALK_WITHOUT_AWAITERS
struct tasks {
    char none;
};

static size_t push_awaiters(struct tasks *tasks, PyThreadState *state, const void *outermost,
                            struct cprof_frame *frames, size_t count, size_t capacity,
                            struct readable *memory)
{
    (void)tasks, (void)state, (void)outermost, (void)frames, (void)capacity, (void)memory;
    return count;
}
#else
#include "walk_awaiters.h"
#endif

/* The frames of the thread with that state, innermost first: see walk_python(). Not used where
 * there is no thread. */
__attribute__((unused)) static size_t walk_chain(PyThreadState *state, struct readable *memory,
                                                 struct cprof_frame *frames, size_t capacity,
                                                 bool *complete)
{
    const uintptr_t root = atomic_load_explicit(&walk_root, memory_order_relaxed);
    struct chain chain;
    size_t count = 0, run_start = 0;
    const void *outermost = NULL;
    struct tasks tasks = {0};

    *complete = chain_start(&chain, state, memory);
    for (size_t links = link_limit(capacity); *complete && chain.frame != NULL; links--) {
        struct raw_frame raw;

        if (links == 0 || !chain_read(&chain, &raw, memory) ||
            (raw.code != 0 && count == capacity)) {
            *complete = false;
            break;
        }
        if (raw.code != 0 && raw.code == root)
            break;
        if (raw.code != 0) {
            frames[count++] = python_frame(&raw);
            outermost = chain.frame;
        }
        if (raw.run_end != 0 && count > run_start) {
            count = push_awaiters(&tasks, state, outermost, frames, count, capacity, memory);
            frames[count - 1].stack = raw.run_end;
            run_start = count;
        }
        chain.frame = raw.older;
    }
    /* The run that was cut off belongs to an eval call whose address was not reached. */
    if (count > run_start)
        frames[count - 1].stack = CPROF_STACK_BOUNDARY;
    return count;
}

#endif
