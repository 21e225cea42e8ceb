/*
 * A view of the profile as text, and back: the options of the model, what the filters hold, and
 * where the graph is zoomed to. Only what is not as it was at first is there. Boxes go by their
 * keys, which are the page's own: a view is for the page that it is of.
 */

const BUTTONS = {inverted: "callers", hideNative: "hide-native", collapse: "fold", ordered: "ordered", idle: "idle"}; /* option → word */

const facetWord = (profile, facet) => facet.source === profile.link ? facet.name : `label.${facet.name}`;
const keysOf = (box) => box.path().slice(1).map(({key}) => key);

function describeView({model, graph, table, beside}) {
    const {options, profile} = model;
    const view = new URLSearchParams();
    const put = (word, value, usual) => value !== usual && view.append(word, value);
    put("beside", Number(beside.isOpen), 0);
    put("value", beside.isOpen ? profile.defaultColumn : options.column, profile.defaultColumn);
    put("by", options.by, "function");
    for (const [option, word] of Object.entries(BUTTONS))
        put(word, Number(options[option]), 0);
    put("interpreter", Number(options.allNative), Number(profile.allNative));
    put("flame", Number(graph.flame), 0);
    put("sort", table.sort, table.usualSort);
    put("search", options.search, "");
    options.rules.forEach(([rule, expression]) => view.append(rule, expression));
    for (const facet of profile.facets)
        facet.chosen.forEach((value) => view.append(facetWord(profile, facet), facet.values[value]));
    if (profile.time?.chosen)
        view.append("time", `${profile.time.chosen.from}/${profile.time.chosen.to}`);
    put("centre", options.centre?.toString(36) ?? "", "");
    put("zoom", keysOf(graph.focus).map((key) => key.toString(36)).join("."), "");
    return view;
}

/* The options of the model; the filters are set at once. What makes no sense is as usual. */
function takeView(view, profile) {
    const column = view.has("value") ? Number(view.get("value")) : profile.defaultColumn;
    const on = (word, usual) => view.has(word) ? view.get(word) === "1" : usual;
    const options = {
        column: column in profile.values ? column : profile.defaultColumn,
        by: ["line", "file", "module"].includes(view.get("by")) ? view.get("by") : "function",
        allNative: on("interpreter", profile.allNative),
        search: view.get("search") ?? "",
        centre: view.has("centre") ? Number.parseInt(view.get("centre"), 36) : null,
        rules: [...view].filter(([word, text]) => Object.hasOwn(RULES, word) && parseExpression(text)),
    };
    for (const [option, word] of Object.entries(BUTTONS))
        options[option] = on(word, false);
    for (const facet of profile.facets)
        facet.chosen = new Set(view.getAll(facetWord(profile, facet)).map((text) => facet.index.get(text))
            .filter((value) => value !== undefined));
    const [from, to] = (view.get("time") ?? "").split("/").map(Number);
    profile.time?.choose(from < to ? {from, to} : null);
    return options;
}

/* The box that it is zoomed to, in the model that shows it. */
function zoomOfView(view, model) {
    const keys = (view.get("zoom") ?? "").split(".").filter(Boolean).map((key) => Number.parseInt(key, 36));
    return model.follow(keys);
}
