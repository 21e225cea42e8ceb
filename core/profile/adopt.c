/* Profiles that begin as another: its columns and what stands once, without the samples. */
#include <errno.h>
#include <stddef.h>

#include "profile/profile.h"

/* A string of one profile, in another. */
static profile_id copy_string(struct profile *p, const struct profile *from, profile_id id)
{
    return profile_string_n(p, profile_text(from, id), profile_text_length(from, id));
}

void profile_adopt_period(struct profile *p, size_t sheet, const struct profile *model,
                          size_t of)
{
    struct profile_period period = *profile_period_const(model, of);
    period.type.type = copy_string(p, model, period.type.type);
    period.type.unit = copy_string(p, model, period.type.unit);
    *profile_period(p, sheet) = period;
}

void profile_adopt_header(struct profile *p, const struct profile *model)
{
    struct profile_header h = *profile_header_const(model);
    profile_id *const strings[] = {
        &h.default_type, &h.doc_url,       &h.drop_frames, &h.keep_frames,
        &h.scope_name,   &h.scope_version, &h.program,
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
        *strings[i] = copy_string(p, model, *strings[i]);
    *profile_header(p) = h;
}

static int adopt_attributes(struct profile *p, const struct profile *model,
                            enum profile_attributes which)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < profile_attribute_count(model, which); i++) {
        const struct profile_label *attribute = profile_attribute(model, which, i);
        const char *key = profile_text(model, attribute->key);
        status = attribute->is_number
                     ? profile_set_number(p, which, key, attribute->number)
                     : profile_set_text(p, which, key, profile_text(model, attribute->text));
    }
    return status;
}

/* Sheets of the model, from `first` up to `end`, as 0 and so on. */
static int adopt_sheets(struct profile *p, const struct profile *model, size_t first,
                        size_t end)
{
    for (size_t i = first + 1; i < end; i++)
        if (profile_add_sheet(p) < 0)
            return -ENOMEM;
    for (size_t i = 0; i < profile_value_count(model); i++) {
        size_t sheet = profile_column_sheet(model, i);
        if (sheet >= first && sheet < end &&
            profile_add_value_type(p, sheet - first, profile_type(model, i),
                                   profile_unit(model, i)) != 0)
            return -ENOMEM;
    }
    for (size_t i = first; i < end; i++)
        profile_adopt_period(p, i - first, model, i);
    return 0;
}

static int adopt(struct profile *p, const struct profile *model, size_t first, size_t end)
{
    if (adopt_sheets(p, model, first, end) != 0)
        return -ENOMEM;
    profile_adopt_header(p, model);
    for (enum profile_attributes which = PROFILE_RESOURCE; which <= PROFILE_COMMENTS; which++)
        if (adopt_attributes(p, model, which) != 0)
            return -ENOMEM;
    return profile_error(p);
}

int profile_adopt(struct profile *p, const struct profile *model)
{
    return adopt(p, model, 0, profile_sheet_count(model));
}

static struct profile *new_like(const struct profile *model, struct budget *budget,
                                size_t first, size_t end)
{
    struct profile *p = profile_new(budget);
    if (p != NULL && adopt(p, model, first, end) != 0) {
        profile_free(p);
        return NULL;
    }
    return p;
}

struct profile *profile_new_like(const struct profile *model, struct budget *budget)
{
    return new_like(model, budget, 0, profile_sheet_count(model));
}

struct profile *profile_new_like_sheet(const struct profile *model, size_t sheet)
{
    struct profile *p = new_like(model, NULL, sheet, sheet + 1);
    struct profile_header *h = p != NULL ? profile_header(p) : NULL;
    if (p != NULL && profile_value_column(p, profile_text(p, h->default_type)) < 0)
        h->default_type = 0;
    return p;
}
