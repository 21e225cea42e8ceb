/*
 * What Cprof.start and Cprof.profile are told, as the core wants it.
 *
 * Nothing here calls a method that a program may have redefined: Ruby's own objects are read by
 * Ruby's C interface. Only what is none of them is asked (a to_s, to_hash or to_f of its own).
 */
#ifndef CPROF_RUBY_OPTIONS_H
#define CPROF_RUBY_OPTIONS_H

#include <ruby.h>

#include <cprof/cprof.h>

/* Fills *options from a Hash of keywords, which it empties; raises ArgumentError for a keyword
 * that there is none of, Cprof::Error for a value that makes no sense. What they point to
 * belongs to the object that is returned, which must stay: RB_GC_GUARD. */
VALUE options_read(VALUE keywords, struct cprof_options *options);

/* Seconds, from any number, or from a text as Float() takes it. */
double options_seconds(VALUE value);

/* Raises Cprof::Error. */
__attribute__((noreturn, format(printf, 1, 2))) void options_raise(const char *format, ...);

#endif
