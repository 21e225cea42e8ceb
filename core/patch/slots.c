#include "patch/slots.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cprof/syscall.h"

#if defined(__x86_64__)
enum { JUMP_SLOT = R_X86_64_JUMP_SLOT, GLOB_DAT = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { JUMP_SLOT = R_AARCH64_JUMP_SLOT, GLOB_DAT = R_AARCH64_GLOB_DAT };
#else
#error "cprof knows x86-64 and AArch64"
#endif

/* ---- one module ---- */

struct relocations {
    const ElfW(Rela) * list;
    size_t count;
};

struct image {
    const struct dl_phdr_info *info;
    const ElfW(Sym) * symbols;
    const char *strings;
    struct relocations of_calls, of_data;
    uintptr_t sealed, sealed_end; /* pages that are read-only after relocation */
};

static bool is_mapped(const struct dl_phdr_info *info, uintptr_t address)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD &&
            address - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz)
            return true;
    }
    return false;
}

/* glibc has relocated most of these entries in place, musl has not. NULL: it lies nowhere. */
static const void *entry_address(const struct dl_phdr_info *info, uintptr_t value)
{
    if (!is_mapped(info, value))
        value += info->dlpi_addr;
    return is_mapped(info, value) ? (const void *)value : NULL;
}

static void read_entry(struct image *image, const ElfW(Dyn) * entry)
{
    const struct dl_phdr_info *info = image->info;
    switch (entry->d_tag) {
    case DT_SYMTAB:
        image->symbols = entry_address(info, entry->d_un.d_ptr);
        break;
    case DT_STRTAB:
        image->strings = entry_address(info, entry->d_un.d_ptr);
        break;
    case DT_JMPREL:
        image->of_calls.list = entry_address(info, entry->d_un.d_ptr);
        break;
    case DT_PLTRELSZ:
        image->of_calls.count = entry->d_un.d_val / sizeof(ElfW(Rela));
        break;
    case DT_RELA:
        image->of_data.list = entry_address(info, entry->d_un.d_ptr);
        break;
    case DT_RELASZ:
        image->of_data.count = entry->d_un.d_val / sizeof(ElfW(Rela));
        break;
    default:
        break;
    }
}

/* False: it has no imports, or they are not to be read. */
static bool open_image(struct image *image, const struct dl_phdr_info *info)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const ElfW(Dyn) *dynamic = NULL;
    *image = (struct image){.info = info};
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)start;
        if (segment->p_type == PT_GNU_RELRO) {
            image->sealed = start & ~(page - 1);
            image->sealed_end = (start + segment->p_memsz) & ~(page - 1);
        }
    }
    for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++)
        read_entry(image, dynamic);
    return image->symbols != NULL && image->strings != NULL;
}

/* ---- slots ---- */

struct slot {
    const struct image *image;
    const char *name;
    _Atomic uintptr_t *at;
    uintptr_t holds;
    bool imported;  /* its module does not define it itself */
    uintptr_t stub; /* A program at a fixed address that takes the address of a function has it
                       lead through a stub of its own, and so for everybody who asks for it.
                       This one; what it leads to is in the slot. 0: there is none */
};

typedef void slot_visit(void *closure, const struct slot *slot);

static void visit_list(const struct image *image, struct relocations relocations,
                       slot_visit *visit, void *closure)
{
    for (size_t i = 0; relocations.list != NULL && i < relocations.count; i++) {
        const ElfW(Rela) *relocation = &relocations.list[i];
        unsigned type = (unsigned)ELF64_R_TYPE(relocation->r_info);
        uintptr_t at = image->info->dlpi_addr + relocation->r_offset;
        if ((type != JUMP_SLOT && type != GLOB_DAT) || at % sizeof(uintptr_t) != 0 ||
            !is_mapped(image->info, at))
            continue;
        const ElfW(Sym) *symbol = &image->symbols[ELF64_R_SYM(relocation->r_info)];
        struct slot slot = {.image = image,
                            .name = image->strings + symbol->st_name,
                            .at = (_Atomic uintptr_t *)at};
        slot.imported = symbol->st_shndx == SHN_UNDEF;
        if (slot.imported && symbol->st_value != 0)
            slot.stub = image->info->dlpi_addr + symbol->st_value;
        slot.holds = atomic_load_explicit(slot.at, memory_order_relaxed);
        visit(closure, &slot);
    }
}

static bool is_own(const struct dl_phdr_info *info)
{
    return is_mapped(info, (uintptr_t)&is_own);
}

struct walk {
    slot_visit *visit;
    void *closure;
    bool own; /* of our own module; else of all others */
};

static int visit_module(struct dl_phdr_info *info, size_t size, void *given)
{
    (void)size;
    const struct walk *walk = given;
    struct image image;
    if (is_own(info) != walk->own || !open_image(&image, info))
        return 0;
    visit_list(&image, image.of_calls, walk->visit, walk->closure);
    visit_list(&image, image.of_data, walk->visit, walk->closure);
    return 0;
}

static void visit_slots(bool own, slot_visit *visit, void *closure)
{
    struct walk walk = {.visit = visit, .closure = closure, .own = own};
    dl_iterate_phdr(visit_module, &walk);
}

enum seal { SEALED, WRITABLE, UNKNOWN };

/* Is the slot's page read-only by now? A module that another thread is loading is in the list
 * before it is relocated, and its pages are sealed last: if we did so in between, the loader
 * would crash. The kernel says so when it is to write to the slot what stands there; -EFAULT.
 */
