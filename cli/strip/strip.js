/* The time strip of a service: how much there was when. What is brushed goes into the form, whose
 * fields can be written to as well; the command makes the pages of them. */

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const PAD = {top: 18, foot: 20}; /* CSS pixels */
const step = (data.to - data.from) / data.amounts.length; /* ms of a bar */
/* What each bar stands for: an amount per second, or a level, such as the memory in use. */
const bars = data.amounts.map((amount) => data.level ? amount : amount / step * 1000);

/* --- texts --- */

const two = (number) => String(number).padStart(2, "0");

function dayText(date) {
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

function clockText(date, seconds) {
    return `${two(date.getHours())}:${two(date.getMinutes())}${seconds ? ":" + two(date.getSeconds()) : ""}`;
}

/* With the offset from UTC: the command may live in another time zone than the browser. */
function timeText(time) {
    const date = new Date(Math.round(time / 1000) * 1000), offset = -date.getTimezoneOffset();
    const away = Math.abs(offset), sign = offset < 0 ? "-" : "+";
    return `${dayText(date)} ${clockText(date, true)}${sign}${two(Math.floor(away / 60))}:${two(away % 60)}`;
}

function shown(time) {
    const date = new Date(time);
    return `${date.toLocaleDateString("en", {weekday: "short"})} ${dayText(date)} ${clockText(date, step < 60000)}`;
}

function lengthText(length) {
    for (const [unit, name] of [[86400000, "days"], [3600000, "h"], [60000, "min"]])
        if (length >= unit)
            return `${+(length / unit).toPrecision(3)} ${name}`;
    return `${+(length / 1000).toPrecision(3)} s`;
}

const SCALES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const BYTE_SCALES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [0, "B"]];

function scaled(value, scales) {
    const [factor, letter] = scales.find(([least]) => value >= least) ?? [1, ""];
    return `${(value / (factor || 1)).toPrecision(3)} ${letter}`;
}

/* Of a bar, or an average of some. */
function barText(value) {
    const {type, unit, level} = data, each = level ? "" : "/s";
    if (unit === "bytes")
        return scaled(value, BYTE_SCALES) + each;
    return level ? scaled(value, SCALES) + type : rateText(value);
}

/* CPU time per second is a number of processors. */
function rateText(rate) {
    const {type, unit} = data;
    if (type === "cpu" && unit === "nanoseconds")
        return `${rate < 1e8 ? +(rate / 1e9).toPrecision(2) : (rate / 1e9).toFixed(rate < 1e10 ? 2 : 1)} CPUs`;
    if (unit === "nanoseconds")
        return `${(rate / 1e9).toFixed(2)} s of ${type} a second`;
    return `${scaled(rate, SCALES)}${unit === "count" ? type : unit}/s`;
}

/* --- what is brushed: [from, to] in ms, or null --- */

const spans = {new: null, base: null};
const FIELDS = {new: ["from", "to"], base: ["base-from", "base-to"]};

function average([from, to]) {
    let sum = 0;
    bars.forEach((value, i) => {
        const begin = data.from + i * step;
        sum += value * Math.max(0, Math.min(to, begin + step) - Math.max(from, begin));
    });
    return sum / (to - from);
}

function tell(which) {
    const span = spans[which];
    $(`${which}-amount`).value = span
        ? `${shown(span[0])} – ${shown(span[1])} (${lengthText(span[1] - span[0])}): ${barText(average(span))}${data.level ? " on average" : ""}` : "";
}

/* `write`: the fields follow. */
function choose(which, span, write = true) {
    if (span) {
        const [from, to] = span.map((time) => Math.min(Math.max(time, data.from), data.to));
        spans[which] = to - from >= 1000 ? [from, to] : null;
    } else {
        spans[which] = null;
    }
    if (write)
        FIELDS[which].forEach((id, i) => { $(id).value = spans[which] ? timeText(spans[which][i]) : ""; });
    tell(which);
    draw();
}

function brushed() {
    return $("brush-base").checked ? "base" : "new";
}

/* What people write into the fields shows on the strip where it is a whole date. */
function readFields(which) {
    const times = FIELDS[which].map((id) => Date.parse($(id).value.trim().replace(" ", "T")));
    choose(which, times.every(Number.isFinite) && times[0] < times[1] ? times : null, false);
}

/* --- drawing --- */

const strip = $("strip"), canvas = strip.querySelector("canvas");
let width = 1, height = 1, asked = 0;

const xOf = (time) => (time - data.from) / (data.to - data.from) * width;
const timeAt = (x) => data.from + Math.min(Math.max(x / width, 0), 1) * (data.to - data.from);

function draw() {
    asked ||= requestAnimationFrame(drawNow);
}

function drawNow() {
    asked = 0;
    const ratio = devicePixelRatio || 1;
    width = strip.clientWidth;
    height = strip.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    drawBars(context, colour("--bar"));
    drawTimes(context, colour("--quiet"));
    drawSpan(context, spans.base, colour("--base"));
    drawSpan(context, spans.new, colour("--accent"));
}

/* A variable as a colour that a canvas takes: light-dark() is settled by an element. */
function colour(name) {
    strip.style.color = `var(${name})`;
    const settled = getComputedStyle(strip).color;
    strip.style.color = "";
    return settled;
}

