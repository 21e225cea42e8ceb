/*
 * Control at run time: the process's owner asks for profiling to be switched on and off (the
 * core's engine/control.h). Ruby's own trap of SIGURG starts a thread, which takes the order
 * and obeys as Cprof.start and Cprof.stop do: a trap may not wait.
 */
#ifndef CPROF_RUBY_ORDERS_H
#define CPROF_RUBY_ORDERS_H

#include <stdbool.h>

/* From now on the process can be asked. If it can't, a line says why, where that is `all` that
 * it was loaded for: a read-only file system is no news to who profiles. Once a process, under
 * the GVL, before the engine is started. */
void orders_open(bool all);

#endif
