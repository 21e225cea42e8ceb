/* A code object's line table, in the encoding of the CPython that this is compiled for. */
#ifndef CPROF_PYTHON_LINETABLE_H
#define CPROF_PYTHON_LINETABLE_H

#include <stddef.h>
#include <stdint.h>

/* The line of the instruction at byte `offset`; 0 when it has none or the table is torn. */
int64_t linetable_line(const uint8_t *table, size_t size, int first_line, uint32_t offset);

#endif
