#include "layout.h"

#include <inttypes.h>
#include <string.h>

/* Columns for names, when the terminal has room for places beside them. */
#define NAME_MOST 64

/* The end of a path tells most: two parts of a source file's, one of a module's. --json has
 * all of it. */
static const char *short_path(const char *path, bool source)
{
    const char *slash = strrchr(path, '/');
    if (slash && !source)
        return slash + 1;
    while (slash && slash > path && slash[-1] != '/')
        slash--;
    return slash ? slash : path;
}

static size_t place_text(const struct report_row *row, char *text, size_t size)
{
    const char *file = short_path(row->file, row->line > 0);
    int length = row->line > 0 && *file ? snprintf(text, size, "%s:%" PRId64, file, row->line)
                 : row->line > 0        ? snprintf(text, size, "%" PRId64, row->line)
                                        : snprintf(text, size, "%s", file);
    return (size_t)length < size ? (size_t)length : size - 1;
}

void layout_add(struct layout *layout, const struct report_row *row)
{
    char place[4096];
    size_t name = terminal_columns(row->name, row->name_length);
    size_t where = terminal_columns(place, place_text(row, place, sizeof(place)));
    layout->name = name > layout->name ? name : layout->name;
    layout->place = where > layout->place ? where : layout->place;
}

void layout_fit(struct layout *layout, const struct terminal *terminal, size_t fixed)
{
    if (layout->name > NAME_MOST && layout->place > 0)
        layout->name = NAME_MOST;
    if (terminal->width == TERMINAL_ENDLESS)
        return;
    size_t room = terminal->width > fixed + 20 ? terminal->width - fixed : 20;
    if (layout->place == 0) {
        layout->name = layout->name < room ? layout->name : room;
        return;
    }
    /* Names come first: places get what is left, and at least a third. */
    size_t least = layout->place < room / 3 ? layout->place : room / 3;
    if (layout->name > room - least - 2)
        layout->name = room - least - 2;
    if (layout->place > room - layout->name - 2)
        layout->place = room - layout->name - 2;
}

static enum style type_style(const char *type)
{
    static const struct {
        const char *type;
        enum style style;
    } styles[] = {
        {"cpython", STYLE_BLUE}, {"native", STYLE_YELLOW}, {"kernel", STYLE_RED},
        {"ruby", STYLE_MAGENTA}, {"v8js", STYLE_GREEN},
    };
    for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
        if (strcmp(styles[i].type, type) == 0)
            return styles[i].style;
    return STYLE_PLAIN;
}

/* Where the last part of a name begins: what packages, namespaces and paths in front of it only
 * place. What stands in brackets is no separator: template arguments, parameters, "<lambda>".
 */
static size_t last_part(const char *name, size_t length)
{
    size_t start = 0, depth = 0;
    for (size_t i = 0; i < length; i++) {
        if (strchr("<([{", name[i]) && name[i])
            depth++;
        else if (strchr(">)]}", name[i]) && name[i])
            depth -= depth > 0;
        else if (depth == 0 && i + 1 < length && strchr("./:#\\", name[i]) && name[i])
            start = i + 1;
    }
    return start;
}

static void print_name(const struct layout *layout, const struct report_row *row,
                       const struct terminal *terminal, bool pad)
{
    enum style style = layout->grey ? STYLE_DIM : type_style(row->type);
    const char *name = row->name;
    size_t length = row->name_length, start = 0;
    enum terminal_cut cut = layout->cut;
    if (cut == CUT_END && terminal_columns(name, length) > layout->name)
        start = last_part(name, length);
    if (start > 0 && terminal_columns(name + start, length - start) < layout->name)
        cut = CUT_START;
    else
        name += start;
    length -= (size_t)(name - row->name);
    terminal_print(terminal, style, name, length, layout->name, cut, pad);
}

void layout_print(const struct layout *layout, const struct report_row *row,
                  const struct terminal *terminal)
{
    char place[4096];
    size_t length = place_text(row, place, sizeof(place));
    print_name(layout, row, terminal, length > 0);
    if (length > 0) {
        fputs("  ", terminal->file);
        terminal_print(terminal, STYLE_DIM, place, length, layout->place, CUT_START, false);
    }
}
