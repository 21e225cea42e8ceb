/*
 * Values that stand at one moment, as the memory in use does: levels. They do not add up over time.
 * Of the whole profile those count that each process had last; of a part of its time, those that each
 * had at the end of the last of its intervals there, for which the page has the samples of the past.
 */

const PAST = "cprof.past"; /* HTML_PAST of core/format/html.h */
const PROCESS = ["service.instance.id", "host.name", "process.pid"]; /* labels that tell processes apart */

class Levels {
    constructor(profile, raw) {
        this.profile = profile;
        this.columns = new Set(raw.levels);
        this.present = raw.samples.stack.length; /* samples from there on are of the past */
        const {labels, time} = profile;
        this.hasPast = time !== null && labels.length > this.present;
        if (this.hasPast)
            this.#listProcesses(raw.labels);
    }

    has(column) {
        return this.columns.has(column);
    }

    /* Are samples of the past shown now? */
    #looksBack(column) {
        return this.hasPast && this.has(column) && this.profile.time.narrows;
    }

    /* Whether a sample counts now, as a function of it; filters are not asked. */
    counts(column) {
        if (!this.#looksBack(column))
            return (sample) => sample < this.present;
        const {profile: {labels, time}, process} = this, last = this.#last(time);
        return (sample) => time.of[labels[sample]] === last[process[labels[sample]]];
    }

    /* The intervals that each process has samples of, and whether it has levels at the end. */
    #listProcesses(sets) {
        const {profile: {labels, time, amounts}, present, columns} = this;
        const numbers = new Map();
        const number = (name) => numbers.get(name) ?? numbers.set(name, numbers.size).get(name);
        this.process = Int32Array.from(sets, (set) => number(JSON.stringify(PROCESS.map((key) => valueOf(set, key)))));
        this.intervals = Array.from(numbers, () => new Set());
        this.stays = new Uint8Array(numbers.size);
        for (let sample = 0; sample < labels.length; sample++) {
            const interval = time.of[labels[sample]], process = this.process[labels[sample]];
            if (interval >= 0)
                this.intervals[process].add(interval);
            if (sample < present && [...columns].some((column) => amounts[column][sample] !== 0))
                this.stays[process] = 1;
        }
    }

    /* The last interval of each process that the brush holds; NaN: it has none there, or had ended
     * well before the end. */
    #last({intervals, held, chosen}) {
        return this.intervals.map((own, process) => {
            let last = NaN;
            for (const each of own)
                if (held[each] && !(intervals[each].to <= intervals[last]?.to))
                    last = each;
            const {from, to} = intervals[last] ?? {};
            return this.stays[process] || chosen.to - to <= 2 * (to - from) ? last : NaN;
        });
    }
}

/* Of a label set as it is in the page; undefined: it has none. */
function valueOf(set, key) {
    for (let i = 0; i < set.length; i += 2)
        if (set[i] === key)
            return set[i + 1];
    return undefined;
}
