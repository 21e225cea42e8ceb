/*
 * Room for what is kept to name JavaScript: the binding's part of CPROF_MEMORY_LIMIT, which
 * the functions and scripts of all isolates draw from. What finds none is left out or takes the
 * place of what is older, as its own header says; one line says so. Any thread may call.
 */
#ifndef CPROF_NODE_ROOM_H
#define CPROF_NODE_ROOM_H

#include <stdbool.h>
#include <stddef.h>

/* False: there is none. */
bool room_take(size_t bytes);
void room_give(size_t bytes);

enum room_lack {
    ROOM_LIMIT, /* CPROF_MEMORY_LIMIT is spent */
    ROOM_TEXTS, /* more texts wait to be read than may */
};

/* Says, once each, that something is left out for lack of room. */
void room_tell(enum room_lack lack);

#endif
