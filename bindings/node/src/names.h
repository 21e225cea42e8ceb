/*
 * From what the handler left behind to functions, files and lines. names_pending() runs on an
 * isolate's own thread and copies what a function needs to be named out of the heap: its names,
 * and its positions. names_resolve() runs on the collector and reads only copies.
 */
#ifndef CPROF_NODE_NAMES_H
#define CPROF_NODE_NAMES_H

#include "cprof/runtime.h"
#include "isolate.h"

/* [isolate's thread] Names all functions that are pending. Called before a collection, in an
 * interrupt of V8, or from the event loop: never while JavaScript could run or the heap move.
 */
void names_pending(struct isolate *isolate);

/* The bit of a number that looks have given: they count apart from the handler. */
#define NAMES_LOOKED (UINT32_C(1) << 31)

/* [collector, while heap_view.h shows it the heap of the isolate's thread] The number of a
 * function that sleeps, which is named at once if it is not known. The arguments are those of
 * struct pending. 0: no room, or the thread has run. */
uint32_t names_looked(struct isolate *isolate, uint64_t key, uintptr_t function,
                      uintptr_t code);

/* [isolate's thread] Around names_forget() while the collector runs: it names nobody then.
 * Taken before isolates_lock(). */
void names_lock_looked(void);
void names_unlock_looked(void);

/* [isolate's thread, with isolates_lock()] Frees all records. */
void names_forget(struct isolate *isolate);

/* [collector] runtime.resolve. -EAGAIN for a function that is pending: its isolate's thread has
 * been asked. */
int names_resolve(const struct cprof_frame *frame, struct cprof_function *function);

/* [any thread] The plain name of a token's function, for the self-test; 0: not known. */
size_t names_plain(uint64_t token, char *name, size_t size);

/* [collector] runtime.role and role_at: parts of V8 that only carry JavaScript are not shown.
 */
enum cprof_role names_role(const char *symbol, const char *module);
enum cprof_role names_role_at(uintptr_t pc);

#endif
