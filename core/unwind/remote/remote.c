/* libcprof_unwind.so: the one file that knows libunwind. See unwind/remote.h. */
#include "unwind/remote.h"

#include <libunwind.h>
#include <stdlib.h>
#include <string.h>

#include "unwind/arch.h"

/* Exported by libunwind for tools that find unwind information themselves; in no header. */
#define search_unwind_table UNW_OBJ(dwarf_search_unwind_table)
int search_unwind_table(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *info,
                        unw_proc_info_t *found, int need_unwind_info, void *argument);

struct walk {
    const struct stack_copy *stack;
    const struct remote_memory *memory;
};

static int find_procedure(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *found,
                          int need_unwind_info, void *argument)
{
    const struct walk *walk = argument;
    struct remote_code code;
    if (!walk->memory->code(walk->memory->closure, ip, &code))
        return -UNW_ENOINFO;
    unw_dyn_info_t info = {
        .start_ip = code.start, .end_ip = code.limit, .format = UNW_INFO_FORMAT_REMOTE_TABLE};
    info.u.rti.segbase = code.header;
    info.u.rti.table_data = code.pairs;
    info.u.rti.table_len = code.pair_count; /* in words: a pair is one */
    return search_unwind_table(space, ip, &info, found, need_unwind_info, argument);
}

static void put_procedure(unw_addr_space_t space, unw_proc_info_t *found, void *argument)
{
    (void)space, (void)found, (void)argument; /* libunwind frees what it made */
}

static int no_dynamic_code(unw_addr_space_t space, unw_word_t *list, void *argument)
{
    (void)space, (void)list, (void)argument;
    return -UNW_ENOINFO;
}

/* Stack words come from the copy alone: the stack itself has long changed. */
static int access_memory(unw_addr_space_t space, unw_word_t address, unw_word_t *word,
                         int write, void *argument)
{
    (void)space;
    const struct walk *walk = argument;
    const struct stack_copy *stack = walk->stack;
    uint64_t offset = address - stack->registers[ARCH_DWARF_SP];
    if (write)
        return -UNW_EINVAL;
    if (offset < stack->size) {
        if (stack->size - offset < sizeof *word)
            return -UNW_EINVAL;
        memcpy(word, stack->bytes + offset, sizeof *word);
        return 0;
    }
    return walk->memory->read(walk->memory->closure, address, word) ? 0 : -UNW_EINVAL;
}

static int access_register(unw_addr_space_t space, unw_regnum_t number, unw_word_t *value,
                           int write, void *argument)
{
    (void)space;
    const struct walk *walk = argument;
    if (write || number < 0 || number >= ARCH_REGISTERS)
        return -UNW_EBADREG;
    *value = walk->stack->registers[number];
    return 0;
}

static int access_float(unw_addr_space_t space, unw_regnum_t number, unw_fpreg_t *value,
                        int write, void *argument)
{
    (void)space, (void)number, (void)value, (void)write, (void)argument;
    return -UNW_EBADREG;
}

static int resume(unw_addr_space_t space, unw_cursor_t *cursor, void *argument)
{
    (void)space, (void)cursor, (void)argument;
    return -UNW_EINVAL;
}

static unw_addr_space_t the_space(void)
{
    static unw_accessors_t accessors = {
        .find_proc_info = find_procedure,
        .put_unwind_info = put_procedure,
        .get_dyn_info_list_addr = no_dynamic_code,
        .access_mem = access_memory,
        .access_reg = access_register,
        .access_fpreg = access_float,
        .resume = resume,
    };
    static unw_addr_space_t space;
    if (space == NULL) {
        space = unw_create_addr_space(&accessors, 0);
        if (space != NULL) /* a cache would outlive the modules it speaks of */
            unw_set_caching_policy(space, UNW_CACHE_NONE);
    }
    return space;
}

static size_t walk_copy(const struct stack_copy *stack, const struct remote_memory *memory,
                        struct native_frame *frames, size_t capacity, bool *complete)
{
    struct walk walk = {.stack = stack, .memory = memory};
    unw_cursor_t cursor;
    size_t count = 0;
    *complete = false;
    if (the_space() == NULL || unw_init_remote(&cursor, the_space(), &walk) != 0)
        return 0;
    unw_word_t sp = stack->registers[ARCH_DWARF_SP];
    bool innermost = true;
    while (count < capacity) {
        unw_word_t pc;
        if (unw_get_reg(&cursor, UNW_REG_IP, &pc) != 0 || pc == 0) {
            *complete = count > 0 && pc == 0;
            break;
        }
        bool exact = innermost || unw_is_signal_frame(&cursor) > 0;
        struct native_frame *frame = &frames[count++];
        frame->pc = (uintptr_t)(exact ? pc : pc - 1);
        frame->cfa = (uintptr_t)sp;
        int left = unw_step(&cursor);
        *complete = left == 0;
        if (left <= 0)
            break;
        unw_word_t above;
        if (unw_get_reg(&cursor, UNW_REG_SP, &above) != 0 || above < sp ||
            (above == sp && !innermost))
            break;
        frame->cfa = (uintptr_t)(sp = above);
        innermost = false;
    }
    return count;
}

__attribute__((visibility("default"))) extern const struct unwind_library cprof_unwind;

const struct unwind_library cprof_unwind = {
    .version = UNWIND_LIBRARY_VERSION,
    .walk = walk_copy,
};
