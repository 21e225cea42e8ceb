#include "format/otlp_version.h"

#include <stdbool.h>

#include "format/refuse.h"
#include "format/wire.h"

/* What the fields of a message have been seen to be, by their numbers. */
enum { FIELDS = 32 };

struct seen {
    bool length[FIELDS], varint[FIELDS], fixed[FIELDS];
};

static void look(struct wire_cursor message, struct seen *seen)
{
    struct wire_field field;
    while (wire_next(&message, &field) > 0) {
        if (field.number >= FIELDS)
            continue;
        seen->length[field.number] |= field.type == WIRE_LENGTH;
        seen->varint[field.number] |= field.type == WIRE_VARINT;
        seen->fixed[field.number] |= field.type == WIRE_FIXED64;
    }
}

/* Sample of 1.9 and 1.8: values 2, attribute_indices 3, link_index 4; since 1.10
 * attribute_indices 2, link_index 3, values 4. A sample says which unless it has neither
 * attributes nor a link nor values in the new place; one that shall count has values or
 * timestamps. */
static bool has_old_samples(struct wire_cursor profile)
{
    enum { SAMPLES = 2 };
    struct wire_field field;
    bool old = false;
    while (wire_next(&profile, &field) > 0) {
        struct seen sample = {0};
        if (field.number != SAMPLES || field.type != WIRE_LENGTH)
            continue;
        look(wire_content(&field), &sample);
        if (sample.length[4] || sample.varint[3])
            return false;
        old |= sample.length[3] || sample.varint[4] || (sample.length[2] && !sample.length[5]);
    }
    return old;
}

static const char *version_of_profile(struct wire_cursor profile, bool dictionary)
{
    enum { SAMPLES_SINCE_1_4 = 2, TIME = 3, DURATION = 4, PERIOD_TYPE = 5, CONTAINED = 8 };
    enum { STRINGS_OF_1_4 = 10, ATTRIBUTES_OF_1_8 = 12 };
    struct seen seen = {0};
    look(profile, &seen);
    if (seen.fixed[SAMPLES_SINCE_1_4] || (!dictionary && seen.length[CONTAINED]))
        return OTLP_1_3;
    if (!dictionary &&
        (seen.length[TIME] || seen.length[DURATION] || seen.length[STRINGS_OF_1_4]))
        return OTLP_1_4; /* tables in their places */
    if (seen.length[TIME] || seen.varint[TIME] || seen.varint[PERIOD_TYPE])
        return OTLP_1_7;
    if (seen.length[CONTAINED] || seen.length[ATTRIBUTES_OF_1_8])
        return OTLP_1_8;
    return has_old_samples(profile) ? OTLP_1_9 : NULL;
}

/* The first Profile's that says. */
static const char *version_of(struct wire_cursor message, unsigned depth, bool dictionary)
{
    /* ProfilesData.resource_profiles, ResourceProfiles.scope_profiles, ScopeProfiles.profiles
     */
    static const uint32_t path[] = {1, 2, 2};
    struct wire_field field;
    if (depth == sizeof(path) / sizeof(*path))
        return version_of_profile(message, dictionary);
    while (wire_next(&message, &field) > 0) {
        const char *version = NULL;
        if (field.number == path[depth] && field.type == WIRE_LENGTH)
            version = version_of(wire_content(&field), depth + 1, dictionary);
        if (version != NULL)
            return version;
    }
    return NULL;
}

const char *otlp_old_version(const unsigned char *data, size_t size)
{
    enum { DICTIONARY = 2, STRINGS = 6 };
    struct wire_cursor message = {data, data + size};
    struct seen seen = {0};
    look(message, &seen);
    if (seen.length[STRINGS])
        return OTLP_1_6; /* the tables, before there was a dictionary */
    return version_of(message, 0, seen.length[DICTIONARY]);
}

int otlp_refuse_old(char error[FORMAT_ERROR_SIZE], const char *version)
{
    return refuse(error, "written by OTLP profiles %s; cprof reads 1.10 and newer", version);
}
