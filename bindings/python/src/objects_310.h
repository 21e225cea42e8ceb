/*
 * What is read of a dictionary and of an instance's attributes before 3.14, in the handler and
 * where it is tried (awaiters_310.c). Memory that another thread may free is copied, not looked
 * at: it can be gone between two instructions.
 */
#ifndef CPROF_PYTHON_OBJECTS_310_H
#define CPROF_PYTHON_OBJECTS_310_H

#include "cprof/readable.h"
#include "readable.h"

#if PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_dict.h>
#else
/* Objects/dict-common.h, which is not installed. */
typedef struct {
    Py_hash_t me_hash;
    PyObject *me_key, *me_value;
} PyDictKeyEntry;

struct _dictkeysobject { /* NOLINT(bugprone-reserved-identifier) */
    Py_ssize_t dk_refcnt, dk_size;
    void *dk_lookup;
    Py_ssize_t dk_usable, dk_nentries;
    char dk_indices[];
};
#endif

static inline bool copy_checked(void *to, const void *from, size_t size,
                                struct readable *memory)
{
    return readable(memory, from, size) && cprof_read_alive(to, (uintptr_t)from, size);
}

/* Bytes from the indices of a dictionary's keys to its entries; 0: these are no entries with a
 * hash. */
static inline size_t index_bytes(const struct _dictkeysobject *keys)
{
#if PY_VERSION_HEX >= 0x030B0000
    return keys->dk_kind == DICT_KEYS_GENERAL && keys->dk_log2_index_bytes < 32
               ? (size_t)1 << keys->dk_log2_index_bytes
               : 0;
#else
    const size_t size = (size_t)keys->dk_size;
    return size <= 0xff ? size : size <= 0xffff ? 2 * size : 0;
#endif
}

/* Copies the entries of a dictionary whose keys are no texts, the youngest if there are more
 * than fit. Returns how many; those that have been deleted have no value. */
static inline size_t dict_entries(const PyDictObject *dict, PyDictKeyEntry *entries,
                                  size_t capacity, struct readable *memory)
{
    const char *place = (const char *)dict->ma_keys;
    struct _dictkeysobject keys;
    size_t count, skipped, indices;

    if (!copy_checked(&keys, place, sizeof keys, memory) || keys.dk_nentries <= 0 ||
        keys.dk_nentries > UINT16_MAX || (indices = index_bytes(&keys)) == 0)
        return 0;
    count = (size_t)keys.dk_nentries;
    skipped = count > capacity ? count - capacity : 0;
    count -= skipped;
    place += offsetof(struct _dictkeysobject, dk_indices) + indices + skipped * sizeof *entries;
    return copy_checked(entries, place, count * sizeof *entries, memory) ? count : 0;
}

#if PY_VERSION_HEX >= 0x030B0000

/* Where an instance of a class that is written in Python has its attributes, in the order of
 * the class, as long as nobody has asked for its __dict__; NULL: not like that. The instance
 * itself can be read. */
static inline PyObject *const *instance_values(const PyObject *instance,
                                               struct readable *memory)
{
#if PY_VERSION_HEX >= 0x030D0000
    const PyDictValues *values = (const PyDictValues *)(instance + 1);

    return readable(memory, values, sizeof *values) && values->valid ? values->values : NULL;
#else
    /* In front of the object; in 3.12, marked by the lowest bit. */
    enum { BEFORE = PY_VERSION_HEX >= 0x030C0000 ? 3 : 4, MARK = BEFORE == 3 };
    const uintptr_t *place = (const uintptr_t *)instance - BEFORE;

    if (!readable(memory, place, sizeof *place) || (*place & MARK) != MARK)
        return NULL;
    return *place != 0 ? ((const PyDictValues *)(*place + MARK))->values : NULL;
#endif
}

#endif

#endif
