/*
 * Which functions of a JavaScript source text stand directly in the body of a class. V8 keeps
 * no trace of the class with a method, so that the text is read: once a script, on the
 * collector.
 *
 * It is read by tokens and brackets and not by grammar: whether a slash divides or begins a
 * regular expression is told by the token before it. A text that misleads this costs class
 * names, nothing else: what comes out is asked by the exact place at which V8 says a function
 * begins. Bounded by room.h: where that has none, the reading ends.
 */
#ifndef CPROF_NODE_METHODS_H
#define CPROF_NODE_METHODS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strings.h"

struct method {
    uint32_t start;  /* of the function, as V8 counts: mostly its '(' */
    uint32_t class_; /* index into `classes` */
};

struct class_name {
    uint32_t start; /* of the name in the text */
    uint32_t length;
};

struct methods {
    uint32_t count, class_count;
    struct method *list; /* in the order of their starts */
    struct class_name *classes;
    size_t bytes; /* of room that both have taken */
};

/* `methods` is zeros before. False: for lack of room it has come only so far. */
bool methods_find(const struct characters *text, struct methods *methods);
/* The class whose method begins there, or NULL. */
const struct class_name *methods_class(const struct methods *methods, uint32_t start);
void methods_free(struct methods *methods);

#endif
