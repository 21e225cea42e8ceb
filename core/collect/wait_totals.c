#include "collect/wait_totals.h"

#include <stdio.h>
#include <string.h>

void wait_totals_init(struct wait_totals *totals)
{
    *totals = (struct wait_totals){.count = 0};
    pthread_mutex_init(&totals->lock, NULL);
}

size_t wait_totals_read(struct wait_totals *totals, struct wait_series series[WAIT_SERIES])
{
    pthread_mutex_lock(&totals->lock);
    size_t count = totals->count;
    memcpy(series, totals->series, count * sizeof *series);
    pthread_mutex_unlock(&totals->lock);
    return count;
}

static struct wait_series *find(struct wait_totals *totals, const char *state,
                                const char *reason)
{
    for (size_t i = 0; i < totals->count; i++)
        if (strcmp(totals->series[i].state, state) == 0 &&
            strcmp(totals->series[i].reason, reason) == 0)
            return &totals->series[i];
    if (totals->count == WAIT_SERIES)
        return &totals->series[WAIT_SERIES - 1];
    struct wait_series *series = &totals->series[totals->count++];
    snprintf(series->state, sizeof series->state, "%s", state);
    snprintf(series->reason, sizeof series->reason, "%s", reason);
    return series;
}

/* The column of off-CPU time, with running time or without; negative: there is none. */
static int column_of_waits(const struct profile *p)
{
    int column = profile_value_column(p, "off_cpu");
    return column >= 0 ? column : profile_value_column(p, "wall");
}

void wait_totals_count(struct wait_totals *totals, const struct profile *interval)
{
    int column = column_of_waits(interval);
    if (column < 0)
        return;
    size_t sheet = profile_column_sheet(interval, (size_t)column);
    pthread_mutex_lock(&totals->lock);
    for (size_t i = profile_first_sample(interval, sheet);
         i < profile_first_sample(interval, sheet + 1); i++) {
        const struct profile_sample sample = profile_get_sample(interval, i);
        const char *state = profile_label_text(interval, sample.labels, "thread.state");
        const char *reason = profile_label_text(interval, sample.labels, "wait.reason");
        if (state == NULL || strcmp(state, "running") == 0 ||
            profile_label_text(interval, sample.labels, "kind") != NULL) /* a task's */
            continue;
        find(totals, state, reason != NULL ? reason : "")->ns +=
            profile_value(interval, &sample, (size_t)column);
    }
    pthread_mutex_unlock(&totals->lock);
}
