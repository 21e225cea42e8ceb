/*
 * What leaves the page as a file: the graph that is shown, as SVG or PNG, and the table as CSV. All
 * of it is made here; the browser only saves it.
 */

const SVG_FONT = {size: 12, family: "system-ui, sans-serif"};

function escapeMarkup(text) {
    const names = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;"};
    return text.replace(/[&<>"]/g, (each) => names[each]);
}

/* The boxes in sight, row by row, each with its numbers as a title. */
function graphAsSvg(graph, describe) {
    const {width, rows} = graph, height = rows.length * ROW + 8;
    const parts = [
        `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`,
        ` font-family="${SVG_FONT.family}" font-size="${SVG_FONT.size}">`,
        `<rect width="100%" height="100%" fill="${THEMES[graph.theme].board}"/>\n`];
    rows.forEach((boxes, row) => {
        const top = (graph.flame ? rows.length - 1 - row : row) * ROW + 4;
        for (const box of boxes) {
            const {from, width: wide, fill, ink, text} = graph.look(box);
            parts.push(`<g><title>${escapeMarkup(describe(box))}</title><rect x="${from.toFixed(1)}" y="${top}" width="${
                Math.max(wide - 1, 0.4).toFixed(1)}" height="${ROW - 1}" fill="${fill}"/>`);
            if (text)
                parts.push(`<text x="${(from + TEXT_MARGIN).toFixed(1)}" y="${top + 14}" fill="${ink}">${
                    escapeMarkup(text)}</text>`);
            parts.push("</g>\n");
        }
    });
    return new Blob([...parts, "</svg>\n"], {type: "image/svg+xml"});
}

function graphAsPng(graph) {
    return new Promise((resolve) => graph.whilePainted(() => graph.canvas.toBlob(resolve, "image/png")));
}

/* As RFC 4180 has it. What a spreadsheet would take for a formula begins with an apostrophe. */
function csvCell(value) {
    if (typeof value === "number")
        return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text;
}

/* All rows in the table's order, values in the profile's own unit. */
function tableAsCsv(table, model) {
    const {grouping, unit, comparison} = model;
    const amounts = comparison
        ? [["base", (key) => model.changeOfKey(key).base], ["new", (key) => model.changeOfKey(key).now],
           ["delta", (key) => model.changeOfKey(key).delta], ["confidence", (key) => model.changeOfKey(key).confidence]]
        : [["self", (key) => model.selfOf[key]], ["total", (key) => model.totalOf[key]]];
    const texts = [[model.options.by, (key) => grouping.fullName(key)], ["place", (key) => grouping.place(key)],
                   ["module", (key) => grouping.module(key)]];
    const named = (name) => name === "confidence" ? name : `${name} (${unit})`;
    const lines = [[...amounts.map(([name]) => named(name)), ...texts.map(([name]) => name)],
                   ...table.keys.map((key) => [...amounts, ...texts].map(([, value]) => value(key)))];
    return new Blob(lines.map((line) => `${line.map(csvCell).join(",")}\r\n`), {type: "text/csv"});
}

function saveFile(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 100);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
