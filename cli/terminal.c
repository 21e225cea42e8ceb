#include "terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ELLIPSIS "\xe2\x80\xa6"    /* … */
#define TERMINAL_WIDEST 10000      /* columns that anybody can mean */

bool terminal_can_redraw(FILE *file)
{
    const char *kind = getenv("TERM");
    return isatty(fileno(file)) && kind && strcmp(kind, "dumb") != 0;
}

/* What the user asked for, or 0. Shells keep their COLUMNS to themselves: what is in the
 * environment somebody put there. */
static size_t wanted_width(void)
{
    const char *columns = getenv("COLUMNS");
    char *end;
    unsigned long width = columns ? strtoul(columns, &end, 10) : 0;
    return width > 0 && !*end && width <= TERMINAL_WIDEST ? width : 0;
}

static size_t width_of(FILE *file)
{
    struct winsize size;
    if (!isatty(fileno(file)))
        return TERMINAL_ENDLESS;
    if (ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

struct terminal terminal_of(FILE *file)
{
    const char *no_color = getenv("NO_COLOR");
    size_t wanted = wanted_width();
    return (struct terminal){
        .file = file,
        .width = wanted ? wanted : width_of(file),
        .colours = !(no_color && *no_color) && terminal_can_redraw(file),
    };
}

/* One character as it is shown: where its bytes are and how many columns they take. */
struct glyph {
    const char *bytes;
    size_t size;    /* of `bytes` */
    size_t taken;   /* of the text */
    size_t columns; /* 0 for combining characters */
};

static struct glyph next_glyph(const char *text, size_t left)
{
    wchar_t character;
    mbstate_t state = {0};
    size_t size = mbrtowc(&character, text, left, &state);
    if (size == 0 || size > left)
        return (struct glyph){REPLACEMENT, strlen(REPLACEMENT), 1, 1};
    int columns = wcwidth(character);
    if (columns < 0)
        return (struct glyph){REPLACEMENT, strlen(REPLACEMENT), size, 1};
    return (struct glyph){text, size, size, (size_t)columns};
}

size_t terminal_columns(const char *text, size_t length)
{
    size_t columns = 0;
    for (size_t at = 0; at < length;) {
        struct glyph glyph = next_glyph(text + at, length - at);
        columns += glyph.columns;
        at += glyph.taken;
    }
    return columns;
}

/* Padded by hand: printf counts bytes, and "µ" is more than one. */
void terminal_print_right(const struct terminal *terminal, const char *text, size_t width)
{
    size_t columns = terminal_columns(text, strlen(text));
    fprintf(terminal->file, "%*s%s", (int)(width > columns ? width - columns : 0), "", text);
}

const char *terminal_style(const struct terminal *terminal, enum style style)
{
    static const char *const sequences[] = {
        [STYLE_PLAIN] = "",           [STYLE_BOLD] = "\033[1m",    [STYLE_DIM] = "\033[2m",
        [STYLE_BLUE] = "\033[34m",    [STYLE_YELLOW] = "\033[33m", [STYLE_RED] = "\033[31m",
        [STYLE_MAGENTA] = "\033[35m", [STYLE_GREEN] = "\033[32m",
    };
    return terminal->colours ? sequences[style] : "";
}

const char *terminal_reset(const struct terminal *terminal, enum style style)
{
    return terminal->colours && style != STYLE_PLAIN ? "\033[0m" : "";
}

/* Prints glyphs until the next would not fit. Returns the columns used. */
static size_t print_glyphs(FILE *file, const char *text, size_t length, size_t width)
{
    size_t columns = 0;
    for (size_t at = 0; at < length;) {
        struct glyph glyph = next_glyph(text + at, length - at);
        if (glyph.columns > width - columns)
            break;
        fwrite(glyph.bytes, 1, glyph.size, file);
        columns += glyph.columns;
        at += glyph.taken;
    }
    return columns;
}

/* How many bytes to leave out at the start so that the rest fits. */
static size_t skip_start(const char *text, size_t length, size_t columns, size_t width)
{
    size_t at = 0;
    while (at < length && columns > width) {
        struct glyph glyph = next_glyph(text + at, length - at);
        columns -= glyph.columns;
        at += glyph.taken;
    }
    return at;
}

void terminal_print(const struct terminal *terminal, enum style style, const char *text,
                    size_t length, size_t width, enum terminal_cut cut, bool pad)
{
    size_t columns = terminal_columns(text, length), used = 0;
    fputs(terminal_style(terminal, style), terminal->file);
    if (columns <= width) {
        used = print_glyphs(terminal->file, text, length, width);
    } else if (width > 0 && cut == CUT_END) {
        used = print_glyphs(terminal->file, text, length, width - 1) + 1;
        fputs(ELLIPSIS, terminal->file);
    } else if (width > 0) {
        size_t skipped = skip_start(text, length, columns, width - 1);
        fputs(ELLIPSIS, terminal->file);
        used = print_glyphs(terminal->file, text + skipped, length - skipped, width - 1) + 1;
    }
    fputs(terminal_reset(terminal, style), terminal->file);
    for (; pad && used < width; used++)
        fputc(' ', terminal->file);
}
