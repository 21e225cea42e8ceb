#include "units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "profile/unit.h"

struct step {
    double scale;
    const char *name;
};

static const struct step time_steps[] = {
    {1e9, "s"},
    {1e6, "ms"},
    {1e3, "µs"},
    {0, "ns"},
};
static const struct step byte_steps[] = {
    {1152921504606846976.0, "EiB"},
    {1125899906842624.0, "PiB"},
    {1099511627776.0, "TiB"},
    {1073741824.0, "GiB"},
    {1048576.0, "MiB"},
    {1024.0, "KiB"},
    {0, "B"},
};
/* From ten millions on; what is smaller shows its digits. */
static const struct step count_steps[] = {
    {1e18, "E"}, {1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {0, "M"},
};
#define SCALED_COUNT 1e7
#define FASTEST_TIMER 1e6 /* Hz: a shorter period is the unit of values that are exact */

/* In which a known unit's values are shown. */
static const struct step *steps_of(const struct unit *unit)
{
    return unit->kind == UNIT_TIME ? time_steps : byte_steps;
}

/* How many decimals leave three digits. */
static int decimals(double number)
{
    return fabs(number) >= 99.95 ? 0 : fabs(number) >= 9.995 ? 1 : 2;
}

static void scaled(char text[UNITS_TEXT], double value, const struct step *step)
{
    while (fabs(value) < step->scale)
        step++;
    if (step->scale == 0) {
        snprintf(text, UNITS_TEXT, "%.0f %s", value, step->name);
        return;
    }
    double number = value / step->scale;
    snprintf(text, UNITS_TEXT, "%.*f %s", decimals(number), number, step->name);
}

void units_count(char text[UNITS_TEXT], int64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRId64, value);
    size_t out = 0;
    for (int i = 0; i < length; i++) {
        text[out++] = digits[i];
        int left = length - 1 - i;
        if (left > 0 && left % 3 == 0 && digits[i] != '-')
            text[out++] = ',';
    }
    text[out] = '\0';
}

static void count_text(char text[UNITS_TEXT], double value)
{
    const struct step *step = count_steps;
    if (fabs(value) < SCALED_COUNT) {
        units_count(text, llround(value));
        return;
    }
    while (step->scale > 0 && fabs(value) < step->scale)
        step++;
    double number = value / (step->scale > 0 ? step->scale : 1e6);
    snprintf(text, UNITS_TEXT, "%.*f %s", decimals(number), number, step->name);
}

void units_value(char text[UNITS_TEXT], int64_t value, const char *unit)
{
    const struct unit *known = unit_find(unit);
    if (known && known->kind == UNIT_TIME && value == 0)
        snprintf(text, UNITS_TEXT, "0 s");
    else if (known)
        scaled(text, (double)value * (double)known->factor, steps_of(known));
    else if (strcmp(unit, UNITS_MILLIONTHS) == 0)
        units_rate(text, (double)value / 1e6, "count");
    else
        count_text(text, (double)value);
}

void units_duration(char text[UNITS_TEXT], int64_t value)
{
    static const struct step steps[] = {{86400e9, "days"}, {3600e9, "h"}, {60e9, "min"}};
    if (value < 600000000000) {
        units_value(text, value, "nanoseconds");
        return;
    }
    const double length = (double)value;
    const struct step *step = steps;
    while (length < (step == steps ? 2 : 1) * step->scale)
        step++;
    snprintf(text, UNITS_TEXT, "%.*f %s", decimals(length / step->scale), length / step->scale,
             step->name);
}

void units_share(char text[UNITS_TEXT], int64_t part, int64_t whole)
{
    double percent = 100.0 * (double)part / (double)whole;
    if (whole == 0)
        snprintf(text, UNITS_TEXT, "–");
    else
        snprintf(text, UNITS_TEXT, "%.1f%%", fabs(percent) < 0.05 ? 0 : percent);
}

void units_rate(char text[UNITS_TEXT], double value, const char *unit)
{
    const struct unit *known = unit_find(unit);
    if (known && known->kind == UNIT_TIME && fabs(value * (double)known->factor) < 0.5)
        snprintf(text, UNITS_TEXT, "0 s");
    else if (known)
        scaled(text, value * (double)known->factor, steps_of(known));
    else if (fabs(value) >= 999.5)
        count_text(text, value);
    else
        snprintf(text, UNITS_TEXT, "%.*f", value == 0 ? 0 : decimals(value), value);
}

bool units_period(char text[UNITS_TEXT], int64_t period, const char *unit)
{
    const struct unit *known = unit_find(unit);
    if (!known || period <= 0 || (period == 1 && known->kind == UNIT_BYTES))
        return false;
    if (known->kind == UNIT_BYTES) {
        char bytes[UNITS_TEXT - 6];
        units_value(text, period, unit);
        snprintf(bytes, sizeof(bytes), "%.33s", text);
        snprintf(text, UNITS_TEXT, "every %s", bytes);
        return true;
    }
    double hertz = 1e9 / ((double)period * (double)known->factor);
    snprintf(text, UNITS_TEXT, hertz < 9999.5 ? "at %.4g Hz" : "at %.4g kHz",
             hertz < 9999.5 ? hertz : hertz / 1000);
    return hertz < FASTEST_TIMER;
}
