/*
 * Which nodes of the profile's tree get a box of their own, and to which box the others belong:
 *
 *   owner    node → the node whose box it counts to; a box's own is itself. What a box hangs
 *            under is the owner of its node's parent.
 *   node     sample → where its stack ends: not where the profile has it if that is pruned
 *   state    node → flags, below
 *
 * A frame that is left out belongs to its caller's box, as the interpreter's own do below an
 * interpreted one (core/profile/fold.h). With folded recursion, a key that is on the path already
 * takes the path back to its first box. The passes are over flat arrays, parents first.
 */

/* Of a frame, and of a node: of its frame or any above it. The last three are the rules'. */
const INTERPRETED = 1, FOCUSED = 2, IGNORED = 4, SEEN = 8;
const INHERITED = INTERPRETED | FOCUSED | IGNORED | SEEN;
/* Of a frame only. */
const HELPER = 16, HIDDEN = 32, CUT = 64;
/* Of a node only: no box above it has its key, so its total is not part of another's. */
const OUTERMOST = 128;

const NATIVE_KINDS = new Set(["native", "kernel", "unknown"]);
const INTERPRETED_KINDS = new Set(["cpython", "ruby", "v8js", "gc"]);

class Shape {
    /* `keys` maps frames to keys, of which there are `count`. */
    constructor(profile, keys, count, options) {
        Object.assign(this, {profile, keys, count});
        const nodes = profile.parent.length;
        this.owner = new Int32Array(nodes);
        this.state = new Uint8Array(nodes);
        this.folded = options.collapse;
        const rules = new FrameRules(profile, options.rules);
        const flags = this.#flags(options, rules);
        this.judges = rules.judges;
        this.#place(flags, options.collapse ? new FoldedPath(count) : null);
        this.#findOutermost();
        this.node = rules.asked.has("prune-from") ? this.#cut(flags) : profile.node;
    }

    /* The key of a node that has a box. */
    key(node) {
        return this.keys[this.profile.frame[node]];
    }

