/*
 * libunwind judges the walker: both walk the same ten thousand interrupted stacks, in the same
 * handler, on one thread (where libunwind is safe). The few stacks on which they differ end in
 * glibc's longjmp after it has put the new stack pointer into a register: its unwind
 * information says so, which libunwind does not follow.
 */
#define UNW_LOCAL_ONLY
#include <errno.h>
#include <libunwind.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <dlfcn.h>
#include <cmocka.h>
#include <sys/syscall.h>

#include "unwind/modules.h"
#include "unwind/walk.h"
#include "compile_all.h"
#include "work_code.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { CAPACITY = 512, PRINTED = 8 };

static struct {
    struct modules *modules;
    struct modules_reader reader;
    struct stack_bounds bounds;
    struct walk_memory memory;
    unsigned stops, agreed, complete, printed;
    unsigned ends[WALK_BAD_STACK + 1];
} judge;

static struct modules_reader *readers(void *closure, size_t index)
{
    (void)closure;
    return index == 0 ? &judge.reader : NULL;
}

static size_t walk_with_libunwind(ucontext_t *context, uintptr_t *pcs)
{
    unw_cursor_t cursor;
    size_t count = 0;
    /* On AArch64 libunwind has a type of its own for the same bytes. */
    unw_init_local2(&cursor, (void *)context, UNW_INIT_SIGNAL_FRAME);
    do {
        unw_word_t pc = 0;
        unw_get_reg(&cursor, UNW_REG_IP, &pc);
        if (pc == 0)
            break;
        pcs[count++] = pc;
    } while (count < CAPACITY && unw_step(&cursor) > 0);
    return count;
}

static void print_pc(const char *who, size_t i, uintptr_t pc)
{
    Dl_info info = {0};
    dladdr((void *)pc, &info);
    fprintf(stderr, "  %s #%zu %#lx %s+%#lx (%s+%#lx)\n", who, i, pc,
            info.dli_sname ? info.dli_sname : "?",
            info.dli_saddr ? pc - (uintptr_t)info.dli_saddr : 0,
            info.dli_fname ? info.dli_fname : "?", pc - (uintptr_t)info.dli_fbase);
}

static void print_difference(const struct native_frame *ours, size_t count,
                             const uintptr_t *theirs, size_t their_count, enum walk_end end)
{
    size_t first = 0;
    while (first < count && first < their_count && theirs[first] - ours[first].pc <= 1)
        first++;
    fprintf(stderr, "differ from #%zu, %zu and %zu frames, end %d\n", first, count, their_count,
            (int)end);
    first = first > 2 ? first - 2 : 0;
    for (size_t i = first; i < count && i < first + 6; i++)
        print_pc("ours  ", i, ours[i].pc);
    for (size_t i = first; i < their_count && i < first + 6; i++)
        print_pc("theirs", i, theirs[i]);
}

static void compare_walks(int signo, siginfo_t *info, void *context)
{
    static struct native_frame ours[CAPACITY];
    static uintptr_t theirs[CAPACITY];
    int saved = errno;
    (void)signo;
    (void)info;
    const struct cprof_interrupted thread = {.ucontext = context,
                                             .registers = walk_registers(context)};
    const struct module_map *map = modules_enter(judge.modules, &judge.reader);
    struct walk_result result = {.end = WALK_BAD_STACK};
    const struct walk_room room = {.native = ours,
                                   .native_capacity = CAPACITY,
                                   .bounds = &judge.bounds,
                                   .memory = &judge.memory};
    if (walk_bounds(&judge.bounds, thread.registers.sp))
        result = walk_frames(map, &thread, NULL, &room);
    modules_leave(&judge.reader);
    size_t count = walk_with_libunwind(context, theirs);
    bool agree = count == result.native_count;
    for (size_t i = 0; agree && i < count; i++)
        agree = theirs[i] - ours[i].pc <= 1;
    judge.stops++;
    judge.agreed += agree;
    judge.complete += result.end == WALK_COMPLETE;
    judge.ends[result.end]++;
    if ((!agree || result.end != WALK_COMPLETE) && judge.printed++ < PRINTED)
        print_difference(ours, result.native_count, theirs, count, result.end);
    errno = saved;
}

