/*
 * The gaps between samples: how much of what is counted goes by until the next is due. They are
 * drawn from a geometric distribution (rounded down from an exponential one), whose mean is the
 * period: each byte, nanosecond or event has the same chance, whatever came before it. So an
 * amount `a` is met with the chance 1 - exp(-a / period).
 *
 * Arithmetic and nothing else: for hooks and handlers.
 */
#ifndef CPROF_SAMPLE_COUNTDOWN_H
#define CPROF_SAMPLE_COUNTDOWN_H

#include <stdint.h>

/* A thread's random numbers: splitmix64, as Steele, Lea and Flood give it ("Fast splittable
 * pseudorandom number generators", 2014). */
static inline uint64_t countdown_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* -ln(x / 2^64), x > 0: by the place of its first bit, and for the rest m of [1, 2) by the
 * series of ln m = 2 artanh((m - 1) / (m + 1)), whose first seven terms are good to 1e-8. */
static inline double countdown_log(uint64_t x)
{
    const double ln2 = 0.69314718055994531;
    int zeros = __builtin_clzll(x);
    double m = (double)(x << zeros) * 0x1p-63;
    double z = (m - 1) / (m + 1), zz = z * z;
    double sum =
        1 + zz * (1.0 / 3 +
                  zz * (1.0 / 5 +
                        zz * (1.0 / 7 + zz * (1.0 / 9 + zz * (1.0 / 11 + zz * (1.0 / 13))))));
    return (zeros + 1) * ln2 - 2 * z * sum;
}

/* The next gap of events, of which each is met with the chance 1 / period: -ln(1 - 1/n) is
 * 2 artanh(1 / (2n - 1)). */
static inline uint64_t countdown_draw_events(uint64_t *state, uint64_t period)
{
    if (period <= 1)
        return 0;
    double z = 1 / (2 * (double)period - 1), zz = z * z;
    double rate =
        2 * z *
        (1 + zz * (1.0 / 3 + zz * (1.0 / 5 + zz * (1.0 / 7 + zz * (1.0 / 9 + zz / 11)))));
    return (uint64_t)(countdown_log(countdown_random(state) | 1) / rate);
}

/* The next gap. */
static inline uint64_t countdown_draw(uint64_t *state, uint64_t period)
{
    return (uint64_t)((double)period * countdown_log(countdown_random(state) | 1));
}

/* With what chance an amount is met: 1 - exp(-x). By the series of a part of x so small that
 * its first ten terms are good to 1e-10, which is then doubled to the whole. */
static inline double countdown_chance(uint64_t amount, uint64_t period)
{
    const double most = 40; /* certain, as far as a double tells */
    double x = (double)amount / (double)period;
    int doubled = 0;
    if (x > most)
        return 1;
    while (x > 0.5) {
        x /= 2;
        doubled++;
    }
    double chance = 0;
    for (int term = 10; term > 0; term--)
        chance = x / term * (1 - chance);
    for (; doubled > 0; doubled--)
        chance *= 2 - chance;
    return chance;
}

#endif
