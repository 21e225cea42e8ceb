/*
 * A program that burns known CPU time with the whole engine in it, and what its profile says.
 */
#ifndef CPROF_TESTS_RUNNING_H
#define CPROF_TESTS_RUNNING_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <time.h>

#include "cprof/cprof.h"
#include "cprof/runtime.h"
#include "profile/profile.h"

extern char directory[32]; /* the program's own */
extern char output[96];    /* in it: where the running test's profile goes */
extern char error[256];

/* The main() of a program whose arguments may name the one test to run. */
#define RUN(tests, argc, argv)                                                                 \
    (cmocka_set_test_filter((argc) > 1 ? (argv)[1] : NULL),                                    \
     cmocka_run_group_tests(tests, make_directory, remove_directory))

/* The group's setup and teardown; each test's setup, which gives it an output of its own. */
int make_directory(void **state);
int remove_directory(void **state);
int fresh_output(void **state);
#define TEST(name) cmocka_unit_test_setup(name, fresh_output)

/* ---- work ---- */

#ifdef __clang__ /* makes no clones */
#define NEVER_INLINED __attribute__((noinline))
#else
#define NEVER_INLINED __attribute__((noinline, noclone))
#endif

/* Written after calls, or they would be tail calls. */
extern volatile uint64_t sink;

/* All return the seconds that passed of that clock: a busy machine takes a while to let go. */
double burn_until(clockid_t clock, double seconds);
/* Seven, three tenths of these seconds of the thread's CPU time. */
double burn_seven(double seconds);
double burn_three(double seconds);

/* Burns like that, and on until the calling thread has been sampled, so that all of it counts
 * there and no part where the thread is next: the kernel samples at its ticks only, of which
 * other programs can take a dozen in a row. Not for long where no sample comes. */
double burn_to_a_sample(double (*burn)(double seconds), double seconds);

/* The process's CPU time without that of cprof's own threads, which are not sampled. */
double cpu_seconds(void);

/* ---- profiles ---- */

/* Both fail the test where the engine does. */
void start(const struct cprof_runtime *runtime, unsigned rate);
struct profile *stop_and_read(void);

/* Has the location a line of this function; the stack a frame of it? */
bool location_is(const struct profile *p, profile_id id, const char *name);
bool has_frame(const struct profile *p, profile_id stack, const char *name);

/* What a column says of samples that have the frame (NULL: of all). */
double total(const struct profile *p, const char *column, const char *frame);

/* Seconds of CPU in samples that have the frame (NULL: all) and the label (NULL: any). */
double seconds_in(const struct profile *p, const char *frame, const char *key,
                  const char *value);

void assert_close(double value, double expected, double tolerance);

/* ---- the process ---- */

size_t timers(void); /* POSIX timers it has */

#endif
