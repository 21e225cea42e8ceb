#include "symbol/demangle.h"

#include <libiberty/demangle.h>
#include <libiberty/safe-ctype.h>
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

#include "symbol/cython.h"

/*
 * rust-demangle.c classifies characters with this table of libiberty's safe-ctype.c, the only
 * object it would pull in that lacks the linking exception. It asks for no more than letters
 * and digits.
 */
const unsigned short _sch_istable[256] = {
    ['0' ... '9'] = _sch_isdigit | _sch_isxdigit,
    ['A' ... 'F'] = _sch_isupper | _sch_isxdigit,
    ['G' ... 'Z'] = _sch_isupper,
    ['a' ... 'f'] = _sch_islower | _sch_isxdigit,
    ['g' ... 'z'] = _sch_islower,
};

struct sink {
    char *output;
    size_t capacity, length;
    jmp_buf full;
};

/* libiberty has no way to stop it, and a hostile name can make it print for ever. Leaving it
 * by a jump loses nothing: its callback interface keeps its state on the stack (but for a
 * Rust identifier in Punycode, whose few bytes a name cut in just that place leaks). */
static void append(const char *text, size_t size, void *opaque)
{
    struct sink *sink = opaque;
    size_t room = sink->capacity - 1 - sink->length;
    size_t take = size < room ? size : room;
    memcpy(sink->output + sink->length, text, take);
    sink->length += take;
    if (take < size)
        longjmp(sink->full, 1);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The length of a name without what GCC and LLVM append to parts and copies of a function. */
static size_t length_without_clone(const char *name, size_t length)
{
    static const char *const marks[] = {".cold", ".part",      ".isra",
                                        ".llvm", ".constprop", ".lto_priv"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks;) {
        size_t stem = length, mark = strlen(marks[i]);
        while (stem && is_digit(name[stem - 1]))
            stem--;
        stem = stem && stem < length && name[stem - 1] == '.' ? stem - 1 : length;
        if (stem > mark && !memcmp(name + stem - mark, marks[i], mark)) {
            length = stem - mark;
            i = 0;
        } else {
            i++;
        }
    }
    return length;
}

static bool print_readable(const char *name, struct sink *sink)
{
    if (strncmp(name, "_R", 2) && strncmp(name, "_Z", 2))
        return false;
    if (setjmp(sink->full))
        return true;
    if (rust_demangle_callback(name, DMGL_NO_OPTS, append, sink))
        return true;
    sink->length = 0;
    return cplus_demangle_v3_callback(name, DMGL_PARAMS | DMGL_ANSI | DMGL_RET_DROP, append,
                                      sink);
}

void demangle(const char *name, char *output, size_t capacity)
{
    struct sink sink = {.output = output, .capacity = capacity};
    char stem[DEMANGLE_INPUT + 1];
    size_t length = length_without_clone(name, strlen(name));
    bool readable = false;
    if (length < sizeof stem) {
        memcpy(stem, name, length);
        stem[length] = '\0';
        if (cython_readable(stem, output, capacity))
            return;
        readable = print_readable(stem, &sink);
    }
    if (!readable) {
        sink.length = length < capacity - 1 ? length : capacity - 1;
        memcpy(output, name, sink.length);
    }
    output[sink.length] = '\0';
}
