/*
 * The profile that this page carries: gzipped JSON in base64, in a script element that never
 * runs. Its shape is described where it is written (core/format/html.c).
 */

function decodeBase64(text) {
    if (Uint8Array.fromBase64)
        return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++)
        bytes[i] = binary.charCodeAt(i);
    return bytes;
}

async function loadProfile(element) {
    const packed = new Blob([decodeBase64(element.textContent.trim())]);
    const json = packed.stream().pipeThrough(new DecompressionStream("gzip"));
    element.remove();
    return new Profile(await new Response(json).json());
}

/* Names of people's functions may hold anything: show control and bidirectional characters as
 * what they are, so that they can't hide or reorder the text around them. */
function printable(text, limit = 2000) {
    const cut = text.length > limit ? text.slice(0, limit) + "…" : text;
    return cut.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
                       "\ufffd");
}

const MOST_FACETS = 500;

/* What samples can be told apart by: `source` is each sample's label set or link, `of` the value
 * (an index, or -1) of each of those, and `more` the other values of the few that have several. */
class Facet {
    constructor(name, source, size) {
        Object.assign(this, {name, source, of: new Int32Array(size).fill(-1), more: new Map(),
                             values: [], index: new Map(), chosen: new Set(), leftOut: new Set()});
    }

    /* Whether it keeps anything from being shown. */
    get narrows() {
        return this.chosen.size > 0 || this.leftOut.size > 0;
    }

    put(id, text) {
        if (!this.index.has(text))
            this.index.set(text, this.values.push(text) - 1);
        const value = this.index.get(text);
        if (this.of[id] < 0)
            this.of[id] = value;
        else
            this.more.set(id, [...this.more.get(id) ?? [], value]);
    }

    /* Of a label set or link: what is chosen, or else all but what is left out. */
    passes(id) {
        const {chosen, leftOut} = this;
        return chosen.size > 0 ? this.#has(id, chosen) : leftOut.size === 0 || !this.#has(id, leftOut);
    }

    #has(id, values) {
        return values.has(this.of[id]) || (this.more.get(id)?.some((value) => values.has(value)) ?? false);
    }

    /* Adds a sample's amount to the total of each of its values. */
    add(totals, sample, amount) {
        const id = this.source[sample];
        if (this.of[id] >= 0)
            totals[this.of[id]] += amount;
        this.more.get(id)?.forEach((value) => totals[value] += amount);
    }
}

const GC_NAMES = new Set(["[gc]", "(garbage collector)", "[garbage collection]"]);

class Profile {
    constructor(raw) {
        this.info = raw.info;
        this.values = raw.values.map(([type, unit]) => ({type, unit}));
        this.defaultColumn = raw.column;
        this.strings = raw.strings;
        this.functions = raw.functions;
        this.frames = raw.frames;
        this.typeNames = raw.types;
        this.kinds = this.#kinds(raw);
        this.allNative = raw.allNative;
        this.helper = new Uint8Array(raw.frames.function.length); /* frames: the interpreter's own? */
        raw.helpers.forEach((frame) => this.helper[frame] = 1);
        this.hasHelpers = raw.helpers.length > 0;
        this.#growTree(raw.tree);
        this.#readSamples(raw.samples, raw.past);
        this.labelSets = raw.labels.length;
        this.links = raw.links.length;
        this.facets = this.#facets(raw);
        this.idle = this.#findIdle();
        this.time = this.#takeTime(raw);
        this.#takeFacet(PAST);
        this.levels = new Levels(this, raw);
        this.moments = this.#takeMoments(raw);
        this.source = raw.source ?? null;
        this.lines = new Map(); /* file → line → its text */
        for (const [file, first, ...texts] of raw.lines ?? [])
            texts.forEach((text, i) => this.#linesOf(file).set(first + i, text));
        this.diff = raw.diff ?? null;
        if (this.diff)
            this.#compare();
    }

    #linesOf(file) {
        if (!this.lines.has(file))
            this.lines.set(file, new Map());
        return this.lines.get(file);
    }

