/* Wires the parts of the page together. */

const CRUMBS = 100;

const $ = (id) => document.getElementById(id);

class Page {
    constructor(profile) {
        this.model = new Model(profile);
        this.graph = new Graph($("canvas"), $("scroller"), $("spacer"), this.model, {
            hovered: (box, event) => this.#hover(box, event),
            selected: (box) => this.#selected(box),
            zoomed: () => this.#showCrumbs(),
        });
        this.table = new Table($("table-pane"), $("rows"), this.model,
                               {chosen: (key) => this.#chosen(key)});
        this.timeline = new Timeline($("timeline"), this.model, () => this.update({}));
        this.filters = new Filters($("filters"), $("chips"), this.model, this.timeline, () => this.update({}));
        this.#fillTools();
        this.#listen();
        this.#setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
        this.#showTable(innerWidth >= 1000);
        this.#showAll();
    }

    update(change) {
        this.model.update(change);
        this.graph.showModel();
        this.table.showModel();
        this.#showAll();
    }

    #showAll() {
        this.filters.show();
        this.timeline.show();
        this.#showSummary();
        this.#showLegend();
        this.#showCrumbs();
        this.#showMatches();
        this.#showStatus(this.graph.selected);
        $("name-heading").textContent =
            {function: "Function", line: "Line", file: "File", module: "Module"}[this.model.options.by];
    }

    /* --- the head of the page --- */

    #showSummary() {
        const {info} = this.model.profile;
        const {model} = this;
        const name = printable(info.service || "cprof", 80);
        document.title = `${name} – cprof`;
        $("title").textContent = name;
        const all = formatValue(model.total, model.unit);
        const parts = model.comparison ? this.#sides() : [model.total === model.everything ? all
            : `${all} of ${formatValue(model.everything, model.unit)} (${
                formatShare(model.total, model.everything)})`];
        const brush = model.profile.time?.chosen;
        const duration = brush ? (brush.to - brush.from) * 1e6 : info.duration;
        if (duration > 0 && !model.comparison)
            parts.push(`in ${formatValue(duration, "nanoseconds")}`);
        if (info.threads > 0 && !model.comparison)
            parts.push(`${NUMBER.format(info.threads)} thread${info.threads === 1 ? "" : "s"}`);
        if (info.time > 0 && !model.comparison)
            parts.push(new Date(info.time / 1e6).toLocaleString());
        $("summary").textContent = parts.join(" · ");
    }

    /* What is compared, and how all of it changed. */
    #sides() {
        const {model} = this;
        const {comparison} = model;
        const {base, new: now, perSecond, type} = model.profile.diff;
        const whole = comparison.judge(comparison.whole);
        const parts = [[base, now].map(({name}) => printable(name.split("/").pop(), 40)).join(" → ")];
        if (perSecond)
            parts.push(`${[whole.base, whole.now].map((side) => comparison.formatAmount(side, model.unit))
                .join(" → ")} (${comparison.formatShare(whole)})`);
        parts.push(`${type === "cpu" ? "CPU time" : printable(type, 40)} ${
            perSecond ? "per second of wall time" : "as a share of each side's total"}`);
        return parts;
    }

    #fillTools() {
        const {profile} = this.model;
        const names = profile.diff ? {__proto__: null, new: "Widths: new", base: "Widths: base"}
            : {__proto__: null, cpu: "CPU time", samples: "Samples", wall: "Wall time"};
        profile.values.forEach(({type, unit}, column) => {
            const option = new Option(names[type] ?? printable(`${type} (${unit})`, 60), column);
            option.selected = column === profile.defaultColumn;
            if (!profile.diff || type in names)
                $("column").append(option);
        });
        $("filter").hidden = !this.filters.available;
        document.documentElement.classList.toggle("comparison", Boolean(profile.diff));
        const style = document.documentElement.style;
        for (const [kind, {light, dark}] of Object.entries({...KINDS, ...CHANGES})) {
            const hsl = ([hue, saturation, lightness], deeper) =>
                `hsl(${hue} ${saturation}% ${lightness + deeper}%)`;
            style.setProperty(`--${kind}`, `light-dark(${hsl(light, -14)}, ${hsl(dark, 16)})`);
        }
    }

    /* Only the kinds of frames that are there. */
    #showLegend() {
        const {model} = this;
        const {grouping, comparison} = model;
        const kinds = new Set();
        for (let key = 0; key < grouping.count; key++)
            if (model.has(key))
                kinds.add(grouping.kind(key));
        const entries = Object.entries(comparison ? CHANGES : KINDS)
            .filter(([kind]) => comparison || kinds.has(kind));
        $("legend").replaceChildren(...entries.map(([kind, {label}]) => {
            const item = document.createElement("li");
            item.className = `kind ${kind}`;
            item.textContent = label;
            return item;
        }));
    }

    #setTheme(theme) {
        this.theme = theme;
        document.documentElement.style.colorScheme = theme;
        this.graph.setTheme(theme);
        this.timeline.setTheme(theme);
    }

    /* Paper is light. */
    #print(onPaper) {
        document.documentElement.style.colorScheme = onPaper ? "light" : this.theme;
        this.graph.theme = onPaper ? "light" : this.theme;
        this.graph.colours = new Map();
        this.graph.print(onPaper);
        this.table.print(onPaper);
    }

    #toggle(id, change) {
        const on = $(id).getAttribute("aria-pressed") !== "true";
        $(id).setAttribute("aria-pressed", String(on));
        change(on);
    }

    #showTable(visible) {
        $("table-toggle").setAttribute("aria-pressed", String(visible));
        document.body.classList.toggle("no-table", !visible);
    }

    #openFilters(visible) {
        $("filter").setAttribute("aria-expanded", String(visible));
        this.filters.open(visible);
    }

    /* --- search --- */

    #search(text) {
        this.model.search(text);
        this.graph.showModel();
        this.table.showModel();
        this.timeline.show();
        this.#showMatches();
    }

    #showMatches() {
        const {model} = this;
        const {matchedKeys} = model;
        $("matches").textContent = !model.matched ? ""
            : matchedKeys === 0 ? "no match"
            : `${NUMBER.format(matchedKeys)} · ${formatShare(model.matchedTotal, model.total)}`;
        $("matches").title = model.matched && matchedKeys > 0
            ? `Stacks with a match: ${formatValue(model.matchedTotal, model.unit)}` : "";
        $("previous").disabled = $("next").disabled = !model.matched || matchedKeys === 0;
    }

    /* Goes through the matches in sight; with none in sight, to the widest of the first row of
     * the table. */
    #step(direction) {
        const matches = this.graph.matches();
        if (matches.length === 0) {
            if (this.model.matched && this.table.keys.length > 0)
                this.#chosen(this.table.keys[0]);
            return;
        }
        const at = matches.indexOf(this.graph.selected);
        const next = at < 0 ? (direction > 0 ? 0 : matches.length - 1)
            : (at + direction + matches.length) % matches.length;
        this.graph.select(matches[next]);
    }

    /* --- the graph and the table point at each other --- */

    #selected(box) {
        this.table.select(box?.parent ? box.key : -1);
        this.#showStatus(box);
        $("announce").textContent = box ? this.#describe(box).join(", ") : "";
    }

    #chosen(key) {
        const box = this.model.reveal(key);
        if (box)
            this.graph.select(box);
        else
            this.table.select(key, {show: false});
        this.table.select(key, {show: false});
    }

    #describe(box) {
        const {model} = this;
        const text = [this.graph.label(box),
                      `total ${formatValue(box.total, model.unit)}`,
                      formatShare(box.total, model.total)];
        if (!model.options.inverted)
            text.push(`self ${formatValue(box.self, model.unit)}`);
        if (model.comparison) {
            const change = model.changeOf(box);
            text.push(`delta ${model.comparison.formatDelta(change, model.unit)}`,
                      CHANGES[change.direction].label);
        }
        return text;
    }

    #showStatus(box) {
        $("status").textContent = box ? this.#describe(box).join(" · ").slice(0, 400)
            : "Click a frame to zoom, ? for keys";
        $("copy").hidden = !box?.parent;
        const url = box?.parent ? this.model.grouping.sourceUrl(box.key) : null;
        $("source").hidden = !url;
        $("source").href = url ?? "#";
    }

    async #copyName() {
        const box = this.graph.selected;
        if (!box?.parent)
            return;
        try {
            await navigator.clipboard.writeText(this.model.grouping.fullName(box.key));
            $("status").textContent = "Copied";
        } catch {
            $("status").textContent = "The browser doesn't let this page copy";
        }
    }

    #showCrumbs() {
        const {graph} = this;
        const path = graph.focus.path();
        const left = Math.max(0, path.length - CRUMBS); /* of a very deep one, below the root */
        const shown = [path[0], ...path.slice(left + 1)];
        $("crumbs").replaceChildren(...shown.map((box, i) => {
            const crumb = document.createElement("button");
            crumb.type = "button";
            crumb.textContent = (i === 1 && left > 0 ? "… " : "") + graph.label(box).slice(0, 80);
            if (box === graph.focus)
                crumb.setAttribute("aria-current", "true");
            crumb.addEventListener("click", () => graph.zoom(box));
            return crumb;
        }));
        $("crumbs").hidden = path.length < 2;
        $("crumbs").scrollLeft = $("crumbs").scrollWidth;
    }

    /* --- the tooltip --- */

    #hover(box, event) {
        const tip = $("tip");
        tip.hidden = !box;
        if (!box)
            return;
        if (this.tipBox !== box)
            tip.replaceChildren(...this.#tipContent(box));
        this.tipBox = box;
        const {width, height} = tip.getBoundingClientRect();
        const x = event.clientX + 14, y = event.clientY + 18;
        tip.style.left = `${Math.max(4, Math.min(x, innerWidth - width - 8))}px`;
        tip.style.top = `${y + height > innerHeight - 8 ? event.clientY - height - 10 : y}px`;
    }

    #tipContent(box) {
        const {model} = this;
        const {grouping, unit} = model;
        const heading = document.createElement("strong");
        heading.textContent = this.graph.label(box).slice(0, 500);
        const list = document.createElement("dl");
        const line = (name, text) => {
            if (!text)
                return;
            const term = document.createElement("dt");
            const value = document.createElement("dd");
            term.textContent = name;
            value.textContent = text;
            list.append(term, value);
        };
        const amount = (value) => `${formatValue(value, unit)} · ${formatShare(value, model.total)}`;
        if (model.comparison)
            this.#tipChange(model.changeOf(box), line);
        else
            line("total", amount(box.total));
        if (!model.comparison && !model.options.inverted)
            line("self", amount(box.self));
        if (!model.comparison && box.parent)
            line("everywhere", `${amount(model.totalOf[box.key])}, self ${amount(model.selfOf[box.key])}`);
        if (box.parent) {
            const place = grouping.place(box.key), module = grouping.module(box.key);
            line("at", place === module ? "" : place.slice(-300));
            line("module", module.slice(-300));
            line("kind", KINDS[grouping.kind(box.key)].label);
        }
        return [heading, list];
    }

    #tipChange(change, line) {
        const {comparison, unit} = this.model;
        line("base", comparison.formatAmount(change.base, unit));
        line("new", comparison.formatAmount(change.now, unit));
        line("delta", [comparison.formatDelta(change, unit), comparison.formatShare(change)]
            .filter(Boolean).join(" · "));
        line("confidence", formatConfidence(change));
    }

    /* --- events --- */

    #listen() {
        const {graph} = this;
        const pressed = (id, change) => $(id).addEventListener("click", () => this.#toggle(id, change));
        pressed("flame", (on) => graph.setFlame(on));
        pressed("inverted", (inverted) => this.update({inverted}));
        pressed("hide-native", (hideNative) => this.update({hideNative}));
        pressed("collapse", (collapse) => this.update({collapse}));
        pressed("table-toggle", (on) => this.#showTable(on));
        $("column").addEventListener("change", () => this.update({column: Number($("column").value)}));
        $("grouping").addEventListener("change", () => this.update({by: $("grouping").value}));
        $("filter").addEventListener("click", () => this.#openFilters($("filters").hidden));
        $("theme").addEventListener("click", () => this.#setTheme(this.theme === "dark" ? "light" : "dark"));
        $("copy").addEventListener("click", () => this.#copyName());
        $("help-open").addEventListener("click", () => $("help").showModal());
        $("search").addEventListener("input", () => this.#search($("search").value));
        $("search").addEventListener("keydown", (event) => {
            if (event.key === "Enter")
                this.#step(event.shiftKey ? -1 : 1);
        });
        $("previous").addEventListener("click", () => this.#step(-1));
        $("next").addEventListener("click", () => this.#step(1));
        addEventListener("keydown", (event) => this.#key(event));
        addEventListener("beforeprint", () => this.#print(true));
        addEventListener("afterprint", () => this.#print(false));
        this.#listenToSplitter();
    }

    #key(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || $("help").open)
            return;
        if (event.key === "Escape")
            return this.#escape();
        if (event.target.matches("input, select"))
            return;
        const action = {
            "/": () => $("search").focus(),
            n: () => this.#step(1),
            N: () => this.#step(-1),
            u: () => $("flame").click(),
            d: () => $("theme").click(),
            i: () => $("inverted").click(),
            h: () => $("hide-native").click(),
            r: () => $("collapse").click(),
            f: () => this.filters.available && $("filter").click(),
            t: () => $("table-toggle").click(),
            c: () => this.#copyName(),
            s: () => $("source").hidden || $("source").click(),
            "?": () => $("help").showModal(),
        }[event.key];
        if (!action)
            return;
        event.preventDefault();
        action();
    }

    /* Undoes one thing: the open panel, the brush that is being moved, the search, the zoom. */
    #escape() {
        if (!$("filters").hidden) {
            this.#openFilters(false);
        } else if (document.activeElement === $("timeline") && this.timeline.range) {
            this.timeline.clear();
        } else if ($("search").value) {
            $("search").value = "";
            this.#search("");
        } else {
            this.graph.select(null);
            this.graph.zoom(this.model.root);
        }
    }

    #listenToSplitter() {
        const splitter = $("splitter");
        const set = (width) => {
            const bounded = Math.min(Math.max(width, 220), innerWidth - 240);
            document.documentElement.style.setProperty("--table", `${bounded}px`);
            splitter.setAttribute("aria-valuenow", String(Math.round(100 * bounded / innerWidth)));
        };
        splitter.addEventListener("pointerdown", (event) => splitter.setPointerCapture(event.pointerId));
        splitter.addEventListener("pointermove", (event) => {
            if (splitter.hasPointerCapture(event.pointerId))
                set(innerWidth - event.clientX);
        });
        splitter.addEventListener("keydown", (event) => {
            const step = {ArrowLeft: 24, ArrowRight: -24}[event.key];
            if (step)
                set($("table-pane").offsetWidth + step);
        });
    }
}

loadProfile($("profile")).then((profile) => {
    window.page = new Page(profile);
    requestAnimationFrame(() => {
        performance.mark("profile shown");
        document.body.dataset.ready = "true";
    });
}, (error) => {
    $("summary").textContent = `This page could not read its profile: ${error.message}`;
});
