/*
 * Where JavaScript waits in Atomics.wait(), and who wakes it by Atomics.notify(): ../locks.js
 * puts functions of its own in the place of these two, and calls ours around them, on each
 * thread on which cprof is loaded. A place in shared memory is a lock, known by its address,
 * which is the same on all threads.
 *
 * Whether anything is counted, and whether anybody waits, stands in two words that JavaScript
 * reads, so that notify() costs nothing to speak of where nobody does.
 */
#ifndef CPROF_NODE_LOCKS_H
#define CPROF_NODE_LOCKS_H

#include <stdbool.h>

#include <node_api.h>

#include "cprof/runtime.h"

/* [start] See struct cprof_runtime. */
int locks_open(const char **why);
void locks_close(void);

/* lockWords(file): the two words, as an ArrayBuffer; undefined where nothing is counted, or
 * this runtime lets none be made. Once a thread has them it does not ask again. The file is the
 * one that calls. */
napi_value locks_words(napi_env env, napi_callback_info info);
/* waitBegins(array, index) */
napi_value locks_wait_begins(napi_env env, napi_callback_info info);
/* waitEnds(counts): it was a wait, if that is true. */
napi_value locks_wait_ends(napi_env env, napi_callback_info info);
/* letsGo(array, index): the nanoseconds that others have waited there since the last time. */
napi_value locks_lets_go(napi_env env, napi_callback_info info);
/* blames(nanoseconds): counts them on who calls. */
napi_value locks_blames(napi_env env, napi_callback_info info);

/* The calling thread waits no more, if it still seems to: its JavaScript has been terminated.
 */
void locks_leave(void);

/* [collector] See struct cprof_asleep. */
bool locks_is_own(const struct cprof_function *function);

#endif
