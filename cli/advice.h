/*
 * Which of the rules (rules.h) a profile breaks, and what that rests on: how much, in how many
 * samples, called from where, and the heaviest stack. Borrows the profile; one thread.
 *
 * CPU time is what shares are of: the column "cpu", else "wall" without what is idle, else
 * "samples". A rule about another column is asked only of a profile that has it.
 */
#ifndef CPROF_CLI_ADVICE_H
#define CPROF_CLI_ADVICE_H

#include "format/frames.h"
#include "rules.h"

#define ADVICE_LEAST_SAMPLES 20 /* fewer say nothing */
#define ADVICE_LEAST_SPANS 20   /* spans with samples, of a rule about their part */
#define ADVICE_SITES 64         /* callers that are told apart; what is more is not listed */

/* What calls the frames that a rule is about. */
struct advice_site {
    uint32_t frame; /* of the frame table; ADVICE_NO_FRAME: they begin their stacks */
    int64_t value;
    profile_id stack; /* the heaviest with it */
    int64_t heaviest;
};
#define ADVICE_NO_FRAME UINT32_MAX

struct advice {
    const struct rule *rule;
    double measured; /* what is over the threshold, as enum rule_measure has it */
    int64_t value;   /* of all samples that match, in the column */
    size_t column;
    int64_t samples; /* that match */
    size_t spans;    /* that have such a sample, of RULE_REPEAT those of the worst trace */
    struct advice_site sites[ADVICE_SITES]; /* the largest first */
    size_t site_count;
};

struct advice_list {
    struct advice *list; /* the largest first */
    size_t count;
    size_t asked; /* rules about what the profile has */
    int64_t cpu;  /* CPU time in all */
    size_t cpu_column;
    struct frame_table frames;
};

/* 0 or -ENOMEM; on failure there is nothing to free. */
int advice_make(struct advice_list *advice, const struct profile *profile);
void advice_free(struct advice_list *advice);

#endif
