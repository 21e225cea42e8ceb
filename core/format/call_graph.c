#include "format/call_graph.h"

#include <stdlib.h>
#include <string.h>

#include "format/call_tree.h"
#include "format/refuse.h"

#define SMALLEST_SHARE 1e-4
#define STACKS_PER_ROW 64             /* of a small graph's functions and calls */
#define STEPS_MAX ((uint32_t)1 << 24) /* calls that are looked at on all ways together */

/* --- filling --- */

static void *grow(void *list, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room)
        return list;
    uint32_t wanted = *room < 64 ? 64 : *room + *room / 2;
    void *grown = wanted > *room ? realloc(list, wanted * size) : NULL;
    if (grown != NULL)
        *room = wanted;
    return grown;
}

static uint32_t *known_slot(struct call_graph *graph, profile_id location)
{
    if (location >= graph->known.room) {
        uint32_t room = location < UINT32_MAX / 2 ? 2 * location + 64 : UINT32_MAX;
        uint32_t *list = realloc(graph->known.list, room * sizeof(*list));
        if (list == NULL)
            return NULL;
        memset(list + graph->known.room, 0, (room - graph->known.room) * sizeof(*list));
        graph->known.list = list;
        graph->known.room = room;
    }
    return &graph->known.list[location];
}

uint32_t call_graph_function(struct call_graph *graph, profile_id location)
{
    uint32_t *slot = known_slot(graph, location);
    if (slot != NULL && *slot != 0)
        return *slot - 1;
    struct graph_function *functions = grow(graph->functions, graph->function_count,
                                            &graph->function_room, sizeof(*functions));
    if (functions != NULL)
        graph->functions = functions;
    if (slot == NULL || functions == NULL)
        return UINT32_MAX;
    functions[graph->function_count] = (struct graph_function){.location = location};
    *slot = ++graph->function_count;
    return *slot - 1;
}

struct graph_call *call_graph_call(struct call_graph *graph, uint32_t caller, uint32_t callee)
{
    struct graph_call *calls =
        grow(graph->calls, graph->call_count, &graph->call_room, sizeof(*calls));
    if (calls == NULL)
        return NULL;
    graph->calls = calls;
    calls[graph->call_count] = (struct graph_call){.caller = caller, .callee = callee};
    return &calls[graph->call_count++];
}

void call_graph_free(struct call_graph *graph)
{
    free(graph->functions);
    free(graph->calls);
    free(graph->known.list);
}

/* --- order --- */

static int by_pair(const void *left, const void *right)
{
    const struct graph_call *a = left, *b = right;
    if (a->caller != b->caller)
        return a->caller < b->caller ? -1 : 1;
    return (a->callee > b->callee) - (a->callee < b->callee);
}

/* One call of each pair, sorted by the caller. A function's calls of itself are none: what they
 * passed is in it. */
static void sort_calls(struct call_graph *graph)
{
    struct graph_call *calls = graph->calls;
    uint32_t kept = 0;
    if (graph->call_count > 1)
        qsort(calls, graph->call_count, sizeof(*calls), by_pair);
    for (uint32_t i = 0; i < graph->call_count; i++) {
        if (calls[i].caller == calls[i].callee)
            continue;
        if (kept > 0 && by_pair(&calls[kept - 1], &calls[i]) == 0)
            for (size_t c = 0; c < PROFILE_MAX_VALUES; c++)
                calls[kept - 1].passed[c] =
                    clamp_add(calls[kept - 1].passed[c], calls[i].passed[c]);
        else
            calls[kept++] = calls[i];
    }
    graph->call_count = kept;
}

/* --- ways --- */

struct state { /* of one function */
    uint32_t first_call;
    uint32_t largest; /* node; CALL_TREE_NONE: it has no stack yet */
    double share;     /* of `lead`, that the largest has */
    bool on_way;
    double whole[PROFILE_MAX_VALUES];   /* what it takes with all that it calls */
    double outside[PROFILE_MAX_VALUES]; /* of that, what no call accounts for */
    int64_t left[PROFILE_MAX_VALUES];   /* of what it takes itself, what no stack has yet */
};

