#include "names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "codes.h"
#include "heap.h"
#include "positions.h"
#include "script.h"
#include "strings.h"
#include "v8_sample.h"
#include "walk.h"

enum {
    NAME_MAX_BYTES = 512,
    FUNCTIONS_MAX = 256, /* inlined into one */
    SITES_MAX = 1024,
    ISOLATE_BYTES_MAX = 8 << 20,
    INLINED_MAX = 16, /* as many as the core shows */
};

struct named {
    char *name;
    struct script *script; /* NULL = none */
    int32_t start;         /* of the function in the script's text; -1 = unknown */
    int32_t name_at;       /* of its name, if that stands before; -1 = unknown */
};

/* A call that was replaced by the called function's code. */
struct site {
    uint32_t function; /* index into `functions`: what was called */
    int32_t source;    /* of the call, in the function of the parent site */
    int32_t parent;    /* -1: in the function itself */
};

struct record {
    uint32_t number;
    uint64_t key;
    size_t bytes;
    uint32_t function_count, site_count;
    struct named *functions; /* [0] is the function itself */
    struct positions positions;
    struct site *sites;
};

/* ---- one function ---- */

/* The script of a function; 0 if it has none. */
static uintptr_t script_of(uintptr_t shared)
{
    uintptr_t script = heap_word(shared, layout.shared_script);
    return heap_has_type(script, layout.type_script) ? script : 0;
}

/* What a ScopeInfo says of its function. Its fields depend on its flags. */
struct scope {
    uintptr_t name, inferred; /* strings, or 0 */
    int32_t start;            /* position in the source; -1 = unknown */
};

static struct scope read_scope(uintptr_t info)
{
    enum { HASHED_LOCALS = 75, POSITION_FIRST = 5 };
    struct scope scope = {.start = -1};
    uintptr_t word = heap_word(info, 8);
    uint32_t flags = heap_is_smi(word) ? (uint32_t)heap_smi(word) : (uint32_t)word;
    int locals = heap_smi(heap_word(info, 24));
    int at = layout.scope_first_variable;
    if (locals < 0 || locals > 1 << 20)
        return scope;
    at += locals < HASHED_LOCALS ? 2 * locals : 1 + locals;
    at += (int)(flags >> 10 & 1); /* a class variable */
    if ((flags >> 12 & 3) != 0) {
        scope.name = heap_word(info, 8 + 8 * at);
        at += 2;
    }
    if ((flags >> 14 & 1) != 0)
        scope.inferred = heap_word(info, 8 + 8 * at++);
    bool early = layout.scope_first_variable == POSITION_FIRST;
    uintptr_t start = heap_word(info, 8 + 8 * (early ? POSITION_FIRST - 2 : at));
    if (heap_is_smi(start))
        scope.start = heap_smi(start);
    scope.name = strings_is(scope.name) ? scope.name : 0;
    scope.inferred = strings_is(scope.inferred) ? scope.inferred : 0;
    return scope;
}

/* `Cart.total` is what V8 infers for methods; for what has no name it infers where it went. */
static void copy_name(const struct scope *scope, char *out, size_t size)
{
    char inferred[NAME_MAX_BYTES];
    size_t length = scope->name != 0 ? strings_copy(scope->name, out, size) : 0;
    size_t more =
        scope->inferred != 0 ? strings_copy(scope->inferred, inferred, sizeof inferred) : 0;
    bool method = length > 0 && more > length + 1 && inferred[more - length - 1] == '.' &&
                  strcmp(inferred + more - length, out) == 0;
    if (method || (length == 0 && more > 0))
        memcpy(out, inferred, more + 1);
    else if (length == 0)
        snprintf(out, size, "(anonymous)");
}

/* Where the name of a function stands in its text: before the function, perhaps with a =
 * between.
 */
