#include "labels.h"

#include <stdlib.h>
#include <string.h>

#include "cprof/context.h"
#include "cprof/labels.h"

PyObject *labels_variable;

/* ---- texts ---- */

/* The texts of a set, one after the other; longer ones are cut by the table. */
enum { TEXT_SIZE = 4 * CPROF_LABEL_BYTES_MAX + 1 };

struct texts {
    size_t count;
    struct cprof_pair pairs[CPROF_LABELS_MAX];
    char bytes[CPROF_LABELS_MAX][2][TEXT_SIZE];
};

static void put_bytes(char *out, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = bytes[i] != '\0' ? bytes[i] : '?';
    out[length] = '\0';
}

/* The first characters of a text, as UTF-8 without NUL. 0, or -1 with an exception. */
static int put_text(char *out, PyObject *text)
{
    PyObject *start, *bytes;

    if (PyUnicode_IS_COMPACT_ASCII(text) &&
        PyUnicode_GET_LENGTH(text) <= CPROF_LABEL_BYTES_MAX) {
        put_bytes(out, PyUnicode_DATA(text), (size_t)PyUnicode_GET_LENGTH(text));
        return 0;
    }
    start = PyUnicode_Substring(text, 0, CPROF_LABEL_BYTES_MAX);
    bytes = start != NULL ? PyUnicode_AsEncodedString(start, "utf-8", "replace") : NULL;
    Py_XDECREF(start);
    if (bytes == NULL)
        return -1;
    put_bytes(out, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return 0;
}

/* 0, or -1 with an exception. */
static int put_pairs(struct texts *texts, PyObject *pairs)
{
    PyObject *key, *value;

    texts->count = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs) && i < CPROF_LABELS_MAX; i++) {
        char(*bytes)[TEXT_SIZE] = texts->bytes[i];

        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(pairs, i), "UU", &key, &value) ||
            put_text(bytes[0], key) < 0 || put_text(bytes[1], value) < 0)
            return -1;
        texts->pairs[texts->count++] = (struct cprof_pair){bytes[0], bytes[1]};
    }
    return 0;
}

/* ---- sets ---- */

/* What other processes are told of the set; without memory, nothing. */
static void set_attributes(struct label_set *set, const struct texts *texts)
{
    uint8_t attributes[CPROF_ATTRIBUTES_MAX];
    const size_t size = cprof_context_encode(texts->pairs, texts->count, attributes);

    set->attributes = size > 0 ? malloc(size) : NULL;
    set->attributes_size = set->attributes != NULL ? size : 0;
    if (set->attributes != NULL)
        memcpy(set->attributes, attributes, size);
}

static PyObject *label_set_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    struct texts *texts;
    PyObject *pairs;
    struct label_set *set = NULL;

    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "O!:LabelSet", &PyTuple_Type, &pairs))
        return NULL;
    texts = PyMem_Malloc(sizeof *texts);
    if (texts == NULL)
        return PyErr_NoMemory();
    if (put_pairs(texts, pairs) == 0)
        set = (struct label_set *)type->tp_alloc(type, 0);
    if (set != NULL) {
        set->pairs = Py_NewRef(pairs);
        set->number = cprof_labels_hold(texts->pairs, texts->count);
        set_attributes(set, texts);
    }
    PyMem_Free(texts);
    return (PyObject *)set;
}

static void label_set_free(PyObject *self)
{
    struct label_set *set = (struct label_set *)self;

    cprof_labels_release(set->number);
    free(set->attributes);
    Py_XDECREF(set->pairs);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *label_set_pairs(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((struct label_set *)self)->pairs);
}

static PyGetSetDef label_set_fields[] = {
    {"pairs", label_set_pairs, NULL, "The labels, as a tuple of pairs.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject label_set_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "cprof._cprof.LabelSet",
    .tp_basicsize = sizeof(struct label_set),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = label_set_new,
    .tp_dealloc = label_set_free,
    .tp_getset = label_set_fields,
};

const struct label_set *labels_current(void)
{
    PyObject *value = NULL;

    if (PyContextVar_Get(labels_variable, NULL, &value) < 0)
        PyErr_Clear();
    Py_XDECREF(value); /* the running context holds it */
    return value != NULL && Py_TYPE(value) == &label_set_type ? (struct label_set *)value
                                                              : NULL;
}

int labels_init(PyObject *module)
{
    if (PyType_Ready(&label_set_type) < 0)
        return -1;
    labels_variable = PyContextVar_New("cprof.labels", Py_None);
    if (labels_variable == NULL ||
        PyModule_AddObject(module, "labels_variable", Py_NewRef(labels_variable)) < 0)
        return -1;
    return PyModule_AddObject(module, "LabelSet", Py_NewRef((PyObject *)&label_set_type));
}
