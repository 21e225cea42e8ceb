/* What the walk knows of the processor's part in V8's frames. Each cpu/<cpu>.h defines the same
 * names. */
#ifndef CPROF_NODE_CPU_H
#define CPROF_NODE_CPU_H

#if defined(__x86_64__)
#include "cpu/x86_64.h"
#elif defined(__aarch64__)
#include "cpu/aarch64.h"
#else
#error "cprof knows x86-64 and AArch64"
#endif

#endif