static int32_t find_name(uintptr_t script, int32_t start, const char *name)
{
    enum { NEAR = 64 };
    struct characters text;
    int32_t at = start, size = (int32_t)strlen(name);
    if (start <= 0 || size == 0 ||
        !strings_look(heap_word(script, layout.script_source), &text) ||
        (uint32_t)start > text.length)
        return -1;
#define UNIT(i) (text.one != NULL ? text.one[i] : text.two[i])
    while (at > 0 && start - at < NEAR && (UNIT(at - 1) == ' ' || UNIT(at - 1) == '='))
        at--;
    at -= size;
    for (int32_t i = 0; at >= 0 && i < size; i++)
        if (UNIT(at + i) != (uint8_t)name[i])
            return -1;
#undef UNIT
    return at;
}

static bool name_function(struct isolate *isolate, uintptr_t shared, struct named *named)
{
    char text[NAME_MAX_BYTES];
    uintptr_t word = heap_word(shared, layout.shared_name_or_scope);
    uintptr_t script = script_of(shared);
    struct scope scope = {.start = -1};
    if (heap_has_type(word, layout.type_scope))
        scope = read_scope(word);
    else if (strings_is(word))
        scope.name = word;
    *named = (struct named){.start = scope.start, .name_at = -1};
    if (script != 0) {
        named->script = script_copy(isolate, script);
        strings_copy(scope.name, text, sizeof text);
        named->name_at = find_name(script, scope.start, text);
    }
    copy_name(&scope, text, sizeof text);
    named->name = strdup(text);
    return named->name != NULL;
}

/* ---- optimised code ---- */

/* The entry of `functions` for a function that was inlined, perhaps more than once. */
static uint32_t function_index(struct isolate *isolate, struct record *record,
                               uintptr_t *shareds, uintptr_t shared)
{
    for (uint32_t i = 0; i < record->function_count; i++)
        if (shareds[i] == shared)
            return i;
    if (record->function_count == FUNCTIONS_MAX)
        return 0;
    uint32_t index = record->function_count++;
    bool named = name_function(isolate, shared, &record->functions[index]);
    shareds[index] = named ? shared : 0; /* without a name it is nobody's */
    return named ? index : 0;
}

static void read_optimized(struct isolate *isolate, struct record *record, uintptr_t code,
                           uintptr_t shared)
{
    struct inlined_call calls[SITES_MAX];
    uintptr_t shareds[FUNCTIONS_MAX] = {shared};
    size_t count = positions_inlined(code, calls, SITES_MAX);
    record->sites = calloc(count + 1, sizeof *record->sites);
    for (size_t i = 0; record->sites != NULL && i < count; i++) {
        uintptr_t called = calls[i].shared;
        record->sites[record->site_count++] = (struct site){
            .function = called != 0 ? function_index(isolate, record, shareds, called) : 0,
            .source = calls[i].source,
            .parent = calls[i].parent,
        };
    }
    positions_of_optimized(code, &record->positions);
}

/* ---- records ---- */

/* With isolate_lock(). */
static void record_free(struct record *record)
{
    if (record == NULL)
        return;
    for (uint32_t i = 0; record->functions != NULL && i < record->function_count; i++) {
        free(record->functions[i].name);
        script_release(record->functions[i].script);
    }
    free(record->functions);
    free(record->positions.list);
    free(record->sites);
    free(record);
}

static void measure(struct record *record)
{
    enum { TEXT = 64 };
    record->bytes = sizeof *record +
                    record->function_count * (sizeof *record->functions + TEXT) +
                    record->positions.capacity * sizeof *record->positions.list +
                    record->site_count * sizeof *record->sites;
}

