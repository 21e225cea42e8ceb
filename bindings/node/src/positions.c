#include "positions.h"

#include <stdlib.h>

#include "bytecodes.h"
#define HEAP_VIEW
#include "heap.h"

/* ---- bytes ---- */

/* V8's variable-length integers: seven bits a byte, the lowest first, sign in bit 0. */
struct bytes {
    const uint8_t *at, *end;
};

static bool point(uintptr_t array, int data, struct bytes *bytes)
{
    const int32_t length = heap_smi(heap_word(array, layout.array_length));
    bytes->at = length > 0 ? heap_bytes(array - 1 + (uintptr_t)data, (size_t)length) : NULL;
    bytes->end = bytes->at != NULL ? bytes->at + length : NULL;
    return bytes->at != NULL;
}

static bool open_bytes(uintptr_t word, struct bytes *bytes)
{
    if (!heap_has_type(word, layout.type_bytes) &&
        !(layout.code && heap_has_type(word, layout.type_trusted_bytes)))
        return false;
    return point(word, layout.array_data, bytes);
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

/* ---- source positions ---- */

/* A position in the source: bit 0 says that it lies elsewhere (wasm), then the offset plus 1,
 * then the number of the inlined call plus 1. */
static int32_t source_offset(int64_t position)
{
    return (position & 1) != 0 ? POSITION_NONE : (int32_t)(position >> 1 & 0x3fffffff) - 1;
}

static int32_t source_site(int64_t position)
{
    return (int32_t)(position >> 31 & 0xffff) - 1;
}

/* Room for as many entries. */
static bool make_room(struct positions *positions, size_t count)
{
    positions->list = malloc((count + 1) * sizeof *positions->list);
    return positions->list != NULL;
}

/* What is left over goes. */
static void fit(struct positions *positions)
{
    struct position *fitting =
        realloc(positions->list, (positions->count + 1) * sizeof *positions->list);
    positions->list = fitting != NULL ? fitting : positions->list;
}

static void add(struct positions *positions, struct position position)
{
    positions->list[positions->count++] = position;
}

/* How a table tells the distance from one entry to the next in the code. V8 14 has changed that
 * within its versions: which it is can be seen from the first entry of any bytecode's table,
 * the function's entry, which is the same in all. */
static _Atomic enum {
    UNSEEN,
    SIGNED,  /* negative, less 1, where no statement begins */
    FLAGGED, /* the distance above two flags */
} steps;
enum { FIRST_SIGNED = 1, FIRST_FLAGGED = 2 };

static void see_steps(const struct bytes *bytes)
{
    if (steps != UNSEEN || !heap_is_sound())
        return;
    if (*bytes->at == FIRST_SIGNED)
        steps = SIGNED;
    else if (*bytes->at == FIRST_FLAGGED)
        steps = FLAGGED;
}

static bool next_step(struct bytes *bytes, int64_t *step)
{
    uint64_t raw;
    if (steps == SIGNED) {
        if (!next_signed(bytes, step))
            return false;
        *step = *step >= 0 ? *step : -(*step + 1);
        return true;
    }
    if (steps != FLAGGED || !next_unsigned(bytes, &raw))
        return false;
    *step = (int64_t)(raw >> 2);
    return true;
}

/* The function's entry is at -1. An entry takes two bytes or more. */
static void read_table(struct bytes *bytes, struct positions *positions)
{
    if (!make_room(positions, (size_t)(bytes->end - bytes->at) / 2))
        return;
    int64_t offset = -1, position = 0, step, moved;
    while (next_step(bytes, &step) && next_signed(bytes, &moved)) {
        offset += step;
        position += moved;
        add(positions, (struct position){(uint32_t)(offset >= 0 ? offset : 0),
                                         source_offset(position), source_site(position)});
    }
    fit(positions);
}

void positions_of_bytecode(uintptr_t bytecode, struct positions *positions)
{
    struct bytes bytes;
    if (!heap_has_type(bytecode, layout.type_bytecode) ||
        !open_bytes(heap_word(bytecode, layout.bytecode_positions), &bytes))
        return;
    see_steps(&bytes);
    read_table(&bytes, positions);
}

void positions_of_optimized(uintptr_t code, struct positions *positions)
{
    struct bytes bytes;
    if (open_bytes(heap_word(code, layout.code_positions), &bytes))
        read_table(&bytes, positions);
}

const struct position *positions_find(const struct positions *positions, uint64_t offset)
{
    uint32_t low = 0, high = positions->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (positions->list[middle].offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &positions->list[low - 1] : NULL;
}

/* ---- baseline code ---- */

/* Its table holds the length of the prologue, then that of each bytecode's instructions, in
 * order. Both must end together, or the bytecodes are not what they are thought to be. */
static bool pair(struct bytes *lengths, struct bytes *bytecodes,
                 const struct positions *by_bytecode, struct positions *positions)
{
    const uint8_t *start = bytecodes->at;
    int32_t source = POSITION_NONE;
    uint64_t pc, length;
    if (!next_unsigned(lengths, &pc))
        return false;
    while (bytecodes->at < bytecodes->end && next_unsigned(lengths, &length)) {
        const struct position *here =
            positions_find(by_bytecode, (uint64_t)(bytecodes->at - start));
        uint32_t size = bytecodes_length(bytecodes->at, bytecodes->end);
        if (size == 0)
            return false;
        if (here != NULL && here->source != source) {
            source = here->source;
            add(positions, (struct position){(uint32_t)pc, source, POSITION_NONE});
        }
        bytecodes->at += size;
        pc += length;
    }
    return bytecodes->at == bytecodes->end && lengths->at == lengths->end;
}

void positions_of_baseline(uintptr_t code, struct positions *positions)
{
    uintptr_t bytecode = heap_word(code, layout.code_deopt);
    struct positions by_bytecode = {0};
    struct bytes lengths;
    if (!heap_has_type(bytecode, layout.type_bytecode) ||
        !open_bytes(heap_word(code, layout.code_positions), &lengths))
        return;
    struct bytes bytecodes;
    if (!point(bytecode, layout.bytecode_data, &bytecodes))
        return;
    positions_of_bytecode(bytecode, &by_bytecode);
    if (by_bytecode.count > 0 && make_room(positions, by_bytecode.count) &&
        !pair(&lengths, &bytecodes, &by_bytecode, positions))
        positions->count = 0;
    if (positions->list != NULL)
        fit(positions);
    free(by_bytecode.list);
}

/* ---- inlined calls ---- */

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

/* An inlining position is 16 bytes: where the call was, and the literal that was called. */
size_t positions_inlined(uintptr_t code, struct inlined_call **calls)
{
    enum { ENTRY = 16 };
    struct bytes bytes;
    uintptr_t deopt = heap_word(code, layout.code_deopt);
    uintptr_t literals = element(deopt, layout.deopt_literals);
    *calls = NULL;
    if (!heap_is_object(literals) ||
        !open_bytes(element(deopt, layout.deopt_inlining), &bytes) || !heap_is_sound())
        return 0;
    size_t count = (size_t)(bytes.end - bytes.at) / ENTRY;
    *calls = calloc(count + 1, sizeof **calls);
    if (*calls == NULL)
        return 0;
    for (size_t i = 0; i < count; i++) {
        int64_t position;
        int32_t id;
        memcpy(&position, bytes.at + i * ENTRY, sizeof position);
        memcpy(&id, bytes.at + i * ENTRY + 8, sizeof id);
        int32_t parent = source_site(position);
        (*calls)[i] = (struct inlined_call){
            .source = source_offset(position),
            .parent = parent < (int32_t)i ? parent : POSITION_NONE, /* callers come first */
            .shared = id >= 0 ? inlined_function(literals, id) : 0,
        };
    }
    return count;
}
