/* Walks that libunwind cannot judge: without tables, over broken stacks, stepped by a runtime.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <cmocka.h>

#include "unwind/arch.h"
#include "unwind/modules.h"
#include "unwind/walk.h"
#include "compile_all.h"
#include "untabled.h"

enum { CAPACITY = 128 };

static struct {
    struct modules *modules;
    const struct cprof_runtime *runtime;
    struct stack_bounds bounds;
    struct walk_memory memory;
    size_t capacity;
    bool in_bounds;
    struct walk_result result;
    struct native_frame native[CAPACITY];
    struct cprof_frame stepped[CAPACITY];
    bool restore_pc; /* come back to `back` instead of returning */
    sigjmp_buf back;
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
    (void)signo;
    (void)info;
    int before = errno;
    const struct walk_room room = {.native = taken.native,
                                   .native_capacity = taken.capacity,
                                   .stepped = taken.stepped,
                                   .stepped_capacity = CAPACITY,
                                   .bounds = &taken.bounds,
                                   .memory = &taken.memory};
    taken.in_bounds = walk_bounds(&taken.bounds, thread.registers.sp);
    if (taken.in_bounds)
        taken.result =
            walk_frames(modules_current(taken.modules), &thread, taken.runtime, &room);
    assert_int_equal(errno, before);
    if (taken.restore_pc)
        siglongjmp(taken.back, 1);
}

static void take_on(int signo)
{
    const struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO};
    sigaction(signo, &action, NULL);
}

static size_t frames_in(const void *start, const void *stop)
{
    size_t count = 0;
    for (size_t i = 0; i < taken.result.native_count; i++)
        count += taken.native[i].pc - (uintptr_t)start < (uintptr_t)stop - (uintptr_t)start;
    return count;
}

/* Functions whose frames are counted have a section each, whose bounds the linker tells. */
#define COUNTED(name) __attribute__((noinline, section("code_" #name)))
#define FRAMES_OF(name) frames_in(__start_code_##name, __stop_code_##name)
extern const char __start_code_sample_here[], __stop_code_sample_here[];
#ifdef __x86_64__
extern const char __start_code_call_code[], __stop_code_call_code[];
#endif
extern const char __start_code_call_leaf[], __stop_code_call_leaf[];
extern const char __start_code_call_deep[], __stop_code_call_deep[];
extern const char __start_code_call_plain[], __stop_code_call_plain[];
extern const char __start_code_call_back[], __stop_code_call_back[];
extern const char __start_code_call_wide[], __stop_code_call_wide[];
extern const char __start_code_recurse[], __stop_code_recurse[];
extern const char __start_code_recurse_wide[], __stop_code_recurse_wide[];

COUNTED(sample_here) static int sample_here(int value)
{
    raise(SIGUSR1);
    return value;
}

COUNTED(recurse) static int recurse(int depth)
{
    volatile int local = depth;
    return local + (depth == 0 ? sample_here(local) : recurse(depth - 1));
}

static void frames_lie_on_the_stack_in_order(void **state)
{
    (void)state;
    recurse(10);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_int_equal(FRAMES_OF(recurse), 11);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    /* Where calls leave no address on the stack, a first function's frame may be empty. */
    size_t last = taken.result.native_count - 1;
    for (size_t i = 1; i <= last; i++)
        assert_true(taken.native[i].cfa > taken.native[i - 1].cfa ||
                    (ARCH_LINK_REGISTER && i == last &&
                     taken.native[i].cfa == taken.native[i - 1].cfa));
    assert_true(taken.native[0].cfa < here);
    assert_true(taken.native[taken.result.native_count - 1].cfa > here);
}

/* ---- code without unwind information ---- */

COUNTED(call_leaf) static long call_leaf(void)
{
    volatile long kept = untabled_leaf(getpid(), syscall(SYS_gettid), SIGUSR1);
    return kept;
}

static uintptr_t deep_frame; /* what call_deep() finds its frame with */

COUNTED(call_deep) static long call_deep(void)
{
    deep_frame = (uintptr_t)__builtin_frame_address(0);
    volatile long kept = untabled_deep(getpid(), syscall(SYS_gettid), SIGUSR1);
    return kept;
}

