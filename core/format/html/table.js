/* The table beside the graph: every function with its own and its cumulative value. Only the
 * rows in sight exist; a spacer row above and below stands for the others. */

const COLLATOR = new Intl.Collator(); /* many times as fast as localeCompare() */
const LINE = 26; /* CSS pixels of a row, as in the style sheet */

class Table {
    constructor(pane, body, model, events) {
        Object.assign(this, {pane, body, model, events});
        if (model.comparison) /* both sides' self in place of self and total */
            for (const [column, side, text] of [["self", "base", "Base"], ["total", "new", "New"]])
                this.#rename(pane.querySelector(`[data-sort=${column}]`), side, text);
        this.sort = this.usualSort = model.comparison ? "change" : "self";
        this.selectedKey = -1;
        pane.addEventListener("scroll", () => this.#fill(), {passive: true});
        new ResizeObserver(() => this.#fill()).observe(pane);
        this.columns = [...pane.querySelectorAll("[data-sort]")].map((button) => button.dataset.sort)
            .filter((column) => column !== "change" || model.comparison);
        for (const button of pane.querySelectorAll("[data-sort]"))
            button.addEventListener("click", () => {
                this.sortBy(button.dataset.sort);
                events.sorted();
            });
        body.addEventListener("click", (event) => this.#click(event));
        body.addEventListener("keydown", (event) => this.#key(event));
        body.addEventListener("contextmenu", (event) => {
            const row = event.target.closest("tr[data-key]");
            if (row)
                events.asked(Number(row.dataset.key), event);
        });
        pane.querySelector("#change-heading").hidden = !model.comparison;
        this.sortBy(this.sort);
    }

    #rename(button, column, text) {
        button.dataset.sort = column;
        button.textContent = text;
        button.title = `Self in ${column}`;
    }

    sortBy(column) {
        this.sort = column;
        for (const button of this.pane.querySelectorAll("[data-sort]")) {
            const heading = button.closest("th");
            if (button.dataset.sort !== column)
                heading.removeAttribute("aria-sort");
            else
                heading.setAttribute("aria-sort", column === "name" ? "ascending" : "descending");
        }
        this.showModel();
    }

    showModel() {
        const {model} = this;
        const {matched, selfOf, totalOf, grouping} = model;
        const weight = (key) => {
            const {delta, confidence} = model.changeOfKey(key);
            return Math.abs(delta) * confidence;
        };
        this.keys = [];
        for (let key = 0; key < grouping.count; key++)
            if (model.has(key) && (!matched || matched[key]))
                this.keys.push(key);
        const larger = (amounts, a, b) => Math.abs(amounts[b]) - Math.abs(amounts[a]) || amounts[b] - amounts[a];
        const byName = (a, b) => COLLATOR.compare(grouping.name(a), grouping.name(b));
        const order = {
            self: (a, b) => larger(selfOf, a, b) || larger(totalOf, a, b),
            total: (a, b) => larger(totalOf, a, b) || larger(selfOf, a, b),
            base: (a, b) => model.changeOfKey(b).base - model.changeOfKey(a).base,
            new: (a, b) => model.changeOfKey(b).now - model.changeOfKey(a).now,
            change: (a, b) => weight(b) - weight(a) || larger(totalOf, a, b),
            name: byName,
        }[this.sort];
        this.keys.sort((a, b) => order(a, b) || a - b);
        this.#fill();
    }

    /* Marks the row of a key and scrolls to it. */
    select(key, {show = true} = {}) {
        this.selectedKey = key;
        const index = this.keys.indexOf(key);
        if (show && index >= 0) {
            const top = index * LINE, height = this.pane.clientHeight - LINE;
            if (top < this.pane.scrollTop || top + LINE > this.pane.scrollTop + height)
                this.pane.scrollTop = Math.max(0, top - height / 2);
        }
        this.#fill();
    }

    /* On paper stand the first rows, whatever is in sight. */
    print(onPaper) {
        this.onPaper = onPaper;
        this.#fill();
    }

    #fill() {
        const {onPaper, pane} = this;
        const first = onPaper ? 0 : Math.max(0, Math.floor(pane.scrollTop / LINE) - 4);
        const last = Math.min(this.keys.length, onPaper ? PAPER.rows
            : first + Math.ceil(pane.clientHeight / LINE) + 8);
        const focused = document.activeElement?.closest?.("tr")?.dataset.key;
        const rows = [this.#gap(first)];
        for (let i = first; i < last; i++)
            rows.push(this.#row(this.keys[i]));
        rows.push(this.#gap(onPaper ? 0 : this.keys.length - last));
        this.body.replaceChildren(...rows);
        if (focused !== undefined && this.body.parentNode)
            this.body.querySelector(`tr[data-key="${focused}"]`)?.focus({preventScroll: true});
    }

    #gap(rows) {
        const gap = document.createElement("tr");
        gap.className = "spacer";
        gap.style.height = `${rows * LINE}px`;
        gap.setAttribute("aria-hidden", "true");
        return gap;
    }

    #row(key) {
        const {model} = this;
        const {grouping} = model;
        const row = document.createElement("tr");
        row.dataset.key = key;
        row.tabIndex = 0;
        row.setAttribute("aria-selected", String(key === this.selectedKey));
        if (model.comparison)
            row.append(this.#side(key, "base", BASE), this.#side(key, "now", NEW), this.#change(key));
        else
            row.append(this.#amount(model.selfOf[key]), this.#amount(model.totalOf[key]));
        row.append(this.#name(key));
        row.title = [grouping.name(key), grouping.place(key)].filter(Boolean).join("\n").slice(0, 600);
        return row;
    }

    #amount(value) {
        const {model} = this;
        const cell = document.createElement("td");
        cell.className = "amount";
        const share = document.createElement("span");
        share.className = "share";
        share.textContent = formatShare(value, model.whole);
        cell.append(formatValue(value, model.unit), share);
        cell.style.setProperty("--part", model.whole > 0 ? Math.abs(value) / model.whole : 0);
        return cell;
    }

    #side(key, side, column) {
        const {model} = this, {comparison} = model;
        const value = model.changeOfKey(key)[side];
        const whole = comparison.whole[column] * comparison.scale[column];
        const cell = document.createElement("td");
        cell.className = "amount";
        cell.textContent = comparison.formatAmount(value, model.unit);
        cell.style.setProperty("--part", whole > 0 ? Math.abs(value) / whole : 0);
        return cell;
    }

    #change(key) {
        const {model} = this;
        const change = model.changeOfKey(key);
        const cell = document.createElement("td");
        cell.className = `change ${change.direction}`;
        const share = document.createElement("span");
        share.className = "share";
        share.textContent = model.comparison.formatShare(change);
        cell.append(model.comparison.formatDelta(change, model.unit), share);
        cell.title = `confidence ${formatConfidence(change)}`;
        return cell;
    }

    #name(key) {
        const {grouping} = this.model;
        const cell = document.createElement("td");
        cell.className = "name";
        const name = document.createElement("span");
        name.className = `kind ${grouping.kind(key)}`;
        if (this.model.kinds.size === 1 && !this.model.comparison) { /* as in the graph */
            name.classList.add("package");
            name.style.setProperty("--hue", this.model.packageHue(grouping.package(key)));
        }
        const place = document.createElement("small");
        place.textContent = shortPlace(grouping.place(key));
        /* Code without symbols is "module+0x123": what tells it apart is to be seen in a narrow
         * column. */
        const text = grouping.name(key);
        const nameless = place.textContent && text.startsWith(`${place.textContent}+0x`);
        name.append(...this.#parts(text.slice(nameless ? place.textContent.length : 0).slice(0, 300)));
        const line = document.createElement("div");
        line.className = "line";
        line.append(name, place);
        cell.append(line);
        return cell;
    }

    /* Where there is no room for all, its packages go first. */
    #parts(text) {
        const length = prefixLength(text, this.model.options.by);
        const part = (className, tag, content) => {
            const made = document.createElement("span");
            made.className = className;
            made.appendChild(document.createElement(tag)).textContent = content;
            return made;
        };
        const rest = part("rest", "bdi", text.slice(length));
        return length > 0 ? [part("prefix", "bdi", text.slice(0, length)), rest] : [rest];
    }

    #click(event) {
        const row = event.target.closest("tr[data-key]");
        if (row)
            this.events.chosen(Number(row.dataset.key));
    }

    #key(event) {
        const row = event.target.closest("tr[data-key]");
        if (!row || event.ctrlKey || event.metaKey || event.altKey)
            return;
        const neighbour = {ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling};
        if (event.key === "Enter" || event.key === " ")
            this.events.chosen(Number(row.dataset.key));
        else if (neighbour[event.key]?.dataset.key)
            neighbour[event.key].focus();
        else
            return;
        event.preventDefault();
    }
}

/* The end of a path tells most: two parts of a source file's, one of a module's. The tooltip
 * has all of it. */
function shortPlace(place) {
    return place.split("/").slice(/:\d+$/.test(place) ? -2 : -1).join("/");
}
