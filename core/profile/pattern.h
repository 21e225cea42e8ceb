/*
 * Regular expressions as pprof's files have them and its tools take them (RE2's syntax). In
 * time that grows with the pattern times the text, whatever they are: both are untrusted. Taken
 * are alternatives, groups, repetition, classes, anchors, \b and the flags i and s; not Unicode
 * classes. Bytes, not characters. One thread a pattern.
 */
#ifndef CPROF_PROFILE_PATTERN_H
#define CPROF_PROFILE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_MOST_STEPS 4096 /* that a pattern may come to; {1000} counts a thousand */
#define PATTERN_DEEPEST 64      /* groups in groups */

struct pattern;

/* 0; -EINVAL for what is not taken, -E2BIG, -ENOMEM. */
int pattern_new(const char *text, struct pattern **pattern);
void pattern_free(struct pattern *pattern);

/* Does the pattern match all of the text? */
bool pattern_matches(struct pattern *pattern, const char *text, size_t length);
/* Or any part of it? */
bool pattern_finds(struct pattern *pattern, const char *text, size_t length);

#endif