COUNTED(call_plain) static long call_plain(void)
{
    volatile long kept = plain_deep(getpid(), syscall(SYS_gettid), SIGUSR1);
    return kept;
}

COUNTED(call_back) static long call_back(void)
{
    volatile long kept = untabled_callback(sample_here, 3);
    return kept;
}

#ifdef __aarch64__
/* As the linker's stubs are: beside functions with unwind information, without its own. */
long bare_leaf(long pid, long tid, long signo);
__asm__(".text\n"
        ".type bare_leaf, %function\n"
        "bare_leaf: mov x8, #131\n" /* SYS_tgkill */
        "svc #0\n"
        "ret\n");

extern const char __start_code_call_bare[], __stop_code_call_bare[];
COUNTED(call_bare) static long call_bare(void)
{
    volatile long kept = bare_leaf(getpid(), syscall(SYS_gettid), SIGUSR1);
    return kept;
}

static void a_leaf_that_nothing_tells_of_is_left_by_its_link(void **state)
{
    (void)state;
    volatile long kept = call_bare();
    assert_int_equal(kept, 0);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_int_equal(FRAMES_OF(call_bare), 1);
}
#endif

/* Its frame is found by the frame pointer alone. */
COUNTED(call_wide) static long call_wide(size_t size)
{
    volatile char *room = __builtin_alloca(size);
    room[0] = 1;
    return call_deep() + room[0];
}

static void assert_called_once(size_t frames)
{
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_int_equal(frames, 1);
    assert_int_equal(FRAMES_OF(recurse), 0);
}

/* TSan calls a handler later, when the stack that the signal has interrupted has changed. */
static void skip_where_signals_are_late(void)
{
#ifdef __SANITIZE_THREAD__
    skip();
#endif
}

static void code_without_unwind_information_is_left_for_its_caller(void **state)
{
    (void)state;
    skip_where_signals_are_late();
    for (int depth = 0; depth < 40; depth++) {
        recurse(depth); /* leaves its return addresses where frames are going to be */
        call_leaf();
        assert_called_once(FRAMES_OF(call_leaf));
        recurse(depth);
        call_deep();
        assert_called_once(FRAMES_OF(call_deep));
        recurse(depth);
        call_back();
        assert_called_once(FRAMES_OF(call_back));
        assert_int_equal(FRAMES_OF(sample_here), 1);
        recurse(depth);
        call_wide(16 * (size_t)(depth + 4));
        assert_called_once(FRAMES_OF(call_wide));
        assert_int_equal(FRAMES_OF(call_deep), 1);
    }
}

/* As calls of the same library left them, and what an earlier caller found its frame with. */
static void what_earlier_calls_of_it_left_on_the_stack_is_not_its_caller(void **state)
{
    (void)state;
    skip_where_signals_are_late();
    for (int depth = 0; depth < 40; depth++) {
        call_wide(16 * (size_t)(depth + 1));
        call_back();
        call_leaf();
        assert_called_once(FRAMES_OF(call_leaf));
        assert_int_equal(FRAMES_OF(call_deep) + FRAMES_OF(call_wide) + FRAMES_OF(call_back), 0);
        call_wide(16 * (size_t)(depth + 1));
        untabled_left = deep_frame;
        call_deep();
        assert_called_once(FRAMES_OF(call_deep));
        assert_int_equal(FRAMES_OF(call_leaf) + FRAMES_OF(call_wide) + FRAMES_OF(call_back), 0);
    }
}

/* V8's builtins are such code: a search for each of them held threads up. */
static void callers_of_code_of_another_file_are_not_searched_for(void **state)
{
    (void)state;
    skip_where_signals_are_late();
    call_plain();
    assert_int_equal(taken.result.end, WALK_NO_RULE);
    assert_int_equal(FRAMES_OF(call_plain), 0);
    assert_int_equal(taken.result.native_count, 1);
}

static void *start_untabled(void *unused)
{
    untabled_callback(sample_here, 3);
    return unused;
}

static void a_thread_is_walked_through_it_to_its_first_function(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, start_untabled, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_int_equal(FRAMES_OF(sample_here), 1);
}

