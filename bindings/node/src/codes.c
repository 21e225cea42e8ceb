#include "codes.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RESTS = 2,
    /* From here on what is not met is forgotten; the rest is for the names that nobody has any
     * more, which take up their room until they are drained. */
    CODES_HIGH = CODES_MAX / 8 * 7,
    NAMES_HIGH = NAMES_MAX / 8 * 7,
    BYTES_HIGH = NAME_BYTES_MAX / 8 * 7,
    TEXT_MAX = 4096,
};

struct code_name {
    uint32_t number;
    uint32_t codes; /* how many have it */
    uint32_t rests; /* drains since nobody has it */
    bool waiting;   /* is in the list of nobody's */
    struct code_name *next;
    size_t length;
    char text[]; /* "Cart.total /a/b.js:10:5", with a zero behind it */
};

/* ---- names ---- */

static int compare_texts(const void *left, const void *right)
{
    const struct code_name *a = left, *b = right;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return memcmp(a->text, b->text, a->length);
}

static void count_name(struct name_total *total, const struct code_name *name, bool more)
{
    size_t bytes = sizeof *name + name->length + 1;
    total->count += more ? 1 : UINT32_MAX;
    total->bytes += more ? bytes : 0 - bytes;
}

static void forget_name(struct codes *codes, struct code_name *name)
{
    tdelete(name, &codes->by_text, compare_texts);
    codes->names[name->number % NAMES_MAX] = NULL;
    count_name(&codes->kept, name, false);
    free(name);
}

static void leave_name(struct codes *codes, struct code_name *name)
{
    if (name == NULL || --name->codes > 0)
        return;
    name->rests = 0;
    count_name(&codes->living, name, false);
    if (name->waiting)
        return;
    name->waiting = true;
    name->next = codes->nobodys;
    codes->nobodys = name;
}

/* Numbers are used once; the slot is the number's lower part. */
static uint32_t free_number(struct codes *codes)
{
    for (uint32_t tried = 0; tried < NAMES_MAX; tried++) {
        uint32_t slot = codes->next_slot++ % NAMES_MAX;
        if (slot == 0)
            codes->turn++;
        if (codes->names[slot] == NULL)
            return codes->turn * NAMES_MAX + slot;
    }
    return 0;
}

static struct code_name *add_name(struct codes *codes, struct code_name *name)
{
    size_t bytes = sizeof *name + name->length + 1;
    if (codes->kept.count == NAMES_MAX || codes->kept.bytes + bytes > NAME_BYTES_MAX)
        return NULL;
    name->number = free_number(codes);
    if (tsearch(name, &codes->by_text, compare_texts) == NULL)
        return NULL;
    codes->names[name->number % NAMES_MAX] = name;
    count_name(&codes->kept, name, true);
    return name;
}

/* The name with that text, for one code more. NULL: no room. */
static struct code_name *take_name(struct codes *codes, const char *text, size_t length)
{
    struct code_name *name = calloc(1, sizeof *name + length + 1);
    if (name == NULL)
        return NULL;
    name->length = length;
    memcpy(name->text, text, length);
    struct code_name *const *known = tfind(name, &codes->by_text, compare_texts);
    struct code_name *taken = known != NULL ? *known : add_name(codes, name);
    if (taken != name)
        free(name);
    if (taken != NULL && taken->codes++ == 0)
        count_name(&codes->living, taken, true);
    return taken;
}

void codes_drained(struct codes *codes)
{
    struct code_name **at = &codes->nobodys;
    while (*at != NULL) {
        struct code_name *name = *at;
        bool stays = name->codes == 0 && ++name->rests < RESTS;
        if (stays) {
            at = &name->next;
            continue;
        }
        *at = name->next;
        name->waiting = false;
        if (name->codes == 0)
            forget_name(codes, name);
    }
}

/* ---- codes ---- */

/* The handler keeps off the tree in between. One that looks already is in another thread, and
 * waits for nothing. */
static void begin_change(struct codes *codes)
{
    atomic_store(&codes->changing, true);
    while (atomic_load(&codes->looking))
        sched_yield();
}

