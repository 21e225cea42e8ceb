#include "labels.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A place's set: number % LABEL_SETS is the place. */
struct place {
    uint32_t number; /* 0 = free */
    bool dead;       /* its LabelSet has gone … */
    uint64_t died;   /* … after this many drains */
    uint32_t count;  /* pairs in text */
    char *text;      /* key, NUL, value, NUL, … */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct place places[LABEL_SETS];
static uint32_t latest; /* number given out last */
static uint64_t drains;

PyObject *labels_variable;

void labels_lock(void)
{
    pthread_mutex_lock(&lock);
}

void labels_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* A set that died before the drain before the last is named by no sample any more. */
static bool is_free(const struct place *place)
{
    return place->number == 0 || (place->dead && place->died + 2 <= drains);
}

/* [locked] Takes over text. */
static uint32_t take_place(char *text, uint32_t count)
{
    for (int tries = 0; tries < LABEL_SETS; tries++) {
        struct place *place;

        if (++latest == 0)
            latest = 1;
        place = &places[latest % LABEL_SETS];
        if (is_free(place)) {
            free(place->text);
            *place = (struct place){.number = latest, .count = count, .text = text};
            return latest;
        }
    }
    free(text);
    return 0;
}

/* The pairs as one text; NULL with an exception. */
static char *text_of(PyObject *pairs)
{
    const char *key, *value;
    char *text, *end;
    size_t size = 1;

    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(pairs, i), "ss", &key, &value))
            return NULL;
        size += strlen(key) + strlen(value) + 2;
    }
    text = end = malloc(size);
    if (text == NULL)
        return (char *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        PyArg_ParseTuple(PyTuple_GET_ITEM(pairs, i), "ss", &key, &value);
        end = stpcpy(end, key) + 1;
        end = stpcpy(end, value) + 1;
    }
    return text;
}

static PyObject *label_set_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *pairs;
    struct label_set *set;
    char *text;

    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "O!:LabelSet", &PyTuple_Type, &pairs))
        return NULL;
    text = text_of(pairs);
    if (text == NULL)
        return NULL;
    set = (struct label_set *)type->tp_alloc(type, 0);
    if (set == NULL) {
        free(text);
        return NULL;
    }
    set->pairs = Py_NewRef(pairs);
    labels_lock();
    set->number = take_place(text, (uint32_t)PyTuple_GET_SIZE(pairs));
    labels_unlock();
    return (PyObject *)set;
}

static void label_set_free(PyObject *self)
{
    struct label_set *set = (struct label_set *)self;
    struct place *place = &places[set->number % LABEL_SETS];

    labels_lock();
    if (set->number != 0 && place->number == set->number) {
        place->dead = true;
        place->died = drains;
    }
    labels_unlock();
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

void labels_of(uint32_t number, void (*each)(void *closure, const char *key, const char *value),
               void *closure)
{
    const struct place *place = &places[number % LABEL_SETS];
    const char *key, *value;

    labels_lock();
    if (place->number == number) {
        key = place->text;
        for (uint32_t i = 0; i < place->count; i++) {
            value = key + strlen(key) + 1;
            each(closure, key, value);
            key = value + strlen(value) + 1;
        }
    }
    labels_unlock();
}

void labels_drained(void)
{
    labels_lock();
    drains++;
    labels_unlock();
}
