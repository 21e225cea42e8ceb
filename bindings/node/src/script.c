#include "script.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAP_VIEW
#include "heap.h"
#include "isolate.h"
#include "isolate_list.h"
#include "methods.h"
#include "room.h"
#include "source_map.h"
#include "strings.h"

enum {
    TEXTS_MAX = 64 << 20, /* bytes of all texts that wait to be studied */
    SLOTS_FIRST = 256,
    CLASS_NAME_MAX = 128,
    URL_MAX = 4096,
    MAP_FILE_MAX = 64 << 20,
};

struct script {
    uint32_t references;
    int32_t id;
    uint32_t first_line;
    char *path; /* or URL; "" = none */
    bool named_itself;

    struct characters text; /* ours, until it has been studied */
    bool studied;
    size_t bytes;    /* of room that it takes, its methods apart */
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
        room_tell(ROOM_TEXTS);
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

/* Bytes for a script's tables. */
static bool take(struct script *script, size_t bytes)
{
    if (!room_take(bytes)) {
        room_tell(ROOM_LIMIT);
        return false;
    }
    script->bytes += bytes;
    return true;
}

static void free_script(struct script *script)
{
    drop_text(script);
    free(script->lines);
    methods_free(&script->methods);
    free(script->class_names);
    source_map_free(script->map);
    free(script->path);
    room_give(script->bytes);
    free(script);
}

static struct script *make_script(uintptr_t word, int32_t id)
{
    char path[SCRIPT_FILE_MAX];
    struct script *script = calloc(1, sizeof *script);
    if (script == NULL)
        return NULL;
    size_t length = strings_copy(heap_word(word, layout.script_name), path, sizeof path);
    script->path = take(script, sizeof *script + length + 1) ? strdup(path) : NULL;
    if (script->path == NULL) {
        free_script(script);
        return NULL;
    }
    script->id = id;
    script->first_line = (uint32_t)heap_smi(heap_word(word, layout.script_line_offset)) + 1;
    copy_text(script, heap_word(word, layout.script_source));
    return script;
}

/* ---- those that are known ---- */

static struct script **slot_of(const struct scripts *scripts, int32_t id)
{
    return &scripts->list[(uint32_t)id % scripts->slots];
}

/* Twice as many slots: what had one has one of its own again. */
static bool grow_slots(struct scripts *scripts)
{
    uint32_t slots = scripts->slots;
    uint32_t more = slots == 0 ? SLOTS_FIRST : slots;
    struct script **grown =
        room_take(more * sizeof(struct script *)) ? calloc(slots + more, sizeof *grown) : NULL;
    if (grown == NULL)
        return false;
    for (uint32_t i = 0; i < slots; i++)
        if (scripts->list[i] != NULL)
            grown[(uint32_t)scripts->list[i]->id % (slots + more)] = scripts->list[i];
    free(scripts->list);
    scripts->list = grown;
    scripts->slots = slots + more;
    return true;
}

/* One that some function is of: it is worth a table of twice the size. */
static bool is_needed(const struct script *script)
{
    return script != NULL && script->references > 1;
}

/* With isolates_lock(). */
static void remember(struct scripts *scripts, struct script *script)
{
    if (scripts->list == NULL && !grow_slots(scripts))
        return;
    while (is_needed(*slot_of(scripts, script->id)) && grow_slots(scripts))
        ;
    struct script **slot = slot_of(scripts, script->id);
    script_release(*slot);
    *slot = script;
    script_hold(script);
}

struct script *script_copy(struct scripts *scripts, uintptr_t word)
{
    int32_t id = heap_smi(heap_word(word, layout.script_id));
    /* Only this thread changes it while it is open. */
    struct script *script = scripts->list != NULL ? *slot_of(scripts, id) : NULL;
    bool known = script != NULL && script->id == id;
    if (!known)
        script = make_script(word, id);
    if (script == NULL)
        return NULL;
    if (!known && !heap_is_sound()) {
        free_script(script);
        return NULL;
    }
    isolates_lock();
    script_hold(script);
    if (!known)
        remember(scripts, script);
    isolates_unlock();
    return script;
}

void script_hold(struct script *script)
{
    script->references++;
}

void script_release(struct script *script)
{
    if (script != NULL && --script->references == 0)
        free_script(script);
}

void script_forget_all(struct scripts *scripts)
{
    for (uint32_t i = 0; i < scripts->slots; i++)
        script_release(scripts->list[i]);
    room_give(scripts->slots * sizeof(struct script *));
    free(scripts->list);
    *scripts = (struct scripts){0};
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
    const struct characters *text = &script->text;
    uint32_t count = 0;
    for (uint32_t i = 0; i < text->length; i++)
        count += ends_line(text, i);
    size_t bytes = ((size_t)count + 1) * sizeof *script->lines;
    script->lines = take(script, bytes) ? malloc(bytes) : NULL;
    if (script->lines == NULL)
        return;
    for (uint32_t i = 0; i < text->length; i++)
        if (ends_line(text, i))
            script->lines[script->line_count++] = i + 1;
}

/* A part of a text. */
static struct characters slice(const struct characters *text, uint32_t start, uint32_t length)
{
    return (struct characters){
        .one = text->one != NULL ? text->one + start : NULL,
        .two = text->two != NULL ? text->two + start : NULL,
        .length = length,
    };
}

/* ---- classes ---- */

static void keep_class_names(struct script *script)
{
    const struct methods *methods = &script->methods;
    size_t bytes = (size_t)methods->class_count * CLASS_NAME_MAX;
    if (bytes > 0 && take(script, bytes))
        script->class_names = malloc(bytes);
    for (uint32_t i = 0; script->class_names != NULL && i < methods->class_count; i++) {
        const struct class_name *name = &methods->classes[i];
        const struct characters part = slice(&script->text, name->start, name->length);
        strings_encode(&part, script->class_names + (size_t)i * CLASS_NAME_MAX, CLASS_NAME_MAX);
    }
}

/* ---- what a text says of itself: `//# NAME=value` ---- */

/* Where `with` ends, if the text says it there; else 0. */
static uint32_t behind(const struct characters *text, uint32_t at, const char *with)
{
    for (; *with != '\0'; at++, with++)
        if (at >= text->length || unit(text, at) != (uint8_t)*with)
            return 0;
    return at;
}

static bool is_blank(uint32_t c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r' || c == 0xa0 ||
           c == 0xfeff;
}

static uint32_t skip_blanks(const struct characters *text, uint32_t at)
{
    while (at < text->length && is_blank(unit(text, at)) && !ends_line(text, at))
        at++;
    return at;
}

/* What stands from there to the end of the line, as one word. None with a quote in it or with
 * more behind it: so these comments look where a string of the text holds another script. */
static struct characters value_at(const struct characters *text, uint32_t at)
{
    uint32_t start = skip_blanks(text, at), end = start;
    while (end < text->length && !ends_line(text, end) && !is_blank(unit(text, end))) {
        if (unit(text, end) == '"' || unit(text, end) == '\'')
            return (struct characters){0};
        end++;
    }
    uint32_t rest = skip_blanks(text, end);
    bool alone = rest == text->length || ends_line(text, rest);
    return slice(text, start, alone ? end - start : 0);
}

/* The value of the last such comment, in UTF-8; NULL: there is none. Free with free(). */
static char *said(const struct characters *text, const char *name)
{
    struct characters value = {0};
    for (uint32_t at = text->length; at-- > 0 && value.length == 0;) {
        uint32_t mark = behind(text, at, "//# ");
        mark = mark != 0 ? mark : behind(text, at, "//@ ");
        mark = mark != 0 ? behind(text, mark, name) : 0;
        if (mark != 0)
            value = value_at(text, mark);
    }
    size_t size = (size_t)value.length * 3 + 1; /* no unit takes more */
    char *copy = value.length > 0 ? malloc(size) : NULL;
    if (copy != NULL)
        strings_encode(&value, copy, size);
    return copy;
}

/* ---- source maps ---- */

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

/* The map that lies beside a script's file unsaid, FILE.map; NULL: it has none. Free with
 * free(). */
static char *url_beside(const struct script *script)
{
    char *url = NULL;
    bool is_url = strncmp(script->path, "file:///", 8) == 0;
    size_t length = strcspn(script->path, is_url ? "?#" : "");
    if (!script->named_itself && (is_url || script->path[0] == '/') &&
        asprintf(&url, "%.*s.map", (int)length, script->path) < 0)
        url = NULL;
    return url;
}

static void find_map(struct script *script)
{
    char path[SCRIPT_FILE_MAX];
    char *url = said(&script->text, "sourceMappingURL=");
    if (url == NULL)
        url = url_beside(script);
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

/* ---- the name that a script gives itself ---- */

/* Code of eval, new Function and node:vm has no file but what it says itself. */
static bool is_nameless(const struct script *script)
{
    return script->path[0] == '\0' || strcmp(script->path, "evalmachine.<anonymous>") == 0;
}

static void find_own_name(struct script *script)
{
    char *url = said(&script->text, "sourceURL=");
    if (url != NULL && strlen(url) < SCRIPT_FILE_MAX) {
        free(script->path);
        script->path = url;
        script->named_itself = true;
    } else {
        free(url);
    }
}

/* ---- the study ---- */

bool script_is_studied(const struct script *script)
{
    return script->studied;
}

static void read_text(struct script *script)
{
    find_lines(script);
    if (!methods_find(&script->text, &script->methods))
        room_tell(ROOM_LIMIT);
    keep_class_names(script);
    if (atomic_load(&maps_used))
        find_map(script);
    if (script->map == NULL || take(script, source_map_size(script->map)))
        return;
    source_map_free(script->map);
    script->map = NULL;
}

void script_study(struct script *script)
{
    script->studied = true;
    if (is_nameless(script))
        find_own_name(script);
    if (script->text.length > 0)
        read_text(script);
    drop_text(script);
}

/* ---- answers ---- */

static struct script_place own_place(const struct script *script, int32_t position)
{
    struct script_place place = {.file = script->path};
    uint32_t at = (uint32_t)position;
    if (position < 0 || script->lines == NULL)
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
