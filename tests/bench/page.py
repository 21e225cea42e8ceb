"""How soon the page opens and answers, in headless Chromium: 200,000 and 800,000 unique stacks.

    python3 tests/bench/page.py [--stacks N]… [--rounds N] [--speedscope FOLDER]

Opens each profile as our page and, as the same pprof file, in speedscope (npm install speedscope),
in turns and in a new browser each time, both from one local server.
Prints the median time until the profile is drawn, the CPU time of all the browser's processes
meanwhile, which other programs on the machine hardly move, and the JavaScript heap after it.
Speedscope begins with the order of time; its flame graph of merged stacks, which is what our page
begins with, is built when it is asked for first: that is the line "and left heavy".

Then how long each question takes until its answer is drawn, by the clock on the wall and by that of
the page's thread, and the heap after all of them. cprof is CPROF_COMMAND, or else build/cli/cprof.
"""

import argparse
import contextlib
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

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
    print(f"{what:52} {figure}", flush=True)


# --- opening, beside speedscope ---

# Runs before the page's own scripts: when was the first frame drawn after the condition came true?
WATCH = """
    const look = () => {
        if (window.drawnAt || !(%s))
            return;
        observer.disconnect();
        window.drawnAt = -1;
        requestAnimationFrame(() => setTimeout(() => { window.drawnAt = performance.now(); }));
    };
    const observer = new MutationObserver(look);
    observer.observe(document, {subtree: true, childList: true, characterData: true,
                                attributes: true, attributeFilter: ["data-ready"]});"""
OURS = "document.body && document.body.dataset.ready === 'true'"
SPEEDSCOPE = "document.title.includes(' - speedscope')"

LEFT_HEAVY = """
    window.drawnAt = 0;
    setTimeout(() => {
        const start = performance.now();
        window.dispatchEvent(new KeyboardEvent('keypress', {key: '2'}));
        requestAnimationFrame(() => setTimeout(() => { window.drawnAt = performance.now() - start; }));
    });"""


@contextlib.contextmanager
def server(folder):
    """The folder at a port of this machine, for as long as it is wanted."""
    port = browser.free_port()
    served = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder,
                               str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        served.terminate()
        served.wait()


def processes_cpu(root):
    """Seconds of CPU of a process, its descendants and those of them that have ended."""
    ticks, parents = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
        except OSError:  # ended meanwhile
            continue
        parents[int(stat.parent.name)] = int(fields[1])
        ticks[int(stat.parent.name)] = sum(map(int, fields[11:15]))
    family = {root}
    while new := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= new
    return sum(ticks.get(pid, 0) for pid in family) / os.sysconf("SC_CLK_TCK")


def drawn_at(page, timeout=300):
    """Milliseconds until the frame that shows what was asked for, or None."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if (at := page.run("return window.drawnAt || 0")) > 0:
                return at
        except (OSError, RuntimeError):  # it does not answer while it works
            pass
        time.sleep(0.1)
    return None


def open_once(url, condition, then=None):
    """What opening took: ms, ms of CPU, MB of heap; with `then` also ms and ms of CPU of that."""
    with browser.Browser() as page:
        page.devtools("Page.addScriptToEvaluateOnNewDocument", source=WATCH % condition)
        before = processes_cpu(page.driver.pid)
        page.go(url)
        shown = drawn_at(page)
        if shown is None:
            return None
        page.settle()
        opened = processes_cpu(page.driver.pid)
        figures = [shown, 1000 * (opened - before), heap(page) / 1e6]
        if then:
            before = processes_cpu(page.driver.pid)
            page.run(then)
            figures.append(drawn_at(page) or math.nan)
            page.settle()
            figures.append(1000 * (processes_cpu(page.driver.pid) - before))
        return figures


def compare_opening(folder, name, speedscope, rounds):
    """Prints what opening takes in both, in turns."""
    ways = {"cprof": ("profile.html", OURS, None)}
    if speedscope:
        shutil.copytree(speedscope, folder / "speedscope", dirs_exist_ok=True)
        ways["speedscope"] = ("speedscope/index.html#profileURL={}/profile.pb.gz", SPEEDSCOPE, LEFT_HEAVY)
    rows = {way: [] for way in ways}
    with server(folder) as address:
        for _ in range(rounds):
            for way, (path, condition, then) in ways.items():
                rows[way].append(open_once(f"{address}/{path.format(address)}", condition, then))
                print(f"{name}: {way} took {rows[way][-1]}", file=sys.stderr, flush=True)
    for way, tries in rows.items():
        if None in tries:
            show(f"{name}: opens in {way}", "not within 300 s")
            continue
        shown, busy, used, *more = (statistics.median(column) for column in zip(*tries))
        show(f"{name}: opens in {way}", f"{shown:8.0f} ms wall {busy:8.0f} ms CPU {used:8.0f} MB heap")
        if more:
            show(f"{name}:   and left heavy", f"{more[0]:8.0f} ms wall {more[1]:8.0f} ms CPU")
    if not speedscope:
        print("speedscope: not here (npm install speedscope; --speedscope FOLDER)")


# --- questions ---

def ask_all(html, name, rounds):
    with browser.Browser() as page:
        page.open(html)
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


def measure(stacks, folder, options):
    profile, html = folder / "profile.pb.gz", folder / "profile.html"
    profiles.large(profile, stacks)
    subprocess.run([COMMAND, "flame", profile, "-o", html], check=True)
    name = f"{stacks:,} stacks"
    compare_opening(folder, name, release_of(options.speedscope), options.rounds)
    ask_all(html, name, options.rounds)


def release_of(installed):
    """The folder of speedscope's page below one where npm has installed it, or None."""
    release = pathlib.Path(installed) / "node_modules" / "speedscope" / "dist" / "release"
    return release if release.is_dir() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--stacks", type=int, action="append", help="may be given again (200,000 and 800,000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--speedscope", metavar="FOLDER", default=ROOT / "build" / "test-tools",
                        help="where npm install speedscope has been run")
    options = parser.parse_args()
    if browser.why_not():
        raise SystemExit(f"pages: {browser.why_not()}")
    with tempfile.TemporaryDirectory(prefix="cprof-bench-") as name:
        for stacks in options.stacks or [200_000, 800_000]:
            measure(stacks, pathlib.Path(name), options)


if __name__ == "__main__":
    main()
