/* The processor this is built for. Each arch/<cpu>.h defines the same names. */
#ifndef CPROF_UNWIND_ARCH_H
#define CPROF_UNWIND_ARCH_H

#if defined(__x86_64__)
#include "unwind/arch/x86_64.h"
#elif defined(__aarch64__)
#include "unwind/arch/aarch64.h"
#else
#error "cprof knows x86-64 and AArch64"
#endif

#endif
