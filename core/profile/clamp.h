/* Sums that stop at the ends of their type: values of hostile files and of years of counting.
 */
#ifndef CPROF_PROFILE_CLAMP_H
#define CPROF_PROFILE_CLAMP_H

#include <stdint.h>

static inline int64_t clamp_add(int64_t a, int64_t b)
{
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}

static inline int64_t clamp_multiply(int64_t a, int64_t b)
{
    int64_t product;
    if (!__builtin_mul_overflow(a, b, &product))
        return product;
    return (a > 0) == (b > 0) ? INT64_MAX : INT64_MIN;
}

#endif
