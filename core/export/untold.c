#include "export/untold.h"

#include <string.h>

static uint64_t number_of(const struct profile *profile, const char *key)
{
    for (size_t i = 0; i < profile_attribute_count(profile, PROFILE_ATTRIBUTES); i++) {
        const struct profile_label *own = profile_attribute(profile, PROFILE_ATTRIBUTES, i);
        if (own->is_number && own->number > 0 &&
            strcmp(profile_text(profile, own->key), key) == 0)
            return (uint64_t)own->number;
    }
    return 0;
}

void untold_lost(struct untold *untold, const struct profile *profile)
{
    untold->failed += number_of(profile, "cprof.profiles_failed");
    untold->dropped += number_of(profile, "cprof.profiles_dropped");
}

void untold_add(struct untold *untold, const struct untold *more)
{
    untold->failed += more->failed;
    untold->dropped += more->dropped;
}
