/*
 * A function's source with what each line took: of the lines that the page's maker had at hand.
 * What a line took itself, and with all that it called, is as in the table by line.
 */

const GAP = 0; /* the number of a line that stands for those left out */

class Listing {
    constructor(dialog, model) {
        Object.assign(this, {dialog, model});
        this.heading = dialog.querySelector("h2");
        this.place = dialog.querySelector("p");
        this.body = dialog.querySelector("tbody");
    }

    /* Whether there is anything to show. */
    has(key) {
        const {profile, grouping, options} = this.model;
        return options.by !== "module" && profile.lines.has(profile.functions.file[grouping.functionOf(key)]);
    }

    open(key) {
        const {model} = this, {grouping, profile, options} = model;
        const fn = grouping.functionOf(key), file = profile.functions.file[fn];
        const totals = this.#totals(fn, options.by === "file" ? file : null);
        this.heading.textContent = grouping.name(key);
        this.place.textContent = printable(profile.strings[file]);
        const texts = profile.lines.get(file);
        const most = Math.max(...[...totals.values()].map(({total}) => Math.abs(total)), 0);
        const start = options.by === "file" ? 0 : profile.functions.line[fn];
        this.body.replaceChildren(...this.#lines(texts, totals, start).map((line) =>
            line === GAP ? this.#gap() : this.#row(line, texts.get(line), totals.get(line), most)));
        this.dialog.showModal();
        this.body.querySelector("[data-hot]")?.scrollIntoView({block: "center"});
    }

    /* line → {self, total}, of a function, or of all in a file. */
    #totals(fn, file) {
        const {model} = this, {profile: {functions, frames}} = model;
        const {grouping, selfOf, totalOf} = model.lineTotals();
        const totals = new Map();
        for (let key = 0; key < grouping.count; key++) {
            const frame = grouping.example[key], own = frames.function[frame], line = frames.line[frame];
            if ((file === null ? own !== fn : functions.file[own] !== file) || line <= 0)
                continue;
            const sum = totals.get(line) ?? {self: 0, total: 0};
            totals.set(line, {self: sum.self + selfOf[key], total: sum.total + totalOf[key]});
        }
        return totals;
    }

    /* The function from its first line on; of a file, what is around lines that took something. As
     * far as it is known, with gaps between. */
    #lines(texts, totals, start) {
        const taken = [...totals.keys()].sort((a, b) => a - b);
        const near = new Set(taken.flatMap((line) => Array.from({length: 9}, (_, i) => line - 4 + i)));
        const first = start > 0 && start <= taken[0] ? start : taken[0] - 4, last = taken.at(-1);
        const known = [...texts.keys()].sort((a, b) => a - b)
            .filter((line) => line >= first && (near.has(line) || (start > 0 && line < last)));
        return known.flatMap((line, i) => i > 0 && line > known[i - 1] + 1 ? [GAP, line] : [line]);
    }

    #row(line, text, taken, most) {
        const row = document.createElement("tr");
        const {unit} = this.model;
        for (const value of [taken?.self, taken?.total]) {
            const cell = row.insertCell();
            cell.className = "amount";
            cell.textContent = value ? formatValue(value, unit) : "";
        }
        const number = row.insertCell(), code = row.insertCell();
        number.className = "number";
        number.textContent = line;
        code.className = "code";
        code.textContent = printable(text.replaceAll("\t", "    "));
        if (taken && most > 0) {
            row.style.setProperty("--heat", (Math.abs(taken.total) / most).toFixed(3));
            if (Math.abs(taken.total) === most)
                row.dataset.hot = "true";
        }
        return row;
    }

    #gap() {
        const row = document.createElement("tr"), cell = row.insertCell();
        cell.colSpan = 4;
        cell.className = "gap-line";
        cell.textContent = "⋯";
        return row;
    }
}
