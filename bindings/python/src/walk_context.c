/* Handler code: runs inside the sampling signal's handler. */
#include "walk_context.h"

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_context.h>
#include <internal/pycore_hamt.h>

#include "labels.h"
#include "readable.h"
#include "walk.h"

/* A context maps variables to values in a persistent hash trie: 5 bits of the hash choose a
 * branch at each level. Its nodes are never changed once they can be reached, so the thread
 * that they belong to may read them at any instruction. From CPython's Python/hamt.c: */
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

/* The value of labels_variable; NULL when it isn't there. */
static const PyObject *find_value(const PyObject *node, struct readable *memory)
{
    const uint64_t wide = (uint64_t)((const PyContextVar *)labels_variable)->var_hash;
    const uint32_t folded = (uint32_t)wide ^ (uint32_t)(wide >> 32);
    const uint32_t hash = folded == UINT32_MAX ? UINT32_MAX - 1 : folded;

    for (unsigned shift = 0; shift < HASH_BITS; shift += BRANCH_BITS) {
        const unsigned branch = hash >> shift & 31;

        if (!readable(memory, node, sizeof(struct bitmap_node)))
            return NULL;
        if (Py_TYPE(node) == walk_bitmap_type) {
            const struct bitmap_node *bitmap = (const struct bitmap_node *)node;
            const uint32_t bit = UINT32_C(1) << branch;
            PyObject *const *entry =
                &bitmap->array[2 * __builtin_popcount(bitmap->bitmap & (bit - 1))];

            if ((bitmap->bitmap & bit) == 0 || !readable(memory, entry, 2 * sizeof *entry))
                return NULL;
            if (entry[0] != NULL)
                return entry[0] == labels_variable ? entry[1] : NULL;
            node = entry[1];
        } else if (Py_TYPE(node) == walk_array_type) {
            PyObject *const *entry = &((const struct array_node *)node)->branches[branch];

            if (!readable(memory, entry, sizeof *entry) || *entry == NULL)
                return NULL;
            node = *entry;
        } else {
            return NULL; /* variables whose hashes are equal */
        }
    }
    return NULL;
}

bool walk_context(const struct cprof_interrupted *thread, struct cprof_context *context)
{
    const PyThreadState *state = PyGILState_GetThisThreadState();
    struct readable memory = {0};
    const PyContext *current;
    const PyObject *value;

    (void)thread;
    if (state == NULL || labels_variable == NULL ||
        state->interp != atomic_load_explicit(&walk_interpreter, memory_order_relaxed))
        return false;
    current = (const PyContext *)state->context;
    if (current == NULL || !readable(&memory, current, sizeof *current) ||
        !readable(&memory, current->ctx_vars, sizeof *current->ctx_vars) ||
        current->ctx_vars->h_count == 0)
        return false;
    value = find_value((const PyObject *)current->ctx_vars->h_root, &memory);
    if (value == NULL || !readable(&memory, value, sizeof(struct label_set)) ||
        Py_TYPE(value) != &label_set_type)
        return false;
    context->label_set = ((const struct label_set *)value)->number;
    return context->label_set != 0;
}
