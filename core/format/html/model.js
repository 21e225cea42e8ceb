/*
 * What is shown of a profile: which samples count, what a box stands for, which frames are
 * left out (class Shape), and the boxes themselves, which are grown only where somebody looks.
 */

/* A box of the graph. Its children are grown at the first look and kept. */
class Box {
    constructor(parent, key) {
        this.parent = parent;
        this.key = key; /* -1: of all */
        this.upward = parent?.upward ?? false; /* its children are callers */
        this.step = parent?.step ?? 1;         /* rows from it to its children */
        this.depth = parent ? parent.depth + 1 : 0;
        this.level = parent ? parent.level + parent.step : 0; /* its row */
        this.x = 0;
        this.total = 0;
        this.size = 0;     /* its width: the total, but values below 0 count by their size */
        this.self = 0;
        this.nodes = [];   /* the profile's nodes that this box stands for */
        this.origins = []; /* upward: the node whose value came to each of them */
        this.children = null;
    }

    get isFrame() {
        return this.key >= 0;
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

/* The children of a box while they are grown. `slots` has a place for each key, 0 between. */
class Family {
    constructor(parent, slots) {
        Object.assign(this, {parent, slots, boxes: []});
    }

    child(key) {
        const {boxes, slots} = this;
        if (slots[key] === 0)
            slots[key] = boxes.push(new Box(this.parent, key));
        return boxes[slots[key] - 1];
    }

    leave() {
        for (const {key} of this.boxes)
            this.slots[key] = 0;
        return this.boxes.sort((a, b) => b.size - a.size || a.key - b.key);
    }
}

/* The same in the order of time: a box for each node. */
class Row {
    constructor(parent) {
        Object.assign(this, {parent, boxes: []});
    }

    child(key) {
        this.boxes.push(new Box(this.parent, key));
        return this.boxes.at(-1);
    }

    leave() {
        return this.boxes;
    }
}

const HUES = [212, 38, 140, 275, 5, 180, 330, 85, 240, 55, 160, 300];

/* The options that decide on the shape, and those that change no number. */
const SHAPING = ["by", "hideNative", "allNative", "collapse", "ordered", "rules"];
const TURNING = ["inverted", "centre"];

class Model {
    constructor(profile) {
        this.profile = this.merged = profile;
        this.groupings = new Map();
        this.options = {column: profile.defaultColumn, by: "function", inverted: false, centre: null,
                        hideNative: false, allNative: profile.allNative, collapse: false, ordered: false, idle: false, rules: [], search: ""};
        this.update({});
        this.largest = this.packages(HUES.length);
    }

    /* The largest packages of the profile have a hue of their own, the others share those. */
    packageHue(name) {
        const rank = this.largest.indexOf(name);
        return HUES[rank >= 0 ? rank : Math.floor(hashText(name) * HUES.length)];
    }

    /* Are boxes side by side as samples were? */
    get inOrder() {
        return this.options.ordered && this.merged.moments !== null;
    }

    /* Does the value stand at one moment? */
    get isLevel() {
        return this.profile.levels.has(this.options.column);
    }

    get unit() {
        return this.profile.values[this.options.column].unit;
    }

    /* Changes options; none, when what the filters hold has changed. */
    update(change) {
        Object.assign(this.options, change);
        const changed = Object.keys(change);
        if (changed.length === 0 || !changed.every((option) => TURNING.includes(option))) {
            this.#leaveOut();
            this.#group();
            if (!this.shape || changed.some((option) => SHAPING.includes(option)))
                this.#reshape();
            this.#measureAll();
            this.#search();
        }
        this.#plant();
    }

    /* Idle waits are left out, unless they are asked for here or among the filters. */
    #leaveOut() {
        const {idle} = this.profile;
        idle?.facet.leftOut.clear();
        if (idle && !this.options.idle)
            idle.facet.leftOut.add(idle.value);
    }

    #group() {
        this.grouping = this.#groupingBy(this.options.by);
    }