struct node { /* of the tree of ways */
    uint32_t function, depth;
    int64_t values[PROFILE_MAX_VALUES];
};

struct explorer {
    const struct call_graph *graph;
    struct intake *intake;
    size_t columns;
    struct state *states; /* by function; one more, whose first call is the end */
    double smallest[PROFILE_MAX_VALUES];
    struct call_tree tree;
    struct node *nodes;
    uint32_t most; /* stacks, but for those of functions that no way leads to */
    uint32_t steps, *queue;
};

static double positive(int64_t value)
{
    return value > 0 ? (double)value : 0;
}

static void sum_up(struct explorer *e)
{
    const struct call_graph *graph = e->graph;
    double all[PROFILE_MAX_VALUES] = {0};
    for (uint32_t f = 0; f < graph->function_count; f++) {
        struct state *state = &e->states[f];
        state->largest = CALL_TREE_NONE;
        for (size_t c = 0; c < e->columns; c++) {
            state->left[c] = graph->functions[f].self[c];
            state->whole[c] = positive(state->left[c]);
            all[c] += state->whole[c];
        }
    }
    for (uint32_t i = 0; i < graph->call_count; i++) {
        const struct graph_call *call = &graph->calls[i];
        e->states[call->caller + 1].first_call = i + 1; /* the end of the caller's */
        for (size_t c = 0; c < e->columns; c++) {
            e->states[call->caller].whole[c] += positive(call->passed[c]);
            e->states[call->callee].outside[c] -= positive(call->passed[c]);
        }
    }
    for (uint32_t f = 0; f < graph->function_count; f++) {
        struct state *state = &e->states[f];
        if (state[1].first_call < state->first_call)
            state[1].first_call = state->first_call; /* it calls nobody */
        for (size_t c = 0; c < e->columns; c++)
            state->outside[c] += state->whole[c];
    }
    for (size_t c = 0; c < e->columns; c++)
        e->smallest[c] = all[c] * SMALLEST_SHARE;
}

static bool is_worth_it(const struct explorer *e, const double *arriving)
{
    for (size_t c = 0; c < e->columns; c++)
        if (!e->graph->stays[c] && arriving[c] > 0 && arriving[c] >= e->smallest[c])
            return true;
    return false;
}

static uint32_t add_node(struct explorer *e, uint32_t parent, uint32_t function)
{
    uint32_t number = e->tree.count++;
    e->tree.nodes[number] = (struct call_node){
        .parent = parent, .location = e->graph->functions[function].location};
    e->nodes[number] = (struct node){
        .function = function,
        .depth = parent == CALL_TREE_NONE ? 1 : e->nodes[parent].depth + 1,
    };
    return number;
}

/* What of `whole` arrives here; all that there is of nothing. */
static double part(double arriving, double whole)
{
    return whole > 0 && arriving < whole ? arriving / whole : whole > 0 ? 1 : 0;
}

/* What the function takes itself on this way. */
static void take_self(struct explorer *e, uint32_t node, const double *parts)
{
    const uint32_t function = e->nodes[node].function;
    struct state *state = &e->states[function];
    for (size_t c = 0; c < e->columns; c++) {
        double share = e->graph->stays[c] ? parts[e->graph->lead] : parts[c];
        int64_t self = e->graph->functions[function].self[c], left = state->left[c];
        int64_t taken = share >= 1 ? self : (int64_t)(positive(self) * share);
        taken = taken < left ? taken : left;
        e->nodes[node].values[c] = taken > 0 ? taken : 0;
        state->left[c] = left - e->nodes[node].values[c];
    }
    if (state->largest == CALL_TREE_NONE || parts[e->graph->lead] > state->share) {
        state->largest = node;
        state->share = parts[e->graph->lead];
    }
}

