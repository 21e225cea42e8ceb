/*
 * A heat map of the time: each cell is as long as an interval of the profile, each column some of
 * them, one below the other, so that what comes back every few seconds shows as a pattern. It
 * goes with the time strip: a click takes one cell, a drag all from one to the other.
 */

const HEAT = {least: 20, short: 10, long: 60, most: 600, cell: {10: 9, 60: 4}}; /* cells; CSS pixels */

class HeatMap {
    constructor(element, model, timeline) {
        Object.assign(this, {element, model, timeline, theme: "light"});
        this.canvas = element.querySelector("canvas");
        this.time = model.profile.time;
        if (!this.available)
            return;
        const lengths = this.time.order.map(({from, to}) => to - from).sort((a, b) => a - b);
        this.step = lengths[lengths.length >> 1]; /* ms of a cell */
        this.cells = Math.min(Math.ceil((this.time.to - this.time.from) / this.step), 100_000);
        this.rows = this.cells <= HEAT.most ? HEAT.short : HEAT.long;
        element.style.height = `${this.rows * HEAT.cell[this.rows]}px`;
        this.#listen();
        new ResizeObserver(() => this.draw()).observe(element);
    }

    get available() {
        return (this.time?.order.length ?? 0) >= HEAT.least;
    }

    open(visible) {
        this.element.hidden = !visible;
        this.show();
    }

    setTheme(theme) {
        this.theme = theme;
        this.draw();
    }

    /* Called after the time strip, which has the totals. */
    show() {
        if (!this.available || this.element.hidden)
            return;
        const {time, step, model} = this, {all, matched} = this.timeline.totals;
        const amounts = model.matched ? matched : all;
        this.amounts = new Float64Array(this.cells);
        time.intervals.forEach(({from, to}, i) => {
            for (let cell = this.#cellAt(from); cell < this.cells && time.from + cell * step < to; cell++) {
                const start = time.from + cell * step;
                const part = (Math.min(to, start + step) - Math.max(from, start)) / (model.isLevel ? step : to - from);
                this.amounts[cell] += amounts[i] * Math.max(part, 0);
            }
        });
        this.draw();
    }

    draw() {
        if (!this.amounts || this.element.hidden)
            return;
        const {canvas, element, rows, cells, amounts, time, step} = this, ratio = devicePixelRatio || 1;
        const {clientWidth: width, clientHeight: height} = element;
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        const context = canvas.getContext("2d");
        context.scale(ratio, ratio);
        const {strip, found: [hue, saturation, lightness]} = THEMES[this.theme];
        context.fillStyle = this.model.matched ? `hsl(${hue} ${saturation}% ${lightness - 8}%)` : strip;
        const wide = width / Math.ceil(cells / rows), high = height / rows;
        const most = amounts.reduce((a, b) => Math.max(a, b), 0) || 1;
        amounts.forEach((amount, cell) => {
            const start = time.from + (cell + 0.5) * step;
            const held = !time.chosen || (start >= time.chosen.from && start < time.chosen.to);
            context.globalAlpha = (0.06 + 0.94 * Math.max(amount, 0) / most) * (held ? 1 : 0.25);
            context.fillRect(Math.floor(cell / rows) * wide, (cell % rows) * high, Math.max(wide - 1, 0.7), high - 1);
        });
    }

    #cellAt(at) {
        return Math.max(0, Math.floor((at - this.time.from) / this.step + 1e-6));
    }

    #cellOf({offsetX, offsetY}) {
        const {element, rows, cells} = this;
        const column = Math.floor(offsetX / element.clientWidth * Math.ceil(cells / rows));
        const row = Math.min(Math.max(Math.floor(offsetY / element.clientHeight * rows), 0), rows - 1);
        return Math.min(Math.max(column * rows + row, 0), cells - 1);
    }

    #listen() {
        const {element, time} = this;
        let first = null;
        element.addEventListener("pointerdown", (event) => {
            if (event.button !== 0)
                return;
            element.setPointerCapture(event.pointerId);
            first = this.#cellOf(event);
        });
        element.addEventListener("pointerup", (event) => {
            if (first === null)
                return;
            const cells = [first, this.#cellOf(event)];
            first = null;
            const [from, to] = [Math.min(...cells), Math.max(...cells) + 1].map((cell) => time.from + cell * this.step);
            if (time.chosen?.from === from && time.chosen.to === to)
                this.timeline.clear();
            else
                this.timeline.brush(from, to);
        });
        element.addEventListener("pointermove", (event) => {
            const cell = this.#cellOf(event), from = time.from + cell * this.step;
            element.title = `${clock(from, time)}: ${formatValue(this.amounts[cell], this.model.unit)}`;
        });
    }
}
