/* What the kernel says of a thread that sleeps: any text is read to an end, and names lie in
 * it. */
#include <stdlib.h>
#include <string.h>

#include "look/kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_stack(const char *text, size_t size)
{
    const char *rest = text, *name;
    size_t length;
    while ((name = kernel_stack_next(&rest, &length)) != NULL)
        if (length == 0 || name < text || name + length > text + size)
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
    (void)kernel_asleep_read(text, size, &asleep);
    free(text);
    return 0;
}
