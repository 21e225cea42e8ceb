/*
 * V8's CPU profiles, .cpuprofile: what `node --cpu-prof`, the inspector's Profiler.stop and
 * DevTools write (https://chromedevtools.github.io/devtools-protocol/tot/Profiler/, Profile).
 * A tree of nodes, the node of each sample, and the microseconds between one sample and the
 * next. A sample stands for the time until the next, the last one until the end, as DevTools
 * shows it; what is late by its clock takes no time. Files without samples have each node's
 * hitCount, which share the time evenly. positionTicks tell which of a node's samples were on
 * which line.
 *
 * V8 looks at what its thread does by the clock on the wall, idle time included.
 */
#include "format/cpuprofile.h"

#include <errno.h>
#include <stdlib.h>

#include "format/call_tree.h"
#include "format/id_map.h"
#include "format/refuse.h"
#include "format/v8.h"

#define NANOSECONDS 1000 /* in one of V8's microseconds */

enum { COLUMN_SAMPLES, COLUMN_WALL, COLUMNS };

struct node {
    uint32_t row; /* in the input */
    int64_t values[COLUMNS];
};

struct reader {
    struct nested in;
    struct intake *intake;
    struct call_tree tree;
    struct node *nodes; /* by node of the tree */
    struct id_map ids;
};

/* --- nodes --- */

static int read_node(struct reader *r, uint32_t row)
{
    const uint32_t number = r->tree.count;
    int64_t id;
    if (!nested_integer(&r->in, nested_get(&r->in, row, "id"), &id))
        return refuse(r->intake->error, "node %u has no id", number);
    int status = id_map_add(&r->ids, (uint64_t)id);
    if (status == -EEXIST)
        return refuse(r->intake->error, "two nodes have the id %lld", (long long)id);
    if (status != 0)
        return refuse_memory(r->intake->error);
    struct named_frame frame = v8_frame(&r->in, row);
    r->nodes[number].row = row;
    r->tree.nodes[number] = (struct call_node){.parent = CALL_TREE_NONE};
    if (!v8_is_root(&frame))
        r->tree.nodes[number].location = named_frame_intern(r->intake->sum, &frame);
    r->tree.count++;
    return 0;
}

static int find_node(const struct reader *r, uint32_t row, uint32_t *node)
{
    int64_t id = 0;
    size_t found = ID_MAP_NONE;
    if (nested_integer(&r->in, row, &id))
        found = id_map_find(&r->ids, (uint64_t)id);
    if (found == ID_MAP_NONE)
        return refuse(r->intake->error, "names node %lld, which is missing", (long long)id);
    *node = (uint32_t)found;
    return 0;
}

static int read_children(struct reader *r, uint32_t node)
{
    const uint32_t children = nested_get(&r->in, r->nodes[node].row, "children");
    uint32_t child = 0;
    for (uint32_t at = nested_first(&r->in, children); at != 0;
         at = nested_next(&r->in, children, at)) {
        TRY(find_node(r, at, &child));
        r->tree.nodes[child].parent = node;
    }
    return 0;
}

/* "parent" is what newer tools write in place of "children". */
static int read_parent(struct reader *r, uint32_t node)
{
    const uint32_t parent = nested_get(&r->in, r->nodes[node].row, "parent");
    return parent == 0 ? 0 : find_node(r, parent, &r->tree.nodes[node].parent);
}

static int read_nodes(struct reader *r)
{
    const uint32_t list = nested_get(&r->in, NESTED_ROOT, "nodes");
    const size_t count = nested_count(&r->in, list);
    r->nodes = calloc(count + 1, sizeof(*r->nodes));
    r->tree.nodes = calloc(count + 1, sizeof(*r->tree.nodes));
    if (!id_map_init(&r->ids, count) || r->nodes == NULL || r->tree.nodes == NULL)
        return refuse_memory(r->intake->error);
    if (count == 0)
        return refuse(r->intake->error, "no nodes in it");
    for (uint32_t at = nested_first(&r->in, list); at != 0; at = nested_next(&r->in, list, at))
        TRY(read_node(r, at));
    for (uint32_t i = 0; i < r->tree.count; i++) {
        TRY(read_children(r, i));
        TRY(read_parent(r, i));
    }
    return 0;
}

/* --- time --- */

static double microseconds(const struct reader *r, const char *key)
{
    return nested_real(&r->in, nested_get(&r->in, NESTED_ROOT, key), 0);
}

static void count(struct node *node, int64_t samples, int64_t wall)
{
    node->values[COLUMN_SAMPLES] = clamp_add(node->values[COLUMN_SAMPLES], samples);
    node->values[COLUMN_WALL] = clamp_add(node->values[COLUMN_WALL], wall);
}