static struct record *make_record(struct isolate *isolate, const struct pending *pending)
{
    enum walk_kind kind = walk_kind_of(pending->key);
    uint32_t functions = kind == WALK_OPTIMIZED ? FUNCTIONS_MAX : 1;
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL)
        return NULL;
    *record = (struct record){.number = pending->number, .key = pending->key};
    record->functions = calloc(functions, sizeof *record->functions);
    record->function_count = 1;
    if (record->functions == NULL ||
        !name_function(isolate, pending->function, &record->functions[0])) {
        isolate_lock(0);
        record_free(record);
        isolate_unlock();
        return NULL;
    }
    if (kind == WALK_OPTIMIZED)
        read_optimized(isolate, record, pending->code, pending->function);
    else if (kind == WALK_BASELINE)
        positions_of_baseline(pending->code, &record->positions);
    else if (pending->code != 0)
        positions_of_bytecode(pending->code, &record->positions);
    measure(record);
    struct named *fitting =
        realloc(record->functions, record->function_count * sizeof *record->functions);
    record->functions = fitting != NULL ? fitting : record->functions;
    return record;
}

/* The handler will give its function a new number when it meets it again. */
static void forget_key(struct isolate *isolate, const struct record *record)
{
    for (size_t i = 0; isolate->seen != NULL && i < SEEN_SLOTS; i++)
        if (atomic_load_explicit(&isolate->seen[i].key, memory_order_relaxed) == record->key &&
            isolate->seen[i].number == record->number)
            atomic_store_explicit(&isolate->seen[i].key, 0, memory_order_relaxed);
}

static void drop(struct isolate *isolate, size_t index)
{
    struct record *record = isolate->records[index];
    if (record == NULL)
        return;
    isolate->record_bytes -= record->bytes;
    isolate->records[index] = NULL;
    forget_key(isolate, record);
    record_free(record);
}

static void keep(struct isolate *isolate, struct record *record)
{
    drop(isolate, record->number % RECORD_SLOTS);
    isolate->records[record->number % RECORD_SLOTS] = record;
    isolate->record_bytes += record->bytes;
    while (isolate->record_bytes > ISOLATE_BYTES_MAX && isolate->oldest < record->number)
        drop(isolate, isolate->oldest++ % RECORD_SLOTS);
}

void names_pending(struct isolate *isolate)
{
    uint32_t done = 0, count;
    do {
        count = atomic_load_explicit(&isolate->pending_count, memory_order_acquire);
        for (; done < count; done++) {
            struct record *record = make_record(isolate, &isolate->pending[done]);
            if (record == NULL)
                continue;
            isolate_lock(0);
            keep(isolate, record);
            isolate_unlock();
        }
    } while (!atomic_compare_exchange_strong(&isolate->pending_count, &count, 0));
}

void names_forget(struct isolate *isolate)
{
    for (size_t i = 0; isolate->records != NULL && i < RECORD_SLOTS; i++)
        record_free(isolate->records[i]);
    isolate->record_bytes = 0;
    script_forget_all(isolate);
}

/* ---- the collector's side ---- */

static const struct record *find(const struct isolate *isolate, uint32_t number)
{
    if (isolate == NULL || isolate->records == NULL)
        return NULL;
    const struct record *record = isolate->records[number % RECORD_SLOTS];
    return record != NULL && record->number == number ? record : NULL;
}

/* Where the strings of an answer stand until the next one. */
struct answer {
    struct cprof_function function;
    char name[NAME_MAX_BYTES], file[SCRIPT_FILE_MAX];
};

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* `get total` of Cart is `get Cart.total`; the constructor has the class's name already. */
static void spell(const struct named *named, char out[NAME_MAX_BYTES])
{
    static const char *const accessors[] = {"", "get ", "set "};
    const char *original = NULL, *name = named->name, *class_ = NULL;
    if (named->script != NULL) {
        class_ = script_class(named->script, named->start);
        original = script_original_name(named->script, named->name_at);
    }
    int accessor = begins(name, accessors[1]) ? 1 : begins(name, accessors[2]) ? 2 : 0;
    name = original != NULL ? original : name + strlen(accessors[accessor]);
    size_t size = class_ != NULL ? strlen(class_) : 0;
    bool bare = size == 0 ||
                (strncmp(name, class_, size) == 0 && (name[size] == '\0' || name[size] == '.'));
    snprintf(out, NAME_MAX_BYTES, "%s%s%s%s", accessors[accessor], bare ? "" : class_,
             bare ? "" : ".", name);
}

