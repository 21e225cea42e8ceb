/*
 * V8's sampled heap, .heapprofile: what `node --heap-prof`, the inspector's
 * HeapProfiler.stopSampling and DevTools write (https://chromedevtools.github.io/
 * devtools-protocol/tot/HeapProfiler/, SamplingHeapProfile). A tree of nodes within each
 * other; `selfSize` is the bytes that live and were allocated there, scaled up from the samples
 * by V8 itself.
 */
#include "format/format.h"

#include <stdlib.h>

#include "format/call_tree.h"
#include "format/refuse.h"
#include "format/v8.h"

#define DEEPEST 4096 /* V8 looks at 128 callers at most */

struct reader {
    struct nested in;
    struct intake *intake;
    struct call_tree tree; /* only the way from the root to the node at hand */
};

static int read_node(struct reader *r, uint32_t row)
{
    struct named_frame frame = v8_frame(&r->in, row);
    struct call_node *node = &r->tree.nodes[r->tree.count];
    int64_t size;
    *node = (struct call_node){.parent = r->tree.count - 1}; /* of the first: CALL_TREE_NONE */
    if (!v8_is_root(&frame))
        node->location = named_frame_intern(r->intake->sum, &frame);
    r->tree.count++;
    if (!nested_integer(&r->in, nested_get(&r->in, row, "selfSize"), &size))
        return refuse(r->intake->error, "a node has no selfSize");
    return size != 0 ? call_tree_add(&r->tree, r->tree.count - 1, 0, r->intake, 0, &size) : 0;
}

static int read_branch(struct reader *r, uint32_t row)
{
    const uint32_t children = nested_get(&r->in, row, "children");
    if (r->tree.count == DEEPEST)
        return refuse(r->intake->error, "more than %d nodes within each other", DEEPEST);
    TRY(read_node(r, row));
    for (uint32_t at = nested_first(&r->in, children); at != 0;
         at = nested_next(&r->in, children, at))
        TRY(read_branch(r, at));
    r->tree.count--;
    return 0;
}

static int read_profile(struct reader *r)
{
    TRY(intake_column(r->intake, "inuse_space", "bytes"));
    TRY(intake_begin(r->intake));
    return read_branch(r, nested_get(&r->in, NESTED_ROOT, "head"));
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake, .tree.nodes = malloc(DEEPEST * sizeof(*r.tree.nodes))};
    if (r.tree.nodes == NULL)
        return refuse_memory(intake->error);
    int status = nested_read_json(&r.in, bytes, intake->error);
    if (status == 0)
        status = read_profile(&r);
    free(r.tree.nodes);
    nested_free(&r.in);
    return status;
}

static int heapprofile_read(const unsigned char *data, size_t size, struct profile *sum,
                            char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}

static const char *const endings[] = {NULL};
static const char *const keys[] = {"head", NULL};

const struct format format_heapprofile = {
    .name = "heapprofile",
    .endings = endings,
    .json_keys = keys,
    .read = heapprofile_read,
};
