"""What reading, merging, comparing and showing profiles takes: cprof beside `go tool pprof` and
inferno (cargo install inferno), on the same files. Beside speedscope the page is in page.py.

    python3 tests/bench/formats.py [--files N] [--rounds N]

Prints wall and CPU time (the best of the rounds) and the most memory of each program; a tool that
is not there is left out, and said so. cprof is CPROF_COMMAND, or else build/cli/cprof. Pages are
opened in headless Chromium: the time until the profile is drawn, and then how long a frame takes
while panning.
"""

import argparse
import multiprocessing
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "cli"))

import browser  # noqa: E402
import profiles  # noqa: E402

COMMAND = os.environ.get("CPROF_COMMAND", str(ROOT / "build" / "cli" / "cprof"))
GO = shutil.which("go") or shutil.which("/usr/local/go/bin/go")


def tool(name):
    path = os.environ.get("PATH", "") + f":{pathlib.Path.home()}/.cargo/bin"
    return shutil.which(name, path=path)


# --- the files ---

class Service:
    """A program of 20,000 stacks of 30 frames, of which each file has 5,000."""

    def __init__(self):
        self.random = random.Random(3)
        self.base = profiles.ProfileFile(service="bench")
        frames = [profiles.python(f"Class{i % 97}.method_{i}", f"/app/package_{i % 50}/module_{i % 400}.py",
                                  i % 900 + 1, i % 900) for i in range(6000)]
        self.stacks = []
        for _ in range(20_000):
            stack = [frames[(k * 211 + self.random.randrange(3 + 2 * k)) % 6000] for k in range(30)]
            self.stacks.append(profiles.block(1, b"".join(
                profiles.varint(self.base._location(frame)) for frame in reversed(stack))))
        key = self.base.string("thread.id")
        self.labels = [profiles.block(3, profiles.number(1, key) + profiles.number(3, id)) for id in range(1, 9)]

    def write(self, path, index):
        for stack in self.random.sample(self.stacks, 5000):
            count = self.random.choice((1, 1, 1, 2, 5))
            values = profiles.varint(count) + profiles.varint(count * self.base.PERIOD)
            self.base.samples.append(profiles.block(
                2, stack + profiles.block(2, values) + self.random.choice(self.labels)))
        self.base.start = 1_700_000_000_000_000_000 + index * 10_000_000_000
        self.base.write(path)
        self.base.samples.clear()
        return path


def write_files(folder, files):
    service = Service()
    for i in range(files):
        service.write(folder / f"{i:04}.pb.gz", i)
    profiles.large(folder / "large.pb.gz")


# --- measuring ---

def run(command, rounds, **options):
    """(wall seconds, CPU seconds, bytes of memory), the best of the rounds."""
    best = None
    for _ in range(rounds):
        start = time.monotonic()
        child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, **options)
        errors = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"{command[0]} failed: {errors.decode(errors='replace')[:300]}")
        figures = (time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
        best = min(best or figures, figures)
    return best


def show(what, who, figures):
    wall, cpu, memory = figures
    print(f"{what:34} {who:12} {wall:8.2f} s wall {cpu:8.2f} s CPU {memory / 2**20:8.0f} MiB", flush=True)


def missing(what, who, how):
    print(f"{what:34} {who:12} not here ({how})", flush=True)


def commands(folder, files, rounds):
    one, two, large = folder / "0000.pb.gz", folder / "0001.pb.gz", folder / "large.pb.gz"
    all_files = [folder / f"{i:04}.pb.gz" for i in range(files)]
    merged = ["merge", *all_files, "-o", folder / "merged.pb.gz"]
    for what, ours, theirs in (
            ("top of 5,000 stacks", ["top", one], ["-top", one]),
            ("top of 200,000 stacks", ["top", large], ["-top", large]),
            ("diff of 5,000 and 5,000 stacks", ["diff", one, two], ["-top", "-diff_base", one, two]),
            (f"merge of {files:,} × 5,000 stacks", merged, ["-proto", *all_files])):
        times = 1 if "merge" in what else rounds
        show(what, "cprof", run([COMMAND, *ours], times))
        if GO:
            show(what, "go pprof", run([GO, "tool", "pprof", *theirs], times, cwd=folder))
        else:
            missing(what, "go pprof", "https://go.dev")


def flame_graphs(folder, rounds):
    large, stacks = folder / "large.pb.gz", folder / "large.collapsed"
    what = "flame graph of 200,000 stacks"
    show(what, "cprof", run([COMMAND, "flame", large, "-o", folder / "large.html"], rounds))
    run([COMMAND, "convert", large, stacks], 1)
    show(f"{what}, text", "cprof", run([COMMAND, "flame", stacks, "-o", folder / "text.html"], rounds))
    inferno = tool("inferno-flamegraph")
    if inferno:
        show(f"{what}, text", "inferno", run([inferno, stacks], rounds))
    else:
        missing(f"{what}, text", "inferno", "cargo install inferno")
    print(f"{'file of it':34} {'pprof, gzip':12} {large.stat().st_size:12,} bytes")
    print(f"{'':34} {'page':12} {(folder / 'large.html').stat().st_size:12,} bytes, "
          f"{(folder / 'large.html').stat().st_size / large.stat().st_size:.2f} of it")


# --- pages ---

PAN = """
    const done = arguments[0], {graph} = window.page, times = [];
    const {total} = graph.model.root;
    const step = (now) => {
        times.push(now);
        const at = times.length;
        if (at > 240)
            return done(times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b));
        graph.span = total / 4;
        graph.left = total * at / 400;
        graph.scroller.scrollTop = at;
        graph.relayout();
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);"""


def our_page(folder, rounds):
    with browser.Browser() as page:
        shown = []
        for _ in range(rounds):
            page.open(folder / "large.html")
            shown.append(page.run("return performance.getEntriesByName('profile shown')[0].startTime"))
        times = min((page.run_async(PAN) for _ in range(rounds)), key=lambda each: each[len(each) // 2])
        typing = min(page.run("""const start = performance.now(); const field = document.getElementById('search');
            field.value = arguments[0]; field.dispatchEvent(new Event('input', {bubbles: true}));
            return performance.now() - start;""", text) for text in ("method_1", "module_7", "Class9"))
    print(f"{'page of 200,000 stacks opens':34} {'cprof':12} {min(shown):8.0f} ms")
    print(f"{'panning it, a frame':34} {'cprof':12} {times[len(times) // 2]:8.1f} ms median, "
          f"{times[int(len(times) * 0.95)]:.1f} ms for 95 of 100")
    print(f"{'searching it':34} {'cprof':12} {typing:8.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=1000, help="profiles to merge")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cprof-bench-") as name:
        folder = pathlib.Path(name)
        # In a process of its own: the memory of this one is where others' begins to count.
        with multiprocessing.Pool(1) as pool:
            pool.apply(write_files, (folder, options.files))
        commands(folder, options.files, options.rounds)
        flame_graphs(folder, options.rounds)
        if browser.why_not():
            print(f"pages: {browser.why_not()}")
        else:
            our_page(folder, options.rounds)


if __name__ == "__main__":
    main()
