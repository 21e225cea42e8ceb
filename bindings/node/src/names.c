#include "isolate_list.h"
#include "names.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cprof/cprof.h"
#include "codes.h"
#define HEAP_VIEW
#include "heap.h"
#include "positions.h"
#include "room.h"
#include "script.h"
#include "strings.h"
#include "tables.h"
#include "v8_sample.h"
#include "walk.h"

enum {
    NAME_MAX_BYTES = 512,
    INLINED_MAX = 16, /* as many as the core shows */
    LOOKED_SLOTS = 1024,
    LOOKED_PROBES = 8,
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

static bool name_function(struct scripts *scripts, uintptr_t shared, struct named *named)
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
        named->script = script_copy(scripts, script);
        strings_copy(scope.name, text, sizeof text);
        named->name_at = find_name(script, scope.start, text);
    }
    copy_name(&scope, text, sizeof text);
    named->name = strdup(text);
    return named->name != NULL;
}

/* ---- optimised code ---- */

/* The entry of `functions` for a function that was inlined, perhaps more than once. There is
 * room for one of each call's. */
static uint32_t function_index(struct scripts *scripts, struct record *record,
                               uintptr_t *shareds, uintptr_t shared)
{
    for (uint32_t i = 0; i < record->function_count; i++)
        if (shareds[i] == shared)
            return i;
    uint32_t index = record->function_count++;
    bool named = name_function(scripts, shared, &record->functions[index]);
    shareds[index] = named ? shared : 0; /* without a name it is nobody's */
    return named ? index : 0;
}

static bool resize_functions(struct record *record, size_t count)
{
    struct named *functions = realloc(record->functions, count * sizeof *functions);
    if (functions != NULL)
        record->functions = functions;
    return functions != NULL;
}

static void read_sites(struct scripts *scripts, struct record *record, uintptr_t shared,
                       const struct inlined_call *calls, size_t count)
{
    uintptr_t *shareds = calloc(count + 1, sizeof *shareds);
    record->sites = calloc(count, sizeof *record->sites);
    bool room = shareds != NULL && record->sites != NULL && resize_functions(record, count + 1);
    if (room)
        shareds[0] = shared;
    for (size_t i = 0; room && i < count; i++) {
        uintptr_t called = calls[i].shared;
        record->sites[record->site_count++] = (struct site){
            .function = called != 0 ? function_index(scripts, record, shareds, called) : 0,
            .source = calls[i].source,
            .parent = calls[i].parent,
        };
    }
    resize_functions(record, record->function_count);
    free(shareds);
}

static void read_optimized(struct scripts *scripts, struct record *record, uintptr_t code,
                           uintptr_t shared)
{
    struct inlined_call *calls;
    size_t count = positions_inlined(code, &calls);
    if (count > 0)
        read_sites(scripts, record, shared, calls, count);
    free(calls);
    positions_of_optimized(code, &record->positions);
}

/* ---- records ---- */

/* With isolates_lock(). */
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
    record->bytes = sizeof *record + record->function_count * sizeof *record->functions +
                    record->positions.count * sizeof *record->positions.list +
                    record->site_count * sizeof *record->sites;
    for (uint32_t i = 0; i < record->function_count; i++)
        if (record->functions[i].name != NULL)
            record->bytes += strlen(record->functions[i].name) + 1;
}

static void discard(struct record *record)
{
    isolates_lock();
    record_free(record);
    isolates_unlock();
}

static struct record *make_record(struct scripts *scripts, const struct pending *pending)
{
    enum walk_kind kind = walk_kind_of(pending->key);
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL)
        return NULL;
    *record = (struct record){.number = pending->number, .key = pending->key};
    record->functions = calloc(1, sizeof *record->functions);
    record->function_count = 1;
    if (record->functions == NULL ||
        !name_function(scripts, pending->function, &record->functions[0])) {
        discard(record);
        return NULL;
    }
    if (kind == WALK_OPTIMIZED)
        read_optimized(scripts, record, pending->code, pending->function);
    else if (kind == WALK_BASELINE)
        positions_of_baseline(pending->code, &record->positions);
    else if (pending->code != 0)
        positions_of_bytecode(pending->code, &record->positions);
    measure(record);
    return record;
}

