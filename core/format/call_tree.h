/*
 * Stacks that lie in the input as a tree: each node has a frame and the node that called it.
 * What V8, Firefox and others write.
 *
 * The reader fills the two lists, by node; parents may be any node, since the input is not
 * trusted, and so the way up may never end: it is walked no further than there are nodes.
 */
#ifndef CPROF_FORMAT_CALL_TREE_H
#define CPROF_FORMAT_CALL_TREE_H

#include "format/intake.h"

#define CALL_TREE_NONE UINT32_MAX /* called by nobody */

struct call_node {
    uint32_t parent;
    profile_id location; /* 0: a node that is no frame, such as the root */
};

struct call_tree {
    struct call_node *nodes;
    uint32_t count;
};

/* Adds a sample of that node, as intake_add(). `leaf` stands in the place of its own location
 * unless it is 0. */
int call_tree_add(const struct call_tree *tree, uint32_t node, profile_id leaf,
                  struct intake *intake, profile_id labels, const int64_t *values);

#endif
