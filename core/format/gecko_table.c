#include "format/gecko_table.h"

#include <errno.h>
#include <stdlib.h>

int gecko_table_open(const struct nested *in, uint32_t row, struct gecko_table *table)
{
    const uint32_t schema = nested_get(in, row, "schema");
    gecko_table_close(table);
    table->row = row;
    if (schema == 0)
        return 0;
    const uint32_t data = nested_get(in, row, "data");
    table->schema = schema;
    table->rows = malloc(((size_t)nested_count(in, data) + 1) * sizeof(*table->rows));
    if (table->rows == NULL)
        return -ENOMEM;
    for (uint32_t at = nested_first(in, data); at != 0; at = nested_next(in, data, at))
        table->rows[table->count++] = at;
    return 0;
}

void gecko_table_close(struct gecko_table *table)
{
    free(table->rows);
    *table = (struct gecko_table){0};
}

struct gecko_column gecko_table_column(const struct nested *in, const struct gecko_table *table,
                                       const char *name)
{
    struct gecko_column column = {.table = table, .place = -1};
    if (table->schema == 0)
        column.list = nested_get(in, table->row, name);
    else if (!nested_integer(in, nested_get(in, table->schema, name), &column.place))
        column.place = -1;
    return column;
}

uint32_t gecko_column_count(const struct nested *in, const struct gecko_column *column)
{
    if (column->place >= 0)
        return column->table->count;
    return nested_count(in, column->list);
}

uint32_t gecko_column_cell(const struct nested *in, const struct gecko_column *column,
                           uint64_t index)
{
    if (column->place < 0)
        return nested_at(in, column->list, index);
    return index < column->table->count
               ? nested_at(in, column->table->rows[index], (uint64_t)column->place)
               : 0;
}
