/* What the kernel says that the process holds in memory. Any thread; no state. */
#ifndef CPROF_COLLECT_RESIDENT_H
#define CPROF_COLLECT_RESIDENT_H

#include <stdint.h>

/* 0: it does not say. */
uint64_t resident_bytes(void);

#endif