    #flags({hideNative, allNative}, rules) {
        const {frames, kinds, helper} = this.profile;
        const ofKind = (kind) => (INTERPRETED_KINDS.has(kind) ? INTERPRETED : 0) |
                                 (hideNative && NATIVE_KINDS.has(kind) ? HIDDEN : 0);
        const ofFunction = Uint8Array.from(kinds, ofKind);
        return Uint8Array.from(frames.function, (fn, frame) =>
            ofFunction[fn] | (!allNative && helper[frame] ? HELPER : 0) |
            (rules.focused(frame) ? FOCUSED : 0) | (rules.matched.ignore[frame] ? IGNORED : 0) |
            (!rules.seen(frame) ? HIDDEN : rules.matched["prune-from"][frame] ? SEEN | CUT : SEEN));
    }

    /* Whether the rules leave a sample of that node. */
    keeps(node) {
        return !this.judges || (this.state[node] & (FOCUSED | IGNORED | SEEN)) === (FOCUSED | SEEN);
    }

    /* Where samples end: at the innermost frame on their way that cuts. */
    #cut(flags) {
        const {parent, frame, node} = this.profile;
        const cut = new Int32Array(parent.length);
        for (let at = 1; at < cut.length; at++)
            cut[at] = flags[frame[at]] & CUT ? at : cut[parent[at]];
        return node.map((at) => cut[at] || at);
    }

    #place(flags, path) {
        const {owner, state, keys} = this;
        const {parent, frame} = this.profile;
        let last = 0; /* the end of the path that is open */
        for (let node = 1; node < owner.length; node++) {
            const above = parent[node], own = flags[frame[node]];
            const inherited = state[node] = (state[above] | own) & INHERITED;
            const hidden = own & HIDDEN || (own & HELPER && inherited & INTERPRETED);
            owner[node] = hidden ? owner[above] : node;
            if (!path)
                continue;
            for (; last !== above; last = parent[last])
                path.leave();
            last = node;
            owner[node] = hidden ? path.stay(owner[above]) : path.enter(node, keys[frame[node]]);
        }
    }

    #findOutermost() {
        const {owner, state, keys, count} = this;
        const {parent, frame} = this.profile;
        const open = new Uint8Array(count);
        let last = 0;
        for (let node = 1; node < owner.length; node++) {
            for (; last !== parent[node]; last = parent[last])
                if (state[last] & OUTERMOST)
                    open[keys[frame[last]]] = 0;
            last = node;
            const key = keys[frame[node]];
            if (owner[node] === node && open[key] === 0) {
                open[key] = 1;
                state[node] |= OUTERMOST;
            }
        }
    }

    /* The node that a box hangs under. */
    up(node) {
        return this.owner[this.profile.parent[node]];
    }

    /* What each box has of itself: of the amounts of those samples that pass. */
    own(amounts, passing) {
        const {owner, node} = this;
        const own = new Float64Array(owner.length);
        for (let sample = 0; sample < amounts.length; sample++)
            if (passing[sample])
                own[owner[node[sample]]] += amounts[sample];
        return own;
    }

    /* What each box has with all below it. */
    sum(own) {
        const {owner} = this, {parent} = this.profile;
        const sum = own.slice();
        for (let node = sum.length - 1; node > 0; node--)
            if (owner[node] === node)
                sum[owner[parent[node]]] += sum[node];
        return sum;
    }

    /* Self and total by key, of what own() and sum() gave. Recursion counts once: only the
     * outermost box of a key on a path adds to its total. Folding does not change these numbers. */
    tabulate(own, sum, amounts, passing) {
        const {owner, state, keys, count} = this, {frame} = this.profile;
        const below = this.folded ? this.#below(amounts, passing) : sum;
        const selfOf = new Float64Array(count), totalOf = new Float64Array(count);
        for (let node = 1; node < own.length; node++) {
            if (owner[node] !== node)
                continue;
            const key = keys[frame[node]];
            selfOf[key] += own[node];
            if (state[node] & OUTERMOST)
                totalOf[key] += below[node];
        }
        return {selfOf, totalOf};
    }

    /* What each node has with all below it, wherever that is folded to. */
    #below(amounts, passing) {
        const {node} = this, {parent} = this.profile;
        const below = new Float64Array(parent.length);
        for (let sample = 0; sample < amounts.length; sample++)
            if (passing[sample])
                below[node[sample]] += amounts[sample];
        for (let at = below.length - 1; at > 0; at--)
            below[parent[at]] += below[at];
        return below;
    }

    /* The boxes below each, those that have anything (by one of the sums), as lists. */
    link(sums) {
        const {owner} = this, {parent} = this.profile;
        const firstChild = new Int32Array(owner.length), nextSibling = new Int32Array(owner.length);
        const [first, ...others] = sums;
        for (let node = owner.length - 1; node > 0; node--) {
            if (owner[node] !== node || !(first[node] > 0 || others.some((sum) => sum[node] > 0)))
                continue;
            const up = owner[parent[node]];
            nextSibling[node] = firstChild[up];
            firstChild[up] = node;
        }
        return {firstChild, nextSibling};
    }
}

/* The boxes on the way to a node while recursion is folded: a key that is among them cuts the
 * way back to its box, and leaving that node restores what was cut off. */
class FoldedPath {
    constructor(keys) {
        this.depth = new Int32Array(keys); /* of the key's box on the path; 0 = not on it */
        this.boxes = [0];
        this.keys = [-1];
        this.undo = []; /* for each node that was entered */
    }

    /* The box that the node counts to. */
    enter(node, key) {
        const {depth, boxes, keys} = this;
        const at = depth[key];
        if (at === 0) {
            depth[key] = boxes.length;
            boxes.push(node);
            keys.push(key);
            this.undo.push(FoldedPath.ADDED);
            return node;
        }
        const cut = at + 1 < boxes.length ? {boxes: boxes.splice(at + 1), keys: keys.splice(at + 1)} : null;
        cut?.keys.forEach((each) => depth[each] = 0);
        this.undo.push(cut);
        return boxes[at];
    }

    /* The same for a node without a box of its own. */
    stay(owner) {
        this.undo.push(null);
        return owner;
    }

    leave() {
        const {depth, boxes, keys} = this;
        const cut = this.undo.pop();
        if (cut === FoldedPath.ADDED) {
            boxes.pop();
            depth[keys.pop()] = 0;
        } else if (cut) {
            cut.keys.forEach((key, i) => {
                depth[key] = boxes.length;
                boxes.push(cut.boxes[i]);
                keys.push(key);
            });
        }
    }

    static ADDED = {};
}
