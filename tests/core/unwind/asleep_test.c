/* Threads that sleep are walked by another one, from the pc and the stack pointer that the
 * kernel tells, and again by a signal handler of their own right after: it is the same stack.
 * This file is compiled with frame pointers (CMakeLists.txt), which the kernel does not tell.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "compile_all.h"
#include "unwind/modules.h"
#include "unwind/walk.h"

#define SPIN __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls")))

enum { CAPACITY = 128 };

static struct modules *modules;
static struct copied copied;
static struct walk_memory memory, handler_memory;
static int pipe_ends[2], epoll_fd;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static sem_t semaphore;
static atomic_bool over;

static struct walked {
    struct native_frame native[CAPACITY];
    struct walk_result result;
} by_look, by_handler;
static atomic_bool handled;

static struct modules_reader *no_readers(void *closure, size_t index)
{
    (void)closure, (void)index;
    return NULL;
}

/* ---- ways of waiting ---- */

static void in_nanosleep(void)
{
    nanosleep(&(struct timespec){.tv_sec = 100}, NULL);
}

static void in_read(void)
{
    char byte;
    (void)!read(pipe_ends[0], &byte, 1);
}

static void in_poll(void)
{
    struct pollfd fd = {.fd = pipe_ends[0], .events = POLLIN};
    poll(&fd, 1, -1);
}

static void in_epoll(void)
{
    struct epoll_event event;
    epoll_wait(epoll_fd, &event, 1, -1);
}

static void in_condition(void)
{
    pthread_mutex_lock(&mutex);
    pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void in_mutex(void)
{
    pthread_mutex_lock(&held);
    pthread_mutex_unlock(&held);
}

static void in_semaphore(void)
{
    sem_wait(&semaphore);
}

/* The innermost frame itself is found by its frame pointer. */
static void in_a_call_of_its_own(void)
{
    volatile char room[300];
    room[0] = 0;
    struct timespec long_time = {.tv_sec = 100};
    __asm__ volatile("syscall"
                     :
                     : "a"((long)SYS_nanosleep), "D"(&long_time), "S"(0L)
                     : "rcx", "r11", "memory");
    room[1] = room[0];
}

/* One frame of different sizes: what was learnt of it is wrong for the next thread. */
static _Thread_local size_t size_of_room;

static void in_a_room_of_some_size(void)
{
    volatile char *room = __builtin_alloca(size_of_room);
    room[0] = 0;
    in_a_call_of_its_own();
    room[1] = room[0];
}

static void in_a_call_beside_it(void)
{
    volatile char *room = __builtin_alloca(size_of_room);
    struct timespec long_time = {.tv_sec = 100};
    room[0] = 0;
    __asm__ volatile("syscall"
                     :
                     : "a"((long)SYS_nanosleep), "D"(&long_time), "S"(0L)
                     : "rcx", "r11", "memory");
    room[1] = room[0];
}

static void (*const ways[])(void) = {in_nanosleep,
                                     in_read,
                                     in_poll,
                                     in_epoll,
                                     in_condition,
                                     in_mutex,
                                     in_semaphore,
                                     in_a_call_of_its_own,
                                     in_a_room_of_some_size,
                                     in_a_room_of_some_size,
                                     in_a_call_beside_it,
                                     in_a_call_beside_it,
                                     in_a_call_beside_it};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static _Atomic long sleepers[WAYS];

/* What earlier calls leave on the stack: return addresses and frame pointers. */
SPIN static int litter(int depth)
{
    volatile int room[24];
    room[depth % 24] = depth;
    return depth > 0 ? litter(depth - 1) + room[depth % 24] : 0;
}

SPIN static int sleep_below(void (*way)(void), int depth)
{
    volatile int result = depth;
    if (depth > 0)
        return sleep_below(way, depth - 1) + result;
    result += litter(20);
    while (!atomic_load(&over))
        way();
    return result;
}

static void *sleeper(void *argument)
{
    size_t way = (size_t)argument;
    size_of_room = 16 + 208 * way;
    atomic_store(&sleepers[way], syscall(SYS_gettid));
    sleep_below(ways[way], (int)way);
    return NULL;
}

/* ---- two walks ---- */

static void take(int signo, siginfo_t *info, void *context)
{
    static struct stack_bounds bounds;
    (void)signo, (void)info;
    const struct cprof_interrupted thread = {.ucontext = context,
                                             .registers = walk_registers(context)};
    const struct walk_room room = {.native = by_handler.native,
                                   .native_capacity = CAPACITY,
                                   .bounds = &bounds,
                                   .memory = &handler_memory};
    bounds = (struct stack_bounds){0};
    if (walk_bounds(&bounds, thread.registers.sp))
        by_handler.result = walk_frames(modules_current(modules), &thread, NULL, &room);
    atomic_store(&handled, true);
}

/* False: it does not sleep. */
static bool where(long tid, struct cprof_registers *asleep)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%ld/syscall", tid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    char *sp = NULL;
    for (char *word = strtok(line, " "), *last = NULL; word != NULL;
         last = word, word = strtok(NULL, " ")) {
        sp = last;
        asleep->pc = strtoul(word, NULL, 16);
    }
    asleep->sp = sp != NULL ? strtoul(sp, NULL, 16) : 0;
    return sp != NULL;
}

