/* Modules as a snapshot would give them, made from dl_iterate_phdr: of this very process, or
 * of a file that is not mapped at all (bias 0), whose vaddrs then serve as addresses. */
#ifndef CPROF_TESTS_SYMBOL_MODULES_OF_TEST_H
#define CPROF_TESTS_SYMBOL_MODULES_OF_TEST_H

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "unwind/modules.h"

struct module_search {
    uintptr_t address;
    struct module *module;
    char *path;
    uint64_t serial;
    bool found;
};

static int module_if_it_covers(struct dl_phdr_info *info, size_t size, void *closure)
{
    struct module_search *search = closure;
    (void)size;
    search->serial++;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) ||
            search->address < start || search->address >= start + segment->p_memsz)
            continue;
        uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
        if (vdso && info->dlpi_addr == vdso)
            strcpy(search->path, "[vdso]");
        else if (!info->dlpi_name[0])
            search->path[readlink("/proc/self/exe", search->path, PATH_MAX - 1)] = '\0';
        else if (!realpath(info->dlpi_name, search->path))
            strcpy(search->path, info->dlpi_name);
        *search->module = (struct module){
            .start = start & ~(uintptr_t)4095,
            .limit = start + segment->p_memsz,
            .bias = info->dlpi_addr,
            .file_offset = segment->p_offset & ~(uint64_t)4095,
            .path = search->path,
            .serial = search->serial,
        };
        search->found = true;
        return 1;
    }
    return 0;
}

/* `path` has room for PATH_MAX bytes and is module->path afterwards. */
static inline bool module_of(const void *address, struct module *module, char *path)
{
    struct module_search search = {
        .address = (uintptr_t)address, .module = module, .path = path};
    memset(path, 0, PATH_MAX);
    dl_iterate_phdr(module_if_it_covers, &search);
    return search.found;
}

#endif
