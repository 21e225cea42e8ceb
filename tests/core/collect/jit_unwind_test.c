/* Code that this program makes, without frame pointers, and registers with debuggers as LLVM
 * does: stacks go through it as they are, and never by what held for other code in its place.
 */
#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "../symbol/jit_list_of_test.h"
#include "collect/jit_unwind.h"
#include "unwind/walk.h"

enum { PAGE = 4096, CAPACITY = 64, EH_FRAME_AT = 2048 };

/* ---- the code ---- */

/* int inner(int (*function)(int), int value) { return function(value); }, with the frame
 * pointer put to other use. The jump after the call keeps it from being read as straight. */
#define INNER_BODY                                                                             \
    0x55, 0x48, 0x83, 0xec, 0x40, 0x48, 0x89, 0xf8, 0x89, 0xf7, 0xbd, 0x01, 0x00, 0x00, 0x00,  \
        0xff, 0xd0, 0xeb, 0x00, 0x48, 0x83, 0xc4, 0x40, 0x5d, 0xc3

/* int outer(inner, function, value) { return inner(function, value); } */
#define OUTER_BODY                                                                             \
    0x53, 0x48, 0x83, 0xec, 0x30, 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x89, 0xd6, 0xff, 0xd0,  \
        0xeb, 0x00, 0x48, 0x83, 0xc4, 0x30, 0x5b, 0xc3

static const uint8_t inner_code[] = {INNER_BODY};
static const uint8_t outer_code[] = {OUTER_BODY};

/* The same two behind `xor %eax, %eax`: their first instructions say nothing. */
static const uint8_t late_inner_code[] = {0x31, 0xc0, INNER_BODY};
static const uint8_t late_outer_code[] = {0x31, 0xc0, OUTER_BODY};

/* inner() with a smaller frame, and a frame pointer. */
static const uint8_t other_code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x10,
                                     0x48, 0x89, 0xf8, 0x89, 0xf7, 0xff, 0xd0, 0xeb,
                                     0x00, 0x48, 0x83, 0xc4, 0x10, 0x5d, 0xc3};

struct made {
    uint8_t *page; /* the code, and behind it its unwind information */
    size_t size, eh_frame_size;
};

static void write_code(struct made *made, const uint8_t *code, size_t size)
{
    assert_int_equal(mprotect(made->page, PAGE, PROT_READ | PROT_WRITE), 0);
    memset(made->page, 0, PAGE);
    memcpy(made->page, code, size);
    made->size = size;
    assert_int_equal(mprotect(made->page, PAGE, PROT_READ | PROT_EXEC), 0);
}

static struct made make(const uint8_t *code, size_t size)
{
    struct made made = {
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0, 0};
    assert_true(made.page != MAP_FAILED);
    write_code(&made, code, size);
    return made;
}

/* An entry that pushes one register, then moves the stack, both behind two bytes. */
static void describe(struct made *made, uint8_t reg, uint8_t frame)
{
    struct {
        uint32_t size, id;
        uint8_t says[16];
        uint32_t entry_size, common;
        uint64_t start, length;
        uint8_t rules[12];
        uint32_t end;
    } __attribute__((packed)) eh_frame = {
        .size = 20,
        .says = {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 7, 8, 0x90, 1},
        .entry_size = 32,
        .common = 28,
        .start = (uintptr_t)made->page,
        .length = made->size,
        .rules = {0, 0x43, 0x0e, 16, 0x80 | reg, 2, 0x44, 0x0e, (uint8_t)(16 + frame)},
    };
    assert_int_equal(mprotect(made->page, PAGE, PROT_READ | PROT_WRITE), 0);
    memcpy(made->page + EH_FRAME_AT, &eh_frame, sizeof eh_frame);
    made->eh_frame_size = sizeof eh_frame;
    assert_int_equal(mprotect(made->page, PAGE, PROT_READ | PROT_EXEC), 0);
}

/* ---- its object ---- */

struct object {
    Elf64_Ehdr header;
    Elf64_Shdr sections[6]; /* none, code, unwind information, symbols, two of names */
    Elf64_Sym symbols[2];
    char names[32], section_names[32];
};