    #compare() {
        if (this.diff.normalized === "second")
            this.#normalise();
        const whole = (column) => this.amounts[column].reduce((sum, value) => sum + value, 0);
        const weight = this.diff.normalized === "total" ? whole(NEW) / (whole(BASE) || 1) || 1 : 1;
        this.values.push({type: "both", unit: this.values[NEW].unit});
        this.amounts.push(this.amounts[NEW].map((value, sample) => value + weight * this.amounts[BASE][sample]));
        this.defaultColumn = BOTH;
    }

    /* Both sides of a comparison per second of wall time. */
    #normalise() {
        for (const [column, side] of [[NEW, this.diff.new], [BASE, this.diff.base]])
            this.amounts[column] = this.amounts[column].map((value) => value * 1e9 / side.duration);
    }

    get sampleCount() {
        return this.node.length;
    }

    /* What colours a function: its frame type, or "gc" for the collector's own frames. */
    #kinds(raw) {
        return raw.functions.type.map((type, i) =>
            GC_NAMES.has(this.strings[raw.functions.name[i]]) ? "gc" : raw.types[type]);
    }

    /* Stacks come sorted, each as (levels to go up from the last one, count, frames…), which
     * makes a tree in preorder: a node's parent has a smaller index. Node 0 is the root. */
    #growTree(tree) {
        let nodes = 1, stacks = 0;
        for (let i = 0; i < tree.length; i += 2 + tree[i + 1], stacks++)
            nodes += tree[i + 1];
        this.parent = new Int32Array(nodes);
        this.frame = new Int32Array(nodes);
        this.stackEnd = new Int32Array(stacks);
        this.parent[0] = this.frame[0] = -1;
        let next = 1, at = 0, stack = 0;
        for (let i = 0; i < tree.length;) {
            for (let up = tree[i++]; up > 0; up--)
                at = this.parent[at];
            for (let left = tree[i++]; left > 0; left--) {
                this.parent[next] = at;
                this.frame[next] = tree[i++];
                at = next++;
            }
            this.stackEnd[stack++] = at;
        }
    }

    /* Those of the past follow those of the profile: levels.js tells which count. */
    #readSamples(samples, past = {stack: [], labels: [], link: [], values: samples.values.map(() => [])}) {
        const nodes = ({stack}) => {
            let at = 0;
            return stack.map((step) => this.stackEnd[at += step]);
        };
        this.node = Int32Array.from([...nodes(samples), ...nodes(past)]);
        this.labels = Int32Array.from([...samples.labels, ...past.labels]);
        this.link = Int32Array.from([...samples.link, ...past.link]);
        this.amounts = samples.values.map((column, i) => Float64Array.from([...column, ...past.values[i]]));
    }

    /* The dimensions to filter by: each label key, up to a number that no program has, and trace
     * and span. */
    #facets(raw) {
        const labels = new Map();
        raw.labels.forEach((set, id) => {
            for (let i = 0; i < set.length; i += 2) {
                if (!labels.has(set[i]) && labels.size < MOST_FACETS)
                    labels.set(set[i], new Facet(set[i], this.labels, raw.labels.length));
                labels.get(set[i])?.put(id, String(set[i + 1]));
            }
        });
        const links = ["trace", "span"].map((name) => new Facet(name, this.link, raw.links.length));
        raw.links.forEach((ids, id) => {
            if (id !== 0) /* 0 is none */
                links.forEach((facet, i) => facet.put(id, ids[i]));
        });
        const first = ["thread.name", "thread.id"];
        const rank = (facet) => (first.indexOf(facet.name) + 1) || 9;
        return [...[...labels.values()].sort((a, b) => rank(a) - rank(b)),
                ...links.filter((facet) => facet.values.length > 0)];
    }

    /* A thread that waits for work takes time and tells nothing: left out until it is asked for. */
    #findIdle() {
        const facet = this.facets.find(({name, source}) => name === "wait.reason" && source === this.labels);
        const value = facet?.index.get("idle");
        return value === undefined ? null : {facet, value};
    }

    #takeFacet(name) {
        const at = this.facets.findIndex((facet) => facet.source === this.labels && facet.name === name);
        return at < 0 ? null : this.facets.splice(at, 1)[0];
    }

    /* When each sample was, in ms; null where that is not known of any. */
    #takeMoments(raw) {
        const facet = this.#takeFacet(MOMENT_LABEL);
        if (!facet || raw.diff)
            return null;
        const times = facet.values.map((text) => Number(text) / 1e6);
        return Float64Array.from(this.labels, (set) => times[facet.of[set]] ?? Infinity);
    }

    /* The same profile with its samples one behind another as they were, the threads apart: a tree in
     * which only neighbours share what they have in common, and `turn`, the samples' order. It is made
     * once. */
    get inTimeOrder() {
        return this.ordered ??= Object.assign(Object.create(this), this.#order());
    }

    #order() {
        const thread = this.facets.find(({name}) => name === "thread.id" || name === "thread.name")?.of;
        const {moments, labels, parent, frame} = this;
        const turn = Array.from(labels, (_, sample) => sample).sort((a, b) =>
            (thread ? thread[labels[a]] - thread[labels[b]] : 0) || moments[a] - moments[b] || a - b);
        const tree = {parent: [-1], frame: [-1], node: new Int32Array(labels.length)};
        let open = [0], own = [0]; /* the way to the last sample: nodes there, and here */
        for (const sample of turn) {
            const way = [];
            for (let at = this.node[sample]; at >= 0; at = parent[at])
                way.unshift(at);
            let common = 1;
            while (common < way.length && open[common] === way[common])
                common++;
            own = own.slice(0, common);
            for (let i = common; i < way.length; i++) {
                own.push(tree.parent.push(own[i - 1]) - 1);
                tree.frame.push(frame[way[i]]);
            }
            open = way;
            tree.node[sample] = own[way.length - 1];
        }
        return {parent: Int32Array.from(tree.parent), frame: Int32Array.from(tree.frame), node: tree.node, turn};
    }

    /* The intervals are no facet but the time strip's; of a comparison, nothing at all. */
    #takeTime(raw) {
        const facet = this.#takeFacet(INTERVAL);
        if (!facet)
            return null;
        const time = new Time(facet);
        return raw.diff || time.order.length < 2 ? null : time;
    }
}

