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
        const keys = (box) => box.path().slice(1).map((each) => each.key);
        const sameView = this.shape === this.#shapeOfModel();
        this.focus = this.focus && sameView ? this.model.follow(keys(this.focus)) : this.model.root;
        this.selected = this.selected && sameView ? this.model.follow(keys(this.selected)) : null;
        this.shape = this.#shapeOfModel();
        this.hovered = null;
        this.colours = new Map();
        this.left = this.focus.x;
        this.span = this.focus.total;
        this.relayout();
    }

    #shapeOfModel() {
        const {by, inverted, column} = this.model.options;
        return `${by} ${inverted} ${column}`;
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
    print(onPaper) {
        this.onPaper = onPaper;
        if (!onPaper)
            return this.relayout();
        this.scroller.scrollTop = 0;
        this.width = PAPER.width;
        this.#collect();
        this.height = Math.min(this.rows.length * ROW + 8, PAPER.height);
        this.#drawAtOnce();
    }

    #collect() {
        this.rows = [];
        const scale = this.width / this.span;
        const right = this.left + this.span;
        const waiting = this.span > 0 ? [this.model.root] : [];
        while (waiting.length > 0) {
            const box = waiting.pop();
            (this.rows[box.depth] ??= []).push(box);
            const children = this.model.children(box);
            let wide = 0; /* widest first: what follows is smaller still */
            while (wide < children.length && children[wide].total * scale >= SMALLEST)
                wide++;
            while (wide-- > 0)
                if (children[wide].x < right && children[wide].x + children[wide].total > this.left)
                    waiting.push(children[wide]);
        }
    }

    draw() {
        if (!this.frameAsked && !this.onPaper)
            this.frameAsked = requestAnimationFrame(() => this.#drawNow());
    }

    #drawAtOnce() {
        cancelAnimationFrame(this.frameAsked);
        this.#drawNow();
    }

    #top(depth) {
        const height = Math.max(this.rows.length * ROW + 8, this.height);
        return (this.flame ? height - (depth + 1) * ROW - 4 : depth * ROW + 4) -
               this.scroller.scrollTop;
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
        for (let depth = 0; depth < this.rows.length; depth++) {
            const top = this.#top(depth);
            if (top > -ROW && top < height)
                for (const box of this.rows[depth] ?? [])
                    this.#drawBox(box, top, scale);
        }
        for (const box of [this.hovered, this.selected])
            if (box)
                this.#outline(box, scale, box === this.selected ? 2 : 1);
    }

    #drawBox(box, top, scale) {
        const {context} = this;
        const from = Math.max(0, (box.x - this.left) * scale);
        const to = Math.min(this.width, (box.x + box.total - this.left) * scale);
        const width = to - from;
        const {fill, ink} = this.#colour(box);
        context.fillStyle = fill;
        context.globalAlpha = box.depth < this.focus.depth ? 0.55 : 1;
        context.fillRect(from, top, Math.max(width - (width > 3 ? 1 : 0.2), 0.4), ROW - 1);
        context.globalAlpha = 1;
        if (width > 26) {
            context.fillStyle = ink;
            const name = this.#fit(this.label(box), width - 2 * TEXT_MARGIN);
            context.fillText(name, from + TEXT_MARGIN, top + ROW / 2);
        }
    }

    #outline(box, scale, thickness) {
        const from = Math.max(0, (box.x - this.left) * scale);
        const to = Math.min(this.width, (box.x + box.total - this.left) * scale);
        if (to <= from)
            return;
        this.context.strokeStyle = THEMES[this.theme].edge;
        this.context.lineWidth = thickness;
        const inset = thickness / 2;
        this.context.strokeRect(from + inset, this.#top(box.depth) + inset,
                                Math.max(to - from - 1 - thickness, 1), ROW - 1 - thickness);
    }

    label(box) {
        return box.parent ? this.model.grouping.name(box.key) : "all";
    }

    #colour(box) {
        const {model} = this;
        const theme = THEMES[this.theme];
        if (!box.parent)
            return {fill: theme.root, ink: theme.ink};
        if (model.matched && !model.matched[box.key])
            return {fill: theme.faint, ink: theme.faintInk};
        if (model.comparison && !model.matched)
            return {fill: changeColour(model.changeOf(box), this.theme), ink: theme.ink};
        const id = model.matched ? -1 : box.key;
        if (!this.colours.has(id)) {
            const [hue, saturation, lightness] = model.matched ? theme.found
                : KINDS[model.grouping.kind(box.key)][this.theme];
            const file = model.matched ? "" : model.grouping.place(box.key).replace(/:\d+$/, "") ||
                                              model.grouping.module(box.key);
            const shift = hashText(file) - 0.5;
            const lift = model.matched ? 0 : hashText(model.grouping.name(box.key)) - 0.5;
            this.colours.set(id, {ink: theme.ink, fill: `hsl(${(hue + 18 * shift).toFixed(0)} ${
                saturation}% ${(lightness + 5 * lift).toFixed(1)}%)`});
        }
        return this.colours.get(id);
    }

    #characterWidth(character) {
        if (!this.widths.has(character))
            this.widths.set(character, this.context.measureText(character).width);
        return this.widths.get(character);
    }

    /* As much of a text as fits. Sums cached character widths: measuring each name with the
     * canvas would take longer than drawing it. */
    #fit(text, room) {
        const roomWhenCut = room - this.#characterWidth("…");
        let width = 0, cut = 0, at = 0;
        for (const character of text) {
            width += this.#characterWidth(character);
            at += character.length;
            if (width <= roomWhenCut)
                cut = at;
            if (width > room)
                return cut > 1 ? text.slice(0, cut) + "…" : "";
        }
        return text;
    }

    boxAt(x, y) {
        const at = this.left + x * this.span / this.width;
        for (let depth = 0; depth < this.rows.length; depth++) {
            const top = this.#top(depth);
            if (y >= top && y < top + ROW)
                return this.rows[depth]?.find((box) => at >= box.x && at < box.x + box.total) ?? null;
        }
        return null;
    }

    /* Zooms so that the box fills the width. */
    zoom(box, animate = true) {
        this.focus = box;
        this.#glide(box.x, box.total, animate);
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
        const {total} = this.model.root;
        this.span = Math.min(Math.max(span, total / 1e7), total);
        this.left = Math.min(Math.max(left, 0), total - this.span);
        this.relayout();
    }

    /* Selects a box, brings it into sight, and tells. */
    select(box, {show = true} = {}) {
        this.selected = box;
        if (box && show) {
            const scale = this.width / this.span;
            const outside = box.x + box.total <= this.left || box.x >= this.left + this.span;
            if (outside || box.total * scale < 3 * SMALLEST)
                this.zoom(outside || !box.parent ? box.parent ?? box : this.#readable(box));
            const top = this.#top(box.depth);
            if (top < 0 || top + ROW > this.height)
                this.scroller.scrollTop += top - this.height / 2;
        }
        this.events.selected(box);
        this.draw();
    }

    /* The outermost ancestor under which the box is at least 2 % wide. */
    #readable(box) {
        return box.path().find((each) => box.total >= 0.02 * each.total) ?? box;
    }

    /* The matches in sight, in reading order. */
    matches() {
        const {matched} = this.model;
        return matched ? this.rows.flat().filter((box) => box.parent && matched[box.key]) : [];
    }

    /* Moves the selection: to the parent, the widest child, or a neighbour of the same row. */
    walk(direction) {
        const box = this.selected;
        if (!box)
            return this.select(this.focus);
        if (direction === "out")
            return box.parent && this.select(box.parent);
        if (direction === "in")
            return this.select(this.model.children(box)[0] ?? box);
        const row = (this.rows[box.depth] ?? []).slice().sort((a, b) => a.x - b.x);
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
        this.zoom(box);
    }

    #wheel(event) {
        if (event.ctrlKey || event.metaKey) {
            event.preventDefault();
            const part = event.offsetX / this.width;
            const span = this.span * Math.exp(event.deltaY * 0.004);
            const bounded = Math.min(span, this.model.root.total);
            this.#move(this.left + part * (this.span - bounded), bounded);
        } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
            event.preventDefault();
            this.#move(this.left + event.deltaX * this.span / this.width, this.span);
        }
    }

    #key(event) {
        const up = this.flame ? "in" : "out", down = this.flame ? "out" : "in";
        const action = {
            ArrowLeft: () => this.walk("left"),
            ArrowRight: () => this.walk("right"),
            ArrowUp: () => this.walk(up),
            ArrowDown: () => this.walk(down),
            Enter: () => this.selected && this.zoom(this.selected),
            Backspace: () => this.focus.parent && this.zoom(this.focus.parent),
        }[event.key];
        if (!action || event.ctrlKey || event.metaKey || event.altKey)
            return;
        event.preventDefault();
        action();
    }
}