/* The handler will give its function a new number when it meets it again. */
static void forget_key(struct isolate *isolate, const struct record *record)
{
    for (size_t i = 0; isolate->seen != NULL && i < SEEN_PROBES; i++) {
        struct seen *seen = seen_slot(isolate->seen, isolate->seen_slots, record->key, i);
        if (atomic_load_explicit(&seen->key, memory_order_relaxed) != record->key ||
            seen->number != record->number)
            continue;
        atomic_store_explicit(&seen->key, 0, memory_order_relaxed);
        isolate->seen_used--;
    }
}

static struct record **slot_of(const struct isolate *isolate, uint32_t number)
{
    return &isolate->records[number % isolate->record_slots];
}

static void drop_oldest(struct isolate *isolate)
{
    struct record *record = *slot_of(isolate, isolate->oldest);
    *slot_of(isolate, isolate->oldest++) = NULL;
    if (record == NULL)
        return;
    room_give(record->bytes);
    forget_key(isolate, record);
    record_free(record);
    room_tell(ROOM_LIMIT);
}

/* Room for so much: those that were met first make it. With isolates_lock(). */
static bool take_room(struct isolate *isolate, size_t bytes)
{
    while (!room_take(bytes)) {
        if (isolate->oldest >= isolate->next_number)
            return false;
        drop_oldest(isolate);
    }
    return true;
}

/* Room for a new function's script, which can make none by itself. */
static void make_room(struct isolate *isolate)
{
    enum { BYTES = 64 << 10 };
    isolates_lock();
    if (take_room(isolate, BYTES))
        room_give(BYTES);
    isolates_unlock();
}

/* Its record made room for others, or will not come, as those before it did. */
static bool is_forgotten(const struct isolate *isolate, uint32_t number)
{
    return isolate != NULL && isolate->records != NULL && number < isolate->oldest;
}

/* With isolates_lock(). */
static void keep(struct isolate *isolate, struct record *record)
{
    while (!is_forgotten(isolate, record->number) &&
           record->number - isolate->oldest >= isolate->record_slots)
        if (!tables_grow_records(isolate))
            drop_oldest(isolate);
    bool room = take_room(isolate, record->bytes);
    if (room && !is_forgotten(isolate, record->number)) {
        *slot_of(isolate, record->number) = record;
        return;
    }
    if (room)
        room_give(record->bytes);
    forget_key(isolate, record);
    record_free(record);
    room_tell(ROOM_LIMIT);
}

void names_pending(struct isolate *isolate)
{
    uint32_t done = 0, count;
    do {
        count = atomic_load_explicit(&isolate->pending_count, memory_order_acquire);
        for (; done < count; done++) {
            make_room(isolate);
            struct record *record = make_record(&isolate->scripts, &isolate->pending[done]);
            if (record == NULL)
                continue;
            isolates_lock();
            keep(isolate, record);
            isolates_unlock();
        }
    } while (!atomic_compare_exchange_strong(&isolate->pending_count, &count, 0));
    if (isolate->seen != NULL)
        tables_grow(isolate);
}

/* ---- what looks meet ---- */

/* With isolates_lock(). */
static struct record **looked_slot(const struct looked *looked, uint64_t key, size_t probe)
{
    size_t first = (size_t)(key * 0x9e3779b97f4a7c15u >> 32);
    return &looked->records[(first + probe) % LOOKED_SLOTS];
}

/* With isolates_lock(). 0: it is not known. */
static uint32_t looked_number(const struct looked *looked, uint64_t key)
{
    for (size_t i = 0; looked->records != NULL && i < LOOKED_PROBES; i++) {
        const struct record *record = *looked_slot(looked, key, i);
        if (record != NULL && record->key == key)
            return record->number;
    }
    return 0;
}

