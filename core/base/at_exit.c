#include "base/at_exit.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

static void (*_Atomic called)(void);
static _Atomic unsigned times;

static void run(void)
{
    atomic_load (&called)();
}

void at_exit_again(void)
{
    if (atomic_load(&called) != NULL && atomic_fetch_add(&times, 1) < AT_EXIT_TIMES)
        atexit(run);
}

void at_exit_call(void (*call)(void))
{
    void (*none)(void) = NULL;
    if (atomic_compare_exchange_strong(&called, &none, call))
        at_exit_again();
}
