/*
 * Preloaded by a test: how often Ruby is asked to run a job while another thread is just
 * asking, which Ruby before 3.3 does not bear. Told at the process's end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>

static int (*real)(unsigned flags, void (*job)(void *), void *data);
static atomic_int inside, asked, at_once;

__attribute__((constructor)) static void prepare(void)
{
    *(void **)&real = dlsym(RTLD_NEXT, "rb_postponed_job_register_one");
}

__attribute__((destructor)) static void tell(void)
{
    fprintf(stderr, "asked %d times, %d at once\n", asked, at_once);
}

int rb_postponed_job_register_one(unsigned flags, void (*job)(void *), void *data)
{
    asked++;
    at_once += atomic_fetch_add(&inside, 1) > 0;
    for (volatile int i = 0; i < 20000; i++) /* long enough to be met */
        continue;
    int result = real(flags, job, data);
    inside--;
    return result;
}
