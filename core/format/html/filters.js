/* The filter panel: the values of each facet with their live totals under the other facets'
 * choices, to be ticked; and a chip in the toolbar for each choice. */

const SHOWN = 100; /* values of one facet in the panel; the rest is found by its name */

/* Without a prototype: a label may be called "constructor". */
const LABEL_TITLES = {__proto__: null, "thread.name": "Thread", "thread.id": "Thread id"};
const LINK_TITLES = {__proto__: null, trace: "Trace", span: "Span"};

class Filters {
    constructor(panel, chips, model, timeline, changed) {
        Object.assign(this, {panel, chips, model, timeline, changed});
        this.wanted = new Map(); /* facet → text that narrows its list */
    }

    get available() {
        return this.model.profile.facets.length > 0;
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
        const active = document.activeElement?.dataset?.facet;
        this.panel.replaceChildren(...this.model.profile.facets.map((facet) => this.#section(facet)));
        if (active)
            this.panel.querySelector(`input[type=search][data-facet="${active}"]`)?.focus();
    }

    title(facet) {
        const {profile} = this.model;
        const titles = facet.source === profile.link ? LINK_TITLES : LABEL_TITLES;
        return titles[facet.name] ?? printable(facet.name, 60);
    }

    #section(facet) {
        const section = document.createElement("section");
        const heading = document.createElement("h2");
        heading.textContent = this.title(facet);
        section.append(heading);
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
        this.changed();
    }

    #showChips() {
        const chips = [];
        for (const facet of this.model.profile.facets)
            for (const value of facet.chosen)
                chips.push(this.#chip(`${this.title(facet)}: ${printable(facet.values[value], 40)}`,
                                      () => this.toggle(facet, value)));
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
