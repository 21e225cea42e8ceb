#include "work_code.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* First calls go through .plt to the loader, which finds the function and binds it. */
static unsigned bind_lazily(unsigned seed)
{
    char text[] = "abcdefgh";
    return seed + (unsigned)strspn(text, "abc") + (unsigned)strcspn(text, "h") +
           (unsigned)(strpbrk(text, "xyz") != NULL) + (unsigned)labs(-3L) +
           (unsigned)strtoul("42", NULL, 10);
}

static unsigned sort(unsigned seed)
{
    char words[12][8];
    for (unsigned i = 0; i < 12; i++)
        snprintf(words[i], sizeof(words[i]), "%u", (seed * 7919u + i * 104729u) % 1000);
    qsort(words, 12, sizeof(words[0]), compare);
    return (unsigned)atoi(words[3]);
}

static unsigned print(unsigned seed)
{
    char line[200];
    return (unsigned)snprintf(line, sizeof(line), "%g %s %d", seed / 7.0, "word", -5);
}

static unsigned read_clock(unsigned seed)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return seed + (unsigned)now.tv_nsec;
}

static unsigned allocate(unsigned seed)
{
    void *block = malloc(100000 + seed);
    block = realloc(block, 300000);
    free(block);
    return seed;
}

static void handle(int signo)
{
    (void)signo;
}

/* The handler itself runs freely (the kernel clears the trap flag), its return does not. */
static unsigned take_signal(unsigned seed)
{
    signal(SIGUSR1, handle);
    raise(SIGUSR1);
    return seed;
}

const work_function work_once[] = {bind_lazily, sort,        print, read_clock,
                                   allocate,    take_signal, NULL};
