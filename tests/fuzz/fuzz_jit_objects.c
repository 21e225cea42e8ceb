/* An object file that some compiler has registered with debuggers: any bytes are read to an
 * end, and what is kept of them is given back. The list is this program's own. */
#include <limits.h>
#include <stdlib.h>

#include "../core/symbol/jit_list_of_test.h"
#include "../core/symbol/modules_of_test.h"
#include "symbol/jit_objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct module program;
    static char path[PATH_MAX];
    static struct jit_objects searched; /* for the list, once */
    static struct budget none;
    const struct module *const modules[] = {&program};
    const struct module_map map = {.count = 1, .serial = 1, .modules = modules};
    struct budget budget;
    struct jit_entry entry = {.object = data, .size = size};
    __jit_debug_descriptor.first = NULL;
    if (searched.map == 0) {
        budget_init(&none, 0);
        jit_objects_init(&searched, &none);
        if (!module_of((const void *)(uintptr_t)LLVMFuzzerTestOneInput, &program, path))
            abort();
        (void)jit_objects_find(&searched, &map, 0);
        if (searched.list_count == 0)
            abort();
    }
    struct jit_objects objects = searched;
    budget_init(&budget, 1 << 20);
    objects.budget = &budget;
    __jit_debug_descriptor.first = &entry;
    (void)jit_objects_find(&objects, &map, 0x4000);
    struct jit_live live;
    struct jit_code code;
    if (jit_live_read(&live, &objects, &map)) {
        (void)jit_live_code(&live, &objects, 0x4000, &code);
        jit_live_free(&live);
    }
    jit_objects_free(&objects);
    if (budget_used(&budget) != 0)
        abort();
    return 0;
}
