/*
 * Handler code, and that of looks at threads that sleep (asleep.c): the span and the labels in
 * a thread's contextvars context. Whoever includes this has sure() from readable.h, for the
 * calling thread, or from copies.h, for another one.
 */
#include <internal/pycore_context.h>
#include <internal/pycore_hamt.h>

#include "labels.h"
#include "span_hooks.h"
#include "spans.h"

/* A context maps variables to values in a persistent hash trie: 5 bits of the hash choose a
 * branch at each level. Its nodes are never changed once they can be reached; a new one takes
 * the old one's place by one store before that is freed, and only the thread that runs in the
 * context puts one there. So this thread may read all of it at any instruction, and no pointer
 * needs to be probed as frames' do (readable.h). From CPython's Python/hamt.c: */
struct bitmap_node {
    PyObject_VAR_HEAD uint32_t bitmap; /* which of the 32 branches exist */
    PyObject *array[1]; /* for each, in order: key and value, or NULL and a node */
};

struct array_node {
    PyObject_HEAD PyObject *branches[32];
    Py_ssize_t count;
};

enum { BRANCH_BITS = 5, HASH_BITS = 32 };

/* A pointer in memory that sure() reads; NULL: it can't. */
static const void *pointer_at(const void *place, struct readable *memory)
{
    const void *const *pointer = sure(memory, place, sizeof *pointer);

    return pointer != NULL ? *pointer : NULL;
}

/* The entry of a bitmap node for a branch: key and value, or NULL and a node; NULL: none. */
static const void *const *bitmap_entry(const void *node, unsigned branch,
                                       struct readable *memory)
{
    const struct bitmap_node *bitmap = sure(memory, node, offsetof(struct bitmap_node, array));
    const uint32_t bit = UINT32_C(1) << branch;
    size_t index;

    if (bitmap == NULL || (bitmap->bitmap & bit) == 0)
        return NULL;
    index = 2 * (size_t)__builtin_popcount(bitmap->bitmap & (bit - 1));
    return sure(memory, &((const struct bitmap_node *)node)->array[index],
                2 * sizeof(PyObject *));
}

/* The value of a context variable in the trie; NULL when it isn't there. */
static const void *find_value(const void *node, const PyObject *variable,
                              struct readable *memory)
{
    const uint64_t wide = (uint64_t)((const PyContextVar *)variable)->var_hash;
    const uint32_t folded = (uint32_t)wide ^ (uint32_t)(wide >> 32);
    const uint32_t hash = folded == UINT32_MAX ? UINT32_MAX - 1 : folded;

    for (unsigned shift = 0; shift < HASH_BITS && node != NULL; shift += BRANCH_BITS) {
        const unsigned branch = hash >> shift & 31;
        const PyObject *head = sure(memory, node, sizeof *head);
        const PyTypeObject *type = head != NULL ? Py_TYPE(head) : NULL;

        if (type == walk_bitmap_type) {
            const void *const *entry = bitmap_entry(node, branch, memory);

            if (entry == NULL)
                return NULL;
            if (entry[0] != NULL)
                return entry[0] == variable ? entry[1] : NULL;
            node = entry[1];
        } else if (type == walk_array_type) {
            node = pointer_at(&((const struct array_node *)node)->branches[branch], memory);
        } else {
            return NULL; /* variables whose hashes are equal */
        }
    }
    return NULL;
}

static void read_labels(const void *root, struct cprof_context *context,
                        struct readable *memory)
{
    const void *at = find_value(root, labels_variable, memory);
    const struct label_set *set = at != NULL ? sure(memory, at, sizeof *set) : NULL;

    if (set != NULL && Py_TYPE((const PyObject *)set) == &label_set_type)
        context->label_set = set->number;
}

/* A state that was made of another context than OpenTelemetry's current one tells nothing: that
 * was changed behind our back. */
static void read_span(const void *root, struct cprof_context *context, struct readable *memory)
{
    const void *at = find_value(root, spans_variable, memory);
    const struct span_state *state = at != NULL ? sure(memory, at, sizeof *state) : NULL;

    if (state == NULL || Py_TYPE((const PyObject *)state) != &span_state_type)
        return;
    if (state->kind == SPAN_UNREADABLE ||
        (spans_theirs != NULL && state->context != find_value(root, spans_theirs, memory))) {
        context->unreadable = true;
    } else if (state->kind == SPAN_KNOWN) {
        memcpy(context->trace_id, state->ids.trace_id, sizeof context->trace_id);
        memcpy(context->span_id, state->ids.span_id, sizeof context->span_id);
    }
}

/* What that context says. */
static bool read_variables(const PyContext *current, struct cprof_context *context,
                           struct readable *memory)
{
    const PyHamtObject *variables =
        current != NULL ? pointer_at(&current->ctx_vars, memory) : NULL;
    const void *root = variables != NULL ? pointer_at(&variables->h_root, memory) : NULL;

    if (root == NULL)
        return false;
    read_labels(root, context, memory);
    read_span(root, context, memory);
    return true;
}

/* What the context of a thread with that state says. */
static bool read_context(const PyThreadState *state, struct cprof_context *context,
                         struct readable *memory)
{
    return read_variables(pointer_at(&state->context, memory), context, memory);
}