static void walk_from(const struct cprof_registers *registers)
{
    const struct cprof_sleeper sleeper = {.registers = *registers};
    const struct walk_room room = {
        .native = by_look.native, .native_capacity = CAPACITY, .memory = &memory};
    copied_begin(&copied, sleeper.registers.sp);
    by_look.result = walk_asleep(modules_current(modules), &sleeper, NULL, &room, &copied);
}

static void look(long tid)
{
    struct cprof_registers registers;
    while (!where(tid, &registers))
        usleep(1000);
    walk_from(&registers);
    atomic_store(&handled, false);
    syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
    while (!atomic_load(&handled))
        usleep(100);
}

static void sleeping_threads_have_the_stacks_that_their_handlers_see(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < WAYS; i++) {
            while (atomic_load(&sleepers[i]) == 0)
                usleep(1000);
            usleep(20000);
            look(atomic_load(&sleepers[i]));
            assert_int_equal(by_handler.result.end, WALK_COMPLETE);
            assert_int_equal(by_look.result.end, WALK_COMPLETE);
            assert_int_equal(by_look.result.native_count, by_handler.result.native_count);
            assert_true(by_look.result.native_count > i + 3);
            /* A call that the signal has the kernel make again is not left yet. */
            enum { SYSCALL_INSTRUCTION = 2 };
            if (by_look.native[0].pc == by_handler.native[0].pc + SYSCALL_INSTRUCTION)
                by_handler.native[0].pc = by_look.native[0].pc;
            for (size_t frame = 0; frame < by_look.result.native_count; frame++) {
                assert_int_equal(by_look.native[frame].pc, by_handler.native[frame].pc);
                assert_int_equal(by_look.native[frame].cfa, by_handler.native[frame].cfa);
            }
        }
}

enum { WINDOW = COPIED_PAGES * COPIED_PAGE, WORDS = 4096 };

static void read_all_words(uint64_t *words)
{
    uint64_t word;
    for (size_t i = 0; i < WORDS; i++)
        words[i] = i;
    for (size_t round = 0; round < 2; round++) {
        copied_begin(&copied, (uintptr_t)&words[100]);
        for (size_t i = WORDS; i-- > 0;) {
            assert_true(copied_read(&copied, (uintptr_t)&words[i], &word, sizeof word));
            assert_int_equal(word, i);
        }
    }
}

/* As much as was needed the last time is there at once, and keeps what it was. */
static bool is_there_at_once(uint64_t *words)
{
    uint64_t word;
    copied_begin(&copied, (uintptr_t)&words[100]);
    words[3500] = 0;
    assert_true(copied_read(&copied, (uintptr_t)&words[3500], &word, sizeof word));
    words[3500] = 3500;
    return word == 3500;
}

