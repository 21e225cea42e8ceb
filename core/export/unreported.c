#include "export/unreported.h"

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

void unreported_lost(struct unreported *unreported, const struct profile *profile)
{
    unreported->failed += number_of(profile, "cprof.profiles_failed");
    unreported->dropped += number_of(profile, "cprof.profiles_dropped");
}

void unreported_add(struct unreported *unreported, const struct unreported *more)
{
    unreported->failed += more->failed;
    unreported->dropped += more->dropped;
}
