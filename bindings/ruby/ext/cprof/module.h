/*
 * What hooks (hooks.h) and orders (orders.h) have the extension do. Under the GVL.
 */
#ifndef CPROF_RUBY_MODULE_H
#define CPROF_RUBY_MODULE_H

#include <stdbool.h>

#include <ruby.h>

/* Does the calling thread belong to the one that cprof is loaded in? */
bool module_in_main_ractor(void);

/* What has to be in place before the first start. */
void module_prepare(void);

/* Cprof.start by `origin`: Qtrue, or Qfalse where the environment forbids it; raises
 * Cprof::Error. */
VALUE module_start(const char *origin, VALUE keywords);

/* Calls cprof_stop() or the like; what that returns. */
int module_stop(int (*function)(double timeout), double timeout);

/* The program ends: stops and delivers, as CPROF_EXIT_TIMEOUT says, whatever is raised
 * meanwhile, which comes after that. */
void module_end(void);

/* This is the child of a fork: the parent's threads do nothing here. */
void module_forked(void);

#endif
