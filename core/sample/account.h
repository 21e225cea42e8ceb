/*
 * What is due of the CPU time of threads that end.
 *
 * The kernel looks at CPU timers in its tick, and at those of the running thread only. What was
 * due since the last tick that a thread saw is lost when it ends: some milliseconds of each
 * life. But its CPU clock says how many expiries were due, and its counts how many came. So a
 * thread that ends leaves an account, and one that begins takes it over: it is sampled as if
 * the time before had been its own, and what is overdue comes at its first tick. Threads that
 * live one after the other are so sampled as one that lives long: none at the cost of another,
 * however short their lives are, and at stacks that they really had.
 *
 * What is overdue and nobody has taken over by the end of an interval is paid: counted where
 * the thread that left it last was. One that was never sampled waits on, up to the end.
 *
 * An account begins at a random part of a period and is paid at another: by the difference the
 * count of its samples is wrong. All these are summed up, and whoever is paid is paid more, or
 * less, by the whole periods in the sum. So the error of a total does not grow with the number
 * of threads.
 *
 * Arithmetic and nothing else; the registry calls it under its mutex.
 */
#ifndef CPROF_SAMPLE_ACCOUNT_H
#define CPROF_SAMPLE_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACCOUNTS_WAITING 1024 /* one that is left when so many wait is paid at once */

struct account {
    int64_t late_ns;  /* CPU time since the next sample was due; negative: until it is */
    int64_t began_ns; /* late_ns when it was opened, or last paid */
    void *holder;     /* who left it overdue, and can be paid; NULL: nobody */
};

struct accounts {
    uint64_t period_ns;
    uint64_t phase;   /* of the last one opened */
    int64_t error_ns; /* CPU time that has not been counted with what was paid */
    struct account waiting[ACCOUNTS_WAITING];
    size_t first, count; /* of those that wait, in turn */
};

void accounts_init(struct accounts *accounts, uint64_t period_ns, uint64_t random);

/* For a thread that begins: the account that has waited longest, or a new one. */
struct account accounts_take(struct accounts *accounts);

/* Of a thread that ends; `holder` is that thread. True: the account waits with its holder, that
 * must be there until it is taken over or paid. False: *due expiries are to be counted at once,
 * mostly 0. */
bool accounts_leave(struct accounts *accounts, struct account account, uint32_t *due);

/* The next one at or after the cursor that waits with its holder; NULL past the last. */
struct account *accounts_held(struct accounts *accounts, size_t *cursor);

/* Pays it: how many expiries are to be counted with its holder, which may be 0. It goes on
 * waiting, without one. */
uint32_t accounts_pay(struct accounts *accounts, struct account *account);

/* No thread begins any more: the differences of those that are not overdue join the sum. */
void accounts_close(struct accounts *accounts);

#endif
