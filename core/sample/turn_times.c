#include "sample/turn_times.h"

#define LEAST_BITS 10 /* turns below 2^10 ns are of the first class */

/* Two to a power of two. */
static unsigned class_of(uint64_t ns)
{
    if (ns >> LEAST_BITS == 0)
        return 0;
    const unsigned power = 63U - (unsigned)__builtin_clzll(ns);
    const unsigned half = (unsigned)(ns >> (power - 1)) & 1;
    const unsigned number = 2 * (power - LEAST_BITS) + half;
    return number < TURN_CLASSES ? number : TURN_CLASSES - 1;
}

static void add(_Atomic uint64_t *to, uint64_t amount)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

void turn_times_add(struct turn_times *times, uint64_t ns)
{
    const unsigned class = class_of(ns);
    add(&times->count[class], 1);
    add(&times->sum_ns[class], ns);
}

void turn_times_read(const struct turn_times *times, struct turn_sums *sums)
{
    for (unsigned i = 0; i < TURN_CLASSES; i++) {
        sums->count[i] = atomic_load_explicit(&times->count[i], memory_order_relaxed);
        sums->sum_ns[i] = atomic_load_explicit(&times->sum_ns[i], memory_order_relaxed);
    }
}

void turn_sums_subtract(struct turn_sums *sums, const struct turn_sums *before)
{
    for (unsigned i = 0; i < TURN_CLASSES; i++) {
        sums->count[i] -= before->count[i];
        sums->sum_ns[i] -= before->sum_ns[i];
    }
}

void turn_sums_add(struct turn_sums *sums, uint64_t ns)
{
    sums->count[class_of(ns)]++;
    sums->sum_ns[class_of(ns)] += ns;
}

/* In how much of the time a delay would be longer than that: of a turn of L, L - delay. */
static double longer_than(const struct turn_sums *sums, double delay)
{
    double time = 0;
    for (unsigned i = 0; i < TURN_CLASSES; i++) {
        const double all = (double)sums->sum_ns[i], over = delay * (double)sums->count[i];
        time += all > over ? all - over : 0;
    }
    return time;
}

uint64_t turn_sums_quantile(const struct turn_sums *sums, uint64_t span, uint64_t longest,
                            double share)
{
    const double rest = (1 - share) * (double)span;
    double low = 0, high = (double)longest;
    if (longer_than(sums, 0) <= rest)
        return 0;
    for (int i = 0; i < 50 && high - low > 1000; i++) {
        const double middle = (low + high) / 2;
        if (longer_than(sums, middle) > rest)
            low = middle;
        else
            high = middle;
    }
    return (uint64_t)high;
}

/* Half a turn on average, in L of the span. */
uint64_t turn_sums_mean(const struct turn_sums *sums, uint64_t span)
{
    double squares = 0;
    for (unsigned i = 0; i < TURN_CLASSES; i++) {
        const double sum = (double)sums->sum_ns[i];
        squares += sums->count[i] != 0 ? sum * sum / (double)sums->count[i] : 0;
    }
    return span != 0 ? (uint64_t)(squares / 2 / (double)span) : 0;
}
