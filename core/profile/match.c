#include "profile/match.h"

#include <string.h>

#include "profile/clamp.h"
#include "profile/unit.h"

bool match_text(const struct profile *a, profile_id x, const struct profile *b, profile_id y)
{
    return profile_text_length(a, x) == profile_text_length(b, y) &&
           memcmp(profile_text(a, x), profile_text(b, y), profile_text_length(a, x)) == 0;
}

/* How many columns of that type have a unit of that kind. */
static int count_columns(const struct profile *p, const char *type, const char *unit)
{
    int count = 0;
    for (size_t i = 0; i < profile_value_count(p); i++)
        count += strcmp(profile_type(p, i), type) == 0 &&
                 unit_common(profile_unit(p, i), unit) != NULL;
    return count;
}

/* The target's column for one of the source, or -1. */
static int find_column(const struct profile *target, const struct profile *source,
                       size_t column)
{
    const char *type = profile_type(source, column), *unit = profile_unit(source, column);
    const bool one =
        count_columns(target, type, unit) == 1 && count_columns(source, type, unit) == 1;
    for (size_t i = 0; i < profile_value_count(target); i++) {
        const char *own = profile_unit(target, i);
        if (strcmp(profile_type(target, i), type) == 0 &&
            (one ? unit_common(own, unit) != NULL : strcmp(own, unit) == 0))
            return (int)i;
    }
    return -1;
}

static bool has_columns(const struct profile *p, size_t sheet)
{
    for (size_t i = 0; i < profile_value_count(p); i++)
        if (profile_column_sheet(p, i) == sheet)
            return true;
    return false;
}

/* The target's sheet for one of the source: that with the first of its columns that any has,
 * else one without columns. -1: there is none. */
static int find_sheet(const struct profile *target, const struct profile *source, size_t sheet)
{
    for (size_t i = 0; i < profile_value_count(source); i++) {
        int column = find_column(target, source, i);
        if (profile_column_sheet(source, i) == sheet && column >= 0)
            return (int)profile_column_sheet(target, (size_t)column);
    }
    for (size_t i = 0; i < profile_sheet_count(target); i++)
        if (!has_columns(target, i))
            return (int)i;
    return -1;
}

/* Puts both columns into one unit: the target's at once, the source's by the factor of its
 * place. */
static int share_unit(struct profile *target, const char *unit, struct profile_place *place)
{
    const char *own = profile_unit(target, place->column);
    const char *common = unit_common(own, unit);
    place->factor = unit_ratio(unit, common);
    if (strcmp(own, common) == 0)
        return 0;
    return profile_rescale(target, place->column, common, unit_ratio(own, common));
}

/* Gives the sheet every column of the source's that no sheet has. */
static int match_columns(struct profile *target, size_t to, const struct profile *source,
                         size_t sheet, struct profile_place places[PROFILE_MAX_VALUES])
{
    for (size_t i = 0; i < profile_value_count(source); i++) {
        if (profile_column_sheet(source, i) != sheet)
            continue;
        const char *unit = profile_unit(source, i);
        int column = find_column(target, source, i), status;
        if (column < 0) {
            places[i] = (struct profile_place){profile_value_count(target), 1};
            status = profile_add_value_type(target, to, profile_type(source, i), unit);
        } else {
            places[i].column = (size_t)column;
            status = share_unit(target, unit, &places[i]);
        }
        if (status != 0)
            return status;
    }
    return 0;
}

/* What both say stays, and is unknown otherwise. */
static void merge_period(struct profile *target, size_t to, const struct profile *source,
                         size_t sheet)
{
    struct profile_period *own = profile_period(target, to);
    const struct profile_period *other = profile_period_const(source, sheet);
    const char *unit = profile_text(target, own->type.unit);
    const char *other_unit = profile_text(source, other->type.unit);
    const char *common = unit_common(unit, other_unit);
    if (common == NULL || !match_text(target, own->type.type, source, other->type.type)) {
        *own = (struct profile_period){0};
        return;
    }
    own->value = clamp_multiply(own->value, unit_ratio(unit, common));
    if (own->value != clamp_multiply(other->value, unit_ratio(other_unit, common)))
        own->value = 0;
    own->type.unit = profile_string(target, common);
}

int match_sheets(struct profile *target, const struct profile *source,
                 struct profile_place places[PROFILE_MAX_VALUES])
{
    bool met[PROFILE_SHEETS_MAX] = {false};
    int status = 0;
    for (size_t i = 0; status == 0 && i < profile_sheet_count(source); i++) {
        if (!has_columns(source, i))
            continue;
        int to = find_sheet(target, source, i);
        if (to < 0)
            to = profile_add_sheet(target);
        if (to < 0)
            return to;
        if (!has_columns(target, (size_t)to))
            profile_adopt_period(target, (size_t)to, source, i);
        else if (!met[to])
            merge_period(target, (size_t)to, source, i);
        met[to] = true;
        status = match_columns(target, (size_t)to, source, i, places);
    }
    return status;
}
