#include "look/allowance.h"

#include "base/clock.h"

#define BESIDE 1000                         /* one part of so many of one CPU */
#define SAVED ((int64_t)NS_PER_SECOND / 50) /* at most */
#define RAISED_EACH (NS_PER_SECOND / 4)

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

/* The process's clock is the sum of its threads', 30 µs with a thousand: it is read now and
 * then. */
static void add_income(struct allowance *allowance, uint64_t now)
{
    const uint64_t process = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    allowance->left += (int64_t)((process - allowance->process_ns) / allowance->share +
                                 (now - allowance->raised) / BESIDE);
    allowance->process_ns = process;
    allowance->raised = now;
    if (allowance->left > SAVED)
        allowance->left = SAVED;
}

bool allowance_raise(struct allowance *allowance, uint64_t now)
{
    if (now - allowance->raised >= RAISED_EACH)
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