static timer_t start_stops(void)
{
    timer_t timer;
    struct sigaction action = {.sa_sigaction = compare_walks,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    const struct itimerspec period = {.it_interval.tv_nsec = 100003,
                                      .it_value.tv_nsec = 100003};
    assert_int_equal(sigaction(SIGPROF, &action, NULL), 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &period, NULL), 0);
    return timer;
}

static void work_until(unsigned stops)
{
    static const work_function *const lists[] = {work_O0, work_O2, work_O3_fp, work_realigned};
    volatile unsigned sink = 0;
    for (unsigned seed = 1; judge.stops < stops; seed++) {
        const work_function *list = lists[seed % (sizeof(lists) / sizeof(lists[0]))];
        for (; *list; list++)
            sink += (*list)(seed);
    }
    (void)sink;
}

static void *work_in_thread(void *argument)
{
    judge.bounds = (struct stack_bounds){0};
    timer_t timer = start_stops();
    work_until(*(const unsigned *)argument);
    timer_delete(timer);
    return NULL;
}

static void verdict(unsigned stops)
{
    printf("%u stops: %u agree with libunwind, %u complete; ends:", judge.stops, judge.agreed,
           judge.complete);
    for (size_t i = 0; i <= WALK_BAD_STACK; i++)
        printf(" %u", judge.ends[i]);
    printf("\n");
    assert_true(judge.stops >= stops);
    assert_true(judge.agreed * 1000ULL >= judge.stops * 995ULL);
    assert_true(judge.complete * 1000ULL >= judge.stops * 995ULL);
}

/* The trap flag makes the processor stop after every instruction. */
static void step_through(work_function work, unsigned seed)
{
    static const struct sigaction action = {.sa_sigaction = compare_walks,
                                            .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    __asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
    work(seed);
    __asm__ volatile("pushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
}

static void forget(void)
{
    judge.stops = judge.agreed = judge.complete = judge.printed = 0;
    memset(judge.ends, 0, sizeof(judge.ends));
}

static void stacks_of_the_main_thread_agree_with_libunwind(void **state)
{
    unsigned stops = 10000;
    (void)state;
    forget();
    timer_t timer = start_stops();
    work_until(stops);
    timer_delete(timer);
    verdict(stops);
}

static void stacks_of_other_threads_agree_with_libunwind(void **state)
{
    unsigned stops = 5000;
    pthread_t thread;
    (void)state;
    forget();
    assert_int_equal(pthread_create(&thread, NULL, work_in_thread, &stops), 0);
    pthread_join(thread, NULL);
    verdict(stops);
}

static void every_instruction_agrees_with_libunwind(void **state)
{
    (void)state;
    forget();
    for (const work_function *work = work_once; *work; work++)
        step_through(*work, 1);
    verdict(10000);
}

static int prepare(void **state)
{
    (void)state;
    judge.modules = modules_new(NULL);
    return judge.modules && modules_refresh(judge.modules, readers, NULL) == 1 ? 0 : -1;
}

/* What comes after is walked by compiled tables. */
static void tables_are_compiled(void **state)
{
    (void)state;
    compile_all(judge.modules);
}

static int clean_up(void **state)
{
    (void)state;
    modules_free(judge.modules);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_instruction_agrees_with_libunwind),
        cmocka_unit_test(stacks_of_the_main_thread_agree_with_libunwind),
        cmocka_unit_test(stacks_of_other_threads_agree_with_libunwind),
        cmocka_unit_test(tables_are_compiled),
        cmocka_unit_test(every_instruction_agrees_with_libunwind),
        cmocka_unit_test(stacks_of_the_main_thread_agree_with_libunwind),
        cmocka_unit_test(stacks_of_other_threads_agree_with_libunwind),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
