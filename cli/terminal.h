/*
 * What an output can show. Colours only on a terminal, and not when NO_COLOR is set or
 * TERM is dumb; text is cut to the terminal's width, and where the output goes to a file or
 * another program only when COLUMNS says how wide. COLUMNS goes before what the terminal says.
 */
#ifndef CPROF_CLI_TERMINAL_H
#define CPROF_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum style {
    STYLE_PLAIN,
    STYLE_BOLD,
    STYLE_DIM,
    STYLE_BLUE,
    STYLE_YELLOW,
    STYLE_RED,
    STYLE_MAGENTA,
    STYLE_GREEN,
};

struct terminal {
    FILE *file;
    size_t width; /* columns; TERMINAL_ENDLESS: all of it */
    bool colours;
};

#define TERMINAL_ENDLESS ((size_t)-1)

struct terminal terminal_of(FILE *file);
/* Is it a terminal on which a line can be written over? */
bool terminal_can_redraw(FILE *file);

/* How many columns the text takes when terminal_print() shows all of it. */
size_t terminal_columns(const char *text, size_t length);

/* Which end of a text that is too long gives way to "…". */
enum terminal_cut { CUT_END, CUT_START };

/* Prints at most `width` columns of the text; with `pad`, spaces up to that width follow.
 * Control characters and bytes that are not UTF-8 show as U+FFFD: names come from files that
 * anybody may have written, and must not talk to the terminal. */
void terminal_print(const struct terminal *terminal, enum style style, const char *text,
                    size_t length, size_t width, enum terminal_cut cut, bool pad);

/* All of the text at the right end of `width` columns. */
void terminal_print_right(const struct terminal *terminal, const char *text, size_t width);

/* The escape sequences before and after something printed otherwise; "" where none are
 * needed. */
const char *terminal_style(const struct terminal *terminal, enum style style);
const char *terminal_reset(const struct terminal *terminal, enum style style);

#endif