static void drop_looked(struct record **slot)
{
    if (*slot != NULL)
        room_give((*slot)->bytes);
    record_free(*slot);
    *slot = NULL;
}

/* With isolates_lock(): in a free place, or in that of the oldest. False: no room. */
static bool keep_looked(struct looked *looked, struct record *record)
{
    if (looked->records == NULL)
        looked->records = calloc(LOOKED_SLOTS, sizeof(struct record *));
    if (looked->records == NULL || !room_take(record->bytes))
        return false;
    struct record **place = looked_slot(looked, record->key, 0);
    for (size_t i = 1; i < LOOKED_PROBES && *place != NULL; i++) {
        struct record **slot = looked_slot(looked, record->key, i);
        if (*slot == NULL || (*slot)->number < (*place)->number)
            place = slot;
    }
    drop_looked(place);
    *place = record;
    return true;
}

/* With isolates_lock(). */
static void forget_looked(struct looked *looked)
{
    for (size_t i = 0; looked->records != NULL && i < LOOKED_SLOTS; i++)
        drop_looked(&looked->records[i]);
    free(looked->records);
    script_forget_all(&looked->scripts);
    *looked = (struct looked){.next = looked->next};
}

/* With isolates_lock(). */
static const struct record *find_looked(const struct looked *looked, uint32_t number)
{
    for (size_t i = 0; looked->records != NULL && i < LOOKED_SLOTS; i++)
        if (looked->records[i] != NULL && looked->records[i]->number == number)
            return looked->records[i];
    return NULL;
}

/* It may have ended meanwhile; then its records have gone, and no more may come. */
static bool add_looked(struct isolate *isolate, struct record *record)
{
    isolates_lock();
    bool kept = isolate->attached && keep_looked(&isolate->looked, record);
    if (!kept)
        record_free(record);
    isolates_unlock();
    return kept;
}

/* What the collector's looks have made of an isolate, while they use it: its thread may let it
 * go. Taken before the list's lock. */
static pthread_mutex_t looking = PTHREAD_MUTEX_INITIALIZER;

void names_lock_looked(void)
{
    pthread_mutex_lock(&looking);
}

void names_unlock_looked(void)
{
    pthread_mutex_unlock(&looking);
}

static uint32_t number_looked(struct isolate *isolate, uint64_t key, uintptr_t function,
                              uintptr_t code)
{
    struct looked *looked = &isolate->looked;
    if (!isolate->attached)
        return 0;
    isolates_lock();
    uint32_t number = looked_number(looked, key);
    isolates_unlock();
    if (number != 0)
        return number;
    const struct pending met = {.key = key,
                                .number = NAMES_LOOKED | ++looked->next,
                                .function = function,
                                .code = code};
    struct record *record = make_record(&looked->scripts, &met);
    if (record != NULL && !heap_is_sound()) {
        discard(record);
        return 0;
    }
    return record != NULL && add_looked(isolate, record) ? met.number : 0;
}

uint32_t names_looked(struct isolate *isolate, uint64_t key, uintptr_t function, uintptr_t code)
{
    names_lock_looked();
    uint32_t number = number_looked(isolate, key, function, code);
    names_unlock_looked();
    return number;
}

void names_forget(struct isolate *isolate)
{
    for (size_t i = 0; isolate->records != NULL && i < isolate->record_slots; i++) {
        if (isolate->records[i] != NULL)
            room_give(isolate->records[i]->bytes);
        record_free(isolate->records[i]);
    }
    script_forget_all(&isolate->scripts);
    forget_looked(&isolate->looked);
}

/* ---- the collector's side ---- */

