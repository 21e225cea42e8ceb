/*
 * Which field of the v8::Isolate leads to the storage's current value (see context.h). No
 * offset is known beforehand, so JavaScript makes one value current after another and asks
 * which field has changed since there was none and leads to the value: for each value it has to
 * be the same. Not for the handler.
 *
 * What is looked at is copied with a system call that fails where a load would crash: the
 * isolate's fields hold words of objects that are gone, whose pages V8 may be giving back at
 * this moment.
 */
#ifndef CPROF_NODE_CONTEXT_PROBE_H
#define CPROF_NODE_CONTEXT_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct isolate;

enum { CONTEXT_FIELDS = 512 }; /* of the v8::Isolate, that are looked at */

/* [isolate's thread] The fields as they are. */
void context_copy_fields(const struct isolate *isolate, uintptr_t fields[CONTEXT_FIELDS]);

/* [isolate's thread] The first field, from that number on, that is not as it was and leads to
 * the BigInt with this tagged pointer; -1: none. */
int context_find_field(const struct isolate *isolate, uintptr_t value,
                       const uintptr_t before[CONTEXT_FIELDS], int first);

/* [isolate's thread] Has the handler read this field, which leads to that value now. False: the
 * handler does not find the value there, and reads nothing. */
bool context_use_field(struct isolate *isolate, uintptr_t value, int field);

#endif