/* `source`: where it runs; -1 = not known, so that the function's start is told. */
static void tell(struct answer *answer, const struct named *named, int32_t source)
{
    char start_file[SCRIPT_FILE_MAX];
    struct script_place at = {.file = ""}, start = at;
    if (named->script != NULL) {
        at = script_place(named->script, source, answer->file);
        start = script_place(named->script, named->start, start_file);
    }
    bool elsewhere = strcmp(at.file, start.file) != 0; /* parts of several sources in one */
    if (at.line == 0 || (elsewhere && start.line != 0))
        at = start;
    if (at.file != answer->file)
        snprintf(answer->file, sizeof answer->file, "%s", at.file);
    spell(named, answer->name);
    answer->function = (struct cprof_function){
        .name = answer->name,
        .file = answer->file,
        .line = at.line,
        .column = at.column,
        .start_line = start.line,
        .type = CPROF_FRAME_V8JS,
    };
}

/* The sites that an offset was inlined at, innermost first; returns how many. */
static size_t sites_of(const struct record *record, const struct position *position,
                       const struct site *sites[INLINED_MAX])
{
    size_t count = 0;
    int32_t at = position != NULL ? position->site : -1;
    for (; at >= 0 && at < (int32_t)record->site_count && count < INLINED_MAX - 1;
         at = record->sites[at].parent)
        sites[count++] = &record->sites[at];
    return count;
}

/* The function that runs there, then those it was inlined into, outwards. */
static void tell_all(struct answer answers[INLINED_MAX], const struct record *record,
                     uint64_t offset)
{
    const struct site *sites[INLINED_MAX];
    const struct position *position =
        offset != WALK_NOWHERE ? positions_find(&record->positions, offset) : NULL;
    size_t count = sites_of(record, position, sites);
    int32_t source = position != NULL ? position->source : POSITION_NONE;
    for (size_t i = 0; i < count; i++) {
        tell(&answers[i], &record->functions[sites[i]->function], source);
        source = sites[i]->source;
    }
    tell(&answers[count], &record->functions[0], source);
    for (size_t i = 0; i < count; i++)
        answers[i].function.caller = &answers[i + 1].function;
}

/* A script of the record's that nobody has studied yet, with a reference, or NULL. */
static struct script *unstudied(const struct record *record)
{
    for (uint32_t i = 0; i < record->function_count; i++) {
        struct script *script = record->functions[i].script;
        if (script != NULL && !script_is_studied(script)) {
            script_hold(script);
            return script;
        }
    }
    return NULL;
}

static int name_special(uint64_t token, struct cprof_function *function)
{
    static const char *const names[] = {
        [WALK_COLLECTOR] = "(garbage collector)",
        [WALK_OPAQUE] = "(JavaScript)",
        [WALK_WASM] = "(wasm)",
        [WALK_REGEXP] = "(regular expression)",
        [WALK_FORGOTTEN] = "(JavaScript)",
    };
    if (token >= sizeof names / sizeof *names || names[token] == NULL)
        return -ENOENT;
    *function = (struct cprof_function){.name = names[token], .type = CPROF_FRAME_V8JS};
    return token == WALK_FORGOTTEN ? -ENODATA : 0; /* which is counted */
}

/* Studies the scripts that the frame's functions are of, without the lock: an isolate's thread
 * may wait for it. */
static void study_scripts(const struct cprof_frame *frame)
{
    struct script *script;
    do {
        const struct record *record =
            find(isolate_lock((uint32_t)(frame->token >> 32)), (uint32_t)frame->token);
        script = record != NULL ? unstudied(record) : NULL;
        isolate_unlock();
        if (script != NULL) {
            script_study(script);
            isolate_lock(0);
            script_release(script);
            isolate_unlock();
        }
    } while (script != NULL);
}

