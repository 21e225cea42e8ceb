#include "script.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"
#include "isolate.h"
#include "methods.h"
#include "source_map.h"
#include "strings.h"

enum {
    TEXTS_MAX = 64 << 20,  /* bytes of all texts that wait to be studied */
    TABLES_MAX = 16 << 20, /* bytes of the tables of an isolate's scripts */
    LINES_MAX = 1 << 20,
    CLASS_NAME_MAX = 128,
    URL_MAX = 4096,
    MAP_FILE_MAX = 64 << 20,
};

struct script {
    struct isolate *isolate;
    uint32_t references;
    int32_t id;
    uint32_t first_line;
    char *path; /* or URL; "" = none */

    struct characters text; /* ours, until it has been studied */
    bool studied;
    size_t bytes;
    uint32_t *lines; /* where all but the first begin */
    uint32_t line_count;
    struct methods methods;
    char *class_names; /* CLASS_NAME_MAX for each */
    struct source_map *map;
};

static _Atomic size_t text_bytes;
static _Atomic bool maps_used;

void script_use_maps(bool use)
{
    atomic_store(&maps_used, use);
}

/* ---- copies ---- */

static void drop_text(struct script *script)
{
    size_t width = script->text.one != NULL ? 1 : 2;
    atomic_fetch_sub(&text_bytes, script->text.length * width);
    free((void *)(uintptr_t)(width == 1 ? (const void *)script->text.one
                                        : (const void *)script->text.two));
    script->text = (struct characters){0};
}

static void copy_text(struct script *script, uintptr_t source)
{
    struct characters there;
    if (!strings_look(source, &there))
        return;
    size_t size = (size_t)there.length * (there.one != NULL ? 1 : 2);
    if (atomic_fetch_add(&text_bytes, size) + size > TEXTS_MAX) {
        atomic_fetch_sub(&text_bytes, size);
        return;
    }
    void *copy = malloc(size + 1);
    if (copy == NULL) {
        atomic_fetch_sub(&text_bytes, size);
        return;
    }
    memcpy(copy, there.one != NULL ? (const void *)there.one : (const void *)there.two, size);
    script->text.length = there.length;
    if (there.one != NULL)
        script->text.one = copy;
    else
        script->text.two = copy;
}

static struct script *make_script(struct isolate *isolate, uintptr_t word, int32_t id)
{
    char path[SCRIPT_FILE_MAX];
    struct script *script = calloc(1, sizeof *script);
    if (script == NULL)
        return NULL;
    strings_copy(heap_word(word, layout.script_name), path, sizeof path);
    script->path = strdup(path);
    if (script->path == NULL) {
        free(script);
        return NULL;
    }
    script->isolate = isolate;
    script->id = id;
    script->first_line = (uint32_t)heap_smi(heap_word(word, layout.script_line_offset)) + 1;
    copy_text(script, heap_word(word, layout.script_source));
    return script;
}

struct script *script_copy(struct isolate *isolate, uintptr_t word)
{
    int32_t id = heap_smi(heap_word(word, layout.script_id));
    struct script **slot = &isolate->scripts[(uint32_t)id % SCRIPT_SLOTS];
    struct script *known = *slot; /* only this thread changes it while it is open */
    if (known == NULL || known->id != id) {
        known = make_script(isolate, word, id);
        if (known == NULL)
            return NULL;
        isolate_lock(0);
        if (*slot != NULL)
            script_release(*slot);
        *slot = known;
        script_hold(known);
        isolate_unlock();
    }
    isolate_lock(0);
    script_hold(known);
    isolate_unlock();
    return known;
}

void script_hold(struct script *script)
{
    script->references++;
}

void script_release(struct script *script)
{
    if (script == NULL || --script->references > 0)
        return;
    atomic_fetch_sub(&script->isolate->table_bytes, script->bytes);
    drop_text(script);
    free(script->lines);
    methods_free(&script->methods);
    free(script->class_names);
    source_map_free(script->map);
    free(script->path);
    free(script);
}

void script_forget_all(struct isolate *isolate)
{
    for (size_t i = 0; i < SCRIPT_SLOTS; i++) {
        script_release(isolate->scripts[i]);
        isolate->scripts[i] = NULL;
    }
}

/* ---- the study: lines ---- */

static uint32_t unit(const struct characters *text, uint32_t at)
{
    return text->one != NULL ? text->one[at] : text->two[at];
}

