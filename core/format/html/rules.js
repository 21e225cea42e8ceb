/*
 * Which samples and frames are asked for, by regular expressions: the same rules as the
 * command's (core/profile/view.h), with the same answers.
 */

const RULES = {
    focus: {label: "Focus", title: "Only stacks with such a frame"},
    ignore: {label: "Ignore", title: "No stacks with such a frame"},
    hide: {label: "Hide", title: "Without such frames; what they took counts to their callers"},
    show: {label: "Show only", title: "Only such frames"},
    "prune-from": {label: "Prune from", title: "Without what functions of that name call"},
};
const FIELDS = {name: "name", file: "file", module: "module", type: "type"};

/* "module:^libz" as {field, test}: without a field, name, file and module are looked at. Null:
 * no regular expression. */
function parseExpression(text) {
    const [, field, expression] = /^(?:(name|file|module|type):)?(.*)$/s.exec(text);
    const [, flags, pattern] = /^(?:\(\?([is]+)\))?(.*)$/s.exec(expression); /* RE2 writes them in front */
    if (pattern === "")
        return null;
    try {
        const compiled = new RegExp(pattern, [...new Set(flags ?? "")].join(""));
        return {field: field ?? null, test: (name) => compiled.test(name)};
    } catch {
        return null;
    }
}

/* An expression that a text matches as a whole, and nothing else does. */
function exactly(text) {
    return `^${text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}$`;
}

const WITH_PARENTHESES = /operator\(\)|\(anonymous namespace\)/g;

/* A name up to its arguments, as core/profile/prune.h has it. */
function simpleName(name) {
    const dotless = name.startsWith(".") ? name.slice(1) : name;
    const masked = dotless.replace(WITH_PARENTHESES, (same) => "-".repeat(same.length));
    const end = masked.indexOf("(");
    return end < 0 ? dotless : dotless.slice(0, end);
}

/* What the rules say of frames. `list` holds [rule, expression]; of several of one rule any will
 * do. */
class FrameRules {
    constructor(profile, list) {
        this.profile = profile;
        this.expressions = list.map(([rule, text]) => ({rule, ...parseExpression(text)}))
            .filter(({test}) => test);
        this.asked = new Set(this.expressions.map(({rule}) => rule));
        this.matched = Object.fromEntries(Object.keys(RULES).map((rule) => [rule, this.#frames(rule)]));
    }

    /* Whether samples are judged: to be pruned, they are not. */
    get judges() {
        return [...this.asked].some((rule) => rule !== "prune-from");
    }

    seen(frame) {
        return !this.matched.hide[frame] && (!this.asked.has("show") || this.matched.show[frame] === 1);
    }

    focused(frame) {
        return !this.asked.has("focus") || this.matched.focus[frame] === 1;
    }

    /* Which frames match any expression of a rule. Functions and modules are looked at once. */
    #frames(rule) {
        const {functions, frames, strings, typeNames} = this.profile;
        const expressions = this.expressions.filter((each) => each.rule === rule);
        const matched = new Uint8Array(frames.function.length);
        if (expressions.length === 0)
            return matched;
        const pruning = rule === "prune-from";
        const any = (field, text, unnamed) => expressions.some((each) =>
            (each.field === field || (!each.field && unnamed)) && each.test(text));
        const ofFunction = functions.name.map((name, fn) =>
            any("name", pruning ? simpleName(strings[name]) : strings[name], true) ||
            any("file", strings[functions.file[fn]], !pruning) || any("type", typeNames[functions.type[fn]], false));
        const ofModule = new Map();
        for (let frame = 0; frame < matched.length; frame++) {
            const module = frames.module[frame];
            if (!ofModule.has(module))
                ofModule.set(module, any("module", strings[module], !pruning));
            matched[frame] = ofFunction[frames.function[frame]] || ofModule.get(module) ? 1 : 0;
        }
        return matched;
    }
}
