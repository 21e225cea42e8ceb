/*
 * A comparison of two profiles: what a box or a row changed, and whether sampling alone could
 * explain it. The same statistics as the command's, where they are explained
 * (cli/comparison.h).
 */

const NEW = 0, BASE = 1, NEW_SAMPLES = 2, BASE_SAMPLES = 3; /* columns of a pair */
const BOTH = 4; /* the page's own: base and new together, so that what is gone has a width too */
const CONFIDENT = 0.999;

/* Abramowitz and Stegun, 7.1.26: right to 1.5e-7. */
function erf(x) {
    const t = 1 / (1 + 0.3275911 * x);
    const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t +
                    0.254829592) * t;
    return 1 - series * Math.exp(-x * x);
}

class Comparison {
    /* `whole` has all of each column under the present filters. */
    constructor(diff, whole) {
        Object.assign(this, {diff, whole});
        this.shares = diff.normalized === "total";
        this.scale = this.shares ? [1 / whole[NEW], 1 / whole[BASE]] : [1, 1];
        const expected = (side) => this.#observed(whole, side) / (whole[side] * this.scale[side]);
        const ratio = expected(NEW) / expected(BASE);
        this.ratio = ratio > 0 && Number.isFinite(ratio) ? ratio : 1;
    }

    /* How many observations there are: several samples may come of one look at a thread. */
    #observed(columns, side) {
        const [samples, {weight}] = {[NEW]: [NEW_SAMPLES, this.diff.new], [BASE]: [BASE_SAMPLES, this.diff.base]}[side];
        return Math.max(columns[samples] / weight, 0);
    }

    /* What changed, by the amounts of each column. */
    judge(columns) {
        const base = columns[BASE] * this.scale[BASE], now = columns[NEW] * this.scale[NEW];
        const delta = now - base;
        const observed = [NEW, BASE].map((side) => this.#observed(columns, side));
        const z = this.shares ? this.#shareDeviation(...observed) : this.#rateDeviation(...observed);
        const confidence = z * delta > 0 ? erf(Math.abs(z) / Math.SQRT2) : 0;
        return {base, now, delta, share: delta / (this.whole[BASE] * this.scale[BASE]), confidence,
                part: Math.abs(delta) / Math.max(base, now),
                direction: confidence < CONFIDENT ? "noise" : delta > 0 ? "grew" : "shrank"};
    }

    #rateDeviation(now, base) {
        return 2 * (Math.sqrt(now + 0.375) - Math.sqrt(this.ratio * (base + 0.375))) /
               Math.sqrt(1 + this.ratio);
    }

    #shareDeviation(now, base) {
        const all = [Math.max(this.#observed(this.whole, NEW), now), Math.max(this.#observed(this.whole, BASE), base)];
        const angle = (count, of) => Math.asin(Math.sqrt((count + 0.375) / (of + 0.75)));
        return (angle(now, all[0]) - angle(base, all[1])) /
               Math.sqrt(1 / (4 * all[0] + 2) + 1 / (4 * all[1] + 2));
    }

    /* "12.3 ms/s", "45.6%", "12.3 MiB" */
    formatAmount(amount, unit) {
        if (this.shares)
            return formatShare(amount, 1);
        return formatValue(amount, unit) + (this.diff.normalized === "second" ? "/s" : "");
    }

    formatDelta(change, unit) {
        const amount = this.shares ? formatShare(change.delta, 1) : formatValue(change.delta, unit);
        return `${change.delta > 0 ? "+" : ""}${amount}`;
    }

    /* Of all that the base has; shares are that already. */
    formatShare(change) {
        if (this.shares)
            return "";
        return `${change.share > 0 ? "+" : ""}${formatShare(change.share, 1)}`;
    }
}

/* Rounded down: what is noise must not read as the limit. */
function formatConfidence(change) {
    if (change.direction !== "noise")
        return ">99.9%";
    return `${(Math.floor(1000 * change.confidence) / 10).toFixed(1)}%, within sampling noise`;
}

/* [hue, saturation, lightness of a small and of a great change]. Orange and blue are told apart
 * whatever kinds of cones somebody has. */
const CHANGES = {
    grew: {label: "grew", light: [26, 92, 86, 62], dark: [22, 70, 27, 42]},
    shrank: {label: "shrank", light: [214, 80, 88, 66], dark: [216, 55, 30, 48]},
    noise: {label: "within sampling noise", light: [220, 8, 86, 86], dark: [220, 6, 32, 32]},
};

function changeColour(change, theme) {
    const [hue, saturation, small, great] = CHANGES[change.direction][theme];
    return `hsl(${hue} ${saturation}% ${(small + (great - small) * change.part).toFixed(1)}%)`;
}