const MOMENT_LABEL = "cprof.time"; /* PROFILE_TIME of core/profile/profile.h */
const INTERVAL = "cprof.interval"; /* the label that cli/load.h describes */

const middle = (interval) => (interval.from + interval.to) / 2;

/* From the first beginning to the last end. There may be more intervals than a function takes
 * arguments. */
function span(intervals) {
    return intervals.reduce((all, {from, to}) => ({from: Math.min(all.from, from), to: Math.max(all.to, to)}),
                            {from: Infinity, to: -Infinity});
}

/* When a profile's samples were: the interval of each label set, and which of them the page is
 * about. Times are Unix time in ms. */
class Time {
    constructor(facet) {
        this.source = facet.source;
        this.of = facet.of; /* label set → index of its interval, or -1 */
        this.intervals = facet.values.map((text) => {
            const [from, to] = text.split("/").map((part) => Date.parse(part));
            return from < to ? {from, to} : {from: NaN, to: NaN};
        });
        this.order = this.intervals.filter(({from}) => !Number.isNaN(from))
            .sort((a, b) => middle(a) - middle(b));
        Object.assign(this, span(this.order));
        this.choose(null);
    }

    /* {from, to}, or null for all. */
    choose(chosen) {
        this.chosen = chosen;
        this.held = this.intervals.map((each) => this.holds(each));
    }

    get narrows() {
        return this.chosen !== null;
    }

    holds(interval) {
        const {chosen} = this;
        return !chosen || (middle(interval) >= chosen.from && middle(interval) < chosen.to);
    }

    /* Of a label set. Without an interval it is of no time at all. */
    passes(id) {
        return !this.chosen || this.held[this.of[id]] === true;
    }
}
