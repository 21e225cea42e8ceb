#include "names.h"

#include <stdlib.h>
#include <string.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cprof/readable.h"
#include "graves.h"
#include "linetable.h"
#include "qualnames.h"
#include "walk.h"

/* Longer names and paths are cut; a line table that is longer (a function of some 100,000
 * lines) gives no line. */
enum { NAME_SIZE = 1024, FILE_SIZE = 4096 + 256, LINES_SIZE = 1 << 20, TEXT_CHUNK = 1024 };

static char name_text[NAME_SIZE], file_text[FILE_SIZE];

/* Copies memory that was an object a moment ago. */
static bool copy(void *to, const void *from, size_t size)
{
    return cprof_read_alive(to, (uintptr_t)from, size);
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c >= 0xD800 && c < 0xE000)
        c = 0xFFFD; /* a byte of a path that was not valid text */
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xF0 | (c >> 18 & 7));
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

static uint32_t character(const void *data, unsigned kind, size_t i)
{
    return kind == 1   ? ((const uint8_t *)data)[i]
           : kind == 2 ? ((const uint16_t *)data)[i]
                       : ((const uint32_t *)data)[i];
}

/* Writes a str object as UTF-8, at most `size` bytes with the final NUL. */
static bool copy_text(const void *object, char *text, size_t size)
{
    PyASCIIObject head;
    uint32_t chunk[TEXT_CHUNK];
    const char *data;
    size_t length, kind, used = 0;

    if (!copy(&head, object, sizeof head) || head.ob_base.ob_type != &PyUnicode_Type ||
        !head.state.compact || head.length < 0)
        return false;
    kind = head.state.kind;
    length = (size_t)head.length;
    data = (const char *)object +
           (head.state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject));
    if (kind != 1 && kind != 2 && kind != 4)
        return false;
    while (length > 0 && used + 5 <= size) {
        const size_t count = length < TEXT_CHUNK ? length : TEXT_CHUNK;
        if (!copy(chunk, data, count * kind))
            return false;
        for (size_t i = 0; i < count && used + 5 <= size; i++)
            used += put_utf8(text + used, character(chunk, (unsigned)kind, i));
        data += count * kind;
        length -= count;
    }
    text[used] = '\0';
    return true;
}

static int64_t line_of(const struct code_parts *parts, uint32_t offset)
{
    PyVarObject head;
    uint8_t *table;
    size_t size;
    int64_t line = 0;

    if (!copy(&head, parts->lines, sizeof head) || head.ob_base.ob_type != &PyBytes_Type ||
        head.ob_size <= 0 || head.ob_size > LINES_SIZE)
        return 0;
    size = (size_t)head.ob_size;
    table = malloc(size);
    if (table == NULL)
        return 0;
    if (copy(table, (const char *)parts->lines + offsetof(PyBytesObject, ob_sval), size))
        line = linetable_line(table, size, parts->first_line, offset);
    free(table);
    return line;
}

/* [locked] The parts of a code object that lives. */
static bool living_parts(uintptr_t address, struct code_parts *parts)
{
    PyCodeObject code;

    if (!copy(&code, (const void *)address, sizeof code) || Py_TYPE(&code) != &PyCode_Type)
        return false;
    *parts = (struct code_parts){
        .name = qualname_of(&code, address),
        .file = code.co_filename,
        .lines = code.co_linetable,
        .first_line = code.co_firstlineno,
    };
    return true;
}

int names_resolve(const struct cprof_frame *frame, struct cprof_function *function)
{
    const uintptr_t code = (uintptr_t)frame->token;
    struct code_parts parts;
    enum grave_found found;
    bool named = false;

    *function = (struct cprof_function){
        .name = name_text, .file = file_text, .type = CPROF_FRAME_CPYTHON};
    graves_lock();
    found = graves_find(code, position_generation(frame->position), &parts);
    if (found == GRAVE_DEAD || (found == GRAVE_ALIVE && living_parts(code, &parts))) {
        named = copy_text(parts.name, name_text, sizeof name_text) &&
                copy_text(parts.file, file_text, sizeof file_text);
        function->line = named ? line_of(&parts, position_offset(frame->position)) : 0;
        function->start_line = parts.first_line;
    }
    graves_unlock();
    return named ? 0 : -ENOENT;
}
