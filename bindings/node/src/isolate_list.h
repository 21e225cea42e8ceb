/*
 * The isolates that there are, and those whose samples are still being named: found by their
 * serial, their thread or an address in their code. One lock guards the list and the records.
 */
#ifndef CPROF_NODE_ISOLATE_LIST_H
#define CPROF_NODE_ISOLATE_LIST_H

#include "isolate.h"

void isolates_lock(void);
void isolates_unlock(void);
/* [locked] The first of the list, which goes on by `next`. */
struct isolate *isolates_first(void);

/* One of the list that is nobody's, made if needed. NULL: no memory. */
struct isolate *isolates_add(void);
/* Something may still be named by it. */
bool isolate_is_remembered(const struct isolate *isolate);

/* [locked] How an isolate's thread is called: isolate.c's, set before there is any. */
extern void (*isolate_call)(struct isolate *isolate);
/* [any thread, locked] Asks an isolate's thread to name what is pending, whether it runs
 * JavaScript or waits for events. False: it has ended. */
bool isolate_ask(struct isolate *isolate);
/* [any thread] The isolate that runs on the calling thread, if it is open; or NULL. */
struct isolate *isolate_of_this_thread(void);
/* [isolate's thread] Has no other thread loaded the addon, or have all ended that did? */
bool isolate_is_last(const struct isolate *own);
/* [any thread] The isolate with that serial, if it is open. Valid while the lock is held. */
struct isolate *isolate_lock(uint32_t serial);
/* [V8's threads] The same for a v8::Isolate whose code events are listened to. */
struct isolate *isolate_lock_v8(const void *v8_isolate);
/* [any thread] Is there a builtin of V8 at pc? */
bool isolate_is_builtin(uintptr_t pc);
/* [any thread] Is there compiled JavaScript at pc? */
bool isolate_owns(uintptr_t pc);

#endif
