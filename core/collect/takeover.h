/*
 * The dictionary's locations (naming.h) in the running profile: each is taken over, with its
 * functions and strings, when a sample first needs it.
 *
 * Belongs to the collector's thread. Grows with the dictionary, from the budget; a location
 * that has no room in the map is taken over each time it is needed. Functions and mappings,
 * which many locations share, have places of a fixed number: 8.5 KiB.
 */
#ifndef CPROF_COLLECT_TAKEOVER_H
#define CPROF_COLLECT_TAKEOVER_H

#include <stddef.h>

#include "base/budget.h"
#include "collect/stacks.h"
#include "profile/profile.h"

#define TAKEN_FUNCTIONS 1024
#define TAKEN_MAPPINGS 64

/* A row of the dictionary's, by its id modulo the number of places. */
struct taken {
    profile_id from; /* 0: the place is empty */
    profile_id to;
};

/* All zero but for the budget: nothing is taken over yet. */
struct takeover {
    struct budget *budget;
    profile_id *ids; /* by the dictionary's; 0 = not taken over yet */
    size_t count;
    struct taken functions[TAKEN_FUNCTIONS], mappings[TAKEN_MAPPINGS];
};

void takeover_free(struct takeover *takeover);

/* Another profile is going to run, or the dictionary is another one. */
void takeover_forget(struct takeover *takeover);

/* The running profile's id of a location of the dictionary. */
profile_id takeover_location(struct takeover *takeover, struct profile *to,
                             const struct profile *dictionary, profile_id id);

/* A stack of the dictionary's locations, which become the profile's. */
profile_id takeover_stack(struct takeover *takeover, struct profile *to,
                          const struct profile *dictionary, const struct stack *stack);

#endif
