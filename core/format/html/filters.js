/* The filter panel: a form for rules about frames, and the values of each facet with their live
 * totals under the other facets' choices, to be ticked; and a chip in the toolbar for each choice. */

const OPEN = 12;   /* facets whose lists are open at first */
const SHOWN = 100; /* values of one facet in the panel; the rest is found by its name */

/* Without a prototype: a label may be called "constructor". */
const LABEL_TITLES = {__proto__: null, "thread.name": "Thread", "thread.id": "Thread id"};
const LINK_TITLES = {__proto__: null, trace: "Trace", span: "Span"};

class Filters {
    constructor(panel, chips, model, timeline, changed) {
        Object.assign(this, {panel, chips, model, timeline, changed});
        this.wanted = new Map(); /* facet → text that narrows its list */
        this.opened = new Map(); /* facet → whether its list is open */
        this.form = new RuleForm(model.profile, (rule, expression) => this.ask(rule, expression));
    }

    /* Adds a rule. */
    ask(rule, expression) {
        const {rules} = this.model.options;
        if (!rules.some((each) => each[0] === rule && each[1] === expression))
            this.changed({rules: [...rules, [rule, expression]]});
    }

    open(visible) {
        this.panel.hidden = !visible;
        if (visible)
            this.show();
    }

    show() {
        this.#showChips();
        if (this.panel.hidden)
            return;
        const active = document.activeElement?.dataset ?? {};
        const summary = document.activeElement?.closest?.("summary");
        const at = [...this.panel.querySelectorAll("summary")].indexOf(summary);
        const old = [...this.panel.children].filter((each) => each !== this.form.element);
        old.forEach((each) => each.remove()); /* the form stays as it is, what is typed too */
        if (!this.form.element.isConnected)
            this.panel.append(this.form.element);
        this.panel.append(...this.model.profile.facets.map((facet) => this.#section(facet)));
        if (at >= 0)
            this.panel.querySelectorAll("summary")[at].focus();
        if (active.facet)
            this.panel.querySelector(`input[data-facet="${active.facet}"]${
                active.value ? `[data-value="${active.value}"]` : "[type=search]"}`)?.focus();
    }

    title(facet) {
        const {profile} = this.model;
        const titles = facet.source === profile.link ? LINK_TITLES : LABEL_TITLES;
        return titles[facet.name] ?? printable(facet.name, 60);
    }

    #section(facet) {
        const {facets} = this.model.profile;
        const section = document.createElement("details");
        const summary = document.createElement("summary");
        const heading = document.createElement("h2");
        heading.textContent = this.title(facet);
        summary.append(heading);
        section.append(summary);
        section.open = this.opened.get(facet) ?? (facets.indexOf(facet) < OPEN || facet.chosen.size > 0);
        section.addEventListener("toggle", () => {
            if (section.open !== this.opened.get(facet) && section.isConnected) {
                this.opened.set(facet, section.open);
                this.show();
            }
        });
        if (!section.open)
            return section;
        this.opened.set(facet, true);
        if (facet.values.length > 8)
            section.append(this.#finder(facet));
        const totals = this.model.facetTotals(facet);
        const wanted = (this.wanted.get(facet) ?? "").toLowerCase();
        const order = facet.values.map((_, value) => value)
            .filter((value) => facet.chosen.has(value) ||
                               facet.values[value].toLowerCase().includes(wanted))
            .sort((a, b) => totals[b] - totals[a] || a - b);
        const list = document.createElement("ul");
        list.append(...order.slice(0, SHOWN).map((value) => this.#choice(facet, value, totals[value])));
        section.append(list);
        if (order.length > SHOWN) {
            const more = document.createElement("p");
            more.textContent = `${NUMBER.format(order.length - SHOWN)} more: type to find them`;
            section.append(more);
        }
        return section;
    }

    #finder(facet) {
        const finder = document.createElement("input");
        finder.type = "search";
        finder.placeholder = "Find";
        finder.dataset.facet = this.model.profile.facets.indexOf(facet);
        finder.setAttribute("aria-label", `Find in ${this.title(facet)}`);
        finder.value = this.wanted.get(facet) ?? "";
        finder.addEventListener("input", () => {
            this.wanted.set(facet, finder.value);
            this.show();
        });
        return finder;
    }

    #choice(facet, value, total) {
        const item = document.createElement("li");
        const label = document.createElement("label");
        const box = document.createElement("input");
        box.type = "checkbox";
        box.checked = facet.chosen.has(value);
        Object.assign(box.dataset, {facet: this.model.profile.facets.indexOf(facet), value});
        box.addEventListener("change", () => this.toggle(facet, value));
        const name = document.createElement("span");
        name.className = "value";
        name.textContent = printable(facet.values[value], 200) || "(empty)";
        const amount = document.createElement("span");
        amount.className = "amount";
        amount.textContent = formatValue(total, this.model.unit);
        label.append(box, name, amount);
        item.append(label);
        return item;
    }

    toggle(facet, value) {
        if (!facet.chosen.delete(value))
            facet.chosen.add(value);
        this.changed({});
    }

    #showChips() {
        const {rules, centre} = this.model.options;
        const chips = centre === null ? []
            : [this.#chip(`Callers and callees of ${this.model.grouping.name(centre).slice(0, 60)}`,
                          () => this.changed({centre: null}))];
        chips.push(...rules.map((each) => this.#chip(
            `${RULES[each[0]].label} ${printable(each[1], 60)}`,
            () => this.changed({rules: rules.filter((other) => other !== each)}))));
        for (const facet of this.model.profile.facets)
            for (const value of facet.chosen)
                chips.push(this.#chip(`${this.title(facet)}: ${printable(facet.values[value], 40)}`,
                                      () => this.toggle(facet, value)));
        if (this.model.idle > 0)
            chips.push(this.#chip(`Idle waits left out: ${formatValue(this.model.idle, this.model.unit)}`,
                                  () => this.changed({idle: true})));
        if (this.timeline.range)
            chips.push(this.#chip(this.timeline.range, () => this.timeline.clear()));
        this.chips.replaceChildren(...chips);
    }

    #chip(text, remove) {
        const chip = document.createElement("button");
        chip.type = "button";
        chip.textContent = `${text} ×`;
        chip.setAttribute("aria-label", `Remove the filter ${text}`);
        chip.addEventListener("click", remove);
        return chip;
    }
}

