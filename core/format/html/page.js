/* Wires the parts of the page together. */

const CRUMBS = 100;
const LEGEND = 6; /* packages in it, each of so many characters: */
const PACKAGE = 24;

/* Of the values that cprof itself has (core/profile/measures.c); others go by their type. */
const VALUE_TITLES = {
    __proto__: null, cpu: "CPU time", samples: "Samples", wall: "Wall time", off_cpu: "Time off the CPU",
    alloc_space: "Memory allocated", alloc_objects: "Allocations", inuse_space: "Memory in use",
    inuse_objects: "Objects in use", contentions: "Waits for locks", delay: "Time waiting for locks",
    exceptions: "Exceptions", threads: "Threads",
};

const $ = (id) => document.getElementById(id);

class Page {
    constructor(profile) {
        this.model = new Model(profile);
        this.graph = new Graph($("canvas"), $("scroller"), $("spacer"), this.model, {
            hovered: (box, event) => this.#hover(box, event),
            selected: (box) => this.#selected(box),
            zoomed: (box) => {
                this.beside.zoomed(box);
                this.#showCrumbs();
                this.address.changed();
            },
            asked: (key, event) => this.#openMenu(key, event),
            centred: (key) => this.#centre(key),
        });
        this.table = new Table($("table-pane"), $("rows"), this.model, {
            chosen: (key) => this.#chosen(key),
            sorted: () => this.address.changed(),
            asked: (key, event) => this.#openMenu(key, event),
        });
        const update = (change) => this.update(change);
        this.beside = new Beside({pane: $("graph-pane"), canvas: $("beside-canvas"), scroller: $("beside-scroller"),
                                  spacer: $("beside-spacer")}, this, {
            hovered: (box, event) => this.#hover(box, event),
            selected: (box) => this.#selected(box),
            asked: (key, event) => this.#openMenu(key, event),
            centred: (key) => this.#centre(key),
        });
        this.timeline = new Timeline($("timeline"), this.model, update);
        this.heat = new HeatMap($("heat"), this.model, this.timeline);
        this.filters = new Filters($("filters"), $("chips"), this.model, this.timeline, update);
        this.menu = new FrameMenu($("menu"), this.model, (rule, expression) => this.filters.ask(rule, expression),
                                  (key) => this.#frameActions(key));
        this.listing = new Listing($("listing"), this.model);
        this.address = new Address(() => describeView(this), (view) => this.#show(view));
        this.#fillTools();
        this.#listen();
        this.#setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
        this.#showTable(innerWidth >= 1000);
        this.#showAll();
        this.address.start();
    }

    update(change) {
        if ("column" in change)
            this.beside.open(false);
        this.model.update("by" in change ? {...change, centre: null} : change); /* keys become others */
        this.graph.showModel();
        this.beside.update();
        this.table.showModel();
        this.#showAll();
        this.address.changed();
    }

    /* Shows a view that came with the address. */
    #show(view) {
        const {model, graph, table} = this;
        model.update(takeView(view, model.profile));
        $("search").value = model.options.search;
        graph.setFlame(view.get("flame") === "1");
        this.beside.open(model.comparison !== null && view.get("beside") === "1");
        if (this.beside.isOpen)
            model.update({column: BASE});
        graph.showModel();
        this.beside.update();
        graph.zoom(zoomOfView(view, model), false);
        const sort = view.get("sort");
        table.sortBy(table.columns.includes(sort) ? sort : table.usualSort);
        this.#showAll();
    }

    #showBeside(visible) {
        this.update({column: visible ? BASE : this.model.profile.defaultColumn});
        if (!visible)
            return;
        this.beside.open(true);
        this.beside.update();
        this.graph.relayout();
        this.#showAll();
    }

