"""How soon the page opens and answers, in headless Chromium: 200,000 and 800,000 unique stacks.

    python3 tests/bench/page.py [--stacks N]… [--rounds N]

Prints the time until the profile is drawn, the JavaScript heap after that and after all the rest,
and how long each question takes until its answer is drawn, by the clock on the wall and by that of
the page's thread, which other programs on the machine don't move.
cprof is CPROF_COMMAND, or else build/cli/cprof.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "cli"))

import browser  # noqa: E402
import profiles  # noqa: E402

COMMAND = os.environ.get("CPROF_COMMAND", str(ROOT / "build" / "cli" / "cprof"))

# What a user does, and what undoes it. Each runs in the page; `set` chooses an option.
QUESTIONS = [
    ("callers", "$('inverted').click()", "$('inverted').click()"),
    ("fold recursion", "$('collapse').click()", "$('collapse').click()"),
    ("hide native", "$('hide-native').click()", "$('hide-native').click()"),
    ("by line", "set('grouping', 'line')", "set('grouping', 'function')"),
    ("by file", "set('grouping', 'file')", "set('grouping', 'function')"),
    ("focus", "page.update({rules: [['focus', 'method_1']]})", "page.update({rules: []})"),
    ("hide by expression", "page.update({rules: [['hide', 'method_1']]})", "page.update({rules: []})"),
    ("callers and callees", "page.update({centre: 1000})", "page.update({centre: null})"),
    ("other column", "set('column', 0)", "set('column', 1)"),
    ("search", "type('search', 'method_1')", "type('search', '')"),
    ("filter a thread", "page.filters.toggle(page.model.profile.facets[0], 0)",
     "page.filters.toggle(page.model.profile.facets[0], 0)"),
    ("sort by name", "document.querySelector('[data-sort=name]').click()",
     "document.querySelector('[data-sort=self]').click()"),
]

# From the event to the frame that shows its answer.
TIMED = """
    const done = arguments[0];
    const set = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event('change')); };
    const type = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event('input', {bubbles: true})); };
    requestAnimationFrame(() => setTimeout(() => {
        const start = performance.now();
        {%s;}
        requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    }));"""


def cpu(page):
    """Seconds that the page's thread has worked so far."""
    page.devtools("Performance.enable", timeDomain="threadTicks")
    metrics = page.devtools("Performance.getMetrics")["metrics"]
    return next(each["value"] for each in metrics if each["name"] == "TaskDuration")


def heap(page):
    """Bytes in use after a collection."""
    page.devtools("HeapProfiler.collectGarbage")
    used = page.devtools("Runtime.getHeapUsage")
    return used["usedSize"] + used.get("backingStorageSize", 0)


def show(what, figure):
    print(f"{what:40} {figure}", flush=True)


def measure(stacks, folder, rounds):
    profile, html = folder / f"{stacks}.pb.gz", folder / f"{stacks}.html"
    profiles.large(profile, stacks)
    subprocess.run([COMMAND, "flame", profile, "-o", html], check=True)
    name = f"{stacks:,} stacks"
    with browser.Browser() as page:
        shown = []
        for _ in range(rounds):
            page.open(html)
            shown.append(page.run("return performance.getEntriesByName('profile shown')[0].startTime"))
        show(f"{name}: opens", f"{min(shown):8.0f} ms")
        show(f"{name}: heap", f"{heap(page) / 1e6:8.0f} MB")
        for question, ask, undo in QUESTIONS:
            times, busy = [], []
            for _ in range(rounds):
                before = cpu(page)
                times.append(page.run_async(TIMED % ask))
                busy.append(1000 * (cpu(page) - before))
                page.run_async(TIMED % undo)
            show(f"{name}: {question}", f"{min(times):8.0f} ms wall {min(busy):8.0f} ms CPU, "
                                        f"first {times[0]:.0f} and {busy[0]:.0f} ms")
        show(f"{name}: heap after all that", f"{heap(page) / 1e6:8.0f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--stacks", type=int, action="append", help="may be given again (200,000 and 800,000)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if browser.why_not():
        raise SystemExit(f"pages: {browser.why_not()}")
    with tempfile.TemporaryDirectory(prefix="cprof-bench-") as name:
        for stacks in options.stacks or [200_000, 800_000]:
            measure(stacks, pathlib.Path(name), options.rounds)


if __name__ == "__main__":
    main()
