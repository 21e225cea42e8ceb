#include "units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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
    {1099511627776.0, "TiB"},
    {1073741824.0, "GiB"},
    {1048576.0, "MiB"},
    {1024.0, "KiB"},
    {0, "B"},
};

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

void units_value(char text[UNITS_TEXT], int64_t value, const char *unit)
{
    if (strcmp(unit, "nanoseconds") == 0 && value == 0)
        snprintf(text, UNITS_TEXT, "0 s");
    else if (strcmp(unit, "nanoseconds") == 0)
        scaled(text, (double)value, time_steps);
    else if (strcmp(unit, "bytes") == 0)
        scaled(text, (double)value, byte_steps);
    else
        units_count(text, value);
}

void units_share(char text[UNITS_TEXT], int64_t part, int64_t whole)
{
    if (whole == 0)
        snprintf(text, UNITS_TEXT, "–");
    else
        snprintf(text, UNITS_TEXT, "%.1f%%", 100.0 * (double)part / (double)whole);
}

void units_rate(char text[UNITS_TEXT], double value, const char *unit)
{
    if (strcmp(unit, "nanoseconds") == 0 && fabs(value) < 0.5)
        snprintf(text, UNITS_TEXT, "0 s");
    else if (strcmp(unit, "nanoseconds") == 0)
        scaled(text, value, time_steps);
    else if (strcmp(unit, "bytes") == 0)
        scaled(text, value, byte_steps);
    else if (fabs(value) >= 999.5)
        units_count(text, llround(fmin(fmax(value, -9e18), 9e18)));
    else
        snprintf(text, UNITS_TEXT, "%.*f", value == 0 ? 0 : decimals(value), value);
}
