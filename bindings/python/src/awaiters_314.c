/* From 3.14 on asyncio describes its tasks in a section of its module. */
#define Py_BUILD_CORE 1
#include "awaiters.h"

#include "walk.h"

#if PY_VERSION_HEX >= 0x030E0000 && !defined(WALK_UNSUPPORTED)

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <internal/pycore_tstate.h>

#include "cprof/readable.h"

enum { NAMES_MAX = 4096, SECTIONS_MAX = 256 };

/* Of Modules/_asynciomodule.c: offsets, and the sizes of what they are in. */
struct debug_offsets {
    struct {
        uint64_t size, name, awaited_by, is_task, awaited_by_is_set, coro, node;
    } task;
    struct {
        uint64_t size, tasks_head;
    } interpreter_state;
    struct {
        uint64_t size, running_loop, running_task, tasks_head;
    } thread_state;
};

/* ---- the section ---- */

static bool read_at(int file, uint64_t offset, void *to, size_t size)
{
    return pread(file, to, size, (off_t)offset) == (ssize_t)size;
}

/* The address of the section in the file; 0: it has none. */
static uint64_t section_address(int file, const Elf64_Ehdr *header)
{
    char names[NAMES_MAX + 1] = "";
    Elf64_Shdr section;
    if (header->e_shentsize != sizeof section || header->e_shnum > SECTIONS_MAX ||
        !read_at(file, header->e_shoff + header->e_shstrndx * sizeof section, &section,
                 sizeof section) ||
        section.sh_size > NAMES_MAX ||
        !read_at(file, section.sh_offset, names, section.sh_size))
        return 0;
    for (unsigned i = 0; i < header->e_shnum; i++)
        if (read_at(file, header->e_shoff + i * sizeof section, &section, sizeof section) &&
            section.sh_name < NAMES_MAX &&
            strcmp(names + section.sh_name, ".AsyncioDebug") == 0 &&
            section.sh_size >= sizeof(struct debug_offsets))
            return section.sh_addr;
    return 0;
}

/* Of the module that a function lies in: where its section was loaded; 0: nowhere. */
static uintptr_t find_section(const void *function)
{
    Dl_info module;
    Elf64_Ehdr header;
    uint64_t address = 0;
    if (dladdr(function, &module) == 0)
        return 0;
    /* The program itself goes by the name that it was called by. */
    const char *path = module.dli_fname[0] == '/' ? module.dli_fname : "/proc/self/exe";
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    if (read_at(file, 0, &header, sizeof header) &&
        memcmp(header.e_ident, ELFMAG, SELFMAG) == 0)
        address = section_address(file, &header);
    close(file);
    bool moved = address != 0 && header.e_type == ET_DYN;
    return (uintptr_t)address + (moved ? (uintptr_t)module.dli_fbase : 0);
}

/* ---- learning ---- */

static bool makes_sense(const struct debug_offsets *told)
{
    const uint64_t size = told->task.size, last = size - sizeof(PyObject *);
    return told->thread_state.running_task ==
               offsetof(_PyThreadStateImpl, asyncio_running_task) &&
           size >= sizeof(PyObject) && size <= 1024 && told->task.awaited_by <= last &&
           told->task.name <= last && told->task.coro <= last && told->task.is_task < size &&
           told->task.awaited_by_is_set < size && told->task.awaited_by % 8 == 0 &&
           told->task.coro % 8 == 0;
}

static void learn_from(const void *function)
{
    struct debug_offsets told;
    const uintptr_t section = find_section(function);
    if (section == 0 || !cprof_read_all(&told, section, sizeof told) || !makes_sense(&told))
        return;
    awaiters.awaited_by = (uint32_t)told.task.awaited_by;
    awaiters.is_task = (uint32_t)told.task.is_task;
    awaiters.is_set = (uint32_t)told.task.awaited_by_is_set;
    awaiters.coroutine = (uint32_t)told.task.coro;
    awaiters.size = (uint32_t)told.task.size;
    awaiters.name = (uint32_t)told.task.name;
    awaiters.node = (uint32_t)told.task.node;
    atomic_store_explicit(&awaiters.known, true, memory_order_release);
}

void awaiters_learn(PyObject *module)
{
    PyObject *type = PyObject_GetAttrString(module, "Task");

    if (type != NULL && PyType_Check(type))
        learn_from((const void *)(uintptr_t)((PyTypeObject *)type)->tp_dealloc);
    Py_XDECREF(type);
}

#endif
