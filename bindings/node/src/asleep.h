/*
 * Threads that sleep inside a call of JavaScript, as looks of the collector see them, without
 * waking them (cprof/asleep.h): V8's frames, their functions, span and labels.
 *
 * V8's frames are those of walk.h, read through copies. A thread that sleeps is at a call in
 * each of them, and its heap stands still; so a function that is met is named at once
 * (names_looked()), by what a later run of the thread could not say in time.
 *
 * Where JavaScript is not followed by its frames (enum way), each is "(JavaScript)". So it is
 * in a collection, while objects move, but for the first, which is the collector.
 */
#ifndef CPROF_NODE_ASLEEP_H
#define CPROF_NODE_ASLEEP_H

#include "cprof/asleep.h"

extern const struct cprof_asleep node_asleep;

#endif
