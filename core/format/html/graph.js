/*
 * The graph: draws the boxes of a model on a canvas and tells what the pointer and the keys
 * do there. Laying out (which boxes are wide enough to see) happens when the zoom or the model
 * changes; scrolling only draws.
 */

const ROW = 20;           /* CSS pixels of one level */
const SMALLEST = 0.5;     /* a narrower box is not drawn, nor are its children grown */
const TEXT_MARGIN = 5;
const ZOOM_TIME = 160;    /* ms of the zoom's animation */
const PAPER = {width: 1100, height: 4000, rows: 40}; /* CSS pixels, and rows of the table */

/* [hue, saturation, lightness] of each kind of frame; boxes vary a little around it. */
const KINDS = {
    cpython: {label: "Python", light: [212, 68, 79], dark: [213, 38, 38]},
    ruby: {label: "Ruby", light: [352, 72, 82], dark: [350, 38, 40]},
    v8js: {label: "JavaScript", light: [140, 42, 74], dark: [145, 28, 32]},
    native: {label: "native", light: [38, 82, 79], dark: [34, 36, 35]},
    kernel: {label: "kernel", light: [18, 72, 76], dark: [16, 42, 36]},
    gc: {label: "garbage collector", light: [275, 52, 82], dark: [275, 28, 42]},
    unknown: {label: "other", light: [220, 9, 84], dark: [220, 7, 33]},
};

const THEMES = {
    light: {ink: "#1d2430", faint: "hsl(220 10% 91%)", faintInk: "#8b929e", found: [312, 78, 74],
            root: "hsl(220 12% 90%)", edge: "#1d2430", board: "#ffffff",
            strip: "hsl(218 46% 66%)", veil: "rgb(255 255 255 / 0.72)"},
    dark: {ink: "#eef1f5", faint: "hsl(220 8% 20%)", faintInk: "#767d89", found: [312, 50, 48],
           root: "hsl(220 9% 24%)", edge: "#ffffff", board: "#15181d",
           strip: "hsl(217 36% 48%)", veil: "rgb(21 24 29 / 0.72)"},
};

function hashText(text) {
    let hash = 2166136261;
    for (let i = 0; i < Math.min(text.length, 200); i++)
        hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
    return (hash >>> 8) / 0x1000000;
}

/* How strong the colours of packages are, where frames are of one kind alone. */
const PACKAGES = {light: [58, 80], dark: [34, 36]};

class Graph {
    constructor(canvas, scroller, spacer, model, events) {
        Object.assign(this, {canvas, scroller, spacer, model, events});
        this.context = canvas.getContext("2d", {alpha: false});
        this.flame = false; /* roots at the bottom */
        this.theme = "light";
        this.selected = this.hovered = null;
        this.widths = new Map(); /* character → its width */
        this.showModel();
        this.#listen();
        new ResizeObserver(() => this.#resized()).observe(scroller);
    }

    /* The model has changed: keeps the zoom and the selection where they still exist. */
    showModel() {
        const {model} = this;
        const again = (box) => model.follow(box.path().slice(1).map((each) => each.key),
                                            box.step < 0 ? model.callers : model.root);
        const sameView = this.shape === this.#shapeOfModel();
        this.focus = this.focus && sameView ? again(this.focus) : model.root;
        this.selected = this.selected && sameView ? again(this.selected) : null;
        this.shape = this.#shapeOfModel();
        this.hovered = null;
        this.colours = new Map();
        this.left = this.focus.x;
        this.span = this.focus.size;
        this.relayout();
        if (!sameView && model.callers)
            this.scroller.scrollTop = this.#top(0) + this.scroller.scrollTop - this.height / 2;
    }

    #shapeOfModel() {
        const {by, inverted, column, centre} = this.model.options;
        return `${by} ${inverted} ${column} ${centre}`;
    }

    setTheme(theme) {
        this.theme = theme;
        this.colours = new Map();
        this.draw();
    }

    setFlame(flame) {
        this.flame = flame;
        this.relayout();
        this.scroller.scrollTop = flame ? this.scroller.scrollHeight : 0;
    }

    /* Collects the boxes in sight, row by row. Iterative: stacks are deeper than JavaScript's. */
    relayout() {
        if (this.onPaper)
            return;
        this.width = this.scroller.clientWidth;
        this.height = this.scroller.clientHeight;
        this.#collect();
        this.spacer.style.height = `${Math.max(this.rows.length * ROW + 8, this.height)}px`;
        this.draw();
    }