static void register_made(struct jit_entry *entry, struct object *object,
                          const struct made *made)
{
    static const char names[] = "\0.ltext\0.eh_frame";
    uintptr_t code = (uintptr_t)made->page;
    *object = (struct object){
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
                   .e_type = ET_REL,
                   .e_machine = EM_X86_64,
                   .e_shoff = offsetof(struct object, sections),
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = 6,
                   .e_shstrndx = 5},
        .sections = {{.sh_type = SHT_NULL},
                     {.sh_name = 1,
                      .sh_type = SHT_PROGBITS,
                      .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                      .sh_addr = code,
                      .sh_size = made->size},
                     {.sh_name = 8,
                      .sh_type = SHT_PROGBITS,
                      .sh_flags = SHF_ALLOC,
                      .sh_addr = made->eh_frame_size > 0 ? code + EH_FRAME_AT : 0,
                      .sh_size = made->eh_frame_size},
                     {.sh_type = SHT_SYMTAB,
                      .sh_offset = offsetof(struct object, symbols),
                      .sh_size = sizeof object->symbols,
                      .sh_link = 4},
                     {.sh_type = SHT_STRTAB,
                      .sh_offset = offsetof(struct object, names),
                      .sh_size = sizeof object->names},
                     {.sh_type = SHT_STRTAB,
                      .sh_offset = offsetof(struct object, section_names),
                      .sh_size = sizeof object->section_names}},
        .symbols = {{0},
                    {.st_name = 1,
                     .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                     .st_shndx = 1,
                     .st_size = made->size}},
        .names = "\0compiled"};
    memcpy(object->section_names, names, sizeof names);
    *entry = (struct jit_entry){
        .next = __jit_debug_descriptor.first, .object = object, .size = sizeof *object};
    __jit_debug_descriptor.first = entry;
}

/* ---- walks ---- */

static struct budget budget;
static struct modules *modules;
static struct jit_objects objects;
static struct {
    struct walk_memory memory;
    struct walk_result result;
    struct native_frame native[CAPACITY];
} taken;

static struct modules_reader *no_readers(void *closure, size_t index)
{
    (void)closure;
    (void)index;
    return NULL;
}

static void take(int signo, siginfo_t *info, void *context)
{
    const struct cprof_interrupted thread = {.ucontext = context,
                                             .registers = walk_registers(context)};
    struct stack_bounds bounds = {0};
    (void)signo;
    (void)info;
    const struct walk_room room = {.native = taken.native,
                                   .native_capacity = CAPACITY,
                                   .bounds = &bounds,
                                   .memory = &taken.memory};
    if (walk_bounds(&bounds, thread.registers.sp))
        taken.result = walk_frames(modules_current(modules), &thread, NULL, &room);
}

#define PLACED(name) __attribute__((noinline, section("code_" #name)))
extern const char __start_code_sample_here[], __stop_code_sample_here[];
extern const char __start_code_call_outer[], __stop_code_call_outer[];

PLACED(sample_here) static int sample_here(int value)
{
    raise(SIGUSR1);
    return value;
}

PLACED(call_outer)
static int call_outer(const struct made *outer, const struct made *inner, int value)
{
    volatile int kept = value;
    return kept +
           ((int (*)(void *, int (*)(int), int))outer->page)(inner->page, sample_here, value);
}

static bool is_in(const struct native_frame *frame, const void *start, const void *stop)
{
    return frame->pc - (uintptr_t)start < (uintptr_t)stop - (uintptr_t)start;
}

/* sample_here() was called by inner, that by outer, that by call_outer(), and so on to the
 * first function. */
static bool goes_through(const struct made *outer, const struct made *inner)
{
    const struct native_frame *at = taken.native;
    taken.result = (struct walk_result){0};
    assert_int_equal(call_outer(outer, inner, 3), 6);
    if (taken.result.end != WALK_COMPLETE)
        return false;
    while (!is_in(at, __start_code_sample_here, __stop_code_sample_here))
        if (++at == taken.native + CAPACITY - 4)
            return false;
    return is_in(&at[1], inner->page, inner->page + inner->size) &&
           is_in(&at[2], outer->page, outer->page + outer->size) &&
           is_in(&at[3], __start_code_call_outer, __stop_code_call_outer);
}

/* What was met has its tables then. False: nothing new. */
static bool collect(void)
{
    objects.rest_until_ns = 0;
    return jit_unwind(&objects, modules);
}

/* One walk finds out what the next one needs. */
static void learn(const struct made *outer, const struct made *inner)
{
    for (int i = 0; i < 4; i++) {
        (void)goes_through(outer, inner);
        (void)collect();
    }
}

static int begin(void **state)
{
    (void)state;
    const struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    __jit_debug_descriptor.first = NULL;
    budget_init(&budget, 64 << 20);
    jit_objects_init(&objects, &budget);
    memset(&taken, 0, sizeof taken);
    modules = modules_new(&budget);
    return modules && modules_refresh(modules, no_readers, NULL) == 1 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    modules_free(modules);
    jit_objects_free(&objects);
    return budget_used(&budget) == 0 ? 0 : -1;
}

