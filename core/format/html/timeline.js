/* The time strip of a profile that was put together out of intervals: how much there was when,
 * a second, or how high a level was; and what the search matches of it. Dragging brushes a range, which the page then is about;
 * a brush takes whole intervals, those whose middle it covers. */

const STRIP = {height: 46, foot: 15, edge: 6}; /* CSS pixels */

class Timeline {
    constructor(strip, model, changed) {
        Object.assign(this, {strip, model, changed});
        this.canvas = strip.querySelector("canvas");
        this.theme = "light";
        this.time = model.profile.time;
        strip.hidden = !this.time;
        if (!this.time)
            return;
        this.#listen();
        new ResizeObserver(() => this.draw()).observe(strip);
    }

    setTheme(theme) {
        this.theme = theme;
        this.draw();
    }

    /* What the brush holds, as text; "" without one. */
    get range() {
        const {time} = this;
        return time?.chosen ? `${clock(time.chosen.from, time)} – ${clock(time.chosen.to, time)}` : "";
    }

    /* Brushes from one time to another, or clears the brush. */
    brush(from, to) {
        const {time} = this;
        const held = time.intervals.filter((each) => middle(each) >= from && middle(each) < to);
        const chosen = held.length === 0 || held.length === time.intervals.length ? null : span(held);
        if (chosen?.from === time.chosen?.from && chosen?.to === time.chosen?.to)
            return;
        time.choose(chosen);
        this.changed({});
    }

    clear() {
        if (this.time?.chosen)
            this.brush(0, 0);
    }

    show() {
        if (!this.time)
            return;
        const {time, model, strip} = this;
        this.totals = model.intervalTotals();
        strip.setAttribute("aria-valuemin", time.from);
        strip.setAttribute("aria-valuemax", time.to);
        strip.setAttribute("aria-valuenow", time.chosen?.from ?? time.from);
        strip.setAttribute("aria-valuetext", this.range
            ? `${this.range}, ${formatValue(model.total, model.unit)}` : "the whole time");
        this.draw();
    }

    draw() {
        if (this.time && this.totals && !this.asked)
            this.asked = requestAnimationFrame(() => this.#drawNow());
    }

    #x(time) {
        return (time - this.time.from) / (this.time.to - this.time.from) * this.width;
    }

