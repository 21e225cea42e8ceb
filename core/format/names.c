#include "format/names.h"

#include <stdlib.h>
#include <string.h>

#include "format/utf8.h"

bool numbering_init(struct numbering *numbering, size_t rows)
{
    numbering->number = calloc(rows + 1, sizeof(*numbering->number));
    numbering->order = malloc((rows + 1) * sizeof(*numbering->order));
    numbering->used = 1;
    return numbering->number != NULL && numbering->order != NULL;
}

void numbering_free(struct numbering *numbering)
{
    free(numbering->number);
    free(numbering->order);
}

uint32_t numbering_of(struct numbering *numbering, uint32_t row)
{
    if (row != 0 && numbering->number[row] == 0) {
        numbering->order[numbering->used] = row;
        numbering->number[row] = numbering->used++;
    }
    return numbering->number[row];
}

bool names_init(struct names *names, const struct profile *profile)
{
    *names = (struct names){.profile = profile};
    names->known = calloc(profile_string_count(profile), sizeof(*names->known));
    return names->known != NULL && table_init(&names->table, &table_of_strings, &names->memory);
}

void names_free(struct names *names)
{
    free(names->known);
    table_free(&names->table, &names->memory);
    arena_free(&names->arena, &names->memory);
}

static uint32_t add_string(struct names *names, const struct table_string *string)
{
    uint32_t number = 0;
    if (string->text != NULL)
        number = table_intern(&names->table, string, &names->arena, &names->memory);
    if (number == 0)
        names->failed = true;
    return number;
}

static uint32_t add(struct names *names, const char *text, size_t length)
{
    if (length == 0)
        return 0;
    struct table_string string = {.text = text, .length = (uint32_t)length};
    char *mended = NULL;
    if (!utf8_valid(text, length)) {
        mended = utf8_mend(text, length, &length);
        string = (struct table_string){.text = mended, .length = (uint32_t)length};
    }
    uint32_t number = add_string(names, &string);
    free(mended);
    return number;
}

uint32_t names_of(struct names *names, profile_id string)
{
    if (names->known[string] == 0)
        names->known[string] = add(names, profile_text(names->profile, string),
                                   profile_text_length(names->profile, string));
    return names->known[string];
}

uint32_t names_text(struct names *names, const char *text)
{
    return add(names, text, strlen(text));
}

uint32_t names_bytes(struct names *names, const void *data, size_t size)
{
    if (size == 0)
        return 0;
    return add_string(names, &(struct table_string){.text = data, .length = (uint32_t)size});
}
