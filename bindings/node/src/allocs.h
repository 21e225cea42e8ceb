/*
 * What JavaScript allocates in V8's heap, which never reaches malloc: V8's sampling heap
 * profiler says when a sample is due, and we take it, with the merged stack, the span and the
 * labels of that moment. (Buffers and what else V8 asks of malloc are counted there.)
 *
 * V8 has one such profiler an isolate. It watches allocations by an observer, an object with a
 * virtual function that is called once an object has been met: Step(bytes, address, size). The
 * observer that V8 has made gets a copy of its table of functions, with ours for that one. V8's
 * own, which would walk the stack again and keep a list of its own without bounds, is not
 * called.
 *
 * Where V8 keeps the profiler and the observer is not known, but found: the word of the heap
 * profiler that changes when it starts; the object in there that has a table of functions of
 * V8's module, points back to the profiler, and has the period that we asked for. Then a test
 * proves it once in a process: a string is made, whose address and size must be what Step gets.
 * What is not as it should be leaves the JavaScript heap out, with one line that says why.
 *
 * Somebody else's running sampler (an inspector's) is left alone; where somebody stops ours,
 * there is none until the next start. It is stopped before its isolate goes.
 */
#ifndef CPROF_NODE_ALLOCS_H
#define CPROF_NODE_ALLOCS_H

struct isolate;
typedef struct napi_env__ *napi_env;

/* [start] See struct cprof_runtime. */
int allocs_open(const char **why);
void allocs_close(void);

/* [isolate's thread] Begins or ends to sample its heap, as is wanted now. `env`: NULL amid
 * JavaScript, where the test can't be made. */
void allocs_follow(struct isolate *isolate, napi_env env);
/* [isolate's thread] Its heap is not sampled any more. */
void allocs_leave(struct isolate *isolate);

#endif
