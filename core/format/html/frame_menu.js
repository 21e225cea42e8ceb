/* What can be asked about one frame: a menu beside the pointer, or at the frame that is selected. */

class FrameMenu {
    /* `ask` adds a rule. */
    constructor(element, model, ask, others) {
        Object.assign(this, {element, model, ask, others});
        element.addEventListener("keydown", (event) => this.#key(event));
        element.addEventListener("focusout", (event) => {
            if (!element.contains(event.relatedTarget))
                this.close();
        });
    }

    get isOpen() {
        return !this.element.hidden;
    }

    open(key, x, y) {
        const {element} = this;
        this.before = document.activeElement;
        element.replaceChildren(...this.#items(key));
        element.hidden = false;
        const {width, height} = element.getBoundingClientRect();
        element.style.left = `${Math.max(4, Math.min(x, innerWidth - width - 8))}px`;
        element.style.top = `${Math.max(4, Math.min(y, innerHeight - height - 8))}px`;
        element.querySelector("button").focus();
    }

    close() {
        if (!this.isOpen)
            return;
        const inside = this.element.contains(document.activeElement);
        this.element.hidden = true;
        if (inside)
            this.before?.focus({preventScroll: true});
    }

    #items(key) {
        const {grouping, options} = this.model;
        const name = grouping.rawName(key), module = grouping.rawModule(key);
        const items = this.others(key).map(([text, act]) => this.#item(text, act));
        if (name && ["function", "line"].includes(options.by))
            items.push(...this.#rules("this function", `name:${exactly(name)}`));
        if (options.by === "file" && grouping.rawFile(key))
            items.push(...this.#rules("this file", `file:${exactly(grouping.rawFile(key))}`));
        if (module && options.by !== "file")
            items.push(...this.#rules("its module", `module:${exactly(module)}`, ["focus", "ignore", "hide", "show"]));
        return items;
    }

    #rules(what, expression, rules = Object.keys(RULES)) {
        return rules.map((rule) => {
            const item = this.#item(`${RULES[rule].label} ${what}`, () => this.ask(rule, expression));
            item.title = RULES[rule].title;
            return item;
        });
    }

    #item(text, act) {
        const item = document.createElement("button");
        item.type = "button";
        item.setAttribute("role", "menuitem");
        item.tabIndex = -1;
        item.textContent = text;
        item.addEventListener("click", () => {
            this.close();
            act();
        });
        return item;
    }

    #key(event) {
        const items = [...this.element.children], at = items.indexOf(document.activeElement);
        const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1}[event.key];
        if (next !== undefined)
            items.at(next % items.length).focus();
        else if (event.key === "Escape" || event.key === "Tab")
            this.close();
        else
            return;
        event.preventDefault();
        event.stopPropagation();
    }
}