/* The ends of lines that V8 counts. */
static bool ends_line(const struct characters *text, uint32_t at)
{
    uint32_t c = unit(text, at);
    if (c == '\n' || c == 0x2028 || c == 0x2029)
        return true;
    return c == '\r' && (at + 1 == text->length || unit(text, at + 1) != '\n');
}

static void find_lines(struct script *script)
{
    uint32_t capacity = 0;
    for (uint32_t i = 0; i < script->text.length && script->line_count < LINES_MAX; i++) {
        if (!ends_line(&script->text, i))
            continue;
        if (script->line_count == capacity) {
            capacity = capacity == 0 ? 256 : 2 * capacity;
            uint32_t *grown = realloc(script->lines, capacity * sizeof *grown);
            if (grown == NULL)
                return;
            script->lines = grown;
        }
        script->lines[script->line_count++] = i + 1;
    }
    uint32_t *fitting =
        realloc(script->lines, (script->line_count + 1) * sizeof *script->lines);
    script->lines = fitting != NULL ? fitting : script->lines;
}

/* ---- classes ---- */

static void keep_class_names(struct script *script)
{
    const struct methods *methods = &script->methods;
    script->class_names = calloc(methods->class_count + 1, CLASS_NAME_MAX);
    for (uint32_t i = 0; script->class_names != NULL && i < methods->class_count; i++) {
        const struct class_name *name = &methods->classes[i];
        const struct characters part = {
            .one = script->text.one != NULL ? script->text.one + name->start : NULL,
            .two = script->text.two != NULL ? script->text.two + name->start : NULL,
            .length = name->length,
        };
        strings_encode(&part, script->class_names + (size_t)i * CLASS_NAME_MAX, CLASS_NAME_MAX);
    }
}

/* ---- source maps ---- */

static bool matches(const struct characters *text, uint32_t at, const char *with)
{
    for (uint32_t i = 0; with[i] != '\0'; i++)
        if (at + i >= text->length || unit(text, at + i) != (uint8_t)with[i])
            return false;
    return true;
}

/* Behind the last "//# sourceMappingURL=", or 0. */
static uint32_t find_url(const struct characters *text)
{
    static const char *const marks[] = {"//# sourceMappingURL=", "//@ sourceMappingURL="};
    for (uint32_t at = text->length; at-- > 0;)
        if (unit(text, at) == '/')
            for (int i = 0; i < 2; i++)
                if (matches(text, at, marks[i]))
                    return at + (uint32_t)strlen(marks[i]);
    return 0;
}

/* The URL as bytes; it is ASCII. Free with free(). */
static char *copy_url(const struct characters *text, uint32_t start)
{
    uint32_t end = start;
    while (end < text->length && unit(text, end) > ' ' && unit(text, end) < 0x7f)
        end++;
    char *url = malloc((size_t)(end - start) + 1);
    for (uint32_t i = start; url != NULL && i < end; i++)
        url[i - start] = (char)unit(text, i);
    if (url != NULL)
        url[end - start] = '\0';
    return url;
}

static bool has_scheme(const char *url)
{
    size_t length =
        strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    return length > 1 && url[length] == ':';
}

/* Takes "/./" and "/folder/.." out of what stands behind `root` bytes. */
static void simplify(char *path, size_t root)
{
    char *out = path + root, *floor = out;
    for (const char *at = out; *at != '\0';) {
        size_t length = strcspn(at, "/");
        bool up = length == 2 && at[0] == '.' && at[1] == '.';
        bool here = length == 1 && at[0] == '.';
        bool slash = at[length] == '/';
        if (up && out > floor) {
            for (out--; out > floor && out[-1] != '/'; out--)
                ;
        } else if (!here) {
            memmove(out, at, length + slash);
            out += length + slash;
        }
        at += length + slash;
    }
    *out = '\0';
}

