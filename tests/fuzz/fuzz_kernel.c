/* What the kernel says of a thread that sleeps and of its own functions: any text is read to an
 * end, and names lie in it. */
#include <stdlib.h>
#include <string.h>

#include "look/kernel.h"
#include "symbol/kallsyms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_stack(const char *text, size_t size)
{
    const char *rest = text, *name;
    size_t length;
    while ((name = kernel_stack_next(&rest, &length)) != NULL)
        if (length == 0 || name < text || name + length > text + size)
            abort();
}

static void read_functions(const char *text, size_t size)
{
    struct budget budget;
    const char *name, *module;
    budget_init(&budget, 1 << 20);
    struct kallsyms kallsyms = {.budget = &budget, .read = true};
    if (kallsyms_add(&kallsyms, text, size) > size)
        abort();
    kallsyms_sort(&kallsyms);
    for (size_t i = 0; i + sizeof(uintptr_t) <= size; i += 8) {
        uintptr_t address;
        memcpy(&address, text + i, sizeof address);
        if (kallsyms_find(&kallsyms, address | UINTPTR_MAX << 40, &name, &module) &&
            strlen(name) + strlen(module) > size)
            abort();
    }
    kallsyms_free(&kallsyms);
    if (budget_used(&budget) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kernel_asleep asleep;
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    read_stack(text, size);
    read_functions(text, size);
    (void)kernel_asleep_read(text, size, &asleep);
    free(text);
    return 0;
}
