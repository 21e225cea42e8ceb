/*
 * Qualified names of code objects (Cart.total).
 *
 * From 3.11 on a code object carries its own. Python 3.10 keeps them only in functions, so
 * there they are derived from nesting (qualnames_310.c): from the functions that exist when
 * profiling starts, and from every module, script and exec() body just before it first runs.
 */
#ifndef CPROF_PYTHON_QUALNAMES_H
#define CPROF_PYTHON_QUALNAMES_H

#include <stdint.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX >= 0x030B0000

/* [graves locked] The str object, borrowed, that names a code object; `code` may be a copy of
 * the one that lies at `address`. */
static inline const void *qualname_of(const PyCodeObject *code, uintptr_t address)
{
    (void)address;
    return code->co_qualname;
}

static inline void qualname_forget(uintptr_t address)
{
    (void)address;
}

static inline int qualnames_init(void)
{
    return 0;
}

static inline int qualnames_open(void)
{
    return 0;
}

static inline void qualnames_close(void)
{
}

#else

const void *qualname_of(const PyCodeObject *code, uintptr_t address);

/* [GIL, graves locked] The code object there is about to go. */
void qualname_forget(uintptr_t address);

/* [GIL] When the module is loaded: takes hold of what a program may have redefined later. 0, or
 * -1 with a Python exception. */
int qualnames_init(void);

/* [GIL] Learns the names of the code that exists, and goes on learning. 0, or -1 with a Python
 * exception. */
int qualnames_open(void);
void qualnames_close(void);

#endif
#endif
