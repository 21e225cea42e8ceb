#include "growth.h"

#include <math.h>

#define QUARTERS 4
#define STEP_LEAST 0.1   /* of the mean step */
#define GOES_ON 1.645    /* standard deviations: one in twenty by chance */
#define OFF_THE_LINE 4.0 /* what it rises by, in what it stands off from the line */

static double mean_of_quarter(const struct growth_series *s, size_t quarter)
{
    size_t from = s->count * quarter / QUARTERS, to = s->count * (quarter + 1) / QUARTERS;
    double sum = 0;
    for (size_t i = from; i < to; i++)
        sum += s->levels[i];
    return sum / (double)(to - from);
}

/* Of the difference of two levels, in standard deviations. */
static double deviations(const struct growth_series *s, double before, double after)
{
    double k = fmax(before, 0) / s->period, k_after = fmax(after, 0) / s->period;
    return sqrt(2) * (sqrt(k_after + 0.375) - sqrt(k + 0.375));
}

static double hours(const struct growth_series *s, size_t i)
{
    return (double)(s->times[i] - s->times[0]) / 3.6e12;
}

/* The line of least squares, and how far the levels stand off from it. */
struct line {
    double slope, off;
};

static struct line line_through(const struct growth_series *s)
{
    double n = (double)s->count, time = 0, level = 0, tt = 0, tl = 0, ll = 0;
    for (size_t i = 0; i < s->count; i++) {
        time += hours(s, i) / n;
        level += s->levels[i] / n;
    }
    for (size_t i = 0; i < s->count; i++) {
        double t = hours(s, i) - time, l = s->levels[i] - level;
        tt += t * t;
        tl += t * l;
        ll += l * l;
    }
    double slope = tt > 0 ? tl / tt : 0;
    return (struct line){.slope = slope, .off = sqrt(fmax(ll - slope * tl, 0) / (n - 2))};
}

static bool steps_up(const double quarters[QUARTERS])
{
    double step = (quarters[QUARTERS - 1] - quarters[0]) / (QUARTERS - 1);
    for (size_t i = 1; i < QUARTERS; i++)
        if (quarters[i] - quarters[i - 1] < STEP_LEAST * step)
            return false;
    return step > 0;
}

struct growth growth_of(const struct growth_series *s, size_t tested)
{
    double quarters[QUARTERS];
    for (size_t i = 0; i < QUARTERS; i++)
        quarters[i] = mean_of_quarter(s, i);
    const struct line line = line_through(s);
    double first = quarters[0], last = quarters[QUARTERS - 1], span = hours(s, s->count - 1);
    double z = deviations(s, first, last);
    double chance = z > 0 ? erfc(z / sqrt(2)) * (double)tested : 1;
    struct growth growth = {
        .first = first,
        .last = last,
        .per_hour = line.slope,
        .deviation = sqrt(s->period * (fmax(first, 0) + fmax(last, 0))) / span,
        .confidence = chance < 1 ? 1 - chance : 0,
    };
    growth.grows = growth.confidence >= GROWTH_CONFIDENT && steps_up(quarters) &&
                   deviations(s, quarters[1], last) >= GOES_ON &&
                   line.slope * span >= OFF_THE_LINE * line.off;
    return growth;
}
