/*
 * The view in the page's address, behind the #: whoever gets the address of the page sees the same
 * view, and the browser's Back leads to the one before. What changes within a moment, as a brush
 * that is dragged does, is one step.
 */

const MOMENT = 120; /* ms */

class Address {
    /* `read` gives the view as URLSearchParams, `apply` shows one. */
    constructor(read, apply) {
        Object.assign(this, {read, apply, shown: ""});
        addEventListener("hashchange", () => this.#follow());
    }

    start() {
        this.#follow();
    }

    /* The view may have changed. */
    changed() {
        clearTimeout(this.waiting);
        this.waiting = setTimeout(() => this.#write(), MOMENT);
    }

    #write() {
        const view = this.read(), text = view.toString();
        if (text === this.shown)
            return;
        const typing = view.has("search") && new URLSearchParams(this.shown).has("search") &&
                       this.#without("search", text) === this.#without("search", this.shown);
        this.shown = text;
        history[typing ? "replaceState" : "pushState"](null, "", `#${text}`);
    }

    #without(name, text) {
        const view = new URLSearchParams(text);
        view.delete(name);
        return view.toString();
    }

    #follow() {
        clearTimeout(this.waiting);
        const view = new URLSearchParams(location.hash.slice(1)), text = view.toString();
        if (text === this.shown)
            return;
        this.apply(view);
        this.shown = this.read().toString(); /* without what made no sense */
    }
}
