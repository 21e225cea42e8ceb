/*
 * Stacks out of a call graph: what cProfile and callgrind keep is no stacks, but for each
 * function what it took itself, and for each pair of caller and callee what passed between
 * them. Which callers of a caller that was is not known; here it is shared out in proportion,
 * as gprof does it and every viewer of such files:
 *
 *   - what a function takes itself is exact: all its stacks together have just that, whatever
 *     was rounded or cut off on the way;
 *   - what passes from a caller to a callee is split as the caller's own callers share it;
 *   - a way that would come back to a function on it ends there (recursion), and so does one
 *     that has less than a 10,000th of everything, is CALL_GRAPH_DEEPEST deep or would be the
 *     CALL_GRAPH_STACKS'th; what it had is counted on the function's largest stack.
 *
 * The reader adds functions, what they take, and calls, in any order; columns are those of its
 * intake's head. Owned by one reader; not locked.
 */
#ifndef CPROF_FORMAT_CALL_GRAPH_H
#define CPROF_FORMAT_CALL_GRAPH_H

#include "format/intake.h"

#define CALL_GRAPH_DEEPEST 256
#define CALL_GRAPH_STACKS ((uint32_t)1 << 16)

struct graph_function {
    profile_id location;
    int64_t self[PROFILE_MAX_VALUES];
};

struct graph_call {
    uint32_t caller, callee;
    int64_t passed[PROFILE_MAX_VALUES]; /* what the callee took, with all that it called */
};

struct call_graph {
    struct graph_function *functions;
    struct graph_call *calls;
    uint32_t function_count, function_room, call_count, call_room;
    /* The column by which the others are shared out: 0, but for a file's own reasons. */
    size_t lead;
    /* A column that is no part of what passes in calls, such as how often a function was
     * called: shared out as `lead`. */
    bool stays[PROFILE_MAX_VALUES];
    struct {
        uint32_t *list, room; /* function + 1, by location */
    } known;
};

/* The function of that location, made where there is none. UINT32_MAX: out of memory. */
uint32_t call_graph_function(struct call_graph *graph, profile_id location);

/* A call for the caller to fill; its numbers are 0. NULL: out of memory. Several of one pair
 * add up. */
struct graph_call *call_graph_call(struct call_graph *graph, uint32_t caller, uint32_t callee);

/* Adds everything to the intake, which has begun. Sorts the calls. 0, or a negative errno with
 * its line. */
int call_graph_add(struct call_graph *graph, struct intake *intake);

void call_graph_free(struct call_graph *graph);

#endif