function drawBars(context, fill) {
    const board = height - PAD.foot, most = Math.max(...bars, 0);
    context.fillStyle = fill;
    bars.forEach((value, i) => {
        const tall = value / most * (board - PAD.top);
        const left = Math.floor(width * i / bars.length), right = Math.floor(width * (i + 1) / bars.length);
        if (value > 0) /* whole pixels, so that there are no seams */
            context.fillRect(left, board - tall, Math.max(right - left, 1), tall);
    });
    context.fillStyle = colour("--quiet");
    context.textBaseline = "top";
    if (most > 0)
        context.fillText(barText(most), 6, 3);
}

/* Steps between ticks: from seconds to weeks, at local hours and days. */
const TICKS = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800].map((s) => s * 1000);

function drawTimes(context, ink) {
    const board = height - PAD.foot, wanted = (data.to - data.from) / Math.max(1, width / 100);
    const tick = TICKS.find((each) => each >= wanted) ?? TICKS.at(-1);
    const week = tick === TICKS.at(-1) ? 4 * 86400000 : 0; /* 1970 began on a Thursday */
    const offset = new Date(data.from).getTimezoneOffset() * 60000 + week;
    context.fillStyle = ink;
    context.fillRect(0, board, width, 1);
    context.textBaseline = "bottom";
    for (let at = Math.ceil((data.from - offset) / tick) * tick + offset; at <= data.to; at += tick) {
        const date = new Date(at), midnight = clockText(date) === "00:00";
        const text = tick >= 86400000 || midnight
            ? date.toLocaleDateString("en", {weekday: "short", day: "numeric", month: "short"}) : clockText(date, tick < 60000);
        const x = xOf(at), wide = context.measureText(text).width;
        context.fillRect(x, board, 1, 4);
        if (x + wide + 8 < width)
            context.fillText(text, x + 4, height - 2);
    }
}

function drawSpan(context, span, ink) {
    if (!span)
        return;
    const left = xOf(span[0]), wide = Math.max(xOf(span[1]) - left, 2), board = height - PAD.foot;
    context.fillStyle = ink;
    context.globalAlpha = 0.22;
    context.fillRect(left, 0, wide, board);
    context.globalAlpha = 1;
    context.fillRect(left, 0, 1.5, board);
    context.fillRect(left + wide - 1.5, 0, 1.5, board);
    context.fillRect(left, 0, wide, 3);
}

/* --- hands --- */

/* A brush begins and ends at a bar's edge where bars are wide enough to be aimed at. */
function snap(time) {
    return width / bars.length < 4 ? time : data.from + Math.round((time - data.from) / step) * step;
}

let drag = null;

strip.addEventListener("pointerdown", (event) => {
    if (event.button !== 0)
        return;
    strip.setPointerCapture(event.pointerId);
    drag = {which: event.shiftKey ? "base" : brushed(), from: timeAt(event.offsetX), x: event.offsetX};
});

strip.addEventListener("pointermove", (event) => {
    const time = timeAt(event.offsetX), tip = $("tip");
    const bar = Math.min(Math.floor((time - data.from) / step), bars.length - 1);
    tip.hidden = false;
    tip.textContent = `${shown(time)}: ${barText(bars[bar])}`;
    tip.style.left = `${Math.min(event.offsetX + 10, width - tip.offsetWidth - 6)}px`;
    if (drag && Math.abs(event.offsetX - drag.x) > 3)
        choose(drag.which, [Math.min(drag.from, time), Math.max(drag.from, time)].map(snap));
});

strip.addEventListener("pointerup", (event) => {
    if (drag && Math.abs(event.offsetX - drag.x) <= 3)
        choose(drag.which, null);
    drag = null;
});

strip.addEventListener("pointerleave", () => { $("tip").hidden = true; });

strip.addEventListener("keydown", (event) => {
    const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!by)
        return;
    event.preventDefault();
    const which = brushed(), move = by * Math.max(step, (data.to - data.from) / 100);
    const [from, to] = spans[which] ?? [(data.from + data.to) / 2, (data.from + data.to) / 2 + 10 * Math.abs(move)];
    if (event.shiftKey)
        choose(which, [from, Math.max(to + move, from + 1000)]);
    else if (from + move >= data.from && to + move <= data.to)
        choose(which, [from + move, to + move]);
});

for (const which of ["new", "base"])
    for (const id of FIELDS[which])
        $(id).addEventListener("input", () => readFields(which));

/* The base lies so long before; without a length, right before. */
function setBase(back) {
    const [from, to] = spans.new ?? [data.from, data.to];
    choose("base", [from - (back || to - from), to - (back || to - from)]);
}

$("before").addEventListener("click", () => setBase(0));
$("day-before").addEventListener("click", () => setBase(86400000));

/* A click into the graph's form sends what is there: without a time, what the strip shows. */
document.querySelector("form").addEventListener("submit", () => {
    if ($("from").value === "" && $("to").value === "")
        FIELDS.new.forEach((id, i) => { $(id).value = timeText([data.from, data.to][i]); });
});

/* --- at first --- */

document.title = `${data.service} – cprof`;
$("title").textContent = data.service;
$("service").value = data.service;
$("summary").textContent = `${shown(data.from)} – ${shown(data.to)} · ${lengthText(data.to - data.from)} · `
    + `${data.intervals.toLocaleString("en")} intervals · a bar is ${lengthText(step)}`;
$("whole").href = `history?s=${encodeURIComponent(data.service)}`;
$("whole").hidden = data.whole;
strip.setAttribute("aria-label", `${data.service}: ${data.type || "amount"} over time, at most `
    + barText(Math.max(...bars, 0)));
new ResizeObserver(draw).observe(strip);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
for (const which of ["new", "base"])
    readFields(which); /* what the browser has kept for Back */
document.body.dataset.ready = "true";