static void know_pages(void)
{
    modules_miss(modules);
    (void)modules_refresh(modules, no_readers, NULL);
}

static void registered_code_is_left_by_its_unwind_information(void **state)
{
    struct jit_entry entry[2];
    struct object object[2];
    (void)state;
    struct made inner = make(late_inner_code, sizeof late_inner_code);
    struct made outer = make(late_outer_code, sizeof late_outer_code);
    know_pages();
    describe(&inner, 6, 0x40);
    describe(&outer, 3, 0x30);
    assert_false(goes_through(&outer, &inner));
    assert_false(collect()); /* of what is not registered nothing is known */
    register_made(&entry[0], &object[0], &inner);
    register_made(&entry[1], &object[1], &outer);
    learn(&outer, &inner);
    assert_true(goes_through(&outer, &inner));
    munmap(inner.page, PAGE);
    munmap(outer.page, PAGE);
}

static void code_that_nobody_describes_is_left_as_its_first_instructions_say(void **state)
{
    struct jit_entry entry[2];
    struct object object[2];
    (void)state;
    struct made inner = make(inner_code, sizeof inner_code);
    struct made outer = make(outer_code, sizeof outer_code);
    know_pages();
    register_made(&entry[0], &object[0], &inner);
    register_made(&entry[1], &object[1], &outer);
    learn(&outer, &inner);
    assert_true(goes_through(&outer, &inner));
    munmap(inner.page, PAGE);
    munmap(outer.page, PAGE);
}

/* Where they say nothing, a stack is left as without them: for a caller that is sure. */
static void first_instructions_that_mislead_are_not_believed(void **state)
{
    struct jit_entry entry[2];
    struct object object[2];
    (void)state;
    struct made inner = make(late_inner_code, sizeof late_inner_code);
    struct made outer = make(late_outer_code, sizeof late_outer_code);
    know_pages();
    register_made(&entry[0], &object[0], &inner);
    register_made(&entry[1], &object[1], &outer);
    learn(&outer, &inner);
    assert_false(goes_through(&outer, &inner));
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    munmap(inner.page, PAGE);
    munmap(outer.page, PAGE);
}

/* At the very next walk, without any look at the list between. */
static void code_in_the_place_of_other_code_is_not_left_by_its_rules(void **state)
{
    struct jit_entry entry[2];
    struct object object[2];
    (void)state;
    struct made inner = make(late_inner_code, sizeof late_inner_code);
    struct made outer = make(late_outer_code, sizeof late_outer_code);
    know_pages();
    describe(&inner, 6, 0x40);
    describe(&outer, 3, 0x30);
    register_made(&entry[0], &object[0], &inner);
    register_made(&entry[1], &object[1], &outer);
    learn(&outer, &inner);
    assert_true(goes_through(&outer, &inner));
    __jit_debug_descriptor.first = NULL;
    write_code(&inner, other_code, sizeof other_code);
    assert_true(goes_through(&outer, &inner)); /* by its frame pointer */
    learn(&outer, &inner);
    assert_true(goes_through(&outer, &inner));
    munmap(inner.page, PAGE);
    munmap(outer.page, PAGE);
}

/* The same entry and object, somewhere else. */
static void an_object_in_the_place_of_another_is_read_anew(void **state)
{
    struct jit_entry entry[2];
    struct object object[2];
    (void)state;
    struct made outer = make(outer_code, sizeof outer_code);
    struct made inner[3];
    for (int i = 0; i < 3; i++)
        inner[i] = make(late_inner_code, sizeof late_inner_code);
    know_pages();
    for (int i = 0; i < 3; i++) {
        __jit_debug_descriptor.first = NULL;
        describe(&inner[i], 6, 0x40);
        register_made(&entry[1], &object[1], &outer);
        register_made(&entry[0], &object[0], &inner[i]);
        learn(&outer, &inner[i]);
        assert_true(goes_through(&outer, &inner[i]));
    }
    for (int i = 0; i < 3; i++)
        munmap(inner[i].page, PAGE);
    munmap(outer.page, PAGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registered_code_is_left_by_its_unwind_information),
        TEST(code_that_nobody_describes_is_left_as_its_first_instructions_say),
        TEST(first_instructions_that_mislead_are_not_believed),
        TEST(code_in_the_place_of_other_code_is_not_left_by_its_rules),
        TEST(an_object_in_the_place_of_another_is_read_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
