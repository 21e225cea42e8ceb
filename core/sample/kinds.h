/*
 * What hooks say of the samples that they take: the type of an exception, the cause of a
 * collection. A kind is the number of a text, which stays the same for the process's life.
 *
 * The first KINDS_MAX texts are kept, of KINDS_TEXT bytes at most; whatever comes after them is
 * one kind, "[overflow]", whose samples are so counted together. Any thread may ask; nobody
 * waits. Not for signal handlers: a new text allocates.
 */
#ifndef CPROF_SAMPLE_KINDS_H
#define CPROF_SAMPLE_KINDS_H

#include <stdint.h>

#include "cprof/sample.h"

enum { KINDS_MAX = 1024, KINDS_TEXT = 128 };

/* The text of a kind; NULL: there is none. */
const char *kinds_text(uint32_t kind);

#endif
