/* Random bytes for names that must not meet others of their kind; not for secrets. */
#ifndef CPROF_BASE_RANDOM_H
#define CPROF_BASE_RANDOM_H

#include <stdint.h>

/* From the kernel; early in its life, when it has none yet, from the clocks. Any thread. */
void random_words(uint64_t words[2]);

#endif
