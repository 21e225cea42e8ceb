/*
 * Names of Cython's functions as Python has them: "shop.Cart.total" for
 * "__pyx_pw_4shop_4Cart_13total". Cython writes the scopes with their lengths, then a number
 * that tells functions of one scope apart, then the name. What a name leaves open (a class or a
 * number that reads like a length) is guessed; a generator's body does not say whose it is.
 */
#ifndef CPROF_SYMBOL_CYTHON_H
#define CPROF_SYMBOL_CYTHON_H

#include <stdbool.h>
#include <stddef.h>

/* False, and nothing written: it is no such name. Cut at `capacity` - 1 bytes if it must be. */
bool cython_readable(const char *name, char *output, size_t capacity);

#endif
