#include "symbol/kallsyms.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbol/kernel_names.h"

#define FUNCTION_MAX ((uint64_t)1 << 20) /* bytes; what lies farther behind a name has none */
#define PIECE 32768
#define SHARE 4 /* names may take 1/SHARE of the budget */
#define LINE_MAX_BYTES 1024

/* ---- lines ---- */

static bool is_function(char type)
{
    return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

/* [from, end) up to a blank. */
static size_t word_length(const char *from, const char *end)
{
    const char *at = from;
    while (at < end && *at != ' ' && *at != '\t' && *at != '\0')
        at++;
    return (size_t)(at - from);
}

static const char *read_address(const char *at, const char *end, uint64_t *address)
{
    *address = 0;
    for (; at < end; at++) {
        char c = *at;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;
        if (digit == 16)
            break;
        *address = *address << 4 | digit;
    }
    return at;
}

bool kallsyms_read(const char *text, size_t length, struct kallsyms_line *line)
{
    const char *end = text + length;
    *line = (struct kallsyms_line){.module = ""};
    const char *at = read_address(text, end, &line->address);
    if (end - at < 4 || at[0] != ' ' || !is_function(at[1]) || at[2] != ' ' ||
        !kernel_has((uintptr_t)line->address))
        return false;
    line->name = at + 3;
    line->name_length = word_length(line->name, end);
    at = line->name + line->name_length;
    if (end - at > 2 && at[0] == '\t' && at[1] == '[') {
        const char *close = memchr(at, ']', (size_t)(end - at));
        line->module = at + 2;
        line->module_length = close != NULL ? (size_t)(close - line->module) : 0;
    }
    return line->name_length != 0;
}

/* ---- tables ---- */

/* Twice as much room, or the first. NULL: there is none; what there was stays. */
static void *grow(const struct kallsyms *kallsyms, void *old, size_t bytes, size_t first)
{
    size_t more = bytes != 0 ? bytes : first;
    size_t held = kallsyms->capacity * sizeof *kallsyms->entries + kallsyms->room;
    size_t limit = kallsyms->budget != NULL ? kallsyms->budget->limit / SHARE : 0;
    if ((limit != 0 && held + more > limit) || !budget_take(kallsyms->budget, more))
        return NULL;
    void *grown = realloc(old, bytes + more);
    if (grown == NULL)
        budget_give(kallsyms->budget, more);
    return grown;
}

static bool have_room(struct kallsyms *kallsyms, size_t name_bytes)
{
    const size_t first = 4096;
    while (kallsyms->used + name_bytes > kallsyms->room) {
        char *names = grow(kallsyms, kallsyms->names, kallsyms->room, first * 16);
        if (names == NULL)
            return false;
        kallsyms->names = names;
        kallsyms->room = kallsyms->room != 0 ? 2 * kallsyms->room : first * 16;
    }
    if (kallsyms->count < kallsyms->capacity)
        return true;
    size_t each = sizeof *kallsyms->entries;
    void *entries = grow(kallsyms, kallsyms->entries, kallsyms->capacity * each, first * each);
    if (entries == NULL)
        return false;
    kallsyms->entries = entries;
    kallsyms->capacity = kallsyms->capacity != 0 ? 2 * kallsyms->capacity : first;
    return true;
}

static void put_word(struct kallsyms *kallsyms, const char *word, size_t length)
{
    memcpy(kallsyms->names + kallsyms->used, word, length);
    kallsyms->names[kallsyms->used + length] = '\0';
    kallsyms->used += length + 1;
}

static void add(struct kallsyms *kallsyms, const struct kallsyms_line *line)
{
    if (kallsyms->full)
        return;
    if (!have_room(kallsyms, line->name_length + line->module_length + 2)) {
        kallsyms_free(kallsyms);
        kallsyms->full = true;
        return;
    }
    kallsyms->entries[kallsyms->count++] =
        (struct kallsyms_entry){.address = line->address, .name = (uint32_t)kallsyms->used};
    put_word(kallsyms, line->name, line->name_length);
    put_word(kallsyms, line->module, line->module_length);
}

size_t kallsyms_add(struct kallsyms *kallsyms, const char *text, size_t length)
{
    const char *at = text, *end = text + length, *newline;
    struct kallsyms_line line;
    while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (kallsyms_read(at, (size_t)(newline - at), &line))
            add(kallsyms, &line);
        at = newline + 1;
    }
    return (size_t)(at - text);
}

static int compare(const void *a, const void *b)
{
    const struct kallsyms_entry *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return (x->name > y->name) - (x->name < y->name);
}

/* The file is in order, but for modules. What is too much of the room is given back. */
void kallsyms_sort(struct kallsyms *kallsyms)
{
    size_t each = sizeof *kallsyms->entries, i = 1;
    while (i < kallsyms->count && compare(&kallsyms->entries[i - 1], &kallsyms->entries[i]) < 0)
        i++;
    if (i < kallsyms->count)
        qsort(kallsyms->entries, kallsyms->count, each, compare);
    void *entries = realloc(kallsyms->entries, kallsyms->count * each + 1);
    if (entries != NULL) {
        kallsyms->entries = entries;
        budget_give(kallsyms->budget, (kallsyms->capacity - kallsyms->count) * each);
        kallsyms->capacity = kallsyms->count;
    }
    char *names = realloc(kallsyms->names, kallsyms->used + 1);
    if (names != NULL) {
        kallsyms->names = names;
        budget_give(kallsyms->budget, kallsyms->room - kallsyms->used);
        kallsyms->room = kallsyms->used;
    }
}

/* ---- the file ---- */

static void read_all(struct kallsyms *kallsyms)
{
    char *piece = malloc(PIECE);
    int fd = piece != NULL ? open("/proc/kallsyms", O_RDONLY | O_CLOEXEC) : -1;
    size_t left = 0;
    ssize_t length;
    while (fd >= 0 && !kallsyms->full && (length = read(fd, piece + left, PIECE - left)) > 0) {
        size_t size = left + (size_t)length, taken = kallsyms_add(kallsyms, piece, size);
        left = size - taken < LINE_MAX_BYTES ? size - taken : 0;
        memmove(piece, piece + taken, left);
    }
    if (fd >= 0)
        close(fd);
    free(piece);
    kallsyms_sort(kallsyms);
}

bool kallsyms_find(struct kallsyms *kallsyms, uintptr_t address, const char **name,
                   const char **module)
{
    if (!kallsyms->read)
        read_all(kallsyms);
    kallsyms->read = true;
    size_t low = 0, high = kallsyms->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kallsyms->entries[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address - kallsyms->entries[low - 1].address >= FUNCTION_MAX)
        return false;
    const struct kallsyms_entry *found = &kallsyms->entries[low - 1];
    while (found > kallsyms->entries && found[-1].address == found->address)
        found--;
    *name = kallsyms->names + found->name;
    *module = *name + strlen(*name) + 1;
    return true;
}

void kallsyms_free(struct kallsyms *kallsyms)
{
    budget_give(kallsyms->budget,
                kallsyms->capacity * sizeof *kallsyms->entries + kallsyms->room);
    free(kallsyms->entries);
    free(kallsyms->names);
    *kallsyms = (struct kallsyms){.budget = kallsyms->budget, .read = kallsyms->read};
}
