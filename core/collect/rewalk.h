/*
 * Walking samples again whose native walk met a frame beyond its rules, from the stack that
 * the handler copied, with libunwind (unwind/remote.h).
 *
 * Belongs to the collector's thread. The module is loaded when the first such sample comes,
 * without waiting for it; until it is there such stacks stay as the handler left them, and
 * where it can't be had no further one is copied. At most REWALKS_A_TICK are copied a tick of
 * the collector; others stay as well, and count as truncated where their root is missing.
 */
#ifndef CPROF_COLLECT_REWALK_H
#define CPROF_COLLECT_REWALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "sample/record.h"
#include "unwind/remote.h"

#define REWALKS_A_TICK 25 /* a walk takes some 0.2 ms */

struct rewalk {
    const struct unwind_library *library;
    const char *directory;  /* borrowed: where the module lies */
    _Atomic size_t *copies; /* see struct take_view */
    bool failed;            /* there is no module */
    struct native_frame *frames;
    size_t capacity;
};

/* False: out of memory. `copies` may be NULL: nothing is ever copied. */
bool rewalk_init(struct rewalk *rewalk, const char *directory, _Atomic size_t *copies,
                 size_t max_frames);
void rewalk_free(struct rewalk *rewalk);

/* Allows the handlers copies for another tick. */
void rewalk_tick(struct rewalk *rewalk);

/* The sample's native frames, as they are in the record or better. `complete` is changed if
 * so. */
const struct native_frame *rewalk_native(struct rewalk *rewalk, const struct record *record,
                                         const struct module_map *map, size_t *count,
                                         bool *complete);

#endif
