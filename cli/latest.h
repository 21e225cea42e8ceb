/*
 * Levels over time: of values that stand at one moment, such as live memory, a sum of profiles
 * has what each process had last. They are taken out of each profile that comes, and those of
 * each process's last one are given back at the end. A page shows those before as well.
 *
 * Profiles that do not say of which process they are stay as they are: other profilers' files.
 */
#ifndef CPROF_CLI_LATEST_H
#define CPROF_CLI_LATEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

/* Takes levels, which it owns, that a process had before `later`; NULL: it has ended. 0 or a
 * negative errno. */
typedef int latest_past(void *closure, struct profile *levels, const struct profile *later);

/* Begins as {0}, but for the first three. */
struct latest {
    bool at_end; /* a process that had ended well before the last profile has nothing then */
    latest_past *past; /* NULL: what is not the last is gone */
    void *past_closure;
    struct latest_process *processes;
    size_t count, capacity;
    uint64_t end; /* of the last profile: Unix time in ns */
};

/* Adds a profile, which it owns, to a sum. 0 or a negative errno. */
typedef int latest_adder(void *closure, struct profile *profile);

/* Gives the profile, owned from now on, to `add` without what is held back. 0, -ENOMEM, or what
 * `add` or `past` gave. */
int latest_take(struct latest *latest, struct profile *profile, latest_adder *add,
                void *closure);

/* A profile is being added up by others; and its levels, where it has any, which are owned from
 * now on, with no other values. As latest_take(). */
void latest_note(struct latest *latest, const struct profile *profile);
int latest_take_levels(struct latest *latest, struct profile *levels, latest_adder *add,
                       void *closure);

/* What is held back is given away as of this time, which is not 0: of a step that files share.
 */
void latest_cover(struct latest *latest, uint64_t time_ns, uint64_t duration_ns);

/* Takes over what `more` holds back, which is empty then. 0, -ENOMEM, or what `past` gave. */
int latest_join(struct latest *latest, struct latest *more);

/* No more will come: what is held back goes to `add`. */
int latest_end(struct latest *latest, latest_adder *add, void *closure);

void latest_free(struct latest *latest);

#endif
