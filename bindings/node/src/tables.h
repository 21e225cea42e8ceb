/*
 * The tables of an isolate by which functions get their names: `seen`, `pending` and `places`,
 * which the handler fills, and `records`, which the collector reads (isolate.h says who touches
 * what).
 *
 * They begin small and double when they are nearly full, as far as there is room (room.h).
 * Where there is none, a full `seen` gives a function a new number when it meets it again, a
 * full `pending` makes a frame "(JavaScript)", which is counted, and `records` forgets those
 * with the lowest numbers.
 */
#ifndef CPROF_NODE_TABLES_H
#define CPROF_NODE_TABLES_H

#include <stdbool.h>

struct isolate;

/* [isolate's thread] False: no memory, and there are none. */
bool tables_make(struct isolate *isolate);

/* [isolate's thread] More room for what the handler fills, if that is nearly full. No handler
 * comes in between. */
void tables_grow(struct isolate *isolate);

/* [isolate's thread, with isolates_lock()] Room for twice as many records, if there is any. */
bool tables_grow_records(struct isolate *isolate);

/* [isolate's thread] Those that the handler fills. */
void tables_free_handlers(struct isolate *isolate);
/* [with isolates_lock()] The one that the collector reads; what is in it is the caller's. */
void tables_free_records(struct isolate *isolate);

#endif