static int read_samples(struct reader *r, uint32_t samples)
{
    const uint32_t deltas = nested_get(&r->in, NESTED_ROOT, "timeDeltas");
    double now = microseconds(r, "startTime"), seen = now;
    uint32_t node = 0, delta = nested_first(&r->in, deltas), before = CALL_TREE_NONE;
    for (uint32_t at = nested_first(&r->in, samples); at != 0;
         at = nested_next(&r->in, samples, at)) {
        TRY(find_node(r, at, &node));
        now += nested_real(&r->in, delta, 0);
        delta = delta != 0 ? nested_next(&r->in, deltas, delta) : 0;
        double passed = now > seen ? now - seen : 0;
        if (before != CALL_TREE_NONE)
            count(&r->nodes[before], 0, nested_scaled(passed, NANOSECONDS));
        count(&r->nodes[node], 1, 0);
        seen = before == CALL_TREE_NONE || now > seen ? now : seen;
        before = node;
    }
    double end = microseconds(r, "endTime");
    if (before != CALL_TREE_NONE && end > seen)
        count(&r->nodes[before], 0, nested_scaled(end - seen, NANOSECONDS));
    return 0;
}

static int64_t hits_of(const struct reader *r, uint32_t node)
{
    int64_t hits;
    nested_integer(&r->in, nested_get(&r->in, r->nodes[node].row, "hitCount"), &hits);
    return hits > 0 ? hits : 0;
}

static void read_hits(struct reader *r)
{
    double passed = microseconds(r, "endTime") - microseconds(r, "startTime");
    int64_t all = 0;
    for (uint32_t i = 0; i < r->tree.count; i++)
        all = clamp_add(all, hits_of(r, i));
    double each = passed > 0 && all > 0 ? passed / (double)all : 0;
    for (uint32_t i = 0; i < r->tree.count; i++)
        count(&r->nodes[i], hits_of(r, i),
              nested_scaled((double)hits_of(r, i) * each, NANOSECONDS));
}

/* --- samples --- */

static int add_line(struct reader *r, uint32_t node, int64_t line, const int64_t *values)
{
    struct named_frame frame = v8_frame(&r->in, r->nodes[node].row);
    frame.line = line;
    profile_id leaf = line > 0 && r->tree.nodes[node].location != 0
                          ? named_frame_intern(r->intake->sum, &frame)
                          : 0;
    return call_tree_add(&r->tree, node, leaf, r->intake, 0, values);
}

/* A node's samples by line, as far as its ticks go, and what is left without one. */
static int add_node(struct reader *r, uint32_t node)
{
    const uint32_t ticks = nested_get(&r->in, r->nodes[node].row, "positionTicks");
    int64_t *left = r->nodes[node].values;
    for (uint32_t at = nested_first(&r->in, ticks); at != 0 && left[COLUMN_SAMPLES] > 0;
         at = nested_next(&r->in, ticks, at)) {
        int64_t line, hits;
        nested_integer(&r->in, nested_get(&r->in, at, "line"), &line);
        nested_integer(&r->in, nested_get(&r->in, at, "ticks"), &hits);
        if (hits <= 0 || line <= 0)
            continue;
        hits = hits < left[COLUMN_SAMPLES] ? hits : left[COLUMN_SAMPLES];
        double share = (double)hits / (double)left[COLUMN_SAMPLES];
        int64_t wall =
            share < 1 ? nested_scaled((double)left[COLUMN_WALL], share) : left[COLUMN_WALL];
        const int64_t values[COLUMNS] = {hits, wall};
        TRY(add_line(r, node, line, values));
        left[COLUMN_SAMPLES] -= hits;
        left[COLUMN_WALL] -= wall;
    }
    return left[COLUMN_SAMPLES] != 0 || left[COLUMN_WALL] != 0 ? add_line(r, node, 0, left) : 0;
}

static int read_head(struct reader *r)
{
    double passed = microseconds(r, "endTime") - microseconds(r, "startTime");
    TRY(intake_column(r->intake, "samples", "count"));
    TRY(intake_column(r->intake, "wall", "nanoseconds"));
    if (passed > 0)
        profile_header(r->intake->head)->duration_ns =
            (uint64_t)nested_scaled(passed, NANOSECONDS);
    return intake_begin(r->intake);
}

static int read_profile(struct reader *r)
{
    const uint32_t samples = nested_get(&r->in, NESTED_ROOT, "samples");
    TRY(read_head(r));
    TRY(read_nodes(r));
    if (nested_count(&r->in, samples) > 0 &&
        nested_count(&r->in, nested_get(&r->in, NESTED_ROOT, "timeDeltas")) > 0)
        TRY(read_samples(r, samples));
    else
        read_hits(r);
    for (uint32_t i = 0; i < r->tree.count; i++)
        TRY(add_node(r, i));
    return 0;
}

static int read_bytes(struct intake *intake, struct slice bytes)
{
    struct reader r = {.intake = intake};
    int status = nested_read_json(&r.in, bytes, intake->error);
    if (status == 0)
        status = read_profile(&r);
    id_map_free(&r.ids);
    free(r.nodes);
    free(r.tree.nodes);
    nested_free(&r.in);
    return status;
}

static int cpuprofile_read(const unsigned char *data, size_t size, struct profile *sum,
                           char error[FORMAT_ERROR_SIZE])
{
    return intake_read(data, size, sum, read_bytes, error);
}

static const char *const endings[] = {".cpuprofile", NULL};
static const char *const keys[] = {"nodes", "startTime", "endTime", NULL};

const struct format format_cpuprofile = {
    .name = "cpuprofile",
    .endings = endings,
    .json_keys = keys,
    .write = cpuprofile_write,
    .read = cpuprofile_read,
};