/* Of two windows of pages one at most begins where places come to an end. */
static void what_lies_below_the_stack_pointer_is_read_when_it_is_asked_for(void **state)
{
    (void)state;
    static uint8_t room[3 * WINDOW];
    uint64_t *first = (uint64_t *)(((uintptr_t)room + WINDOW - 1) / WINDOW * WINDOW);
    uint64_t *second = first + WINDOW / sizeof *first;
    read_all_words(first);
    read_all_words(second);
    assert_true(is_there_at_once(first) || is_there_at_once(second));
}

static void pages_a_mebibyte_apart_are_kept_beside_each_other(void **state)
{
    (void)state;
    enum { APART = 1 << 20 };
    static uint8_t room[APART + 2 * COPIED_PAGE];
    uint8_t byte = 0;
    copied_begin(&copied, (uintptr_t)room);
    assert_true(copied_read(&copied, (uintptr_t)&room[APART], &byte, 1));
    room[0] = 1;
    assert_true(copied_read(&copied, (uintptr_t)&room[0], &byte, 1));
    assert_int_equal(byte, 0);
    room[0] = 0;
}

static void what_can_t_be_read_is_no_stack(void **state)
{
    (void)state;
    char *pages =
        mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    memset(pages, 0x41, (size_t)3 * 4096);
    assert_int_equal(munmap(pages + 4096, 4096), 0);
    const struct walk_room room = {
        .native = by_look.native, .native_capacity = CAPACITY, .memory = &memory};
    const uintptr_t sps[] = {
        (uintptr_t)pages + 4000, (uintptr_t)pages + 4096, 0, 8, UINTPTR_MAX - 7,
        UINTPTR_MAX / 2 + 9,     (uintptr_t)pages + 8191};
    for (size_t i = 0; i < sizeof sps / sizeof sps[0]; i++) {
        const struct cprof_sleeper sleeper = {
            .registers = {.pc = (uintptr_t)&in_poll + 8, .sp = sps[i]}};
        copied_begin(&copied, sps[i]);
        struct walk_result result =
            walk_asleep(modules_current(modules), &sleeper, NULL, &room, &copied);
        assert_int_not_equal(result.end, WALK_COMPLETE);
    }
    uint64_t word;
    copied_begin(&copied, (uintptr_t)pages);
    assert_true(copied_read(&copied, (uintptr_t)pages + 4088, &word, 8));
    assert_false(copied_read(&copied, (uintptr_t)pages + 4092, &word, 8));
    assert_false(copied_read(&copied, (uintptr_t)pages + 4096, &word, 8));
    assert_true(copied_read(&copied, (uintptr_t)pages + 8192, &word, 8));
    assert_null(copied_piece(&copied, (uintptr_t)pages, COPIED_PIECE + 1));
    /* A page that shares its place with another one. */
    assert_true(copied_read(&copied, (uintptr_t)&copied.bytes[7], &word, 8));
    assert_memory_equal(&word, &copied.bytes[7], 8);
    munmap(pages, 4096);
    munmap(pages + 8192, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleeping_threads_have_the_stacks_that_their_handlers_see),
        cmocka_unit_test(what_lies_below_the_stack_pointer_is_read_when_it_is_asked_for),
        cmocka_unit_test(pages_a_mebibyte_apart_are_kept_beside_each_other),
        cmocka_unit_test(what_can_t_be_read_is_no_stack),
    };
    const struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct budget budget;
    budget_init(&budget, (size_t)64 << 20);
    modules = modules_new(&budget);
    assert_true(modules_refresh(modules, no_readers, NULL) >= 0);
    compile_all(modules);
    sigaction(SIGUSR1, &action, NULL);
    (void)!pipe(pipe_ends);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    sem_init(&semaphore, 0, 0);
    pthread_mutex_lock(&held);
    for (size_t i = 0; i < WAYS; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, sleeper, (void *)i), 0);
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    _exit(failed);
}
