/*
 * A comparison side by side: the page's own graph shows the base then, and a second one beside it
 * the new profile, with a model of its own over the same profile. What is asked of one is asked of
 * both, and a zoom leads to the same functions in both.
 */

class Beside {
    constructor(elements, page, events) {
        Object.assign(this, {...elements, page, events, graph: null});
    }

    get isOpen() {
        return this.graph !== null && !this.scroller.hidden;
    }

    open(visible) {
        const {page, pane, scroller} = this, {diff} = page.model.profile;
        pane.classList.toggle("beside", visible);
        scroller.hidden = !visible;
        page.graph.title = visible ? `base: ${printable(diff.base.name.split("/").pop(), 60)}` : null;
        if (visible && !this.graph)
            this.#make();
    }

    #make() {
        const {page, canvas, scroller, spacer, events} = this;
        this.model = new Model(page.model.profile);
        this.graph = new Graph(canvas, scroller, spacer, this.model, {
            ...events, zoomed: (box) => this.#lead(box, page.graph)});
        this.graph.title = `new: ${printable(page.model.profile.diff.new.name.split("/").pop(), 60)}`;
        this.graph.setTheme(page.theme);
    }

    /* The options of the page's own model have changed. */
    update() {
        if (!this.isOpen)
            return;
        this.model.update({...this.page.model.options, column: NEW});
        this.graph.setFlame(this.page.graph.flame);
        this.graph.showModel();
    }

    zoomed(box) {
        if (this.isOpen)
            this.#lead(box, this.graph);
    }

    #lead(box, other) {
        if (this.leading)
            return;
        this.leading = true;
        other.zoom(other.model.follow(keysOf(box)));
        this.leading = false;
    }

    setTheme(theme) {
        this.graph?.setTheme(theme);
    }
}