static enum seal seal_of(const struct slot *slot)
{
    uintptr_t holds = slot->holds;
    const struct iovec from = {&holds, sizeof holds}, to = {(void *)slot->at, sizeof holds};
    uintptr_t at = (uintptr_t)slot->at;
    if (at < slot->image->sealed || at >= slot->image->sealed_end)
        return WRITABLE;
    long written = cprof_syscall(SYS_process_vm_writev, (uintptr_t)getpid(), (uintptr_t)&from,
                                 1, (uintptr_t)&to, 1, 0);
    return written == sizeof holds ? WRITABLE : written == -EFAULT ? SEALED : UNKNOWN;
}

/* Where that is not known, the page stays writable. */
static void write_slot(const struct slot *slot, uintptr_t value)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *start = (void *)((uintptr_t)slot->at & ~(page - 1));
    enum seal seal = seal_of(slot);
    if (seal != WRITABLE && mprotect(start, page, PROT_READ | PROT_WRITE) != 0)
        return;
    atomic_store_explicit(slot->at, value, memory_order_release);
    if (seal == SEALED)
        mprotect(start, page, PROT_READ);
}

/* ---- what is asked for ---- */

struct task {
    struct cprof_import *functions;
    size_t count;
    struct slots_found found;
    const atomic_bool *wanted;
};

static struct cprof_import *function_of(const struct task *task, const char *name)
{
    for (size_t i = 0; i < task->count; i++)
        if (task->functions[i].name[0] == name[0] && strcmp(task->functions[i].name, name) == 0)
            return &task->functions[i];
    return NULL;
}

static void change(void *closure, const struct slot *slot)
{
    struct task *task = closure;
    const struct cprof_import *function = function_of(task, slot->name);
    if (function == NULL || function->original == 0 || !atomic_load(task->wanted))
        return;
    if (slot->holds == function->original) {
        write_slot(slot, function->ours);
        task->found.changed++;
    } else if (slot->holds != function->ours && is_mapped(slot->image->info, slot->holds)) {
        task->found.unbound = true;
    }
}

struct slots_found slots_change(const struct cprof_import *functions, size_t count,
                                const atomic_bool *wanted)
{
    struct task task = {
        .functions = (struct cprof_import *)functions, .count = count, .wanted = wanted};
    visit_slots(false, change, &task);
    return task.found;
}

static void restore(void *closure, const struct slot *slot)
{
    const struct cprof_import *function = function_of(closure, slot->name);
    if (function != NULL && slot->holds == function->ours)
        write_slot(slot, function->original);
}

void slots_restore(const struct cprof_import *functions, size_t count)
{
    struct task task = {.functions = (struct cprof_import *)functions, .count = count};
    visit_slots(false, restore, &task);
}

/* ---- originals ---- */

struct search {
    const char *name;
    uintptr_t found;
};

static void find_own(void *closure, const struct slot *slot)
{
    struct search *search = closure;
    if (search->found == 0 && strcmp(search->name, slot->name) == 0 &&
        !is_mapped(slot->image->info, slot->holds))
        search->found = slot->holds;
}

static void find_behind_stub(void *closure, const struct slot *slot)
{
    struct search *search = closure;
    if (strcmp(search->name, slot->name) == 0 && slot->stub == search->found &&
        !is_mapped(slot->image->info, slot->holds))
        search->found = slot->holds;
}

uintptr_t slots_own(const char *name)
{
    struct search search = {.name = name};
    visit_slots(true, find_own, &search);
    if (search.found != 0)
        visit_slots(false, find_behind_stub, &search);
    return search.found;
}

struct learning {
    struct task task;
    uintptr_t beside, start, limit; /* of its module */
};

static int find_module(struct dl_phdr_info *info, size_t size, void *given)
{
    (void)size;
    struct learning *learning = given;
    if (!is_mapped(info, learning->beside))
        return 0;
    learning->start = UINTPTR_MAX;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD)
            continue;
        learning->start = start < learning->start ? start : learning->start;
        learning->limit = start + segment->p_memsz;
    }
    return 1;
}

static void learn(void *closure, const struct slot *slot)
{
    struct learning *learning = closure;
    struct cprof_import *function = function_of(&learning->task, slot->name);
    if (function != NULL && function->original == 0 && slot->holds >= learning->start &&
        slot->holds < learning->limit && !is_mapped(slot->image->info, slot->holds))
        function->original = slot->holds;
}

void slots_learn_beside(uintptr_t beside, struct cprof_import *functions, size_t count)
{
    struct learning learning = {.task = {.functions = functions, .count = count},
                                .beside = beside};
    if (dl_iterate_phdr(find_module, &learning) != 0)
        visit_slots(false, learn, &learning);
}

/* ---- of one module, for bindings ---- */

struct leading {
    struct task task;
    uintptr_t inside;
    uint32_t led; /* a bit a function */
};

static void lead(void *closure, const struct slot *slot)
{
    struct leading *leading = closure;
    const struct dl_phdr_info *info = slot->image->info;
    if (!is_mapped(info, leading->inside))
        return;
    struct cprof_import *import = function_of(&leading->task, slot->name);
    if (import == NULL || import->original == 0)
        return;
    bool unbound = slot->imported && is_mapped(info, slot->holds);
    if (slot->holds == import->original || unbound)
        write_slot(slot, import->ours);
    if (atomic_load(slot->at) == import->ours)
        leading->led |= UINT32_C(1) << (import - leading->task.functions);
}

bool cprof_imports_lead(uintptr_t inside, struct cprof_import *imports, size_t count)
{
    struct leading leading = {.task = {.functions = imports, .count = count}, .inside = inside};
    for (size_t i = 0; i < count; i++) {
        uintptr_t behind_stub = slots_own(imports[i].name);
        if (behind_stub != 0)
            imports[i].original = behind_stub;
    }
    visit_slots(false, lead, &leading);
    return leading.led == (UINT32_C(1) << count) - 1;
}

void cprof_imports_restore(struct cprof_import *imports, size_t count)
{
    slots_restore(imports, count);
}