    /* Between layout and painting: a frame later the old picture would show in the new size. */
    #resized() {
        this.relayout();
        if (!this.onPaper)
            this.#drawAtOnce();
    }

    /* For paper all rows are drawn, at once, in a width that leaves names readable; the style
     * sheet fits that to the page. Afterwards everything is as it was. */
    print(onPaper, width = PAPER.width) {
        this.onPaper = onPaper;
        if (!onPaper)
            return this.relayout();
        this.scroller.scrollTop = 0;
        this.width = width;
        this.#collect();
        this.height = Math.min(this.rows.length * ROW + 8, PAPER.height);
        this.#drawAtOnce();
    }

    /* Does something while all rows are on the canvas, as wide as in the window. */
    whilePainted(act) {
        const {scrollTop} = this.scroller;
        this.print(true, this.width);
        act();
        this.print(false);
        this.scroller.scrollTop = scrollTop;
    }

    /* `rows` are from the top down; `above` of them stand over that of the root. */
    #collect() {
        const {model} = this;
        const levels = new Map(); /* row, which above the root is below 0 → its boxes */
        const scale = this.width / this.span;
        const right = this.left + this.span;
        const waiting = this.span > 0 ? [model.root, ...model.callers ? [model.callers] : []] : [];
        while (waiting.length > 0) {
            const box = waiting.pop();
            if (!levels.has(box.level))
                levels.set(box.level, []);
            if (box !== model.callers) /* the root stands for both */
                levels.get(box.level).push(box);
            const children = model.children(box);
            let wide = 0; /* widest first: what follows is smaller still */
            while (wide < children.length && children[wide].size * scale >= SMALLEST)
                wide++;
            while (wide-- > 0)
                if (children[wide].x < right && children[wide].x + children[wide].size > this.left)
                    waiting.push(children[wide]);
        }
        const numbers = [...levels.keys()];
        this.above = -numbers.reduce((least, level) => Math.min(least, level), 0);
        this.rows = Array.from({length: levels.size}, (_, row) => levels.get(row - this.above));
    }

    /* The boxes of a box's row. */
    #rowOf(box) {
        return this.rows[box.level + this.above] ?? [];
    }

    draw() {
        if (!this.frameAsked && !this.onPaper)
            this.frameAsked = requestAnimationFrame(() => this.#drawNow());
    }

    #drawAtOnce() {
        cancelAnimationFrame(this.frameAsked);
        this.#drawNow();
    }

    /* Of a box's level. */
    #top(level) {
        const height = Math.max(this.rows.length * ROW + 8, this.height);
        const row = level + this.above;
        return (this.flame ? height - (row + 1) * ROW - 4 : row * ROW + 4) - this.scroller.scrollTop;
    }

    #drawNow() {
        this.frameAsked = 0;
        const {canvas, context, width, height} = this;
        const ratio = devicePixelRatio || 1;
        if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
            canvas.width = Math.round(width * ratio);
            canvas.height = Math.round(height * ratio);
            canvas.style.width = `${width}px`;
            canvas.style.height = `${height}px`;
        }
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.fillStyle = THEMES[this.theme].board;
        context.fillRect(0, 0, width, height);
        context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
        context.textBaseline = "middle";
        const scale = width / this.span;
        this.rows.forEach((boxes, row) => {
            const top = this.#top(row - this.above);
            if (top > -ROW && top < height)
                boxes.forEach((box) => this.#drawBox(box, top));
        });
        const {callers, root} = this.model;
        for (const box of [this.hovered, this.selected, callers && root])
            if (box)
                this.#outline(box, scale, box === this.hovered ? 1 : 2);
    }

    #drawBox(box, top) {
        const {context} = this;
        const {from, width, fill, ink, text} = this.look(box);
        context.fillStyle = fill;
        context.globalAlpha = box.depth < this.focus.depth ? 0.55 : 1;
        context.fillRect(from, top, Math.max(width - (width > 3 ? 1 : 0.2), 0.4), ROW - 1);
        context.globalAlpha = 1;
        if (text) {
            context.fillStyle = ink;
            context.fillText(text, from + TEXT_MARGIN, top + ROW / 2);
        }
    }

    /* Where a box of a row is, in which colours, and as much of its name as fits. */
    look(box) {
        const scale = this.width / this.span;
        const from = Math.max(0, (box.x - this.left) * scale);
        const width = Math.min(this.width, (box.x + box.size - this.left) * scale) - from;
        const text = width > 26 ? this.#fit(this.label(box), width - 2 * TEXT_MARGIN) : "";
        return {from, width, text, ...this.#colour(box)};
    }

    #outline(box, scale, thickness) {
        const from = Math.max(0, (box.x - this.left) * scale);
        const to = Math.min(this.width, (box.x + box.size - this.left) * scale);
        if (to <= from)
            return;
        this.context.strokeStyle = THEMES[this.theme].edge;
        this.context.lineWidth = thickness;
        const inset = thickness / 2;
        this.context.strokeRect(from + inset, this.#top(box.level) + inset,
                                Math.max(to - from - 1 - thickness, 1), ROW - 1 - thickness);
    }

    label(box) {
        return box.isFrame ? this.model.grouping.name(box.key) : this.title ?? "all";
    }

    #colour(box) {
        const {model} = this;
        const theme = THEMES[this.theme];
        if (!box.isFrame)
            return {fill: theme.root, ink: theme.ink};
        if (model.matched && !model.matched[box.key])
            return {fill: theme.faint, ink: theme.faintInk};
        if (model.comparison && !model.matched)
            return {fill: changeColour(model.changeOf(box), this.theme), ink: theme.ink};
        const id = model.matched ? -1 : box.key;
        if (!this.colours.has(id)) {
            const [hue, saturation, lightness] = model.matched ? theme.found : this.#shade(box.key);
            const file = model.matched ? "" : model.grouping.place(box.key).replace(/:\d+$/, "") ||
                                              model.grouping.module(box.key);
            const shift = hashText(file) - 0.5;
            const lift = model.matched ? 0 : hashText(model.grouping.name(box.key)) - 0.5;
            this.colours.set(id, {ink: theme.ink, fill: `hsl(${(hue + 18 * shift).toFixed(0)} ${
                saturation}% ${(lightness + 5 * lift).toFixed(1)}%)`});
        }
        return this.colours.get(id);
    }

    #shade(key) {
        const {model} = this;
        if (model.kinds.size > 1)
            return KINDS[model.grouping.kind(key)][this.theme];
        return [model.packageHue(model.grouping.package(key)), ...PACKAGES[this.theme]];
    }

    #characterWidth(character) {
        if (!this.widths.has(character))
            this.widths.set(character, this.context.measureText(character).width);
        return this.widths.get(character);
    }

    /* As much of a text as fits; of what its end tells more about, the end. Sums cached character
     * widths: measuring each name with the canvas would take longer than drawing it. */
    #fit(text, room) {
        const start = this.#fits(text, room);
        if (start === text.length)
            return text;
        const prefix = prefixLength(text, this.model.options.by);
        const roomWhenCut = room - this.#characterWidth("…");
        if (prefix > 0) {
            const end = this.#fits([...text].reverse().join(""), roomWhenCut);
            if (end >= text.length - prefix)
                return `…${text.slice(text.length - end)}`;
            text = text.slice(prefix); /* of which no more than the beginning fits */
        }
        const cut = this.#fits(text, roomWhenCut);
        return cut > 1 ? `${text.slice(0, cut)}…` : "";
    }

    /* How many of its code units fit. */
    #fits(text, room) {
        let width = 0, fits = 0;
        for (const character of text) {
            width += this.#characterWidth(character);
            if (width > room)
                return fits;
            fits += character.length;
        }
        return fits;
    }

    boxAt(x, y) {
        const at = this.left + x * this.span / this.width;
        const row = this.rows.findIndex((_, row) => {
            const top = this.#top(row - this.above);
            return y >= top && y < top + ROW;
        });
        return this.rows[row]?.find((box) => at >= box.x && at < box.x + box.size) ?? null;
    }

    /* Zooms so that the box fills the width. */
    zoom(box, animate = true) {
        this.focus = box;
        this.#glide(box.x, box.size, animate);
        this.events.zoomed(box);
    }

    #glide(left, span, animate) {
        cancelAnimationFrame(this.gliding);
        const from = {left: this.left, span: this.span, time: performance.now()};
        const still = !animate || matchMedia("(prefers-reduced-motion: reduce)").matches;
        const step = (now) => {
            const part = still ? 1 : Math.min(1, Math.max(0, (now - from.time) / ZOOM_TIME));
            const eased = 1 - (1 - part) ** 3;
            this.left = from.left + (left - from.left) * eased;
            this.span = from.span + (span - from.span) * eased;
            if (part === 1)
                [this.left, this.span] = [left, span];
            else
                this.gliding = requestAnimationFrame(step);
            this.relayout();
        };
        step(from.time);
    }

    /* Free zoom and pan: the whole stays reachable and fills the width. */
    #move(left, span) {
        cancelAnimationFrame(this.gliding);
        const {size} = this.model.root;
        this.span = Math.min(Math.max(span, size / 1e7), size);
        this.left = Math.min(Math.max(left, 0), size - this.span);
        this.relayout();
    }

    /* Where a box is in the window: its left edge in sight, below it. */
    place(box) {
        const {left, top} = this.canvas.getBoundingClientRect();
        const x = Math.max(0, (box.x - this.left) * this.width / this.span);
        return {x: left + Math.min(x, this.width), y: top + this.#top(box.level) + ROW};
    }

    /* Selects a box, brings it into sight, and tells. */
    select(box, {show = true} = {}) {
        this.selected = box;
        if (box && show) {
            const scale = this.width / this.span;
            const outside = box.x + box.size <= this.left || box.x >= this.left + this.span;
            if (outside || box.size * scale < 3 * SMALLEST)
                this.zoom(outside || !box.parent ? box.parent ?? box : this.#readable(box));
            const top = this.#top(box.level);
            if (top < 0 || top + ROW > this.height)
                this.scroller.scrollTop += top - this.height / 2;
        }
        this.events.selected(box);
        this.draw();
    }

    /* The outermost ancestor under which the box is at least 2 % wide. */
    #readable(box) {
        return box.path().find((each) => box.size >= 0.02 * each.size) ?? box;
    }

    /* The matches in sight, in reading order. */
    matches() {
        const {matched} = this.model;
        return matched ? this.rows.flat().filter((box) => box.isFrame && matched[box.key]) : [];
    }

    /* Moves the selection a row up or down, which is to the parent or the widest child, or to a
     * neighbour of the same row. */
    walk(direction) {
        const box = this.selected, {model} = this;
        if (!box)
            return this.select(this.focus);
        const down = this.flame ? "up" : "down";
        if (direction === "up" || direction === "down") {
            const step = direction === down ? 1 : -1;
            const from = box === model.root && step < 0 && model.callers ? model.callers : box;
            const next = from.step === step ? model.children(from)[0]
                : from.parent === model.callers ? model.root : from.parent;
            return next && this.select(next);
        }
        const row = this.#rowOf(box).slice().sort((a, b) => a.x - b.x);
        const next = row[row.indexOf(box) + (direction === "right" ? 1 : -1)];
        return next && this.select(next);
    }

    #listen() {
        const {canvas, scroller} = this;
        let drag = null;
        scroller.addEventListener("scroll", () => this.draw(), {passive: true});
        canvas.addEventListener("pointermove", (event) => {
            if (drag)
                return this.#drag(drag, event);
            const box = this.boxAt(event.offsetX, event.offsetY);
            if (box !== this.hovered)
                this.draw();
            this.hovered = box;
            canvas.style.cursor = box ? "pointer" : "default";
            this.events.hovered(box, event);
        });
        canvas.addEventListener("pointerleave", () => {
            this.hovered = null;
            this.events.hovered(null);
            this.draw();
        });
        canvas.addEventListener("pointerdown", (event) => {
            if (event.button === 0)
                drag = {x: event.clientX, y: event.clientY, left: this.left,
                        top: scroller.scrollTop, moved: false};
        });
        addEventListener("pointerup", (event) => {
            const pressed = drag;
            drag = null;
            if (pressed && !pressed.moved && event.target === canvas)
                this.#click(event);
        });
        canvas.addEventListener("contextmenu", (event) => {
            const box = this.boxAt(event.offsetX, event.offsetY);
            if (!box?.isFrame)
                return;
            this.select(box, {show: false});
            this.events.asked(box.key, event);
        });
        canvas.addEventListener("wheel", (event) => this.#wheel(event), {passive: false});
        canvas.addEventListener("keydown", (event) => this.#key(event));
    }

    #drag(drag, event) {
        const x = event.clientX - drag.x, y = event.clientY - drag.y;
        if (!drag.moved && Math.hypot(x, y) < 4)
            return;
        if (!drag.moved)
            this.canvas.setPointerCapture(event.pointerId);
        drag.moved = true;
        this.events.hovered(null);
        this.scroller.scrollTop = drag.top - y;
        this.#move(drag.left - x * this.span / this.width, this.span);
    }

    #click(event) {
        const box = this.boxAt(event.offsetX, event.offsetY);
        if (!box)
            return;
        this.select(box, {show: false});
        this.#goTo(box);
    }

    /* In the middle of its callers and callees stands another function, else the zoom changes. */
    #goTo(box) {
        if (this.model.callers)
            this.events.centred(box.key);
        else
            this.zoom(box);
    }

    #wheel(event) {
        if (event.ctrlKey || event.metaKey) {
            event.preventDefault();
            const part = event.offsetX / this.width;
            const span = this.span * Math.exp(event.deltaY * 0.004);
            const bounded = Math.min(span, this.model.root.size);
            this.#move(this.left + part * (this.span - bounded), bounded);
        } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
            event.preventDefault();
            this.#move(this.left + event.deltaX * this.span / this.width, this.span);
        }
    }

    #key(event) {
        const action = {
            ArrowLeft: () => this.walk("left"),
            ArrowRight: () => this.walk("right"),
            ArrowUp: () => this.walk("up"),
            ArrowDown: () => this.walk("down"),
            Enter: () => this.selected && this.#goTo(this.selected),
            Backspace: () => this.focus.parent && this.zoom(this.focus.parent),
        }[event.key];
        if (!action || event.ctrlKey || event.metaKey || event.altKey)
            return;
        event.preventDefault();
        action();
    }
}
