/*
 * Which function's code lies where: what V8 tells of its code in events, for the second way to
 * follow JavaScript (v8_sample.h).
 *
 * A table of an isolate's code by address, and of names by number. V8 tells of code when it is
 * made and when it moves, never when it is gone: code that comes to lie where other code lay
 * takes its place. Several codes of one function (bytecode, and what each of V8's compilers
 * made of it) have one name and number.
 *
 * Bounded: a table that is nearly full forgets the code that no sample has met since it was
 * last so; should that not make room, new code is left out. Code that is not in the table is
 * opaque. A name that no code has any more stays for two drains, since samples may wait to be
 * named.
 *
 * Who touches what: V8's events come on the isolate's thread, and of moves on those that help
 * it to collect. All changes are made with isolates_lock() held, and so is what the collector
 * reads. The handler looks code up without: it finds `changing` set if the isolate's thread,
 * which it interrupted, or another is in the midst of a change; another waits while the handler
 * is `looking`.
 */
#ifndef CPROF_NODE_CODES_H
#define CPROF_NODE_CODES_H

#include <search.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/runtime.h"

enum {
    CODES_MAX = 1 << 16,
    NAMES_MAX = 1 << 15,
    NAME_BYTES_MAX = 8 << 20, /* of all names of an isolate */
};

enum code_form {
    CODE_BYTECODE,
    CODE_MACHINE, /* of functions, with a number; or stubs and such, which are no frames */
    CODE_REGEXP,
};

struct code_name; /* codes.c */

struct code {
    uintptr_t start, limit;
    enum code_form form;
    uint32_t number; /* of its name; 0: of no function's */
    struct code_name *name;
    _Atomic bool met; /* by a sample, of late: written by the handler */
    struct code *next_free;
};

/* How many, and how much memory they take. */
struct name_total {
    uint32_t count;
    size_t bytes;
};

struct codes {
    _Atomic bool changing, looking;
    _Atomic bool lost; /* some code, of which V8 tells but once, for good */
    void *by_address;  /* tsearch(3)'s tree of struct code */
    struct code *all;  /* CODES_MAX, of which `used` have been in use */
    struct code *free_code;
    uint32_t used, count;

    void *by_text;            /* tsearch(3)'s tree of struct code_name */
    struct code_name **names; /* NAMES_MAX, by number modulo that */
    struct code_name *nobodys;
    struct name_total kept, living; /* names; those that a code has */
    uint32_t next_slot, turn;
};

/* NULL: no memory. */
struct codes *codes_open(void);
void codes_free(struct codes *codes);

/* What V8 tells: start, limit and form of the code; the text is spelled as in its logs,
 * "JS:~Cart.total /a/b.js:10:5". False when there is no room for it, or something had to be
 * forgotten. */
bool codes_add(struct codes *codes, const struct code *code, const char *text, size_t length);
void codes_move(struct codes *codes, uintptr_t from, uintptr_t to);

/* [handler] False: the codes are being changed, and can't be looked at now. Else what is found
 * stays until codes_end_look(). First the mark, then the look, as a change does it: one of two
 * at a time sees the other. */
static inline bool codes_begin_look(struct codes *codes)
{
    atomic_store(&codes->looking, true);
    bool still = !atomic_load(&codes->changing);
    if (!still)
        atomic_store(&codes->looking, false);
    return still;
}

static inline void codes_end_look(struct codes *codes)
{
    atomic_store(&codes->looking, false);
}

/* [handler] Code that is not found may be some that was forgotten or had no room. */
static inline bool codes_lost(const struct codes *codes)
{
    return atomic_load_explicit(&codes->lost, memory_order_relaxed);
}

/* Codes do not overlap, so that the one that does is the one that is looked for. */
static inline int codes_compare(const void *left, const void *right)
{
    const struct code *a = left, *b = right;
    return a->limit <= b->start ? -1 : a->start >= b->limit ? 1 : 0;
}

/* [handler] Code that lies between two addresses, in whole or in part, or NULL; within a look.
 * tfind(3) only follows the tree's pointers. */
static inline struct code *codes_find_between(const struct codes *codes, uintptr_t start,
                                              uintptr_t limit)
{
    const struct code here = {.start = start, .limit = limit};
    struct code *const *found = tfind(&here, &codes->by_address, codes_compare);
    return found != NULL ? *found : NULL;
}

/* [handler] The code that holds the address. */
static inline struct code *codes_find(const struct codes *codes, uintptr_t address)
{
    return codes_find_between(codes, address, address + 1);
}

/* Names a function by its number; the strings stay until the next call, on the collector's
 * thread. False: forgotten. */
bool codes_tell(const struct codes *codes, uint32_t number, struct cprof_function *function);
/* Its plain name; 0 = forgotten. */
size_t codes_plain(const struct codes *codes, uint32_t number, char *name, size_t size);

/* Samples of before the previous call have been named. */
void codes_drained(struct codes *codes);

#endif
