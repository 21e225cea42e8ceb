#include "listing.h"

#include <errno.h>
#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    const struct listing_line *a = left, *b = right;
    return (a->line > b->line) - (a->line < b->line);
}

int listing_make(struct listing *listing, const struct report_row *row,
                 const struct report *lines)
{
    *listing = (struct listing){
        .row = row,
        .lines = calloc(lines->row_count + 1, sizeof(*listing->lines)),
    };
    if (!listing->lines)
        return -ENOMEM;
    for (size_t i = 0; i < lines->row_count; i++) {
        const struct report_row *line = &lines->rows[i];
        if (line->function == row->function)
            listing->lines[listing->count++] =
                (struct listing_line){line->line, line->self, line->total};
    }
    qsort(listing->lines, listing->count, sizeof(*listing->lines), compare);
    return 0;
}

void listing_free(struct listing *listing)
{
    free(listing->lines);
    *listing = (struct listing){0};
}

/* On its way through the lines. */
struct walk {
    void (*visit)(void *closure, const struct listing_line *line, bool gap);
    void *closure;
    int64_t next; /* the line behind the one that was shown last; 0: none was */
};

static void show(struct walk *walk, const struct listing_line *line)
{
    walk->visit(walk->closure, line, walk->next > 0 && line->line > walk->next);
    walk->next = line->line < INT64_MAX ? line->line + 1 : INT64_MAX;
}

static void show_quiet(struct walk *walk, int64_t from, int64_t to)
{
    for (int64_t i = from > walk->next ? from : walk->next; i <= to; i++)
        show(walk, &(struct listing_line){.line = i});
}

void listing_visit(const struct listing *listing, int64_t last,
                   void (*visit)(void *closure, const struct listing_line *line, bool gap),
                   void *closure)
{
    struct walk walk = {.visit = visit, .closure = closure};
    const int64_t start = listing->row->line;
    for (size_t i = 0; i < listing->count; i++) {
        const struct listing_line *line = &listing->lines[i];
        const bool known = line->line > 0 && line->line <= last;
        if (known && walk.next == 0 && start > 0 && start < line->line)
            show_quiet(&walk, start, start);
        if (known)
            show_quiet(&walk, line->line > LISTING_AROUND ? line->line - LISTING_AROUND : 1,
                       line->line - 1);
        show(&walk, line);
        if (!known) {
            walk.next = 0; /* there is no line behind it */
            continue;
        }
        int64_t to = last - line->line > LISTING_AROUND ? line->line + LISTING_AROUND : last;
        if (i + 1 < listing->count && to >= listing->lines[i + 1].line)
            to = listing->lines[i + 1].line - 1;
        show_quiet(&walk, line->line + 1, to);
    }
}
