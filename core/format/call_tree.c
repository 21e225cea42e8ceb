#include "format/call_tree.h"

#include "format/refuse.h"

/* SIZE_MAX: the parents form a ring. */
static size_t depth_of(const struct call_tree *tree, uint32_t node, size_t most)
{
    size_t depth = 0, steps = 0;
    for (; node < tree->count && depth <= most; node = tree->nodes[node].parent) {
        if (steps++ == tree->count)
            return SIZE_MAX;
        depth += tree->nodes[node].location != 0;
    }
    return depth;
}

int call_tree_add(const struct call_tree *tree, uint32_t node, profile_id leaf,
                  struct intake *intake, profile_id labels, const int64_t *values)
{
    size_t depth = depth_of(tree, node, intake->frames_left), at = 0;
    if (depth == SIZE_MAX)
        return refuse(intake->error, "node %u is among its own callers", node);
    profile_id *frames = intake_frames(intake, depth);
    for (; frames != NULL && at < depth; node = tree->nodes[node].parent) {
        profile_id location = tree->nodes[node].location;
        if (location == 0)
            continue;
        frames[at] = at == 0 && leaf != 0 ? leaf : location;
        at++;
    }
    return intake_add(intake, frames, depth, labels, values);
}