static void walk_ends_when_capacity_is_reached(void **state)
{
    (void)state;
    taken.capacity = 5;
    recurse(10);
    assert_int_equal(taken.result.end, WALK_FULL);
    assert_int_equal(taken.result.native_count, 5);
}

static void call_through_null_shows_its_caller(void **state)
{
    int (*volatile nowhere)(int) = NULL;
    (void)state;
    taken.restore_pc = true;
    take_on(SIGSEGV);
    if (sigsetjmp(taken.back, 1) == 0)
        nowhere(1);
    signal(SIGSEGV, SIG_DFL);
    assert_int_equal(taken.native[0].pc, 0);
    assert_true(taken.native[1].pc - (uintptr_t)call_through_null_shows_its_caller < 300);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
}

#ifdef __x86_64__
/* int f(int (*function)(int), int value) { return function(value); }, with a frame pointer. The
 * jump after the call leads to the next instruction: the code is not to be read as straight. */
static const unsigned char jitted[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x89,
                                       0xf7, 0xff, 0xd0, 0xeb, 0x00, 0x5d, 0xc3};

/* The same with the frame pointer put to other use, and 64 bytes of the stack that it leaves as
 * they are. */
static const unsigned char frameless[] = {0x55, 0x48, 0x83, 0xec, 0x40, 0x48, 0x89, 0xf8, 0x89,
                                          0xf7, 0xbd, 0x01, 0x00, 0x00, 0x00, 0xff, 0xd0, 0xeb,
                                          0x00, 0x48, 0x83, 0xc4, 0x40, 0x5d, 0xc3};

static void *map_code(const unsigned char *bytes, size_t size)
{
    void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(code != MAP_FAILED);
    memcpy(code, bytes, size);
    mprotect(code, 4096, PROT_READ | PROT_EXEC);
    return code;
}

static void *make_code(void)
{
    return map_code(jitted, sizeof(jitted));
}

static void walk_through(void *code)
{
    ((int (*)(int (*)(int), int))code)(sample_here, 3);
    assert_int_equal(frames_in(code, (char *)code + sizeof(jitted)), 1);
    assert_int_equal(FRAMES_OF(sample_here), 1);
}

static void new_code_is_walked_by_frame_pointer_before_it_is_known(void **state)
{
    (void)state;
    if (!modules_current(taken.modules)->find)
        skip(); /* of a file, as far as we can see */
    void *code = make_code();
    walk_through(code);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_true(taken.result.missed);
    munmap(code, 4096);
}

static void without_the_loader_s_word_new_code_cuts_a_stack_until_it_is_known(void **state)
{
    struct module_map *map = (struct module_map *)(uintptr_t)modules_current(taken.modules);
    loader_find *find = map->find;
    void *code = make_code();
    (void)state;
    map->find = NULL;
    walk_through(code);
    assert_int_equal(taken.result.end, WALK_NO_MODULE);
    assert_true(taken.result.missed);
    map->find = find;
    modules_miss(taken.modules);
    assert_int_equal(modules_refresh(taken.modules, no_readers, NULL), 1);
    walk_through(code);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_false(taken.result.missed);
    munmap(code, 4096);
}

COUNTED(call_code) static int call_code(void *code, int value)
{
    volatile int kept = value;
    return kept + ((int (*)(int (*)(int), int))code)(sample_here, value);
}

static void
code_without_frames_is_left_for_the_caller_that_the_whole_stack_confirms(void **state)
{
    (void)state;
    void *code = map_code(frameless, sizeof frameless);
    modules_miss(taken.modules);
    assert_int_equal(modules_refresh(taken.modules, no_readers, NULL), 1);
    for (int depth = 0; depth < 40; depth++) {
        recurse(depth); /* its return addresses lie where the code's frame is going to be */
        call_code(code, 3);
        assert_int_equal(taken.result.end, WALK_COMPLETE);
        assert_int_equal(frames_in(code, (char *)code + sizeof frameless), 1);
        assert_int_equal(FRAMES_OF(sample_here), 1);
        assert_int_equal(FRAMES_OF(call_code), 1);
        assert_int_equal(FRAMES_OF(recurse), 0);
    }
    munmap(code, 4096);
}

static void *stepped_code;