    #groupingBy(by) {
        if (!this.groupings.has(by))
            this.groupings.set(by, new Grouping(this.profile, by));
        return this.groupings.get(by);
    }

    /* The old arrays go first: of a large profile, both would not fit. */
    #reshape() {
        this.shape = this.measures = this.links = this.hit = this.root = null;
        this.profile = this.inOrder ? this.merged.inTimeOrder : this.merged;
        /* What is folded back would stand where it was not. */
        const options = {...this.options, collapse: this.options.collapse && !this.inOrder};
        this.shape = new Shape(this.profile, this.grouping.of, this.grouping.count, options);
        this.slots = new Int32Array(this.grouping.count);
    }

    /* Which samples pass the filters: values of one facet are alternatives, facets narrow each
     * other. The facets are of label sets and links, of which there are far fewer than samples. */
    #passing(except) {
        const {node, labels, link, facets, time, levels, labelSets, links} = this.profile;
        const filters = [...facets, ...time ? [time] : []]
            .filter((filter) => filter !== except && filter.narrows);
        const judge = (source, count) => {
            const own = filters.filter((filter) => filter.source === source);
            return Uint8Array.from({length: count}, (_, id) => own.every((filter) => filter.passes(id)));
        };
        const ofLabels = judge(labels, labelSets), ofLinks = judge(link, links);
        const counts = except === time ? () => true : levels.counts(this.options.column);
        const passing = new Uint8Array(labels.length);
        for (let sample = 0; sample < passing.length; sample++)
            passing[sample] = ofLabels[labels[sample]] & ofLinks[link[sample]] & counts(sample);
        if (this.shape.judges) /* before stacks are pruned */
            node.forEach((at, sample) => passing[sample] &= this.shape.keeps(at));
        return passing;
    }

    /* The live totals of a facet's values, under the filters of all other facets. */
    facetTotals(facet) {
        const totals = new Float64Array(facet.values.length);
        const amounts = this.profile.amounts[this.options.column];
        const passing = this.#passing(facet);
        for (let sample = 0; sample < amounts.length; sample++)
            if (passing[sample])
                facet.add(totals, sample, amounts[sample]);
        return totals;
    }

    /* What each interval has of the value (a level: at its end), whatever the brush holds: all that
     * passes the filters, and what of it has a match of the search in its stack. */
    intervalTotals() {
        const {time} = this.profile, {node, owner} = this.shape;
        const amounts = this.profile.amounts[this.options.column];
        const passing = this.#passing(time);
        const all = new Float64Array(time.intervals.length), matched = new Float64Array(all.length);
        for (let sample = 0; sample < amounts.length; sample++) {
            const interval = time.of[time.source[sample]];
            if (interval < 0 || !passing[sample])
                continue;
            all[interval] += amounts[sample];
            if (this.hit?.[owner[node[sample]]])
                matched[interval] += amounts[sample];
        }
        return {all, matched};
    }

    /* Only the value that is shown; of a comparison, all that it is made of. */
    #measureAll() {
        const {profile} = this;
        const {column} = this.options;
        this.measures = this.links = this.root = this.byLine = null;
        const passing = this.#passing(null);
        this.measures = (profile.diff ? profile.amounts : [profile.amounts[column]])
            .map((amounts) => this.#measure(amounts, passing));
        Object.assign(this, this.measures[profile.diff ? column : 0]);
        this.starts = this.inOrder ? this.#starts(profile.amounts[column], passing) : null;
        this.links = this.shape.link(this.measures.map((measure) => measure.size));
        this.total = this.sum[0];
        this.whole = this.size[0]; /* what shares are of */
        this.idle = this.#idle(profile.amounts[column]);
        const counts = profile.levels.counts(column);
        this.everything = profile.amounts[column].reduce((sum, amount, sample) => counts(sample) ? sum + amount : sum, 0) -
            this.idle;
        this.comparison = profile.diff &&
            new Comparison(profile.diff, this.measures.map((measure) => measure.sum[0]));
        this.keyChanges = [];
        this.kinds = new Set();
        for (let key = 0; key < this.grouping.count; key++)
            if (this.has(key))
                this.kinds.add(this.grouping.kind(key));
    }

    /* In the order of time: how much came before each node. */
    #starts(amounts, passing) {
        const {turn, node, parent} = this.profile;
        const starts = new Float64Array(parent.length).fill(-1);
        let before = 0;
        for (const sample of turn) {
            if (!passing[sample])
                continue;
            for (let at = node[sample]; at >= 0 && starts[at] < 0; at = parent[at])
                starts[at] = before;
            before += Math.abs(amounts[sample]);
        }
        return starts;
    }

    /* The packages with the most self, of so many. */
    packages(most) {
        const {grouping, selfOf} = this;
        const own = new Map();
        for (let key = 0; key < grouping.count; key++)
            if (this.has(key)) {
                const name = grouping.package(key);
                own.set(name, (own.get(name) ?? 0) + Math.abs(selfOf[key]));
            }
        return [...own].sort((a, b) => b[1] - a[1]).slice(0, most).map(([name]) => name);
    }

    /* How much of all is left out as idle. */
    #idle(amounts) {
        const {facet} = this.profile.idle ?? {};
        if (!facet || facet.chosen.size > 0 || facet.leftOut.size === 0)
            return 0;
        return amounts.reduce((sum, amount, sample) => facet.passes(facet.source[sample]) ? sum : sum + amount, 0);
    }

    /* Self and total by line, of the value that is shown, whatever a box stands for. */
    lineTotals() {
        if (this.byLine)
            return this.byLine;
        const {profile, options} = this;
        const grouping = this.#groupingBy("line"), amounts = profile.amounts[options.column];
        const shape = new Shape(profile, grouping.of, grouping.count, {...options, collapse: false});
        const passing = this.#passing(null), own = shape.own(amounts, passing);
        return this.byLine = {grouping, ...shape.tabulate(own, shape.sum(own), amounts, passing)};
    }

    #measure(amounts, passing) {
        const {shape} = this;
        const own = shape.own(amounts, passing), sum = shape.sum(own);
        const measure = {own, sum, size: sum, ...shape.tabulate(own, sum, amounts, passing)};
        measure.sizeOf = measure.totalOf;
        if (!amounts.some((amount) => amount < 0))
            return measure;
        const sizes = amounts.map(Math.abs);
        measure.size = shape.sum(own.map(Math.abs));
        measure.sizeOf = shape.tabulate(shape.own(sizes, passing), measure.size, sizes, passing).totalOf;
        return measure;
    }

    /* Whether a key has anything, on either side of a comparison. */
    has(key) {
        return this.measures.some((measure) => measure.sizeOf[key] > 0);
    }

    /* What changed in a box with all it calls, and in a key's self. */
    changeOf(box) {
        const {inverted, centre} = this.options;
        return box.change ??= this.comparison.judge(this.measures.map(({own, sum}) =>
            total(box.upward ? box.origins : box.nodes, inverted && centre === null ? own : sum)));
    }

    changeOfKey(key) {
        return this.keyChanges[key] ??= this.comparison.judge(
            this.measures.map((measure) => measure.selfOf[key]));
    }

    /* Which keys match, and how much of everything has a matching frame in its stack. */
    #search() {
        const test = matcher(this.options.search);
        this.matched = null;
        this.matchedTotal = this.matchedSize = this.matchedKeys = 0;
        this.hit = null;
        if (!test)
            return;
        const {grouping, shape: {owner, keys}} = this;
        const {frame, parent} = this.profile;
        this.matched = new Uint8Array(grouping.count);
        for (let key = 0; key < grouping.count; key++) {
            if (this.has(key) && (test(grouping.fullName(key)) ||
                                          test(grouping.place(key)) || test(grouping.module(key)))) {
                this.matched[key] = 1;
                this.matchedKeys++;
            }
        }
        const hit = this.hit = new Uint8Array(owner.length);
        for (let node = 1; node < hit.length; node++) {
            if (owner[node] !== node)
                continue;
            hit[node] = hit[owner[parent[node]]] | this.matched[keys[frame[node]]];
            if (hit[node]) {
                this.matchedTotal += this.own[node];
                this.matchedSize += Math.abs(this.own[node]);
            }
        }
    }

    search(text) {
        this.options.search = text;
        this.#search();
    }

    /* The roots: one, or two where a function stands in the middle, between its callers and what
     * it calls. */
    #plant() {
        const {inverted, centre} = this.options;
        this.callers = null;
        if (centre in this.grouping.example) {
            this.root = this.#plantCentre(centre, 1);
            this.callers = Object.assign(this.#plantCentre(centre, -1), {upward: true});
            return;
        }
        this.options.centre = null;
        const root = this.root = new Box(null, -1);
        root.total = this.total;
        root.size = this.whole;
        root.upward = inverted;
        if (!inverted) {
            root.nodes.push(0);
            root.self = this.own[0];
            return;
        }
        const owns = this.measures.map((measure) => measure.own);
        for (let node = 1; node < this.own.length; node++)
            if (this.own[node] !== 0 || owns.some((own) => own[node] !== 0))
                root.nodes.push(node);
        root.origins = root.nodes;
    }

    /* Recursion counts once, as in the table: the outermost boxes have all of it. */
    #plantCentre(key, step) {
        const {shape: {owner, state, keys}, own, sum, size} = this, {frame} = this.profile;
        const root = Object.assign(new Box(null, key), {step});
        root.origins = root.nodes;
        for (let node = 1; node < owner.length; node++) {
            if (owner[node] !== node || !(state[node] & OUTERMOST) || keys[frame[node]] !== key)
                continue;
            root.nodes.push(node);
            root.total += sum[node];
            root.size += size[node];
            root.self += own[node];
        }
        return root;
    }

    /* The children of a box, widest first or in the order of time, laid out from its left edge. */
    children(box) {
        if (box.children)
            return box.children;
        const inOrder = this.inOrder && !box.upward && !this.callers;
        const grown = inOrder ? new Row(box) : new Family(box, this.slots);
        if (box.upward)
            this.#growCallers(box, grown);
        else
            this.#growCallees(box, grown);
        box.children = grown.leave();
        let x = box.x;
        for (const child of box.children) {
            child.x = inOrder ? box.x + this.starts[child.nodes[0]] - this.starts[box.nodes[0]] : x;
            x += child.size;
        }
        return box.children;
    }

    #growCallees({nodes}, grown) {
        const {shape, links: {firstChild, nextSibling}, own, sum, size} = this;
        for (let i = 0; i < nodes.length; i++) {
            for (let at = firstChild[nodes[i]]; at; at = nextSibling[at]) {
                const child = grown.child(shape.key(at));
                child.nodes.push(at);
                child.total += sum[at];
                child.size += size[at];
                child.self += own[at];
            }
        }
    }

    /* What comes to a caller: with the leaves as roots, their own; else what the centre has. */
    #growCallers({key, nodes, origins}, grown) {
        const {shape} = this;
        const [amount, size] = this.callers ? [this.sum, this.size] : [this.own, null];
        for (let i = 0; i < nodes.length; i++) {
            const caller = key < 0 ? nodes[i] : shape.up(nodes[i]), origin = origins[i];
            if (caller === 0)
                continue;
            const child = grown.child(shape.key(caller));
            child.nodes.push(caller);
            child.origins.push(origin);
            child.total += amount[origin];
            child.size += size ? size[origin] : Math.abs(amount[origin]);
        }
    }

    /* The widest box of a key, grown on the way to it; null when it has none in this view. */
    reveal(key) {
        if (this.callers)
            return key === this.root.key ? this.root : null;
        if (this.options.inverted)
            return this.children(this.root).find((box) => box.key === key) ?? null;
        const {shape} = this;
        let widest = 0;
        for (let node = 1; node < shape.owner.length; node++)
            if (shape.owner[node] === node && shape.key(node) === key &&
                (widest === 0 || this.size[node] > this.size[widest]))
                widest = node;
        if (widest === 0 || this.size[widest] === 0)
            return null;
        const path = [];
        for (let node = widest; node > 0; node = shape.up(node))
            path.unshift(shape.key(node));
        return this.follow(path);
    }

    /* The box at the end of a path of keys, or the last one on it that still exists. */
    follow(path, from = this.root) {
        let box = from;
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
