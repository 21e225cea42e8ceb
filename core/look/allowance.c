#include "look/allowance.h"

#include "base/clock.h"

#define BESIDE 1000                         /* one part of so many of one CPU */
#define SAVED ((int64_t)NS_PER_SECOND / 50) /* at most */
#define RAISED_EACH (NS_PER_SECOND / 20)    /* at least, and */
#define RAISED_SHARE 5000                   /* so many times as long as that took, */
#define RAISED_LATEST NS_PER_SECOND         /* but not longer */

void allowance_begin(struct allowance *allowance, uint64_t share, uint64_t longest)
{
    const uint64_t now = clock_ns(CLOCK_MONOTONIC);
    *allowance = (struct allowance){.left = SAVED,
                                    .share = share,
                                    .longest = longest,
                                    .process_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
                                    .raised = now,
                                    .spent = now};
}

/* `took` is CPU time: that of a thread which was interrupted meanwhile is no longer. */
static uint64_t next_income(uint64_t now, uint64_t took)
{
    uint64_t wait = took < RAISED_LATEST / RAISED_SHARE ? took * RAISED_SHARE : RAISED_LATEST;
    if (wait < RAISED_EACH)
        wait = RAISED_EACH;
    return now + wait;
}

/* The process's clock is the sum of its threads', 30 to 150 µs with a thousand: then it is read
 * more seldom. */
static void add_income(struct allowance *allowance, uint64_t now)
{
    const uint64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID),
                   process = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    allowance->left += (int64_t)((process - allowance->process_ns) / allowance->share +
                                 (now - allowance->raised) / BESIDE);
    allowance->process_ns = process;
    allowance->raised = now;
    allowance->income = next_income(now, clock_ns(CLOCK_THREAD_CPUTIME_ID) - began);
    if (allowance->left > SAVED)
        allowance->left = SAVED;
}

bool allowance_raise(struct allowance *allowance, uint64_t now)
{
    if (now >= allowance->income)
        add_income(allowance, now);
    if (allowance->left < 0 && now - allowance->spent < allowance->longest)
        return false;
    allowance->spent = now;
    return true;
}

void allowance_take(struct allowance *allowance, uint64_t cpu_ns)
{
    allowance->left -= (int64_t)cpu_ns;
}