    #timeAt(x) {
        return this.time.from + Math.min(Math.max(x / this.width, 0), 1) * (this.time.to - this.time.from);
    }

    /* Amount per second, or the level, in each column of pixels. Intervals of several processes lie
     * over each other, and add up. */
    #rates(amounts) {
        const rates = new Float64Array(Math.max(1, Math.ceil(this.width)));
        this.time.intervals.forEach((each, i) => {
            const rate = this.model.isLevel ? amounts[i] : amounts[i] * 1000 / (each.to - each.from);
            const from = this.#x(each.from), to = this.#x(each.to);
            for (let x = Math.floor(from); x < Math.min(to, rates.length); x++)
                rates[x] += rate * (Math.min(to, x + 1) - Math.max(from, x));
        });
        return rates;
    }

    #drawNow() {
        this.asked = 0;
        const {canvas, strip} = this;
        const ratio = devicePixelRatio || 1;
        this.width = strip.clientWidth;
        canvas.width = Math.round(this.width * ratio);
        canvas.height = Math.round(STRIP.height * ratio);
        const context = canvas.getContext("2d");
        context.scale(ratio, ratio);
        this.#drawBars(context, STRIP.height - STRIP.foot);
        this.#drawBrush(context, STRIP.height - STRIP.foot);
        this.#drawTimes(context, STRIP.height - STRIP.foot);
    }

    #drawBars(context, board) {
        const {strip, board: gap, found: [hue, saturation, lightness]} = THEMES[this.theme];
        const all = this.#rates(this.totals.all);
        this.most = all.reduce((a, b) => Math.max(a, b), 0);
        const bars = (rates, fill) => {
            context.fillStyle = fill;
            rates.forEach((rate, x) => {
                const height = rate / this.most * (board - 3);
                if (rate > 0)
                    context.fillRect(x, board - height, 1.02, height);
            });
        };
        bars(all, strip);
        if (this.model.matched)
            bars(this.#rates(this.totals.matched), `hsl(${hue} ${saturation}% ${lightness - 8}%)`);
        context.fillStyle = gap; /* where one interval ends and the next begins */
        if (6 * this.time.order.length < this.width)
            for (const each of this.time.order)
                context.fillRect(this.#x(each.from), 0, 1, board);
    }

    #drawBrush(context, board) {
        const {veil, edge} = THEMES[this.theme];
        const {chosen} = this.time;
        if (!chosen)
            return;
        const [left, right] = [this.#x(chosen.from), this.#x(chosen.to)];
        context.fillStyle = veil;
        context.fillRect(0, 0, left, board);
        context.fillRect(right, 0, this.width - right, board);
        context.fillStyle = edge;
        context.fillRect(left, 0, 1, board);
        context.fillRect(right - 1, 0, 1, board);
    }

    #drawTimes(context, board) {
        const {time} = this;
        context.fillStyle = THEMES[this.theme].faintInk;
        context.fillRect(0, board, this.width, 0.5);
        context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
        context.textBaseline = "bottom";
        const step = tick((time.to - time.from) / Math.max(1, this.width / 110));
        let last = -Infinity;
        for (let at = Math.ceil(time.from / step) * step; at <= time.to; at += step) {
            const text = clock(at, time), x = this.#x(at), width = context.measureText(text).width;
            const from = Math.min(Math.max(x - width / 2, 2), this.width - width - 2);
            context.fillRect(x, board, 1, 3);
            if (from > last + 12)
                context.fillText(text, from, STRIP.height);
            last = from > last + 12 ? from + width : last;
        }
        this.#drawScale(context);
    }

    /* What the highest column stands for. CPU time per second is a number of processors. */
    #drawScale(context) {
        const {model, most} = this;
        const {type, unit} = model.profile.values[model.options.column];
        const processors = most * (UNITS.get(unit.toLowerCase())?.factor ?? NaN) / 1e9;
        const text = type === "cpu" && processors >= 0 ? `${processors.toFixed(processors < 10 ? 2 : 1)} CPUs`
            : `${formatValue(most, model.unit)}${model.isLevel ? "" : "/s"}`;
        context.textBaseline = "top";
        context.fillStyle = THEMES[this.theme].veil;
        context.fillRect(0, 0, context.measureText(text).width + 8, 15);
        context.fillStyle = THEMES[this.theme].ink;
        context.fillText(text, 4, 2);
    }

    #listen() {
        const {strip} = this;
        let drag = null;
        strip.addEventListener("pointerdown", (event) => {
            if (event.button !== 0)
                return;
            strip.setPointerCapture(event.pointerId);
            drag = this.#grip(event.offsetX);
        });
        strip.addEventListener("pointermove", (event) => {
            strip.style.cursor = ["ew-resize", "grab"][["end", "whole"].indexOf((drag ?? this.#grip(event.offsetX)).kind)] ??
                "crosshair";
            if (drag)
                this.#pull(drag, event.offsetX);
        });
        strip.addEventListener("pointerup", (event) => {
            if (drag && !drag.moved)
                this.#click(event.offsetX);
            drag = null;
        });
        strip.addEventListener("keydown", (event) => this.#key(event));
    }

    /* What a press takes hold of: one end of the brush, the brush, or nothing yet. */
    #grip(x) {
        const {chosen} = this.time;
        if (!chosen)
            return {kind: "new", fixed: this.#timeAt(x), x};
        const [left, right] = [this.#x(chosen.from), this.#x(chosen.to)];
        if (Math.abs(x - left) <= STRIP.edge)
            return {kind: "end", fixed: chosen.to, x};
        if (Math.abs(x - right) <= STRIP.edge)
            return {kind: "end", fixed: chosen.from, x};
        if (x > left && x < right)
            return {kind: "whole", from: chosen.from, to: chosen.to, x};
        return {kind: "new", fixed: this.#timeAt(x), x};
    }

    /* At most one change of the page a frame. */
    #pull(drag, x) {
        drag.moved ||= Math.abs(x - drag.x) > 3;
        drag.now = x;
        if (!drag.moved || drag.asked)
            return;
        drag.asked = requestAnimationFrame(() => {
            drag.asked = 0;
            const at = this.#timeAt(drag.now);
            if (drag.kind !== "whole")
                return this.brush(Math.min(drag.fixed, at), Math.max(drag.fixed, at));
            const {time} = this;
            const shift = Math.min(Math.max(at - this.#timeAt(drag.x), time.from - drag.from), time.to - drag.to);
            this.brush(drag.from + shift, drag.to + shift);
        });
    }

    /* A click takes the one interval there; inside the brush or beside everything, none. */
    #click(x) {
        const at = this.#timeAt(x), {time} = this;
        const inside = time.chosen && at >= time.chosen.from && at < time.chosen.to;
        const hit = time.intervals.find((each) => at >= each.from && at < each.to);
        if (inside || !hit)
            this.clear();
        else
            this.brush(hit.from, hit.to);
    }

    /* Left and right move the brush by an interval, with Shift its end. */
    #key(event) {
        const {time} = this;
        const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (event.ctrlKey || event.metaKey || event.altKey || !step)
            return;
        event.preventDefault();
        const {order} = time;
        if (!time.chosen) {
            const first = order.at(step > 0 ? 0 : -1);
            return this.brush(first.from, first.to);
        }
        const held = order.filter((each) => time.holds(each));
        const at = (each) => order.indexOf(each);
        const first = at(held[0]) + (event.shiftKey ? 0 : step), last = at(held.at(-1)) + step;
        if (first >= 0 && last < order.length && last >= first)
            this.brush(middle(order[first]), middle(order[last]) + 1e-3);
    }
}

/* The widest steps of a clock that are at least that many ms. */
function tick(least) {
    const second = 1000, minute = 60 * second, hour = 60 * minute;
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, second, 2 * second, 5 * second, 10 * second, 15 * second,
                   30 * second, minute, 2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute, hour,
                   2 * hour, 3 * hour, 6 * hour, 12 * hour, 24 * hour];
    return steps.find((step) => step >= least) ?? Math.ceil(least / (24 * hour)) * 24 * hour;
}

/* The time of day, with as much beside it as a strip of that length needs. */
function clock(time, {from, to}) {
    const date = new Date(time), span = to - from;
    const two = (number) => String(number).padStart(2, "0");
    const day = span > 20 * 3600e3 ? `${date.getMonth() + 1}/${date.getDate()} ` : "";
    const seconds = span < 2 * 3600e3 ? `:${two(date.getSeconds())}` : "";
    const fraction = span < 20e3 && time % 1000 ? `.${Math.floor(time % 1000 / 100)}` : "";
    return `${day}${two(date.getHours())}:${two(date.getMinutes())}${seconds}${fraction}`;
}