static bool step(const struct cprof_interrupted *thread, struct cprof_registers *registers,
                 struct cprof_frame *frame)
{
    (void)thread;
    if (registers->pc - (uintptr_t)stepped_code >= sizeof(jitted))
        return false;
    const uintptr_t *record = (const uintptr_t *)registers->fp;
    *frame = (struct cprof_frame){.token = 7, .position = registers->pc};
    *registers =
        (struct cprof_registers){.pc = record[1], .fp = record[0], .sp = registers->fp + 16};
    return true;
}

static void runtime_steps_through_its_own_frames(void **state)
{
    static const struct cprof_runtime runtime = {.name = "test", .step = step};
    (void)state;
    stepped_code = make_code();
    taken.runtime = &runtime;
    ((int (*)(int (*)(int), int))stepped_code)(sample_here, 3);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_int_equal(taken.result.stepped_count, 1);
    assert_int_equal(taken.stepped[0].token, 7);
    uintptr_t low = 0;
    for (size_t i = 0; i < taken.result.native_count; i++) {
        if (taken.native[i].pc - (uintptr_t)stepped_code < sizeof(jitted))
            assert_in_range(taken.stepped[0].stack, low, taken.native[i].cfa - 1);
        low = taken.native[i].cfa;
    }
    munmap(stepped_code, 4096);
}
#endif

static ucontext_t fiber;
static ucontext_t outside;

static void run_fiber(void)
{
    recurse(3);
    swapcontext(&fiber, &outside);
}

