#include "names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "heap.h"
#include "strings.h"
#include "walk.h"

enum {
    NAME_MAX_BYTES = 512,
    FILE_MAX_BYTES = 2048,
    POSITIONS_MAX = 65536,
    FUNCTIONS_MAX = 256, /* inlined into one */
    SITES_MAX = 1024,
    SOURCE_MAX = 32 << 20,
    ISOLATE_BYTES_MAX = 8 << 20,
    INLINED_MAX = 16, /* as many as the core shows */
};

struct named {
    char *name, *file;
    uint32_t start_line;
};

/* From `offset` in the code on, `line` of the function that was inlined at `site`. */
struct position {
    uint32_t offset;
    uint32_t line;
    int32_t site; /* -1: of the function itself */
};

/* A call that was replaced by the called function's code. */
struct site {
    uint32_t function; /* index into `functions`: what was called */
    uint32_t line;     /* of the call, in the function of the parent site */
    int32_t parent;    /* -1: in the function itself */
};

struct record {
    uint32_t number;
    uint64_t key;
    size_t bytes;
    uint32_t function_count, position_count, site_count;
    struct named *functions; /* [0] is the function itself */
    struct position *positions;
    struct site *sites;
};

/* ---- lines ---- */

static void find_lines(const struct characters *source, struct script_lines *lines)
{
    uint32_t capacity = 0;
    lines->count = 0;
    lines->ends = NULL;
    for (uint32_t i = 0; i < source->length; i++) {
        if (source->one != NULL) {
            const uint8_t *end = memchr(source->one + i, '\n', source->length - i);
            if (end == NULL)
                return;
            i = (uint32_t)(end - source->one);
        } else if (source->two[i] != '\n') {
            continue;
        }
        if (lines->count == capacity) {
            capacity = capacity == 0 ? 256 : 2 * capacity;
            uint32_t *grown = realloc(lines->ends, capacity * sizeof *grown);
            if (grown == NULL)
                return;
            lines->ends = grown;
        }
        lines->ends[lines->count++] = i;
    }
}

/* NULL: the source is gone, in pieces, or too large. */
static const struct script_lines *lines_of(struct isolate *isolate, uintptr_t script)
{
    int32_t id = heap_smi(heap_word(script, layout.script_id));
    struct characters source;
    for (size_t i = 0; i < LINES_SLOTS; i++)
        if (isolate->lines[i].script == id)
            return &isolate->lines[i];
    if (!strings_look(heap_word(script, layout.script_source), &source) ||
        source.length > SOURCE_MAX)
        return NULL;
    struct script_lines *slot = &isolate->lines[isolate->next_lines++ % LINES_SLOTS];
    free(slot->ends);
    find_lines(&source, slot);
    slot->script = id;
    return slot;
}