static const struct record *find(const struct isolate *isolate, uint32_t number)
{
    if (isolate != NULL && (number & NAMES_LOOKED) != 0)
        return find_looked(&isolate->looked, number);
    if (isolate == NULL || isolate->records == NULL)
        return NULL;
    const struct record *record = *slot_of(isolate, number);
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

/* Takes isolates_lock(), and finds a token's isolate and record; NULL: there is none. All
 * scripts of the record have been studied: without the lock, as an isolate's thread may wait
 * for it. A record may come while nobody holds it, so that the last look decides, under the
 * same lock. */
static const struct record *lock_studied(uint64_t token, struct isolate **isolate)
{
    for (;;) {
        *isolate = isolate_lock((uint32_t)(token >> 32));
        const struct record *record = find(*isolate, (uint32_t)token);
        struct script *script = record != NULL ? unstudied(record) : NULL;
        if (script == NULL)
            return record;
        isolates_unlock();
        script_study(script);
        isolates_lock();
        script_release(script);
        isolates_unlock();
    }
}

int names_resolve(const struct cprof_frame *frame, struct cprof_function *function)
{
    static struct answer answers[INLINED_MAX]; /* the collector's */
    uint32_t serial = (uint32_t)(frame->token >> 32);
    if (serial == 0)
        return name_special(frame->token, function);
    int error = 0;
    struct isolate *isolate;
    const struct record *record = lock_studied(frame->token, &isolate);
    if (record != NULL) {
        tell_all(answers, record, frame->position);
        *function = answers[0].function;
    } else if (isolate != NULL && (uint32_t)frame->token == WALK_WASM_NUMBER) {
        error = wasm_names_tell(isolate, frame->position, function);
        if (error == -EAGAIN && !isolate_ask(isolate))
            error = 0;
    } else if (isolate != NULL && isolate->sample != NULL) {
        bool known = codes_tell(isolate->sample->codes, (uint32_t)frame->token, function);
        error = known ? 0 : -ENOENT;
    } else if (is_forgotten(isolate, (uint32_t)frame->token) ||
               (frame->token & NAMES_LOOKED) != 0) {
        error = name_special(WALK_FORGOTTEN, function);
    } else if (isolate != NULL && isolate_ask(isolate)) {
        error = -EAGAIN;
    } else {
        error = -ENOENT;
    }
    isolates_unlock();
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
    isolates_unlock();
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

/* Builtins with and without a symbol: where the symbols are not to be had none is named. */
static struct {
    unsigned named, nameless;
} builtins_seen;

/* Which of these users wrote a call to, and which only carry calls, can't be told. */
static enum cprof_role nameless_builtin(void)
{
    enum { ENOUGH = 8 };
    if (++builtins_seen.nameless == ENOUGH && builtins_seen.named == 0)
        cprof_say(
            "this node is stripped, or CPROF_MEMORY_LIMIT has no room for its names: V8's "
            "builtins are not shown; their time is their callers'");
    return CPROF_ROLE_PLUMBING;
}

static bool has_one_of(const char *symbol, const char *const *parts)
{
    while (*parts != NULL && strstr(symbol, *parts) == NULL)
        parts++;
    return *parts != NULL;
}

/* What V8's collector does outside its pauses, which the handler is told of: it marks and
 * sweeps in small steps when JavaScript allocates, and in tasks. And what a pause begins and
 * ends with. */
static bool is_collecting(const char *symbol)
{
    static const char *const parts[] = {"IncrementalMarking", "IncrementalSweepTask",
                                        "ContributeToSweeping", "4Heap14CollectGarbage", NULL};
    return (begins(symbol, "_ZN2v88internal") || begins(symbol, "_ZN5cppgc8internal")) &&
           has_one_of(symbol, parts);
}

/* What V8 does to get memory for an object, where samples of its heap begin: all of them would
 * show it. What asks for the object stands above. */
static bool is_allocating(const char *symbol)
{
    static const char *const parts[] = {"InvokeAllocationObservers", "AllocateRaw",
                                        "NewFillerObject", "Runtime_AllocateIn", NULL};
    return begins(symbol, "_ZN2v88internal") && has_one_of(symbol, parts);
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
    if (symbol != NULL && is_collecting(symbol))
        return CPROF_ROLE_CHORE;
    if (symbol != NULL && is_allocating(symbol))
        return CPROF_ROLE_PLUMBING;
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