    /* The controls as the options are. */
    #showTools() {
        const {options} = this.model;
        const on = {flame: this.graph.flame, inverted: options.inverted, "hide-native": options.hideNative,
                    "all-native": options.allNative, collapse: options.collapse, ordered: options.ordered, beside: this.beside.isOpen};
        for (const [id, pressed] of Object.entries(on))
            $(id).setAttribute("aria-pressed", String(pressed));
        $("column").value = options.column;
        $("grouping").value = options.by;
    }

    #showAll() {
        this.#showTools();
        this.filters.show();
        this.timeline.show();
        this.heat.show();
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
        const name = printable(info.service || info.name ||
            (info.services > 1 ? `${info.services} services` : "cprof"), 80);
        document.title = name === "cprof" ? name : `${name} – cprof`;
        $("title").textContent = name;
        const all = formatValue(model.total, model.unit);
        const parts = model.comparison ? this.#sides() : [model.total === model.everything ? all
            : `${all} of ${formatValue(model.everything, model.unit)} (${
                formatShare(model.total, model.everything)})`];
        const brush = model.profile.time?.chosen;
        const duration = brush ? (brush.to - brush.from) * 1e6 : info.duration;
        if (brush && model.isLevel)
            parts.push(`at ${clock(brush.to, model.profile.time)}`);
        else if (duration > 0 && !model.comparison)
            parts.push(`in ${formatDuration(duration)}`);
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
        const {base, new: now, normalized, type} = model.profile.diff;
        const whole = comparison.judge(comparison.whole);
        const parts = [[base, now].map(({name}) => printable(name.split("/").pop(), 40)).join(" → ")];
        if (normalized !== "total")
            parts.push(`${[whole.base, whole.now].map((side) => comparison.formatAmount(side, model.unit))
                .join(" → ")} (${comparison.formatShare(whole)})`);
        parts.push(`${type === "cpu" ? "CPU time" : printable(type, 40)} ${
            {second: "per second of wall time", total: "as a share of each side's total",
             none: "as it stands"}[normalized]}`);
        return parts;
    }

    #fillTools() {
        const {profile} = this.model;
        const names = profile.diff ? {__proto__: null, both: "Widths: both", new: "Widths: new", base: "Widths: base"}
            : VALUE_TITLES;
        profile.values.forEach(({type, unit}, column) => {
            const option = new Option(names[type] ?? printable(`${type} (${unit})`, 60), column);
            option.selected = column === profile.defaultColumn;
            if (!profile.diff || type in names)
                $("column").append(option);
        });
        $("beside").hidden = !profile.diff;
        $("heat-toggle").hidden = !this.heat.available;
        $("all-native").hidden = !profile.hasHelpers;
        $("ordered").hidden = !profile.moments;
        $("all-native").setAttribute("aria-pressed", String(profile.allNative));
        document.documentElement.classList.toggle("comparison", Boolean(profile.diff));
        const style = document.documentElement.style;
        for (const [kind, {light, dark}] of Object.entries({...KINDS, ...CHANGES})) {
            const hsl = ([hue, saturation, lightness], deeper) =>
                `hsl(${hue} ${saturation}% ${lightness + deeper}%)`;
            style.setProperty(`--${kind}`, `light-dark(${hsl(light, -14)}, ${hsl(dark, 16)})`);
        }
    }

    /* Only the kinds of frames that are there; of one kind, the packages with the most. */
    #showLegend() {
        const {model} = this;
        const {comparison, kinds} = model;
        const entries = Object.entries(comparison ? CHANGES : KINDS)
            .filter(([kind]) => comparison || kinds.has(kind));
        const packages = !comparison && kinds.size === 1 ? model.packages(LEGEND) : [];
        const item = (className, text) => {
            const made = document.createElement("li");
            made.className = className;
            made.textContent = text;
            return made;
        };
        $("legend").replaceChildren(
            ...packages.length < 2 ? entries.map(([kind, {label}]) => item(`kind ${kind}`, label)) : packages.map((name) => {
                const whole = name.replace(/[./:]+$/, "");
                const end = whole.length > PACKAGE ? `…${whole.slice(1 - PACKAGE)}` : whole;
                const made = item("kind package", printable(end) || "other");
                made.title = printable(whole);
                made.style.setProperty("--hue", model.packageHue(name));
                return made;
            }));
    }

    #setTheme(theme) {
        this.theme = theme;
        document.documentElement.style.colorScheme = theme;
        this.graph.setTheme(theme);
        this.timeline.setTheme(theme);
        this.heat.setTheme(theme);
        this.beside.setTheme(theme);
    }

    /* Paper is light. */
    #print(onPaper) {
        document.documentElement.style.colorScheme = onPaper ? "light" : this.theme;
        this.graph.theme = onPaper ? "light" : this.theme;
        this.graph.colours = new Map();
        this.graph.print(onPaper);
        if (this.beside.isOpen)
            this.beside.graph.print(onPaper);
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

    async #save(kind) {
        const {graph, table, model} = this;
        const content = kind === "csv" ? tableAsCsv(table, model)
            : kind === "svg" ? graphAsSvg(graph, (box) => this.#describe(box).join(" · "))
            : await graphAsPng(graph);
        saveFile(content, `${$("title").textContent}.${kind}`);
    }

    /* --- search --- */

    #search(text) {
        this.model.search(text);
        this.graph.showModel();
        this.beside.update();
        this.table.showModel();
        this.timeline.show();
        this.heat.show();
        this.#showMatches();
        this.address.changed();
    }

    #showMatches() {
        const {model} = this;
        const {matchedKeys} = model;
        $("matches").textContent = !model.matched ? ""
            : matchedKeys === 0 ? "no match"
            : `${NUMBER.format(matchedKeys)} · ${formatShare(model.matchedSize, model.whole)}`;
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
        this.table.select(box?.isFrame ? box.key : -1);
        this.#showStatus(box);
        $("announce").textContent = box ? this.#describe(box).join(", ") : "";
    }

    #chosen(key) {
        if (this.model.callers)
            return this.#centre(key);
        const box = this.model.reveal(key);
        if (box)
            this.graph.select(box);
        else
            this.table.select(key, {show: false});
        this.table.select(key, {show: false});
    }

    /* Puts a function between its callers and what it calls. */
    #centre(key) {
        this.update({centre: key});
        this.graph.select(this.model.root, {show: false});
    }

    #describe(box) {
        const {model} = this;
        if (model.comparison)
            return this.#describeChange(box);
        const text = [this.graph.label(box), `total ${formatValue(box.total, model.unit)}`,
                      formatShare(box.total, model.whole)];
        if (!box.upward)
            text.push(`self ${formatValue(box.self, model.unit)}`);
        return text;
    }

    #describeChange(box) {
        const {model, model: {comparison}} = this;
        const change = model.changeOf(box);
        const amount = (value) => comparison.formatAmount(value, model.unit);
        return [this.graph.label(box), `base ${amount(change.base)}`, `new ${amount(change.now)}`,
                `delta ${comparison.formatDelta(change, model.unit)}`, CHANGES[change.direction].label];
    }

    #showStatus(box) {
        $("status").textContent = box ? this.#describe(box).join(" · ").slice(0, 400)
            : "Click a frame to zoom, ? for keys";
        $("copy").hidden = $("menu-open").hidden = !box?.isFrame;
        const url = box?.isFrame ? this.model.grouping.sourceUrl(box.key) : null;
        $("source").hidden = !url;
        $("source").href = url ?? "#";
    }

    #copyName() {
        const box = this.graph.selected;
        if (box?.isFrame)
            this.#copy(this.model.grouping.fullName(box.key));
    }

    async #copy(text) {
        try {
            await navigator.clipboard.writeText(text);
            $("status").textContent = "Copied";
        } catch {
            $("status").textContent = "The browser doesn't let this page copy";
        }
    }

    /* --- the menu of a frame --- */

    #openMenu(key, event) {
        event.preventDefault();
        this.#hover(null);
        this.menu.open(key, event.clientX, event.clientY);
    }

    #openMenuOfSelected() {
        const box = this.graph.selected;
        if (!box?.isFrame)
            return;
        const {x, y} = this.graph.place(box);
        this.menu.open(box.key, x, y);
    }

    /* What the menu has beside the rules. */
    #frameActions(key) {
        const {grouping} = this.model;
        const actions = [["Callers and callees", () => this.#centre(key)],
                         ["Copy name", () => this.#copy(grouping.fullName(key))]];
        const url = grouping.sourceUrl(key);
        if (this.listing.has(key))
            actions.push(["Source with its lines' cost", () => this.listing.open(key)]);
        if (url)
            actions.push(["Open source", () => open(url, "_blank", "noopener,noreferrer")]);
        return actions;
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
        $("crumbs").hidden = path.length < 2 || this.model.callers !== null;
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
        const amount = (value) => `${formatValue(value, unit)} · ${formatShare(value, model.whole)}`;
        if (model.comparison)
            this.#tipChange(model.changeOf(box), line);
        else
            line("total", amount(box.total));
        if (!model.comparison && !box.upward)
            line("self", amount(box.self));
        if (!model.comparison && box.isFrame)
            line("everywhere", `${amount(model.totalOf[box.key])}, self ${amount(model.selfOf[box.key])}`);
        if (box.isFrame) {
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
        pressed("flame", (on) => {
            graph.setFlame(on);
            this.beside.update();
            this.address.changed();
        });
        pressed("heat-toggle", (on) => this.heat.open(on));
        pressed("beside", (on) => this.#showBeside(on));
        pressed("inverted", (inverted) => this.update({inverted}));
        pressed("hide-native", (hideNative) => this.update({hideNative}));
        pressed("all-native", (allNative) => this.update({allNative}));
        pressed("collapse", (collapse) => this.update({collapse}));
        pressed("ordered", (ordered) => this.update({ordered}));
        pressed("table-toggle", (on) => this.#showTable(on));
        $("column").addEventListener("change", () => this.update({column: Number($("column").value)}));
        $("grouping").addEventListener("change", () => this.update({by: $("grouping").value}));
        $("filter").addEventListener("click", () => this.#openFilters($("filters").hidden));
        $("theme").addEventListener("click", () => this.#setTheme(this.theme === "dark" ? "light" : "dark"));
        $("menu-open").addEventListener("click", () => this.#openMenuOfSelected());
        $("copy").addEventListener("click", () => this.#copyName());
        $("save").addEventListener("change", () => {
            this.#save($("save").value);
            $("save").value = "";
        });
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
        if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || $("listing").open)
            return;
        if (event.key === "Escape")
            return this.#escape();
        if (event.target.matches("input, select"))
            return;
        const {graph} = this;
        const action = {
            "/": () => $("search").focus(),
            n: () => this.#step(1),
            N: () => this.#step(-1),
            u: () => $("flame").click(),
            d: () => $("theme").click(),
            i: () => $("inverted").click(),
            h: () => $("hide-native").click(),
            r: () => $("collapse").click(),
            o: () => $("ordered").hidden || $("ordered").click(),
            a: () => this.model.profile.hasHelpers && $("all-native").click(),
            f: () => $("filter").click(),
            m: () => this.#openMenuOfSelected(),
            p: () => graph.selected?.isFrame && this.#centre(graph.selected.key),
            t: () => $("table-toggle").click(),
            c: () => this.#copyName(),
            s: () => $("source").hidden || $("source").click(),
            l: () => graph.selected?.isFrame && this.listing.has(graph.selected.key) &&
                this.listing.open(graph.selected.key),
            e: () => this.heat.available && $("heat-toggle").click(),
            b: () => this.model.comparison && $("beside").click(),
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
        } else if (this.model.callers) {
            this.update({centre: null});
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
