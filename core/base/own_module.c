#include "base/own_module.h"

#include <dlfcn.h>
#include <stdio.h>

const void *own_module_load(const char *directory, const char *file, const char *symbol,
                            int flags, char *error, size_t error_size)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s%s%s", directory ? directory : "",
                          directory ? "/" : "", file);
    if (length < 0 || (size_t)length >= sizeof path) {
        snprintf(error, error_size, "the path of %s is too long", file);
        return NULL;
    }
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | flags);
    const void *address = module != NULL ? dlsym(module, symbol) : NULL;
    if (address == NULL)
        snprintf(error, error_size, "%s", dlerror());
    return address;
}
