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
            line: (frame) => frames.function[frame] * 2 ** 32 + frames.line[frame],
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

    functionOf(key) {
        return this.profile.frames.function[this.example[key]];
    }

    kind(key) {
        return this.profile.kinds[this.functionOf(key)];
    }

    fullName(key) {
        const {functions, frames, strings} = this.profile;
        const fn = this.functionOf(key);
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
        const fn = this.functionOf(key);
        const file = strings[functions.file[fn]] || strings[frames.module[this.example[key]]];
        const line = this.by === "line" ? frames.line[this.example[key]] : functions.line[fn];
        return printable(file && line > 0 ? `${file}:${line}` : file);
    }

    /* Where the source of a key is, as a URL; null where nobody knows. */
    sourceUrl(key) {
        const {functions, frames, source, strings} = this.profile;
        const fn = this.functionOf(key);
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
        return printable(this.rawModule(key));
    }

    /* As the profile has them, for rules; "" where it has none. */
    rawModule(key) {
        return this.profile.strings[this.profile.frames.module[this.example[key]]];
    }

    rawName(key) {
        const {functions, strings} = this.profile;
        return strings[functions.name[this.functionOf(key)]];
    }

    rawFile(key) {
        const {functions, strings} = this.profile;
        return strings[functions.file[this.functionOf(key)]];
    }

    /* Whose code it is: the installed package of its file, else its folder; else the module. */
    package(key) {
        const file = this.rawFile(key), name = this.rawName(key);
        const installed = /.*\/(?:site-packages|dist-packages|node_modules|gems)\/((?:@[^/]+\/)?[^/]+)/.exec(file);
        if (installed)
            return installed[1].replace(/-[\d.]+$/, "");
        const prefix = name.slice(0, prefixLength(name, "function"));
        return prefix || file.slice(0, Math.max(file.lastIndexOf("/"), 0)) || this.rawModule(key) || file;
    }
}

/* How much of a name its end tells more than: folders; packages and namespaces. */
const PREFIXES = {
    path: /^.*\/(?=[^/])/s,
    name: /^(?:(?:[\w.@-]+\/)+(?:[\w-]+\.)?|(?:(?:[\w$]+|\(anonymous namespace\))::)+|(?:[a-z_][\w$]*\.){2,})(?=[A-Za-z_$<~(*])/,
};

function prefixLength(text, by) {
    const found = (by === "file" || by === "module" ? PREFIXES.path : PREFIXES.name).exec(text);
    return found ? found[0].length : 0;
}