static void end_change(struct codes *codes)
{
    atomic_store(&codes->changing, false);
}

static struct code *take_code(struct codes *codes)
{
    struct code *code = codes->free_code;
    if (code != NULL)
        codes->free_code = code->next_free;
    else if (codes->used < CODES_MAX)
        code = &codes->all[codes->used++];
    return code;
}

static void give_code(struct codes *codes, struct code *code)
{
    *code = (struct code){.next_free = codes->free_code};
    codes->free_code = code;
}

static void drop(struct codes *codes, struct code *code)
{
    tdelete(code, &codes->by_address, codes_compare);
    leave_name(codes, code->name);
    give_code(codes, code);
    codes->count--;
}

static struct code *find_overlapping(const struct codes *codes, const struct code *code)
{
    struct code *const *old = tfind(code, &codes->by_address, codes_compare);
    return old != NULL ? *old : NULL;
}

static bool insert(struct codes *codes, struct code *code)
{
    struct code *old;
    begin_change(codes);
    while ((old = find_overlapping(codes, code)) != NULL)
        drop(codes, old);
    bool inserted = tsearch(code, &codes->by_address, codes_compare) != NULL;
    codes->count += inserted;
    end_change(codes);
    return inserted;
}

static void remove_code(struct codes *codes, struct code *code)
{
    begin_change(codes);
    drop(codes, code);
    end_change(codes);
}

static bool is_high(const struct codes *codes)
{
    return codes->count >= CODES_HIGH || codes->living.count >= NAMES_HIGH ||
           codes->living.bytes >= BYTES_HIGH;
}

static void forget_unmet(struct codes *codes)
{
    for (uint32_t i = 0; i < codes->used; i++) {
        struct code *code = &codes->all[i];
        if (code->limit != 0 && !code->met)
            remove_code(codes, code);
        code->met = false;
    }
    atomic_store(&codes->lost, true);
}

/* ---- what V8 says ---- */

static bool begins(const char *text, size_t length, const char *with)
{
    size_t size = strlen(with);
    return length >= size && memcmp(text, with, size) == 0;
}