/* One rule to be added. */
class RuleForm {
    constructor(profile, ask) {
        Object.assign(this, {profile, ask});
        const form = this.element = document.createElement("form");
        const heading = document.createElement("h2");
        heading.textContent = "Frames";
        this.rule = this.#select("What to do with frames", RULES);
        this.field = this.#select("What to look at",
                                  {"": {label: "name, file or module"}, name: {label: "name"}, file: {label: "file"},
                                   module: {label: "module"}, type: {label: "type"}});
        this.field.addEventListener("change", () => this.#suggest());
        this.text = document.createElement("input");
        this.text.type = "search";
        this.text.placeholder = "Regular expression";
        this.text.setAttribute("aria-label", "Regular expression");
        this.text.spellcheck = false;
        this.list = document.createElement("datalist");
        this.list.id = "rule-values";
        this.text.setAttribute("list", this.list.id);
        this.text.addEventListener("input", () => this.#complain(""));
        const add = document.createElement("button");
        add.textContent = "Add";
        this.complaint = document.createElement("p");
        this.complaint.id = "rule-complaint";
        this.complaint.setAttribute("role", "status");
        this.text.setAttribute("aria-describedby", this.complaint.id);
        form.append(heading, this.rule, this.field, this.text, add, this.list, this.complaint);
        form.addEventListener("submit", (event) => this.#add(event));
    }

    #select(label, choices) {
        const select = document.createElement("select");
        select.setAttribute("aria-label", label);
        for (const [value, {label: text, title}] of Object.entries(choices)) {
            const option = new Option(text, value);
            option.title = title ?? "";
            select.append(option);
        }
        return select;
    }

    /* Modules and types are few, and seldom known by heart. */
    #suggest() {
        const {frames, functions, strings, typeNames} = this.profile;
        const values = {module: () => frames.module.map((id) => strings[id]),
                        type: () => functions.type.map((id) => typeNames[id])}[this.field.value]?.() ?? [];
        this.list.replaceChildren(...[...new Set(values)].filter(Boolean).slice(0, 200)
            .map((value) => new Option(printable(value, 200), printable(value, 200))));
    }

    #complain(text) {
        this.complaint.textContent = text;
        this.text.setAttribute("aria-invalid", String(text !== ""));
    }

    #add(event) {
        event.preventDefault();
        const expression = (this.field.value ? `${this.field.value}:` : "") + this.text.value;
        if (!parseExpression(expression))
            return this.#complain("That is no regular expression.");
        this.text.value = "";
        this.#complain("");
        this.ask(this.rule.value, expression);
    }
}