/* The stack is followed by a page that must not be touched. */
static void fiber_is_walked_to_its_first_function(void **state)
{
    enum { SIZE = 64 << 10, GUARD = 4096 };
    (void)state;
    char *stack = mmap(NULL, SIZE + GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(mprotect(stack, SIZE, PROT_READ | PROT_WRITE), 0);
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = stack;
    fiber.uc_stack.ss_size = SIZE;
    fiber.uc_link = &outside;
    makecontext(&fiber, run_fiber, 0);
    swapcontext(&outside, &fiber);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_int_equal(FRAMES_OF(recurse), 4);
    assert_true(taken.bounds.high <= (uintptr_t)stack + SIZE);
    munmap(stack, SIZE + GUARD);
    recurse(2);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
}

static void *sample_in_thread(void *argument)
{
    taken.bounds = (struct stack_bounds){0};
    recurse(4);
    return argument;
}

static void own_stack_of_a_thread_is_known_to_its_end(void **state)
{
    pthread_t thread;
    (void)state;
    pthread_create(&thread, NULL, sample_in_thread, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_int_equal(taken.bounds.high, taken.bounds.reach);
}

/* Rules know registers that were saved within 32 KiB of the CFA. AArch64 saves them at the
 * other end of a frame. */
#ifdef __aarch64__
#define WIDE_FRAME (24 << 10)
#else
#define WIDE_FRAME (64 << 10)
#endif
enum { WIDE_FRAMES = (2560 << 10) / WIDE_FRAME };

COUNTED(recurse_wide) static int recurse_wide(int depth)
{
    volatile char block[WIDE_FRAME];
    block[0] = (char)depth;
    __asm__ volatile("" : : "r"(block) : "memory"); /* or recursion becomes a loop */
    return block[0] + (depth == 0 ? sample_here(1) : recurse_wide(depth - 1));
}

static void stack_deeper_than_is_kept_in_mind_is_walked_all_the_same(void **state)
{
    (void)state;
    recurse_wide(WIDE_FRAMES - 1);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
    assert_int_equal(FRAMES_OF(recurse_wide), WIDE_FRAMES);
    recurse(2);
    assert_int_equal(taken.result.end, WALK_COMPLETE);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Where a context keeps its registers; `count` is of the general ones. */
struct places {
    uint64_t *general, *pc, *sp, *fp;
    size_t count;
};

static struct places places_in(ucontext_t *context)
{
#if defined(__x86_64__)
    uint64_t *r = (uint64_t *)context->uc_mcontext.gregs;
    return (struct places){r, r + REG_RIP, r + REG_RSP, r + REG_RBP, NGREG};
#else
    uint64_t *r = (uint64_t *)context->uc_mcontext.regs;
    return (struct places){r, (uint64_t *)&context->uc_mcontext.pc,
                           (uint64_t *)&context->uc_mcontext.sp, r + 29, 31};
#endif
}

static uint64_t wrong_value(uint64_t *seed, unsigned round, uintptr_t stack)
{
    return round % 3 ? stack - 8192 + next_random(seed) % 65536 : next_random(seed);
}

/* Every function of the process with every kind of wrong stack. */
static void no_registers_however_wrong_crash_the_walker(void **state)
{
    uint64_t seed = 88172645463325252u;
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0);
    const struct module_map *map = modules_current(taken.modules);
    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        ucontext_t context;
        memset(&context, 0, sizeof(context));
        const struct places registers = places_in(&context);
        for (size_t reg = 0; reg < registers.count; reg++)
            registers.general[reg] = wrong_value(&seed, i, stack);
        *registers.sp = wrong_value(&seed, i, stack);
        const struct module *module = map->modules[next_random(&seed) % map->count];
        if (i % 5)
            *registers.pc =
                module->start + next_random(&seed) % (module->limit - module->start);
        if (i % 2)
            *registers.sp &= ~UINT64_C(7);
        if (i % 4)
            *registers.fp &= ~UINT64_C(7);
        const struct cprof_interrupted thread = {.ucontext = &context,
                                                 .registers = walk_registers(&context)};
        struct stack_bounds bounds = {0};
        if (!walk_bounds(&bounds, thread.registers.sp))
            continue;
        const struct walk_room room = {.native = taken.native,
                                       .native_capacity = CAPACITY,
                                       .bounds = &bounds,
                                       .memory = &taken.memory};
        struct walk_result result = walk_frames(map, &thread, NULL, &room);
        assert_in_range(result.native_count, 1, CAPACITY);
        assert_in_range(result.end, WALK_COMPLETE, WALK_BAD_STACK);
    }
}

static int prepare(void **state)
{
    (void)state;
    taken.runtime = NULL;
    taken.bounds = (struct stack_bounds){0};
    taken.capacity = CAPACITY;
    taken.restore_pc = false;
    taken.modules = modules_new(NULL);
    take_on(SIGUSR1);
    memset(&taken.memory, 0, sizeof(taken.memory));
    return modules_refresh(taken.modules, no_readers, NULL) == 1 ? 0 : -1;
}

static int prepare_with_tables(void **state)
{
    if (prepare(state) != 0)
        return -1;
    compile_all(taken.modules);
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    modules_free(taken.modules);
    return 0;
}

/* Both by the mapped unwind information and by compiled tables. */
#define WALK_TEST(name)                                                                        \
    {#name, name, prepare, clean_up, NULL},                                                    \
    {                                                                                          \
#name " (tables)", name, prepare_with_tables, clean_up, NULL                           \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WALK_TEST(frames_lie_on_the_stack_in_order),
#ifdef __aarch64__
        WALK_TEST(a_leaf_that_nothing_tells_of_is_left_by_its_link),
#endif
        WALK_TEST(code_without_unwind_information_is_left_for_its_caller),
        WALK_TEST(what_earlier_calls_of_it_left_on_the_stack_is_not_its_caller),
        WALK_TEST(callers_of_code_of_another_file_are_not_searched_for),
        WALK_TEST(a_thread_is_walked_through_it_to_its_first_function),
        WALK_TEST(walk_ends_when_capacity_is_reached),
        WALK_TEST(call_through_null_shows_its_caller),
#ifdef __x86_64__
        WALK_TEST(code_without_frames_is_left_for_the_caller_that_the_whole_stack_confirms),
        WALK_TEST(new_code_is_walked_by_frame_pointer_before_it_is_known),
        WALK_TEST(without_the_loader_s_word_new_code_cuts_a_stack_until_it_is_known),
        WALK_TEST(runtime_steps_through_its_own_frames),
#endif
        WALK_TEST(fiber_is_walked_to_its_first_function),
        WALK_TEST(own_stack_of_a_thread_is_known_to_its_end),
        WALK_TEST(stack_deeper_than_is_kept_in_mind_is_walked_all_the_same),
        WALK_TEST(no_registers_however_wrong_crash_the_walker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
