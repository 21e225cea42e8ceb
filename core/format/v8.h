/*
 * What V8's two files agree on, .cpuprofile and .heapprofile: the callFrame of a node, as the
 * DevTools protocol has it (https://chromedevtools.github.io/devtools-protocol/, Runtime.
 * CallFrame). Lines there begin at 0, here at 1.
 */
#ifndef CPROF_FORMAT_V8_H
#define CPROF_FORMAT_V8_H

#include "format/named_frame.h"
#include "format/nested.h"

#define V8_ROOT "(root)"
#define V8_ANONYMOUS "(anonymous)"

/* The frame of a node; one of no name and no place is what V8 calls (root). */
struct named_frame v8_frame(const struct nested *in, uint32_t node);

/* Is it the root, which is no frame? */
bool v8_is_root(const struct named_frame *frame);

#endif
