/*
 * How old what is alive is, in classes: the label `heap.age` of a heap profile's samples. A
 * class is named by its lower end ("10m": from ten minutes to an hour). What is younger than
 * the least of them has no label. So what a cache keeps for hours is told from what a request
 * has just made, and a stack has at most AGE_CLASSES samples more.
 */
#ifndef CPROF_PROFILE_AGE_H
#define CPROF_PROFILE_AGE_H

#include <stdint.h>

#define AGE_LABEL "heap.age"
#define AGE_CLASSES 4 /* the oldest has the greatest number; 0: too young for a label */

/* The class of an age, and of a label's text (0: it is none). */
uint8_t age_class(uint64_t seconds);
uint8_t age_of_word(const char *word);

/* NULL for class 0. */
const char *age_word(uint8_t class);

#endif
