/* The classes of a JavaScript text: any text is read to an end, and what is found lies in it.
 */
#include <stdlib.h>
#include <string.h>

#include "methods.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct characters *text)
{
    struct methods methods = {0};
    methods_find(text, &methods);
    for (uint32_t i = 0; i < methods.count; i++) {
        const struct method *method = &methods.list[i];
        const struct class_name *name = methods_class(&methods, method->start);
        if (method->start >= text->length || (i > 0 && method->start < method[-1].start) ||
            name == NULL || name->length > text->length - name->start)
            abort();
    }
    methods_free(&methods);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t *wide = malloc(size + 2);
    if (wide == NULL)
        return 0;
    memcpy(wide, data, size);
    check(&(struct characters){.one = data, .length = (uint32_t)size});
    check(&(struct characters){.two = wide, .length = (uint32_t)(size / 2)});
    free(wide);
    return 0;
}