static void explore(struct explorer *e, uint32_t parent, uint32_t function,
                    const double *arriving)
{
    struct state *state = &e->states[function];
    double parts[PROFILE_MAX_VALUES] = {0}, passing[PROFILE_MAX_VALUES] = {0};
    if (e->tree.count >= e->most || !is_worth_it(e, arriving))
        return;
    uint32_t node = add_node(e, parent, function);
    for (size_t c = 0; c < e->columns; c++)
        parts[c] = part(arriving[c], state->whole[c]);
    take_self(e, node, parts);
    if (e->nodes[node].depth == CALL_GRAPH_DEEPEST)
        return;
    state->on_way = true;
    for (uint32_t i = state->first_call; i < state[1].first_call && e->steps > 0; i++) {
        const struct graph_call *call = &e->graph->calls[i];
        e->steps--;
        for (size_t c = 0; c < e->columns; c++)
            passing[c] = positive(call->passed[c]) * parts[c];
        if (!e->states[call->callee].on_way)
            explore(e, node, call->callee, passing);
    }
    state->on_way = false;
}

/* --- what no way led to --- */

/* Gives the functions that the one at hand calls a stack, if they have none. */
static uint32_t place_callees(struct explorer *e, uint32_t function, uint32_t queued)
{
    const struct state *state = &e->states[function];
    for (uint32_t i = state->first_call; i < state[1].first_call; i++) {
        struct state *callee = &e->states[e->graph->calls[i].callee];
        if (callee->largest != CALL_TREE_NONE)
            continue;
        bool deep = e->nodes[state->largest].depth >= CALL_GRAPH_DEEPEST;
        callee->largest =
            add_node(e, deep ? CALL_TREE_NONE : state->largest, e->graph->calls[i].callee);
        e->queue[queued++] = e->graph->calls[i].callee;
    }
    return queued;
}

static void place_rest(struct explorer *e)
{
    uint32_t queued = 0, done = 0;
    for (uint32_t f = 0; f < e->graph->function_count; f++)
        if (e->states[f].largest != CALL_TREE_NONE)
            e->queue[queued++] = f;
    for (uint32_t f = 0; f < e->graph->function_count; f++) {
        while (done < queued)
            queued = place_callees(e, e->queue[done++], queued);
        if (e->states[f].largest != CALL_TREE_NONE)
            continue;
        e->states[f].largest = add_node(e, CALL_TREE_NONE, f);
        e->queue[queued++] = f;
    }
}

/* --- the whole --- */

static int add_nodes(struct explorer *e)
{
    static const int64_t nothing[PROFILE_MAX_VALUES];
    for (uint32_t f = 0; f < e->graph->function_count; f++)
        for (size_t c = 0; c < e->columns; c++) {
            int64_t *value = &e->nodes[e->states[f].largest].values[c];
            *value = clamp_add(*value, e->states[f].left[c]);
        }
    for (uint32_t i = 0; i < e->tree.count; i++)
        if (memcmp(e->nodes[i].values, nothing, sizeof(nothing)) != 0)
            TRY(call_tree_add(&e->tree, i, 0, e->intake, 0, e->nodes[i].values));
    return 0;
}

static int add_all(struct explorer *e)
{
    const size_t functions = e->graph->function_count, nodes = e->most + functions;
    e->states = calloc(functions + 1, sizeof(*e->states));
    e->queue = calloc(functions + 1, sizeof(*e->queue));
    e->nodes = malloc(nodes * sizeof(*e->nodes));
    e->tree.nodes = malloc(nodes * sizeof(*e->tree.nodes));
    if (e->states == NULL || e->queue == NULL || e->nodes == NULL || e->tree.nodes == NULL)
        return refuse_memory(e->intake->error);
    sum_up(e);
    for (uint32_t f = 0; f < functions; f++)
        explore(e, CALL_TREE_NONE, f, e->states[f].outside);
    place_rest(e);
    return add_nodes(e);
}

int call_graph_add(struct call_graph *graph, struct intake *intake)
{
    struct explorer e = {
        .graph = graph,
        .intake = intake,
        .columns = profile_value_count(intake->head),
        .steps = STEPS_MAX,
    };
    sort_calls(graph);
    size_t most = STACKS_PER_ROW * ((size_t)graph->function_count + graph->call_count + 1);
    e.most = most < CALL_GRAPH_STACKS ? (uint32_t)most : CALL_GRAPH_STACKS;
    int status = add_all(&e);
    free(e.states);
    free(e.queue);
    free(e.nodes);
    free(e.tree.nodes);
    return status;
}