static uint32_t line_at(const struct script_lines *lines, uintptr_t script, int64_t position)
{
    if (lines == NULL || position < 0)
        return 0;
    uint32_t low = 0;
    uint32_t high = lines->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if ((int64_t)lines->ends[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low + 1 + (uint32_t)heap_smi(heap_word(script, layout.script_line_offset));
}

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

static bool name_function(struct isolate *isolate, uintptr_t shared, struct named *named)
{
    char text[FILE_MAX_BYTES];
    uintptr_t word = heap_word(shared, layout.shared_name_or_scope);
    uintptr_t script = script_of(shared);
    struct scope scope = {.start = -1};
    if (heap_has_type(word, layout.type_scope))
        scope = read_scope(word);
    else if (strings_is(word))
        scope.name = word;
    copy_name(&scope, text, NAME_MAX_BYTES);
    named->name = strdup(text);
    if (script != 0 &&
        strings_copy(heap_word(script, layout.script_name), text, sizeof text) > 0)
        named->file = strdup(text);
    if (script != 0)
        named->start_line = line_at(lines_of(isolate, script), script, scope.start);
    return named->name != NULL;
}

/* ---- tables of positions ---- */

/* V8's variable-length integers: seven bits a byte, the lowest first, sign in bit 0. */
struct bytes {
    const uint8_t *at, *end;
};

static bool open_bytes(uintptr_t word, struct bytes *bytes)
{
    if (!heap_has_type(word, layout.type_bytes) &&
        !(layout.code && heap_has_type(word, layout.type_trusted_bytes)))
        return false;
    bytes->at = (const uint8_t *)(word - 1 + (uintptr_t)layout.array_data);
    bytes->end = bytes->at + heap_smi(heap_word(word, layout.array_length));
    return bytes->at < bytes->end;
}

static bool next_unsigned(struct bytes *bytes, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; bytes->at < bytes->end && shift < 64; shift += 7) {
        uint8_t byte = *bytes->at++;
        *value |= (uint64_t)(byte & 127) << shift;
        if ((byte & 128) == 0)
            return true;
    }
    return false;
}

static bool next_signed(struct bytes *bytes, int64_t *value)
{
    uint64_t raw;
    if (!next_unsigned(bytes, &raw))
        return false;
    *value = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
    return true;
}

/* A position in the source: bit 0 says that it lies elsewhere (wasm), then the offset plus 1,
 * then the number of the inlined call plus 1. */
static int32_t source_offset(int64_t position)
{
    return (position & 1) != 0 ? -1 : (int32_t)(position >> 1 & 0x3fffffff) - 1;
}

static int32_t source_site(int64_t position)
{
    return (int32_t)(position >> 31 & 0xffff) - 1;
}

/* The script of the function that was inlined at a site, or of the function itself. */
static uintptr_t script_at(const struct record *record, const uintptr_t *scripts, int32_t site)
{
    if (site < 0)
        return scripts[0];
    return site < (int32_t)record->site_count ? scripts[record->sites[site].function] : 0;
}

static void read_positions(struct isolate *isolate, struct record *record, uintptr_t table,
                           const uintptr_t *scripts)
{
    struct bytes bytes;
    int64_t offset = 0, position = 0, step, moved;
    uint32_t capacity = 0;
    if (!open_bytes(table, &bytes))
        return;
    while (record->position_count < POSITIONS_MAX && next_signed(&bytes, &step) &&
           next_signed(&bytes, &moved)) {
        offset += step >= 0 ? step : -(step + 1);
        position += moved;
        if (record->position_count == capacity) {
            capacity = capacity == 0 ? 32 : 2 * capacity;
            struct position *grown = realloc(record->positions, capacity * sizeof *grown);
            if (grown == NULL)
                return;
            record->positions = grown;
        }
        int32_t site = source_site(position);
        uintptr_t script = script_at(record, scripts, site);
        record->positions[record->position_count++] = (struct position){
            .offset = (uint32_t)offset,
            .line = script != 0
                        ? line_at(lines_of(isolate, script), script, source_offset(position))
                        : 0,
            .site = site < (int32_t)record->site_count ? site : -1,
        };
    }
}

/* ---- optimised code ---- */

static uintptr_t element(uintptr_t array, int index)
{
    bool there = index >= 0 && index < heap_smi(heap_word(array, layout.array_length));
    return there ? heap_word(array, layout.array_data + 8 * index) : 0;
}

static uintptr_t inlined_function(uintptr_t literals, int32_t id)
{
    uintptr_t word = heap_strong(element(literals, id));
    if (heap_has_type(word, layout.type_wrapper))
        word = heap_word(word, layout.wrapper_shared);
    return heap_has_type(word, layout.type_shared) ? word : 0;
}

/* The entry of `functions` for a function that was inlined, perhaps more than once. */
static uint32_t function_index(struct isolate *isolate, struct record *record,
                               uintptr_t *shareds, uintptr_t shared)
{
    for (uint32_t i = 0; i < record->function_count; i++)
        if (shareds[i] == shared)
            return i;
    if (record->function_count == FUNCTIONS_MAX ||
        !name_function(isolate, shared, &record->functions[record->function_count]))
        return 0;
    shareds[record->function_count] = shared;
    return record->function_count++;
}

/* An inlining position is 16 bytes: where the call was, and the literal that was called. */
static void read_sites(struct isolate *isolate, struct record *record, uintptr_t deopt,
                       uintptr_t *shareds, uintptr_t *scripts)
{
    enum { ENTRY = 16 };
    struct bytes bytes;
    uintptr_t literals = element(deopt, layout.deopt_literals);
    if (!heap_is_object(literals) || !open_bytes(element(deopt, layout.deopt_inlining), &bytes))
        return;
    size_t count = (size_t)(bytes.end - bytes.at) / ENTRY;
    count = count < SITES_MAX ? count : SITES_MAX;
    record->sites = calloc(count, sizeof *record->sites);
    for (size_t i = 0; record->sites != NULL && i < count; i++) {
        int64_t position;
        int32_t id;
        memcpy(&position, bytes.at + i * ENTRY, sizeof position);
        memcpy(&id, bytes.at + i * ENTRY + 8, sizeof id);
        int32_t parent = source_site(position);
        parent = parent < (int32_t)i ? parent : -1; /* callers come first */
        uintptr_t shared = id >= 0 ? inlined_function(literals, id) : shareds[0];
        uint32_t function = shared != 0 ? function_index(isolate, record, shareds, shared) : 0;
        scripts[function] = script_of(shareds[function]);
        uintptr_t script = script_at(record, scripts, parent);
        record->sites[record->site_count++] = (struct site){
            .function = function,
            .line = script != 0
                        ? line_at(lines_of(isolate, script), script, source_offset(position))
                        : 0,
            .parent = parent,
        };
    }
}

static void read_optimized(struct isolate *isolate, struct record *record, uintptr_t code,
                           uintptr_t shared)
{
    uintptr_t shareds[FUNCTIONS_MAX] = {shared};
    uintptr_t scripts[FUNCTIONS_MAX] = {script_of(shared)};
    read_sites(isolate, record, heap_word(code, layout.code_deopt), shareds, scripts);
    read_positions(isolate, record, heap_word(code, layout.code_positions), scripts);
}

/* ---- bytecode ---- */

static void read_bytecode(struct isolate *isolate, struct record *record, uintptr_t bytecode,
                          uintptr_t shared)
{
    const uintptr_t scripts[] = {script_of(shared)};
    if (heap_has_type(bytecode, layout.type_bytecode))
        read_positions(isolate, record, heap_word(bytecode, layout.bytecode_positions),
                       scripts);
}

/* ---- records ---- */

static void record_free(struct record *record)
{
    if (record == NULL)
        return;
    for (uint32_t i = 0; record->functions != NULL && i < record->function_count; i++) {
        free(record->functions[i].name);
        free(record->functions[i].file);
    }
    free(record->functions);
    free(record->positions);
    free(record->sites);
    free(record);
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
    if (record->functions == NULL ||
        !name_function(isolate, pending->function, &record->functions[0])) {
        record_free(record);
        return NULL;
    }
    record->function_count = 1;
    if (kind == WALK_OPTIMIZED)
        read_optimized(isolate, record, pending->code, pending->function);
    else if (kind == WALK_FUNCTION)
        read_bytecode(isolate, record, pending->code, pending->function);
    record->bytes = sizeof *record +
                    record->function_count * (sizeof *record->functions + 128) +
                    record->position_count * sizeof *record->positions +
                    record->site_count * sizeof *record->sites;
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
    for (size_t i = 0; i < LINES_SLOTS; i++) {
        free(isolate->lines[i].ends);
        isolate->lines[i] = (struct script_lines){0};
    }
}

/* ---- the collector's side ---- */

static const struct record *find(const struct isolate *isolate, uint32_t number)
{
    if (isolate == NULL || isolate->records == NULL)
        return NULL;
    const struct record *record = isolate->records[number % RECORD_SLOTS];
    return record != NULL && record->number == number ? record : NULL;
}

static const struct position *position_at(const struct record *record, uint64_t offset)
{
    const struct position *found = NULL;
    for (uint32_t i = 0; i < record->position_count && record->positions[i].offset <= offset;
         i++)
        found = &record->positions[i];
    return found;
}

/* Where the strings of an answer stand until the next one. */
struct answer {
    struct cprof_function function;
    char name[NAME_MAX_BYTES], file[FILE_MAX_BYTES];
};

static void tell(struct answer *answer, const struct named *named, uint32_t line)
{
    snprintf(answer->name, sizeof answer->name, "%s", named->name);
    snprintf(answer->file, sizeof answer->file, "%s", named->file != NULL ? named->file : "");
    answer->function = (struct cprof_function){
        .name = answer->name,
        .file = answer->file,
        .line = line != 0 ? line : named->start_line,
        .start_line = named->start_line,
        .type = CPROF_FRAME_V8JS,
    };
}

/* The function that runs there, then those it was inlined into, outwards. */
static void tell_all(struct answer answers[INLINED_MAX], const struct record *record,
                     uint64_t offset)
{
    const struct position *position =
        offset != WALK_NOWHERE ? position_at(record, offset) : NULL;
    uint32_t line = position != NULL ? position->line : 0;
    int32_t at = position != NULL ? position->site : -1;
    size_t count = 0;
    for (; at >= 0 && count < INLINED_MAX - 1; at = record->sites[at].parent) {
        const struct site *site = &record->sites[at];
        tell(&answers[count++], &record->functions[site->function], line);
        line = site->line;
    }
    tell(&answers[count], &record->functions[0], line);
    for (size_t i = 0; i < count; i++)
        answers[i].function.caller = &answers[i + 1].function;
}

static int name_special(uint64_t token, struct cprof_function *function)
{
    static const char *const names[] = {
        [WALK_COLLECTOR] = "(garbage collector)",
        [WALK_OPAQUE] = "(JavaScript)",
        [WALK_WASM] = "(wasm)",
        [WALK_REGEXP] = "(regular expression)",
    };
    if (token >= sizeof names / sizeof *names || names[token] == NULL)
        return -ENOENT;
    *function = (struct cprof_function){.name = names[token], .type = CPROF_FRAME_V8JS};
    return 0;
}

int names_resolve(const struct cprof_frame *frame, struct cprof_function *function)
{
    static struct answer answers[INLINED_MAX]; /* the collector's */
    uint32_t serial = (uint32_t)(frame->token >> 32);
    if (serial == 0)
        return name_special(frame->token, function);
    int error = 0;
    struct isolate *isolate = isolate_lock(serial);
    const struct record *record = find(isolate, (uint32_t)frame->token);
    if (record != NULL) {
        tell_all(answers, record, frame->position);
        *function = answers[0].function;
    } else if (isolate != NULL && isolate_ask(isolate)) {
        error = -EAGAIN;
    } else {
        error = -ENOENT;
    }
    isolate_unlock();
    return error;
}

/* ---- roles ---- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t length = strlen(text);
    size_t size = strlen(with);
    return length >= size && strcmp(text + length - size, with) == 0;
}

enum cprof_role names_role(const char *symbol, const char *module)
{
    static const char *const carriers[] = {
        "Call",        "Construct",   "JSEntry",      "CEntry",        "JSConstruct",
        "Interpreter", "Baseline",    "Adaptor",      "HandleApiCall", "LoadIC",
        "StoreIC",     "KeyedLoadIC", "KeyedStoreIC", "Resume",        "StackCheck"};
    static const char prefix[] = "Builtins_";
    (void)module;
    if (symbol == NULL || !begins(symbol, prefix))
        return CPROF_ROLE_PLAIN;
    symbol += sizeof prefix - 1;
    for (size_t i = 0; i < sizeof carriers / sizeof *carriers; i++)
        if (begins(symbol, carriers[i]))
            return CPROF_ROLE_PLUMBING;
    return ends(symbol, "Handler") || strstr(symbol, "Trampoline") != NULL ? CPROF_ROLE_PLUMBING
                                                                           : CPROF_ROLE_PLAIN;
}

enum cprof_role names_role_at(uintptr_t pc)
{
    return isolate_owns(pc) ? CPROF_ROLE_PLUMBING : CPROF_ROLE_PLAIN;
}
