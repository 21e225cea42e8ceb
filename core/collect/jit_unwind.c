#include "collect/jit_unwind.h"

#include <stdlib.h>

#include "base/clock.h"
#include "cprof/readable.h"
#include "unwind/generated_set.h"

#define REST_SHARE 200                 /* a list may be long, and much code not be in it */
#define EH_FRAME_MAX ((size_t)1 << 20) /* bytes of an object's .eh_frame */

static void add(struct modules *modules, const struct jit_objects *objects,
                const struct jit_code *code, uintptr_t pc)
{
    struct generated_source source = {.pc = pc};
    size_t size = code->eh_frame_size <= EH_FRAME_MAX ? (size_t)code->eh_frame_size : 0;
    void *bytes = size > 0 ? malloc(size) : NULL;
    if (bytes && cprof_read_all(bytes, (uintptr_t)code->eh_frame, size))
        source.eh_frame =
            (struct cfi_section){.bytes = bytes, .size = size, .address = code->eh_frame};
    const struct jit_function *function = jit_objects_function(objects, pc);
    if (function && function->age == code->age) {
        source.start = function->start;
        source.limit = function->start + function->size;
    }
    modules_generated_add(modules, &source);
    free(bytes);
}

/* For the code at these addresses. Only what stayed registered meanwhile was read as it was. */
static bool make_tables(struct jit_objects *objects, struct modules *modules,
                        const uintptr_t *pcs, size_t count)
{
    struct jit_live live;
    if (!jit_live_read(&live, objects, modules_current(modules)))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct jit_code code;
        if (jit_live_code(&live, objects, pcs[i], &code))
            add(modules, objects, &code, pcs[i]);
    }
    bool changed = !jit_live_is_same(&live, objects);
    jit_live_free(&live);
    return modules_generated_publish(modules, changed);
}

bool jit_unwind(struct jit_objects *objects, struct modules *modules)
{
    uintptr_t pcs[GENERATED_MET];
    uint64_t now = clock_ns(CLOCK_MONOTONIC), began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    size_t count = now < objects->rest_until_ns ? 0 : modules_generated_met(modules, pcs);
    if (count == 0)
        return false;
    bool made = make_tables(objects, modules, pcs, count);
    objects->rest_until_ns = now + (clock_ns(CLOCK_THREAD_CPUTIME_ID) - began) * REST_SHARE;
    return made;
}
