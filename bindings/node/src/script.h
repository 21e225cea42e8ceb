/*
 * A script outside the heap: its path, or the name that it gives itself, and what turns
 * positions in its source text into lines, columns, classes and, with source maps, into places
 * of other files.
 *
 * The isolate's thread only copies the text, once a script. All work on it is the collector's:
 * script_study() reads it once and lets go of it. References are counted under isolate_lock();
 * what a study found is written before and read after by the collector alone.
 * Bounded: texts that wait to be studied have a limit of their own, all else is drawn from the
 * room (room.h). A script that finds none has a path, but no lines; or is nobody's.
 */
#ifndef CPROF_NODE_SCRIPT_H
#define CPROF_NODE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script;

/* Those of an isolate that its thread has copied, or those that looks have. */
struct scripts {
    struct script **list; /* by id modulo `slots`, a power of two */
    uint32_t slots;
};

/* A place of a script's text, or of what it was made from. The strings are the script's, or lie
 * in the buffer. */
struct script_place {
    const char *file;
    uint32_t line, column; /* from 1; 0 = unknown */
};

enum { SCRIPT_FILE_MAX = 2048 };

/* Are source maps to be applied? Taken into account when a script is studied. */
void script_use_maps(bool use);

/* [isolate's thread, or the collector, each of its own] The copy of a Script, with a reference
 * for the caller. NULL: no room, or what was read of a sleeper's is torn. */
struct script *script_copy(struct scripts *scripts, uintptr_t script);

/* [with isolates_lock()] */
void script_hold(struct script *script);
void script_release(struct script *script);
void script_forget_all(struct scripts *scripts);

/* [collector, with a reference] */
bool script_is_studied(const struct script *script);
void script_study(struct script *script);
/* Position -1 is unknown. The file is always told; `buffer` may receive it. */
struct script_place script_place(const struct script *script, int32_t position,
                                 char buffer[SCRIPT_FILE_MAX]);
/* The name of the class in whose body the function that starts there stands, or NULL. */
const char *script_class(const struct script *script, int32_t start);
/* What the name that stands at a position was before the script was generated, or NULL. */
const char *script_original_name(const struct script *script, int32_t position);

#endif
