/* Numbers as people read them. The same rules as the command's (cli/units.c). */

const NUMBER = new Intl.NumberFormat("en-US", {maximumFractionDigits: 0});

function formatScaled(value, steps) {
    const [scale, name] = steps.find(([step]) => Math.abs(value) >= step) ?? steps.at(-1);
    const scaled = value / scale;
    const digits = scale === 1 ? 0 : Math.abs(scaled) >= 99.95 ? 0 : Math.abs(scaled) >= 9.995 ? 1 : 2;
    return `${scaled.toFixed(digits)} ${name}`;
}

const TIME_STEPS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
const BYTE_STEPS = [[2 ** 60, "EiB"], [2 ** 50, "PiB"], [2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"],
                    [2 ** 10, "KiB"], [1, "B"]];
const COUNT_STEPS = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"]];

/* What values are in, in the unit in which steps begin. As for pprof, a kB is 1024 bytes. */
const UNITS = new Map([
    ["nanosecond ns", TIME_STEPS, 1], ["microsecond us µs", TIME_STEPS, 1e3], ["millisecond ms", TIME_STEPS, 1e6],
    ["second sec s", TIME_STEPS, 1e9], ["minute min", TIME_STEPS, 6e10], ["hour h", TIME_STEPS, 3.6e12],
    ["byte b", BYTE_STEPS, 1], ["kilobyte kb kib", BYTE_STEPS, 2 ** 10], ["megabyte mb mib", BYTE_STEPS, 2 ** 20],
    ["gigabyte gb gib", BYTE_STEPS, 2 ** 30],
].flatMap(([names, steps, factor]) => {
    const [long, ...short] = names.split(" ");
    return [long, `${long}s`, ...short].map((name) => [name, {steps, factor}]);
}));

function formatValue(value, unit) {
    const known = UNITS.get(unit.toLowerCase());
    if (unit === "millionths")
        return formatFraction(value / 1e6);
    if (!known)
        return formatCount(value);
    const scaled = value * known.factor;
    if (known.steps === TIME_STEPS && Math.abs(scaled) < 0.5)
        return "0 s";
    return formatScaled(scaled, known.steps);
}

/* How long something took, in nanoseconds: "25.0 min", "3.00 h", "30.0 days" from ten minutes on. */
function formatDuration(length) {
    if (length < 600e9)
        return formatValue(length, "nanoseconds");
    const [factor, name] = [[86400e9, "days", 2], [3600e9, "h", 1], [60e9, "min", 0]]
        .find(([each, , least]) => length >= least * each);
    return `${formatFraction(length / factor)} ${name}`;
}

/* From ten millions on in three digits; what is smaller shows all of its own. */
function formatCount(value) {
    if (Math.abs(value) >= 1e7)
        return formatScaled(value, COUNT_STEPS);
    return Number.isInteger(value) ? NUMBER.format(value) : formatFraction(value);
}

function formatFraction(value) {
    const size = Math.abs(value);
    if (value === 0 || size >= 999.5)
        return size >= 1e7 ? formatCount(value) : NUMBER.format(value);
    return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

function formatShare(part, whole) {
    const share = 100 * part / whole;
    return whole > 0 ? `${(Math.abs(share) < 0.05 ? 0 : share).toFixed(1)}%` : "–";
}
