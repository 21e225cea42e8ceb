/* Handler code: runs inside the sampling signal's handler. */
#include "walk_context.h"

#include <string.h>

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_context.h>
#include <internal/pycore_hamt.h>

#include "labels.h"
#include "spans.h"
#include "walk.h"

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

const PyTypeObject *walk_bitmap_type, *walk_array_type;

/* The value of a context variable in the trie; NULL when it isn't there. */
static const PyObject *find_value(const PyObject *node, const PyObject *variable)
{
    const uint64_t wide = (uint64_t)((const PyContextVar *)variable)->var_hash;
    const uint32_t folded = (uint32_t)wide ^ (uint32_t)(wide >> 32);
    const uint32_t hash = folded == UINT32_MAX ? UINT32_MAX - 1 : folded;

    for (unsigned shift = 0; shift < HASH_BITS; shift += BRANCH_BITS) {
        const unsigned branch = hash >> shift & 31;

        if (Py_TYPE(node) == walk_bitmap_type) {
            const struct bitmap_node *bitmap = (const struct bitmap_node *)node;
            const uint32_t bit = UINT32_C(1) << branch;
            PyObject *const *entry =
                &bitmap->array[2 * __builtin_popcount(bitmap->bitmap & (bit - 1))];

            if ((bitmap->bitmap & bit) == 0)
                return NULL;
            if (entry[0] != NULL)
                return entry[0] == variable ? entry[1] : NULL;
            node = entry[1];
        } else if (Py_TYPE(node) == walk_array_type) {
            PyObject *const *entry = &((const struct array_node *)node)->branches[branch];

            if (*entry == NULL)
                return NULL;
            node = *entry;
        } else {
            return NULL; /* variables whose hashes are equal */
        }
    }
    return NULL;
}

static void read_labels(const PyObject *root, struct cprof_context *context)
{
    const PyObject *value = find_value(root, labels_variable);

    if (value != NULL && Py_TYPE(value) == &label_set_type)
        context->label_set = ((const struct label_set *)value)->number;
}

/* A state that was made of another context than OpenTelemetry's current one tells nothing: that
 * was changed behind our back. */
static void read_span(const PyObject *root, struct cprof_context *context)
{
    const PyObject *value = find_value(root, spans_variable);
    const struct span_state *state = (const struct span_state *)value;

    if (value == NULL || Py_TYPE(value) != &span_state_type)
        return;
    if (state->kind == SPAN_UNREADABLE ||
        (spans_theirs != NULL && state->context != find_value(root, spans_theirs))) {
        context->unreadable = true;
    } else if (state->kind == SPAN_KNOWN) {
        memcpy(context->trace_id, state->ids.trace_id, sizeof context->trace_id);
        memcpy(context->span_id, state->ids.span_id, sizeof context->span_id);
    }
}

bool walk_context(const struct cprof_interrupted *thread, struct cprof_context *context)
{
    const PyThreadState *state = PyGILState_GetThisThreadState();
    const PyContext *current;
    const PyObject *root;

    (void)thread;
    if (state == NULL || labels_variable == NULL || spans_variable == NULL ||
        state->interp != atomic_load_explicit(&walk_interpreter, memory_order_relaxed))
        return false;
    current = (const PyContext *)state->context;
    if (current == NULL || current->ctx_vars == NULL || current->ctx_vars->h_count == 0)
        return false;
    root = (const PyObject *)current->ctx_vars->h_root;
    read_labels(root, context);
    read_span(root, context);
    return true;
}
