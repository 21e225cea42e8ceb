/*
 * The interpreter walk: what the signal handler reads of CPython.
 *
 * walk_python() copies the interrupted thread's Python frames as (code object, generation and
 * instruction offset, stack address). It never dereferences a code object: names and lines are
 * the collector's (names.h). Which structures lie where is the business of one header per
 * CPython layout (walk_310.h …); each is compiled against that version's own headers.
 *
 * Only threads whose Python thread state belongs to the interpreter that called walk_enable()
 * are walked: code objects of other interpreters die without our notice.
 */
#ifndef CPROF_PYTHON_WALK_H
#define CPROF_PYTHON_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <patchlevel.h>
#include <pyconfig.h>

#include "cprof/runtime.h"

/* Why the Python that this is compiled for can't be walked. (Tests give a reason of their own.)
 */
#if defined(WALK_UNSUPPORTED)
#elif defined(Py_GIL_DISABLED)
#define WALK_UNSUPPORTED "free-threaded builds are not supported yet"
#elif PY_VERSION_HEX < 0x030A0000 || PY_VERSION_HEX >= 0x03100000
#define WALK_UNSUPPORTED "this version is not supported yet"
#endif

/* The PyInterpreterState whose threads are walked. */
extern const void *_Atomic walk_interpreter;

/* Where the running interpreter differs from the headers this was compiled against, or has no
 * layout here, the walk stays off and one line in `why` says so. Call with the GIL. */
bool walk_enable(char *why, size_t size);

/* A code object whose frame, and all older ones, are not shown: what starts the program under
 * `python -m cprof`. 0 = none. */
extern _Atomic uintptr_t walk_root;

/* [handler] The `walk` entry of struct cprof_runtime. */
size_t walk_python(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                   size_t capacity, bool *complete);

/* cprof_frame.position: the generation of the code object's address in the upper half (see
 * graves.h), the byte offset of the instruction in the lower. */
static inline uint64_t position_pack(uint32_t generation, uint32_t offset)
{
    return (uint64_t)generation << 32 | offset;
}

static inline uint32_t position_generation(uint64_t position)
{
    return (uint32_t)(position >> 32);
}

static inline uint32_t position_offset(uint64_t position)
{
    return (uint32_t)position;
}

#endif
