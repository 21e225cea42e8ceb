/*
 * What is shown of a profile: which samples count, what a box stands for, which frames are
 * left out. Every step is a pass over flat arrays, so that a million nodes stay quick. The
 * tree of boxes itself (class Box) is grown only where somebody looks.
 */

/* A box stands for a function, a line, a file or a module: `of` maps frames to keys. */
class Grouping {
    constructor(profile, by) {
        const {functions, frames, strings} = profile;
        this.by = by;
        this.profile = profile;
        this.of = new Int32Array(frames.function.length);
        this.example = []; /* key → one of its frames */
        const keys = new Map();
        const identity = {
            function: (frame) => frames.function[frame],
            line: (frame) => `${frames.function[frame]}:${frames.line[frame]}`,
            file: (frame) => strings[functions.file[frames.function[frame]]],
            module: (frame) => this.#module(frame),
        }[by];
        for (let frame = 0; frame < this.of.length; frame++) {
            const id = identity(frame);
            if (!keys.has(id))
                keys.set(id, this.example.push(frame) - 1);
            this.of[frame] = keys.get(id);
        }
        this.names = new Array(this.example.length);
    }

    get count() {
        return this.example.length;
    }

    #module(frame) {
        const {functions, frames, strings} = this.profile;
        return strings[frames.module[frame]] || strings[functions.file[frames.function[frame]]];
    }

    #function(key) {
        return this.profile.frames.function[this.example[key]];
    }

    kind(key) {
        return this.profile.kinds[this.#function(key)];
    }

    fullName(key) {
        const {functions, frames, strings} = this.profile;
        const fn = this.#function(key);
        switch (this.by) {
        case "file":
            return strings[functions.file[fn]] || "[no file]";
        case "module":
            return this.#module(this.example[key]) || "[no module]";
        case "line":
            return `${strings[functions.name[fn]] || this.#nameless(key)}:${frames.line[this.example[key]]}`;
        default:
            return strings[functions.name[fn]] || this.#nameless(key);
        }
    }

    /* Code that nobody has symbols of goes by its module. */
    #nameless(key) {
        const module = this.profile.strings[this.profile.frames.module[this.example[key]]].split("/").pop();
        return !module ? "[unknown]" : module.startsWith("[") ? module : `[${module}]`;
    }

    name(key) {
        return this.names[key] ??= printable(this.fullName(key));
    }

    place(key) {
        const {functions, frames, strings} = this.profile;
        if (this.by === "file" || this.by === "module")
            return "";
        const fn = this.#function(key);
        const file = strings[functions.file[fn]] || strings[frames.module[this.example[key]]];
        const line = this.by === "line" ? frames.line[this.example[key]] : functions.line[fn];
        return printable(file && line > 0 ? `${file}:${line}` : file);
    }

    /* Where the source of a key is, as a URL; null where nobody knows. */
    sourceUrl(key) {
        const {functions, frames, source, strings} = this.profile;
        const fn = this.#function(key);
        const path = strings[functions.file[fn]];
        const root = source ? source.root.replace(/\/*$/, "/") : "";
        if (!source || !path || this.by === "module" || (source.root && !path.startsWith(root)))
            return null;
        const line = this.by === "line" ? frames.line[this.example[key]]
            : this.by === "file" ? 1 : functions.line[fn];
        const file = (source.root ? path.slice(root.length) : path).split("/")
            .map((part) => encodeURIComponent(part.toWellFormed())).join("/");
        return source.url.replace(/\{(file|line)\}/g, (_, word) => word === "file" ? file : Math.max(line, 1));
    }

    module(key) {
        return printable(this.profile.strings[this.profile.frames.module[this.example[key]]]);
    }
}

/* A box of the graph. Its children are grown at the first look and kept. */
class Box {
    constructor(parent, key) {
        this.parent = parent;
        this.key = key;
        this.depth = parent ? parent.depth + 1 : 0;
        this.x = 0;
        this.total = 0;
        this.self = 0;
        this.nodes = [];   /* the profile's nodes that this box stands for */
        this.origins = []; /* callers view: the node whose own value came to each of them */
        this.children = null;
    }

    contains(other) {
        while (other && other.depth > this.depth)
            other = other.parent;
        return other === this;
    }

    path() {
        const path = [];
        for (let box = this; box; box = box.parent)
            path.unshift(box);
        return path;
    }
}

const NATIVE_KINDS = new Set(["native", "kernel", "unknown"]);

class Model {
    constructor(profile) {
        this.profile = profile;
        this.groupings = new Map();
        this.options = {column: profile.defaultColumn, by: "function", inverted: false,
                        hideNative: false, collapse: false, search: ""};
        this.update({});
    }

    get unit() {
        return this.profile.values[this.options.column].unit;
    }

    update(change) {
        Object.assign(this.options, change);
        const {by} = this.options;
        if (!this.groupings.has(by))
            this.groupings.set(by, new Grouping(this.profile, by));
        this.grouping = this.groupings.get(by);
        this.#shape();
        this.#measureAll();
        this.#link();
        this.#search();
        this.root = this.#plant();
    }

    /* Filters: values of one facet are alternatives, facets narrow each other. */
    #passes(sample, except) {
        for (const facet of this.profile.facets)
            if (facet !== except && facet.chosen.size > 0 &&
                !facet.chosen.has(facet.of[facet.source[sample]]))
                return false;
        const {time} = this.profile;
        return !time || except === time || time.passes(sample);
    }

    /* The live totals of a facet's values, under the filters of all other facets. */
    facetTotals(facet) {
        const totals = new Float64Array(facet.values.length);
        const amounts = this.profile.amounts[this.options.column];
        for (let sample = 0; sample < amounts.length; sample++) {
            const value = facet.of[facet.source[sample]];
            if (value >= 0 && this.#passes(sample, facet))
                totals[value] += amounts[sample];
        }
        return totals;
    }

    /* What each interval has of the value, whatever the brush holds: all that passes the
     * filters, and what of it has a match of the search in its stack. */
    intervalTotals() {
        const {time, node} = this.profile;
        const amounts = this.profile.amounts[this.options.column];
        const all = new Float64Array(time.intervals.length), matched = new Float64Array(all.length);
        for (let sample = 0; sample < amounts.length; sample++) {
            const interval = time.of[time.source[sample]];
            if (interval < 0 || !this.#passes(sample, time))
                continue;
            all[interval] += amounts[sample];
            if (this.hit?.[this.owner[node[sample]]])
                matched[interval] += amounts[sample];
        }
        return {all, matched};
    }

    /* Only the value that is shown; of a comparison, all that it is made of. */
    #measureAll() {
        const {profile} = this;
        const {column} = this.options;
        this.measures = (profile.diff ? profile.amounts : [profile.amounts[column]])
            .map((amounts) => this.#measure(amounts));
        Object.assign(this, this.measures[profile.diff ? column : 0]);
        this.total = this.sum[0];
        this.everything = profile.amounts[column].reduce((sum, amount) => sum + amount, 0);
        this.comparison = profile.diff &&
            new Comparison(profile.diff, this.measures.map((measure) => measure.sum[0]));
        this.keyChanges = [];
    }

    #measure(amounts) {
        const weight = this.#weigh(amounts);
        return {weight, ...this.#sum(weight), ...this.#tabulate(weight)};
    }

    #weigh(amounts) {
        const {node, parent} = this.profile;
        const weight = new Float64Array(parent.length);
        for (let sample = 0; sample < node.length; sample++)
            if (this.#passes(sample, null))
                weight[node[sample]] += amounts[sample];
        return weight;
    }

    /* Whether a key has anything, on either side of a comparison. */
    has(key) {
        return this.measures.some((measure) => measure.totalOf[key] > 0);
    }

    /* What changed in a box with all it calls, and in a key's self. */
    changeOf(box) {
        const {inverted} = this.options;
        return box.change ??= this.comparison.judge(this.measures.map(({own, sum}) =>
            inverted ? total(box.origins, own) : total(box.nodes, sum)));
    }

    changeOfKey(key) {
        return this.keyChanges[key] ??= this.comparison.judge(
            this.measures.map((measure) => measure.selfOf[key]));
    }

    /* Which nodes get a box of their own (`owner[node] === node`), and under which (`up`).
     * A hidden node belongs to its caller's; with folded recursion, a key that is on the path
     * already takes the path back to its first box. */
    #shape() {
        const {parent, frame, kinds, frames} = this.profile;
        const {hideNative, collapse} = this.options;
        const nodes = parent.length;
        this.key = new Int32Array(nodes).fill(-1);
        this.owner = new Int32Array(nodes);
        this.up = new Int32Array(nodes).fill(-1);
        for (let node = 1; node < nodes; node++) {
            const caller = this.owner[parent[node]];
            if (hideNative && NATIVE_KINDS.has(kinds[frames.function[frame[node]]])) {
                this.owner[node] = caller;
                continue;
            }
            const key = this.key[node] = this.grouping.of[frame[node]];
            const first = collapse ? this.#onPath(caller, key) : 0;
            this.owner[node] = first || node;
            if (!first)
                this.up[node] = caller;
        }
    }

    #onPath(node, key) {
        while (node > 0 && this.key[node] !== key)
            node = this.up[node];
        return node;
    }

    /* `own` is a box's self value, `sum` that of its whole subtree. */
    #sum(weight) {
        const {owner, up} = this;
        const nodes = weight.length;
        const own = new Float64Array(nodes);
        for (let node = 0; node < nodes; node++)
            own[owner[node]] += weight[node];
        const sum = own.slice();
        for (let node = nodes - 1; node > 0; node--)
            if (owner[node] === node)
                sum[up[node]] += sum[node];
        return {own, sum};
    }

    #link() {
        const {owner, up} = this;
        const nodes = owner.length;
        const sums = this.measures.map((measure) => measure.sum);
        this.firstChild = new Int32Array(nodes);
        this.nextSibling = new Int32Array(nodes);
        for (let node = nodes - 1; node > 0; node--) {
            if (owner[node] !== node || !sums.some((sum) => sum[node] !== 0))
                continue;
            this.nextSibling[node] = this.firstChild[up[node]];
            this.firstChild[up[node]] = node;
        }
    }

    /* Self and total by key. Recursion counts once: only the outermost node of a key on a
     * path adds to its total. Folding does not change these numbers. */
    #tabulate(weight) {
        const {parent} = this.profile;
        const {key} = this;
        const nodes = weight.length;
        const below = weight.slice();
        for (let node = nodes - 1; node > 0; node--)
            below[parent[node]] += below[node];
        const selfOf = new Float64Array(this.grouping.count);
        const totalOf = new Float64Array(this.grouping.count);
        const open = new Int32Array(this.grouping.count);
        const visible = new Int32Array(nodes).fill(-1); /* the key that a node's self goes to */
        let last = 0; /* the end of the path that is open */
        for (let node = 1; node < nodes; node++) {
            for (; last !== parent[node]; last = parent[last])
                if (key[last] >= 0)
                    open[key[last]]--;
            last = node;
            const own = key[node];
            visible[node] = own >= 0 ? own : visible[parent[node]];
            if (own >= 0 && open[own]++ === 0)
                totalOf[own] += below[node];
            if (visible[node] >= 0)
                selfOf[visible[node]] += weight[node];
        }
        return {selfOf, totalOf};
    }

    /* Which keys match, and how much of everything has a matching frame in its stack. */
    #search() {
        const test = matcher(this.options.search);
        this.matched = null;
        this.matchedTotal = this.matchedKeys = 0;
        this.hit = null;
        if (!test)
            return;
        const {grouping} = this;
        this.matched = new Uint8Array(grouping.count);
        for (let key = 0; key < grouping.count; key++) {
            if (this.has(key) && (test(grouping.fullName(key)) ||
                                          test(grouping.place(key)) || test(grouping.module(key)))) {
                this.matched[key] = 1;
                this.matchedKeys++;
            }
        }
        const hit = this.hit = new Uint8Array(this.key.length);
        for (let node = 1; node < hit.length; node++) {
            if (this.owner[node] !== node)
                continue;
            hit[node] = hit[this.up[node]] | this.matched[this.key[node]];
            if (hit[node])
                this.matchedTotal += this.own[node];
        }
    }

    search(text) {
        this.options.search = text;
        this.#search();
    }

    #plant() {
        const root = new Box(null, -1);
        root.total = this.total;
        if (!this.options.inverted) {
            root.nodes.push(0);
            root.self = this.own[0];
            return root;
        }
        for (let node = 1; node < this.own.length; node++)
            if (this.measures.some((measure) => measure.own[node] > 0))
                root.nodes.push(node);
        root.origins = root.nodes;
        return root;
    }

    /* The children of a box, widest first, laid out from its left edge. */
    children(box) {
        if (box.children)
            return box.children;
        const groups = new Map();
        const give = (node, total) => {
            const key = this.key[node];
            if (!groups.has(key))
                groups.set(key, new Box(box, key));
            const child = groups.get(key);
            child.nodes.push(node);
            child.total += total;
            return child;
        };
        if (this.options.inverted)
            this.#growCallers(box, give);
        else
            this.#growCallees(box, give);
        box.children = [...groups.values()].sort((a, b) => b.total - a.total || a.key - b.key);
        let x = box.x;
        for (const child of box.children) {
            child.x = x;
            x += child.total;
        }
        return box.children;
    }

    #growCallees(box, give) {
        for (const node of box.nodes)
            for (let at = this.firstChild[node]; at; at = this.nextSibling[at])
                give(at, this.sum[at]).self += this.own[at];
    }

    #growCallers(box, give) {
        box.nodes.forEach((node, i) => {
            const caller = box.parent ? this.up[node] : node;
            if (caller > 0)
                give(caller, this.own[box.origins[i]]).origins.push(box.origins[i]);
        });
    }

    /* The widest box of a key, grown on the way to it; null when it has none in this view. */
    reveal(key) {
        if (this.options.inverted)
            return this.children(this.root).find((box) => box.key === key) ?? null;
        let widest = 0;
        for (let node = 1; node < this.key.length; node++)
            if (this.key[node] === key && this.owner[node] === node &&
                (widest === 0 || this.sum[node] > this.sum[widest]))
                widest = node;
        if (widest === 0 || this.sum[widest] === 0)
            return null;
        const path = [];
        for (let node = widest; node > 0; node = this.up[node])
            path.unshift(this.key[node]);
        return this.follow(path);
    }

    /* The box at the end of a path of keys, or the last one on it that still exists. */
    follow(path) {
        let box = this.root;
        for (const key of path) {
            const child = this.children(box).find((each) => each.key === key);
            if (!child)
                break;
            box = child;
        }
        return box;
    }
}

function total(nodes, amounts) {
    return nodes.reduce((sum, node) => sum + amounts[node], 0);
}

/* A search text as a function of a string: /…/ is a regular expression, anything else a part
 * of the name in any case. Null: nothing is searched. */
function matcher(text) {
    const pattern = /^\/(.+)\/$/.exec(text);
    if (pattern) {
        try {
            const expression = new RegExp(pattern[1], "i");
            return (name) => expression.test(name);
        } catch {
            return () => false;
        }
    }
    const wanted = text.trim().toLowerCase();
    return wanted ? (name) => name.toLowerCase().includes(wanted) : null;
}
