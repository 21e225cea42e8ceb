/*
 * A profile's locations as frames that people tell apart: a function (its name and file), a
 * line, a module. Many locations are one frame (each address of a line is one of its own), and
 * one location is several when functions were inlined into each other.
 *
 * Functions that nobody named, (anonymous) and <lambda>, are told apart by the line on which
 * they begin as well, and code without a name by its address; but not where two versions of a
 * program are compared, whose lines and addresses move: there a module's is one, "[libc.so.6]".
 *
 * The table borrows the profile, which must not change while it is used. One thread.
 */
#ifndef CPROF_FORMAT_FRAMES_H
#define CPROF_FORMAT_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

struct frame {
    profile_id name, file; /* the function; both 0 = unknown */
    const char *text;      /* what to call it: the name; of nameless code "libc.so.6+0x1234" */
    size_t text_length;
    profile_id module;  /* the mapping's file name; 0 = none */
    int64_t line;       /* 0 = unknown */
    int64_t start_line; /* on which the function begins */
    int64_t apart; /* the same of a function that nobody named; of nameless code where it is in
                      its module, or its address without one; else 0 */
    enum cprof_frame_type type;
    profile_id other_type; /* the word of a type that cprof does not make; else 0 */
    uint32_t made;         /* the number of a text that was made, from 1; 0: none was */
    uint32_t function;     /* frames with the same name, file and `apart` share it, of nameless
                              ones those with the same module and `apart`; dense from 0 */
};

enum frame_scope { FRAMES_OF_PROGRAM, FRAMES_OF_VERSIONS };

struct frame_table {
    const struct profile *profile;
    enum frame_scope scope;
    struct frame *frames; /* sorted by function, line, module */
    uint32_t frame_count;
    uint32_t function_count;
    char **made_names; /* texts that are no string of the profile; by frame.made - 1 */
    size_t made_count;
    uint32_t *first_slot; /* location → its first slot; one more entry at the end */
    uint32_t *frame_of;   /* slot → index of frame; a slot is one line of one location */
};

/* 0, -ENOMEM or -EFBIG; on failure there is nothing to free. */
int frame_table_init(struct frame_table *table, const struct profile *profile,
                     enum frame_scope scope);
void frame_table_free(struct frame_table *table);

/* "cpython", "go"; "" where it is not known. */
const char *frame_type_of(const struct frame_table *table, const struct frame *frame);

/* How many frames the deepest stack has. */
size_t frame_table_deepest(const struct frame_table *table);

/* How many frames a stack has, and what they are, root first: indices of frames. */
size_t frame_table_depth(const struct frame_table *table, struct profile_stack stack);
size_t frame_table_expand(const struct frame_table *table, struct profile_stack stack,
                          uint32_t *frames);

#endif