/* `relative` as seen from the folder of `base`. */
static void resolve(const char *base, const char *relative, char *out, size_t size)
{
    static const char file[] = "file://";
    const char *slash = strrchr(base, '/');
    bool whole = *relative == '/' || has_scheme(relative) || slash == NULL;
    size_t folder = whole ? 0 : (size_t)(slash + 1 - base);
    size_t length = strlen(relative);
    if (folder + length >= size) {
        *out = '\0';
        return;
    }
    memcpy(out, base, folder);
    memcpy(out + folder, relative, length + 1);
    size_t root = strncmp(out, file, sizeof file - 1) == 0 ? sizeof file - 1 : 0;
    root += out[root] == '/';
    if (root > 0)
        simplify(out, root);
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c != '\0' ? strchr(digits, c | 0x20) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

/* file:///a%20b as /a b, in place. */
static const char *path_of_url(char *url)
{
    if (strncmp(url, "file:///", 8) != 0)
        return url;
    char *out = url + 7;
    for (const char *at = out; *at != '\0'; at++) {
        bool escaped = *at == '%' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0;
        *out++ = escaped ? (char)(hex_digit(at[1]) << 4 | hex_digit(at[2])) : *at;
        at += escaped ? 2 : 0;
    }
    *out = '\0';
    return url + 7;
}

static struct source_map *read_map_file(const char *path)
{
    struct source_map *map = NULL;
    struct stat status;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return NULL;
    bool sane =
        fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= MAP_FILE_MAX;
    char *text = sane ? malloc((size_t)status.st_size + 1) : NULL;
    size_t size = 0;
    ssize_t got = 1;
    while (text != NULL && got > 0 && size < (size_t)status.st_size) {
        got = read(file, text + size, (size_t)status.st_size - size);
        size += got > 0 ? (size_t)got : 0;
    }
    close(file);
    if (text != NULL)
        map = source_map_read(text, size);
    free(text);
    return map;
}

static void find_map(struct script *script)
{
    char path[SCRIPT_FILE_MAX];
    uint32_t at = find_url(&script->text);
    char *url = at != 0 ? copy_url(&script->text, at) : NULL;
    if (url == NULL)
        return;
    if (strncmp(url, "data:", 5) == 0) {
        script->map = source_map_read_inline(url + 5, strlen(url + 5));
    } else if (strlen(url) < URL_MAX) {
        resolve(script->path, url, path, sizeof path);
        script->map = read_map_file(path_of_url(path));
    }
    free(url);
}

/* ---- the study ---- */

static size_t table_size(const struct script *script)
{
    return script->line_count * sizeof *script->lines +
           script->methods.count * sizeof *script->methods.list +
           script->methods.class_count * (sizeof *script->methods.classes + CLASS_NAME_MAX) +
           (script->map != NULL ? source_map_size(script->map) : 0);
}

bool script_is_studied(const struct script *script)
{
    return script->studied;
}

static void read_text(struct script *script)
{
    find_lines(script);
    methods_find(&script->text, &script->methods);
    keep_class_names(script);
    if (atomic_load(&maps_used))
        find_map(script);
}

void script_study(struct script *script)
{
    script->studied = true;
    if (script->text.length > 0 && atomic_load(&script->isolate->table_bytes) <= TABLES_MAX)
        read_text(script);
    drop_text(script);
    script->bytes = table_size(script);
    atomic_fetch_add(&script->isolate->table_bytes, script->bytes);
}

/* ---- answers ---- */

static struct script_place own_place(const struct script *script, int32_t position)
{
    struct script_place place = {.file = script->path};
    uint32_t at = (uint32_t)position;
    if (position < 0 || script->lines == NULL ||
        (script->line_count == LINES_MAX && at >= script->lines[LINES_MAX - 1]))
        return place;
    uint32_t low = 0, high = script->line_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (script->lines[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    place.line = script->first_line + low;
    place.column = at - (low > 0 ? script->lines[low - 1] : 0) + 1;
    return place;
}

/* Maps count lines from the text's own first. */
static bool original(const struct script *script, struct script_place own, bool exact,
                     struct source_place *found)
{
    return script->map != NULL && own.line >= script->first_line &&
           source_map_find(script->map, own.line - script->first_line + 1, own.column, exact,
                           found);
}

struct script_place script_place(const struct script *script, int32_t position,
                                 char buffer[SCRIPT_FILE_MAX])
{
    struct source_place found;
    struct script_place own = own_place(script, position);
    if (!original(script, own, false, &found))
        return own;
    resolve(script->path, found.file, buffer, SCRIPT_FILE_MAX);
    return (struct script_place){.file = buffer, .line = found.line, .column = found.column};
}

const char *script_original_name(const struct script *script, int32_t position)
{
    struct source_place found;
    return original(script, own_place(script, position), true, &found) ? found.name : NULL;
}

const char *script_class(const struct script *script, int32_t start)
{
    const struct class_name *found =
        start >= 0 ? methods_class(&script->methods, (uint32_t)start) : NULL;
    if (found == NULL || script->class_names == NULL)
        return NULL;
    const char *name = script_original_name(script, (int32_t)found->start);
    size_t index = (size_t)(found - script->methods.classes);
    return name != NULL ? name : script->class_names + index * CLASS_NAME_MAX;
}
