#include "collect/rewalk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collect/loader_lock.h"
#include "symbol/kernel_names.h"
#include "unwind/arch.h"

bool rewalk_init(struct rewalk *rewalk, const char *directory, _Atomic size_t *copies,
                 size_t max_frames)
{
    *rewalk = (struct rewalk){.directory = directory,
                              .copies = copies,
                              .frames = calloc(max_frames, sizeof *rewalk->frames),
                              .capacity = max_frames};
    unwind_library_retry();
    rewalk_tick(rewalk);
    return rewalk->frames != NULL;
}

void rewalk_free(struct rewalk *rewalk)
{
    free(rewalk->frames);
}

void rewalk_tick(struct rewalk *rewalk)
{
    if (rewalk->copies != NULL)
        atomic_store_explicit(rewalk->copies, rewalk->failed ? 0 : REWALKS_A_TICK,
                              memory_order_relaxed);
}

/* Where the loader is locked for ever it can't be asked. */
static bool have_library(struct rewalk *rewalk)
{
    if (rewalk->library == NULL && !rewalk->failed) {
        int error = loader_lock_is_usable(0)
                        ? unwind_library(rewalk->directory, &rewalk->library)
                        : -ENOENT;
        rewalk->failed = error == -ENOENT;
    }
    return rewalk->library != NULL;
}

/* The kernel's frames, which come first and are never walked. */
static size_t count_kernel(const struct record *record)
{
    size_t count = 0;
    while (count < record->native_count && kernel_has(record_native(record)[count].pc))
        count++;
    return count;
}

const struct native_frame *rewalk_native(struct rewalk *rewalk, const struct record *record,
                                         const struct module_map *map, size_t *count,
                                         bool *complete)
{
    const uint64_t *registers = record_registers(record);
    const struct stack_copy stack = {.registers = registers,
                                     .bytes = (const uint8_t *)(registers + ARCH_REGISTERS),
                                     .size = record->stack_size};
    bool whole = false;
    size_t found = 0;
    if (record->stack_size != 0 && have_library(rewalk)) {
        found = count_kernel(record);
        memcpy(rewalk->frames, record_native(record), found * sizeof *rewalk->frames);
        found += remote_walk(rewalk->library, map, &stack, rewalk->frames + found,
                             rewalk->capacity - found, &whole);
    }
    if (!whole && (*complete || found <= *count))
        return record_native(record);
    *count = found;
    *complete = whole;
    return rewalk->frames;
}
