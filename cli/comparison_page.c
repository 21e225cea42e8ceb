#include "comparison_page.h"

#include <string.h>

#include "command.h"
#include "profile/unit.h"

static int share_unit(struct profile *profile, size_t column, const char *common)
{
    const char *own = profile_unit(profile, column);
    return strcmp(own, common)
               ? profile_rescale(profile, column, common, unit_ratio(own, common))
               : 0;
}

int comparison_match(struct comparison_side sides[SIDES], const char *const names[SIDES])
{
    struct profile *base = sides[SIDE_BASE].profile, *new = sides[SIDE_NEW].profile;
    for (enum side side = 0; side < SIDES; side++)
        if (profile_summarize(sides[side].profile, &sides[side].summary))
            return fail("out of memory");
    const size_t wanted = sides[SIDE_NEW].summary.column;
    const char *type = profile_type(new, wanted);
    int column = profile_value_column(base, type);
    if (column < 0)
        return fail("%s: has no type \"%s\" to compare with", names[SIDE_BASE], type);
    sides[SIDE_BASE].summary.column = (size_t)column;
    const char *found = profile_unit(base, (size_t)column), *unit = profile_unit(new, wanted);
    const char *common = unit_common(found, unit);
    if (!common)
        return fail("%s: has %s in %s, not in %s", names[SIDE_BASE], type, found, unit);
    if (share_unit(base, (size_t)column, common) || share_unit(new, wanted, common))
        return fail("out of memory");
    return GO_ON;
}

int comparison_write_page(const struct comparison *comparison,
                          const struct comparison_side sides[SIDES],
                          const char *const names[SIDES], const struct html_options *layout,
                          struct buffer *out)
{
    const struct profile *new = sides[SIDE_NEW].profile;
    struct html_comparison page = {
        .type = profile_type(new, sides[SIDE_NEW].summary.column),
        .service = sides[SIDE_NEW].summary.service,
        .normalized = comparison_normalization_word(comparison->normalization),
        .base = {names[SIDE_BASE], profile_header_const(sides[SIDE_BASE].profile)->duration_ns,
                 comparison->weight[SIDE_BASE]},
        .new = {names[SIDE_NEW], profile_header_const(new)->duration_ns,
                comparison->weight[SIDE_NEW]},
    };
    return html_write_comparison(comparison->pair, &page, layout, out);
}
