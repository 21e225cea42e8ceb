/*
 * The turns of an environment's event loop, for the core (cprof/loop.h): one of libuv's prepare
 * handles, which libuv calls before each wait for events, and how long the loop has waited,
 * which libuv counts for Node's eventLoopUtilization(). The handle keeps no loop going. All
 * that, and how many handles and requests the loop counts, is libuv's public API; functions of
 * it that this process lacks are no turns.
 *
 * [isolate's thread] all of it.
 */
#ifndef CPROF_NODE_TURNS_H
#define CPROF_NODE_TURNS_H

typedef struct napi_env__ *napi_env;

struct turns;

/* The environment is new. NULL: its turns can't be followed. It ends with the environment. */
struct turns *turns_new(napi_env env);

/* The engine runs; idempotent. `name` is that of the thread. */
void turns_follow(struct turns *turns, const char *name);
/* It does not any more, or the environment ends. */
void turns_leave(struct turns *turns);

#endif
