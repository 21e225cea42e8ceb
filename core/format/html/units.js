/* Numbers as people read them. The same rules as the command's (cli/units.c). */

const NUMBER = new Intl.NumberFormat("en-US", {maximumFractionDigits: 0});

function formatScaled(value, steps) {
    const [scale, name] = steps.find(([step]) => Math.abs(value) >= step) ?? steps.at(-1);
    const scaled = value / scale;
    const digits = Math.abs(scaled) >= 100 ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
    return `${scaled.toFixed(digits)} ${name}`;
}

const TIME_STEPS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
const BYTE_STEPS = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];

function formatValue(value, unit) {
    if (value === 0 || (unit === "nanoseconds" && Math.abs(value) < 0.5))
        return unit === "nanoseconds" ? "0 s" : "0";
    if (unit === "nanoseconds")
        return formatScaled(value, TIME_STEPS);
    if (unit === "bytes")
        return formatScaled(value, BYTE_STEPS);
    return Number.isInteger(value) || Math.abs(value) >= 999.5 ? NUMBER.format(value)
        : value.toFixed(Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2);
}

function formatShare(part, whole) {
    return whole > 0 ? `${(100 * part / whole).toFixed(1)}%` : "–";
}