static bool is_function(const char *text, size_t length)
{
    static const char *const tags[] = {"JS:", "LazyCompile:", "Function:", "Script:", "Eval:"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (begins(text, length, tags[i]))
            return true;
    return false;
}

/* Where the function's name begins: behind the tag and the marks of the compiler that made the
 * code, which are an o for on-stack replacement, one for the tier, and ' for a context of its
 * own. */
static size_t skip_marks(const char *text, size_t length)
{
    const char *colon = memchr(text, ':', length);
    size_t at = colon != NULL ? (size_t)(colon + 1 - text) : 0;
    size_t tier = at + (at + 1 < length && text[at] == 'o');
    if (tier < length && strchr("~^+*", text[tier]) != NULL && text[tier] != '\0')
        at = tier + 1;
    return at + (at < length && text[at] == '\'');
}

static bool fill(struct codes *codes, struct code *code, const char *text, size_t length)
{
    if (code->form == CODE_MACHINE && begins(text, length, "RegExp"))
        code->form = CODE_REGEXP;
    if (!is_function(text, length))
        return true;
    length = length < TEXT_MAX ? length : TEXT_MAX;
    size_t at = skip_marks(text, length);
    code->name = take_name(codes, text + at, length - at);
    code->number = code->name != NULL ? code->name->number : 0;
    return code->name != NULL;
}

/* There was no room: whatever lies there now, it is not what did. */
static void leave_out(struct codes *codes, const struct code *code)
{
    struct code *old;
    while ((old = find_overlapping(codes, code)) != NULL)
        remove_code(codes, old);
    atomic_store(&codes->lost, true);
}

/* And it had been given a place. */
static void take_out(struct codes *codes, struct code *code)
{
    leave_out(codes, code);
    leave_name(codes, code->name);
    give_code(codes, code);
}

bool codes_add(struct codes *codes, const struct code *wanted, const char *text, size_t length)
{
    bool room = !is_high(codes);
    if (!room)
        forget_unmet(codes);
    struct code *code = take_code(codes);
    if (code == NULL) {
        leave_out(codes, wanted);
        return false;
    }
    *code = *wanted;
    if (fill(codes, code, text, length) && insert(codes, code))
        return room;
    take_out(codes, code);
    return false;
}

void codes_move(struct codes *codes, uintptr_t from, uintptr_t to)
{
    struct code *code = codes_find(codes, from);
    if (code == NULL || code->start != from || to == from)
        return;
    begin_change(codes);
    tdelete(code, &codes->by_address, codes_compare);
    codes->count--;
    end_change(codes);
    code->limit = to + (code->limit - code->start);
    code->start = to;
    if (!insert(codes, code))
        take_out(codes, code);
}

/* ---- life ---- */

/* Codes are parts of one array. */
static void keep(void *code)
{
    (void)code;
}

void codes_free(struct codes *codes)
{
    if (codes == NULL)
        return;
    tdestroy(codes->by_address, keep);
    tdestroy(codes->by_text, free);
    free(codes->all);
    free(codes->names);
    free(codes);
}

struct codes *codes_open(void)
{
    struct codes *codes = calloc(1, sizeof *codes);
    if (codes == NULL)
        return NULL;
    codes->all = malloc(CODES_MAX * sizeof *codes->all); /* written as it is used */
    codes->names = calloc(NAMES_MAX, sizeof(struct code_name *));
    if (codes->all != NULL && codes->names != NULL)
        return codes;
    codes_free(codes);
    return NULL;
}

/* ---- what it is called ---- */

static const struct code_name *named(const struct codes *codes, uint32_t number)
{
    const struct code_name *name = codes->names[number % NAMES_MAX];
    return name != NULL && name->number == number ? name : NULL;
}

/* A path, a URL, or what Node calls its own files. */
static bool is_file(const char *text)
{
    size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz+.-");
    return *text == '/' || (scheme > 1 && text[scheme] == ':');
}

/* Splits "get total /a/b c.js:10:5" at the blank between name and file: the first with what
 * looks like a file behind it; else the first, or an accessor's second. */
static char *split(char *text)
{
    for (char *at = strchr(text, ' '); at != NULL; at = strchr(at + 1, ' '))
        if (is_file(at + 1))
            return at;
    char *first = strchr(text, ' ');
    bool accessor = begins(text, strlen(text), "get ") || begins(text, strlen(text), "set ");
    char *second = accessor ? strchr(first + 1, ' ') : NULL;
    return second != NULL ? second : first;
}

/* Takes ":10" from the end; -1 if there is none. */
static int64_t take_number(char *text)
{
    char *colon = strrchr(text, ':'), *end;
    if (colon == NULL || colon[1] < '0' || colon[1] > '9')
        return -1;
    long long value = strtoll(colon + 1, &end, 10);
    if (*end != '\0')
        return -1;
    *colon = '\0';
    return value;
}

bool codes_tell(const struct codes *codes, uint32_t number, struct cprof_function *function)
{
    static char text[TEXT_MAX + 1];
    const struct code_name *name = named(codes, number);
    if (name == NULL)
        return false;
    memcpy(text, name->text, name->length + 1);
    char *file = split(text);
    int64_t line = -1;
    if (file != NULL) {
        *file++ = '\0';
        int64_t last = take_number(file); /* the column, or in older versions the line */
        line = take_number(file);
        line = line > 0 ? line : last;
    }
    *function = (struct cprof_function){
        .name = *text != '\0' ? text : "(anonymous)",
        .file = file != NULL ? file : "",
        .line = line > 0 ? line : 0,
        .start_line = line > 0 ? line : 0,
        .type = CPROF_FRAME_V8JS,
    };
    return true;
}

size_t codes_plain(const struct codes *codes, uint32_t number, char *out, size_t size)
{
    const struct code_name *name = named(codes, number);
    if (name == NULL)
        return 0;
    int length = (int)strcspn(name->text, " ");
    return (size_t)snprintf(out, size, "%.*s", length, name->text);
}
