/* Handler code: runs inside the sampling signal's handler. */
#include "walk.h"

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>

#include "graves.h"
#include "readable.h"

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

const void *_Atomic walk_interpreter;
_Atomic uintptr_t walk_root;

#ifdef WALK_UNSUPPORTED

size_t walk_python(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                   size_t capacity, bool *complete)
{
    (void)thread, (void)frames, (void)capacity;
    *complete = true;
    return 0;
}

#else

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

size_t walk_python(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                   size_t capacity, bool *complete)
{
    const uintptr_t root = atomic_load_explicit(&walk_root, memory_order_relaxed);
    PyThreadState *state = PyGILState_GetThisThreadState();
    struct readable memory = {0};
    struct chain chain;
    size_t count = 0, run_start = 0;

    (void)thread;
    *complete = true;
    if (state == NULL ||
        state->interp != atomic_load_explicit(&walk_interpreter, memory_order_relaxed))
        return 0;
    *complete = chain_start(&chain, state, &memory);
    for (size_t links = link_limit(capacity); *complete && chain.frame != NULL; links--) {
        struct raw_frame raw;

        if (links == 0 || !chain_read(&chain, &raw, &memory) ||
            (raw.code != 0 && count == capacity)) {
            *complete = false;
            break;
        }
        if (raw.code != 0 && raw.code == root)
            break;
        if (raw.code != 0)
            frames[count++] = python_frame(&raw);
        if (raw.run_end != 0 && count > run_start) {
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
