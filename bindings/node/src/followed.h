/*
 * The sampled objects of one isolate that are alive: each is held by a weak handle, which V8
 * sets to NULL when it finds that the object is dead. It moves objects, so none is known by its
 * address: the core gets a number instead (cprof/sample.h).
 *
 * V8 writes to an entry as long as it has its handle, so that entries stay where they are.
 * Bounded by as many as the core lists; what it lists no more gives its entry up when there are
 * none left. Belongs to the isolate's thread.
 */
#ifndef CPROF_NODE_FOLLOWED_H
#define CPROF_NODE_FOLLOWED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct followed_entry {
    uintptr_t *handle; /* V8's; NULL: dead, or nobody's */
    uintptr_t number;  /* that the core knows it by; of one that is nobody's, the next such */
};

struct followed {
    struct followed_entry *entries;
    uint32_t used; /* of them, at any time */
    uint32_t free; /* index + 1 of the first that is nobody's; 0: there is none */
    size_t bytes;  /* of room */
};

/* Finds V8's functions. False: this node does not export them. */
bool followed_find(void);
/* Does a handle, made and given back, hold the tagged pointer that it was made of? */
bool followed_prove(void *v8_isolate, uintptr_t object);

/* An entry, whose number is new. NULL: there is no room. It is to be kept or given back. */
struct followed_entry *followed_take(struct followed *followed);
/* Follows an object by it: a tagged pointer. Calls V8, and malloc. */
void followed_keep(struct followed_entry *entry, void *v8_isolate, uintptr_t object);
void followed_give(struct followed *followed, struct followed_entry *entry);

/* After a collection: tells the core of those that are dead. */
void followed_sweep(struct followed *followed);
/* While the isolate lives: all are freed, and nothing is followed any more. */
void followed_end(struct followed *followed);

#endif
