#include "work_code.h"

#include <alloca.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int compare(const void *a, const void *b)
{
    unsigned left = *(const unsigned *)a;
    unsigned right = *(const unsigned *)b;
    return (left > right) - (left < right);
}

static unsigned sort_with_callback(unsigned seed)
{
    unsigned values[300];
    for (size_t i = 0; i < 300; i++)
        values[i] = seed = seed * 1103515245u + 12345u;
    qsort(values, 300, sizeof(values[0]), compare);
    return values[seed % 300];
}

static unsigned print_into_buffer(unsigned seed)
{
    char line[400];
    int length = 0;
    for (unsigned i = 0; i < 20; i++)
        length += snprintf(line, sizeof(line), "%u %s %a %-20d|%5.3f", seed, "cprof",
                           (double)seed / 3, length, sqrt(seed + i));
    return (unsigned)length;
}

static unsigned string_functions(unsigned seed)
{
    static char from[4096];
    static char to[4096];
    unsigned sum = 0;
    for (unsigned i = 0; i < 20; i++) {
        size_t size = 1 + (seed + i * 97) % 4000;
        memset(from, 'x', size);
        from[size] = '\0';
        memcpy(to, from, size + 1);
        sum += (unsigned)strlen(to) + (unsigned)memcmp(to, from, size) +
               (strchr(to, 'y') ? 1u : 0u);
    }
    return sum;
}

static unsigned allocate(unsigned seed)
{
    void *blocks[50];
    for (size_t i = 0; i < 50; i++)
        blocks[i] = malloc(16 + (seed + i * 131) % 5000);
    for (size_t i = 0; i < 50; i++)
        free(blocks[i]);
    return (unsigned)(uintptr_t)blocks[seed % 50];
}

static unsigned ask_the_time(unsigned seed)
{
    struct timespec now = {0};
    for (int i = 0; i < 50; i++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed += (unsigned)now.tv_nsec;
    }
    return seed;
}

static unsigned recurse(unsigned depth, unsigned seed, const char *text)
{
    char local[48];
    if (depth == 0)
        return seed;
    strncpy(local, text, sizeof(local) - 1);
    local[sizeof(local) - 1] = '\0';
    return recurse(depth - 1, seed * 31 + depth, local) + (unsigned char)local[depth % 40];
}

static unsigned recurse_deeply(unsigned seed)
{
    return recurse(20 + seed % 100, seed, "a name that is long enough to copy a while");
}

__attribute__((noinline)) static unsigned use_block(unsigned char *block, size_t size)
{
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += block[i] = (unsigned char)(i * 7);
    return sum;
}

static unsigned grow_the_frame(unsigned seed)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        size_t size = 64 + (seed + i * 53) % 800;
        sum += use_block(alloca(size), size);
    }
    return sum;
}

static jmp_buf back;

__attribute__((noinline)) static void jump_from(unsigned depth)
{
    if (depth == 0)
        longjmp(back, 1);
    jump_from(depth - 1);
    __asm__ volatile("");
}

static unsigned jump_back(unsigned seed)
{
    volatile unsigned count = 0;
    for (unsigned i = 0; i < 30; i++)
        if (setjmp(back) == 0)
            jump_from((seed + i) % 12);
        else
            count++;
    return count;
}

__attribute__((noinline, noreturn)) static void never_returns(int jump)
{
    for (volatile int i = 0; i < 200; i++)
        ;
    longjmp(back, jump);
}

/* The call is this function's last instruction: its return address is the next function's. */
__attribute__((noinline)) static void ends_with_call(unsigned seed)
{
    never_returns((int)(seed | 1));
}

static unsigned call_at_the_end(unsigned seed)
{
    for (volatile unsigned i = 0; i < 5; i++)
        if (setjmp(back) == 0)
            ends_with_call(seed);
    return seed;
}

__attribute__((noinline)) static double sum_of(int count, ...)
{
    va_list list;
    double sum = 0;
    va_start(list, count);
    for (int i = 0; i < count; i++)
        sum += va_arg(list, double);
    va_end(list);
    return sum;
}

static unsigned floating_point(unsigned seed)
{
    double total = 0;
    for (int i = 0; i < 30; i++)
        total += sum_of(4, sin(seed + i), exp(i / 30.0), pow(1.1, i), 0.5);
    return (unsigned)total;
}

/* Wants more alignment than the caller gives: the frame is found through a saved pointer. */
__attribute__((noinline)) static unsigned over_aligned(unsigned seed, unsigned *to)
{
    _Alignas(64) unsigned words[32];
    for (unsigned i = 0; i < 32; i++)
        words[i] = seed + i * *to;
    *to += use_block((unsigned char *)words, sizeof(words));
    return words[seed % 32];
}

static unsigned align_the_frame(unsigned seed)
{
    unsigned sum = seed;
    for (unsigned i = 0; i < 10; i++)
        sum += over_aligned(i, &sum);
    return sum;
}

static volatile sig_atomic_t handled;

static void handle(int signo)
{
    (void)signo;
    handled += (int)sort_with_callback((unsigned)handled);
}

/* Raises a signal whose handler runs on this stack, or on its own. */
static unsigned handle_signal(unsigned seed, int flags, int signo)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};
    sigaction(signo, &action, NULL);
    raise(signo);
    return seed + (unsigned)handled;
}

static unsigned signal_on_this_stack(unsigned seed)
{
    return handle_signal(seed, 0, SIGUSR1);
}

static unsigned signal_on_its_own_stack(unsigned seed)
{
    static _Alignas(16) char stack[64 << 10];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    const stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&alternate, NULL);
    seed = handle_signal(seed, SA_ONSTACK, SIGUSR2);
    sigaltstack(&none, NULL);
    return seed;
}

const work_function WORK_LIST[] = {
    sort_with_callback,
    print_into_buffer,
    string_functions,
    allocate,
    ask_the_time,
    recurse_deeply,
    grow_the_frame,
    jump_back,
    call_at_the_end,
    floating_point,
    align_the_frame,
    signal_on_this_stack,
    signal_on_its_own_stack,
    NULL,
};