int names_resolve(const struct cprof_frame *frame, struct cprof_function *function)
{
    static struct answer answers[INLINED_MAX]; /* the collector's */
    uint32_t serial = (uint32_t)(frame->token >> 32);
    if (serial == 0)
        return name_special(frame->token, function);
    int error = 0;
    study_scripts(frame);
    struct isolate *isolate = isolate_lock(serial);
    const struct record *record = find(isolate, (uint32_t)frame->token);
    if (record != NULL) {
        tell_all(answers, record, frame->position);
        *function = answers[0].function;
    } else if (isolate != NULL && isolate->sample != NULL) {
        bool known = codes_tell(isolate->sample->codes, (uint32_t)frame->token, function);
        error = known ? 0 : -ENOENT;
    } else if (isolate != NULL && isolate_ask(isolate)) {
        error = -EAGAIN;
    } else {
        error = -ENOENT;
    }
    isolate_unlock();
    return error;
}

size_t names_plain(uint64_t token, char *name, size_t size)
{
    const struct isolate *isolate = isolate_lock((uint32_t)(token >> 32));
    const struct record *record = find(isolate, (uint32_t)token);
    size_t length = 0;
    if (isolate != NULL && isolate->sample != NULL)
        length = codes_plain(isolate->sample->codes, (uint32_t)token, name, size);
    else if (record != NULL)
        length = (size_t)snprintf(name, size, "%s", record->functions[0].name);
    isolate_unlock();
    return length;
}

/* ---- roles ---- */

static bool ends(const char *text, const char *with)
{
    size_t length = strlen(text);
    size_t size = strlen(with);
    return length >= size && strcmp(text + length - size, with) == 0;
}

/* Is the pc that names_role_at() was last asked about in a builtin? Both are the collector's.
 */
static bool in_builtin;

/* Builtins with and without a symbol: a stripped node has none that is named. */
static struct {
    unsigned named, nameless;
} builtins_seen;

/* Which of these users wrote a call to, and which only carry calls, can't be told. */
static enum cprof_role nameless_builtin(void)
{
    enum { ENOUGH = 8 };
    if (++builtins_seen.nameless == ENOUGH && builtins_seen.named == 0)
        fprintf(stderr, "cprof: this node is stripped: V8's builtins have no names and are not "
                        "shown; their time is their callers'\n");
    return CPROF_ROLE_PLUMBING;
}

enum cprof_role names_role(const char *symbol, const char *module)
{
    static const char *const carriers[] = {
        "Call",        "Construct",   "JSEntry",      "CEntry",        "JSConstruct",
        "Interpreter", "Baseline",    "Adaptor",      "HandleApiCall", "LoadIC",
        "StoreIC",     "KeyedLoadIC", "KeyedStoreIC", "Resume",        "StackCheck"};
    static const char prefix[] = "Builtins_";
    (void)module;
    if (symbol == NULL && in_builtin)
        return nameless_builtin();
    if (symbol == NULL || !begins(symbol, prefix))
        return CPROF_ROLE_PLAIN;
    builtins_seen.named++;
    symbol += sizeof prefix - 1;
    for (size_t i = 0; i < sizeof carriers / sizeof *carriers; i++)
        if (begins(symbol, carriers[i]))
            return CPROF_ROLE_PLUMBING;
    return ends(symbol, "Handler") || strstr(symbol, "Trampoline") != NULL ? CPROF_ROLE_PLUMBING
                                                                           : CPROF_ROLE_PLAIN;
}

enum cprof_role names_role_at(uintptr_t pc)
{
    in_builtin = isolate_is_builtin(pc);
    return isolate_owns(pc) ? CPROF_ROLE_PLUMBING : CPROF_ROLE_PLAIN;
}
