#include "profile/sheet.h"

#include <errno.h>
#include <string.h>

#include "profile/clamp.h"

static bool sheet_init(struct sheet *sheet, struct memory *memory)
{
    *sheet = (struct sheet){.values.row_size = sizeof(int64_t)}; /* until the first column */
    return table_init(&sheet->keys, &table_of_keys, memory);
}

static void sheet_free(struct sheet *sheet, struct memory *memory)
{
    table_free(&sheet->keys, memory);
    rows_free(&sheet->values, memory);
}

bool sheets_init(struct sheets *sheets, struct memory *memory)
{
    sheets->count = 1;
    return sheet_init(&sheets->first, memory);
}

void sheets_free(struct sheets *sheets, struct memory *memory)
{
    for (size_t i = 0; i < sheets->count; i++)
        sheet_free(sheets_at(sheets, i), memory);
    if (sheets->more != NULL)
        memory_release(memory, sheets->more, (sheets->count - 1) * sizeof(*sheets->more));
}

int sheets_add(struct sheets *sheets, struct memory *memory)
{
    if (sheets->count == PROFILE_SHEETS_MAX)
        return -ENOSPC;
    struct sheet added;
    const size_t more = sheets->count - 1;
    struct sheet *grown = NULL;
    if (sheet_init(&added, memory))
        grown = memory_resize(memory, sheets->more, more * sizeof(*grown),
                              (more + 1) * sizeof(*grown));
    if (grown == NULL) {
        sheet_free(&added, memory);
        return -ENOMEM;
    }
    grown[more] = added;
    sheets->more = grown;
    sheets->count++;
    return 0;
}

/* Spreads the values of the samples so far over rows of one more column. */
static bool widen(struct sheet *sheet, struct memory *memory)
{
    struct rows wide = {.row_size = (sheet->width + 1) * sizeof(int64_t)};
    for (uint32_t i = 0; i < sheet->values.count; i++) {
        if (!rows_reserve(&wide, memory)) {
            rows_free(&wide, memory);
            return false;
        }
        memset(rows_at(&wide, i), 0, wide.row_size);
        memcpy(rows_at(&wide, i), rows_at(&sheet->values, i), sheet->width * sizeof(int64_t));
        wide.count++;
    }
    rows_free(&sheet->values, memory);
    sheet->values = wide;
    sheet->width++;
    return true;
}

int sheets_add_column(struct sheets *sheets, size_t sheet, struct profile_value_type type,
                      struct memory *memory)
{
    if (sheets->columns == PROFILE_MAX_VALUES)
        return -ENOSPC;
    for (size_t i = 0; i < sheets->columns; i++)
        if (sheets->column[i].type.type == type.type &&
            sheets->column[i].type.unit == type.unit)
            return -EEXIST;
    struct sheet *to = sheets_at(sheets, sheet);
    if (!widen(to, memory))
        return -ENOMEM;
    sheets->column[sheets->columns++] = (struct sheet_column){
        .type = type, .sheet = (uint16_t)sheet, .place = (uint16_t)(to->width - 1)};
    return 0;
}

bool sheet_clear(struct sheet *sheet, struct memory *memory)
{
    struct table keys;
    if (!table_init(&keys, &table_of_keys, memory)) {
        table_free(&keys, memory);
        return false;
    }
    table_free(&sheet->keys, memory);
    sheet->keys = keys;
    sheet->values.count = 0;
    memset(sheet->overflow, 0, sizeof sheet->overflow);
    sheet->overflowed = false;
    return true;
}

void sheets_rescale(struct sheets *sheets, size_t column, int64_t factor)
{
    const size_t place = sheets->column[column].place;
    struct sheet *sheet = sheets_at(sheets, sheets->column[column].sheet);
    for (uint32_t i = 0; i < sheet->values.count; i++) {
        int64_t *values = rows_at(&sheet->values, i);
        values[place] = clamp_multiply(values[place], factor);
    }
    sheet->overflow[place] = clamp_multiply(sheet->overflow[place], factor);
}

bool sheets_take(const struct sheets *sheets, size_t sheet, const int64_t *row,
                 int64_t values[PROFILE_MAX_VALUES])
{
    bool any = false;
    for (size_t i = 0; i < sheets->columns; i++)
        if (sheets->column[i].sheet == sheet) {
            values[sheets->column[i].place] = row[i];
            any |= row[i] != 0;
        }
    return any;
}

size_t sheets_sample_count(const struct sheets *sheets)
{
    size_t count = 0;
    for (size_t i = 0; i < sheets->count; i++)
        count += sheet_count(sheets_at(sheets, i));
    return count;
}

size_t sheets_find(const struct sheets *sheets, size_t *index)
{
    size_t sheet = 0;
    while (sheet + 1 < sheets->count && *index >= sheet_count(sheets_at(sheets, sheet)))
        *index -= sheet_count(sheets_at(sheets, sheet++));
    return sheet;
}
