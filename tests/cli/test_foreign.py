"""Formats of other profilers that cprof reads: files that the real tools write here and now, and small
ones made by hand. What is expected is worked out from the file itself, without cprof."""

import collections
import gzip
import json
import marshal
import math
import os
import pathlib
import pstats
import re
import shutil
import subprocess
import sys

import pytest


def report(cprof, path, *arguments):
    done = cprof("top", "--json", "-n", 100000, *arguments, path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def table(cprof, path, *arguments):
    """name → [self, total], summed over files."""
    found = collections.defaultdict(lambda: [0, 0])
    for row in report(cprof, path, *arguments)["rows"]:
        found[row["name"]][0] += row["self"]
        found[row["name"]][1] += row["total"]
    return {name: tuple(values) for name, values in found.items()}


def refused(cprof, path, *words):
    done = cprof("top", path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def tool(name):
    found = shutil.which(name)
    if not found:
        pytest.skip(f"no {name} on this machine")
    return found


# --- V8: .cpuprofile and .heapprofile ---

PROGRAM = """
const zlib = require('zlib');
class Cart { total(n) { let s = 0; for (let i = 0; i < n; i++) s += Math.sqrt(i) % 7; return s; } }
function pack(n) { return zlib.deflateSync(Buffer.alloc(n, 'abc')).length; }
const kept = [];
function keep(n) { for (let i = 0; i < n; i++) kept.push('x'.repeat(50) + i); }
const cart = new Cart(), end = Date.now() + 200;
while (Date.now() < end) { cart.total(20000); pack(20000); keep(100); }
for (let i = 0; i < 20; i++) kept.push(new Array(100000).fill(i));
"""


@pytest.fixture(scope="module")
def of_node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    write(folder / "app.js", PROGRAM)
    subprocess.run([tool("node"), "--cpu-prof", "--cpu-prof-name=x.cpuprofile", "--heap-prof",
                    "--heap-prof-interval=4096", "--heap-prof-name=x.heapprofile", "app.js"], cwd=folder, check=True, timeout=60)
    return folder


def self_times(profile):
    """Node → nanoseconds, as DevTools shows them: a sample lasts until the next one."""
    times, at = [], profile["startTime"]
    for delta in profile["timeDeltas"]:
        at += delta
        times.append(max(at, times[-1]) if times else at)
    times.append(max(profile["endTime"], times[-1]))
    found = collections.Counter()
    for node, begin, end in zip(profile["samples"], times, times[1:]):
        found[node] += (end - begin) * 1000
    return found


def test_what_node_writes_of_the_cpu_has_devtools_times(cprof, of_node):
    profile = json.loads((of_node / "x.cpuprofile").read_text())
    nodes = {node["id"]: node for node in profile["nodes"]}
    names = {id: node["callFrame"]["functionName"] or "(anonymous)" for id, node in nodes.items()}
    parents = {child: id for id, node in nodes.items() for child in node.get("children", [])}
    expected = collections.defaultdict(lambda: [0, 0])
    for id, time in self_times(profile).items():
        expected[names[id]][0] += time
        above = set()
        while id in parents:
            above.add((names[id], nodes[id]["callFrame"]["url"]))
            id = parents[id]
        for name, _ in above:
            expected[name][1] += time
    found = table(cprof, of_node / "x.cpuprofile")
    assert {name: values[0] for name, values in found.items() if values[0]} == \
        {name: values[0] for name, values in expected.items() if values[0]}
    for name in {"total", "pack", "keep"} & expected.keys():
        assert found[name] == tuple(expected[name])
    rows = {row["name"]: row for row in report(cprof, of_node / "x.cpuprofile")["rows"]}
    assert rows["total"]["file"] == str(of_node / "app.js") and rows["total"]["frame_type"] == "v8js"
    samples = table(cprof, of_node / "x.cpuprofile", "--value", "samples")
    assert sum(values[0] for values in samples.values()) == len(profile["samples"])


def test_ticks_say_which_line_it_was(cprof, of_node):
    profile = json.loads((of_node / "x.cpuprofile").read_text())
    ticks = collections.Counter()
    for node in profile["nodes"]:
        if node["callFrame"]["url"].endswith("app.js"):
            for each in node.get("positionTicks", []):
                ticks[each["line"]] += each["ticks"]
    found = collections.Counter()
    for row in report(cprof, of_node / "x.cpuprofile", "--by", "line", "--value", "samples")["rows"]:
        if row["file"] and row["file"].endswith("app.js") and row["line"]:
            found[row["line"]] += row["self"]
    assert ticks and {line: count for line, count in found.items() if count} == dict(ticks)


def test_what_node_writes_of_the_heap_adds_up(cprof, of_node):
    expected = collections.Counter()

    def walk(node):
        expected[node["callFrame"]["functionName"] or "(anonymous)"] += node["selfSize"]
        for child in node["children"]:
            walk(child)

    walk(json.loads((of_node / "x.heapprofile").read_text())["head"])
    found = report(cprof, of_node / "x.heapprofile")
    assert found["total"] == sum(expected.values()) > 0
    assert {name: values[0] for name, values in table(cprof, of_node / "x.heapprofile").items() if values[0]} == {
        name: size for name, size in expected.items() if size}


def test_their_bytes_say_what_they_are(cprof, of_node, tmp_path):
    for name in ("x.cpuprofile", "x.heapprofile"):
        whole = (of_node / name).read_bytes()
        (tmp_path / "nameless").write_bytes(gzip.compress(whole))
        assert report(cprof, tmp_path / "nameless") == report(cprof, of_node / name)
        for cut in (10, len(whole) // 2, len(whole) - 2):
            (tmp_path / "cut").write_bytes(whole[:cut])
            refused(cprof, tmp_path / "cut")


def v8_node(id, name="f", **more):
    return {"id": id, "callFrame": {"functionName": name, "url": "", "lineNumber": 0, "columnNumber": 0}, **more}


def v8_profile(nodes, **more):
    return {"nodes": nodes, "startTime": 0, "endTime": 100, "samples": [1], "timeDeltas": [10], **more}


def test_a_sample_that_is_late_by_its_clock_takes_no_time(cprof, tmp_path):
    nodes = [v8_node(1, "(root)", children=[2, 3]), v8_node(2, "a"), v8_node(3, "b")]
    path = write(tmp_path / "p", v8_profile(nodes, samples=[2, 3, 2, 3], timeDeltas=[10, 50, -20, 30]))
    assert table(cprof, path) == {"a": (60_000, 60_000), "b": (30_000, 30_000)}


def test_a_profile_without_samples_has_its_hits(cprof, tmp_path):
    nodes = [v8_node(1, "(root)", children=[2, 3]), v8_node(2, "a", hitCount=3), v8_node(3, "b", hitCount=1)]
    path = write(tmp_path / "p", {"nodes": nodes, "startTime": 0, "endTime": 100})
    assert table(cprof, path) == {"a": (75_000, 75_000), "b": (25_000, 25_000)}


@pytest.mark.parametrize("profile,why", [
    (v8_profile([v8_node(1, children=[2]), v8_node(2, children=[1])]), "among its own callers"),
    (v8_profile([v8_node(1, children=[7])]), "names node 7, which is missing"),
    (v8_profile([v8_node(1)], samples=[9]), "names node 9, which is missing"),
    (v8_profile([v8_node(1), v8_node(1)]), "two nodes have the id 1"),
    (v8_profile([{}]), "node 0 has no id"),
    (v8_profile([]), "no nodes in it"),
    ({"head": []}, "no selfSize"),
])
def test_a_broken_v8_profile_gets_one_line(cprof, tmp_path, profile, why):
    refused(cprof, write(tmp_path / "p", profile), why)


def test_stacks_that_grow_far_beyond_their_file_are_refused(cprof, tmp_path):
    count = 8000
    nodes = [v8_node(i, children=[i + 1] if i < count else []) for i in range(1, count + 1)]
    path = write(tmp_path / "p", v8_profile(nodes, samples=list(range(1, count + 1)), timeDeltas=[1] * count))
    refused(cprof, path, "too deep for a file of its size")


def test_a_heap_nested_beyond_reason_is_refused(cprof, tmp_path):
    node = '{"callFrame":{"functionName":"f"},"selfSize":1,"id":1,"children":['
    refused(cprof, write(tmp_path / "p", '{"head":' + node * 10000 + "]}" * 10000 + "}"), "within each other")
    deep = report(cprof, write(tmp_path / "q", '{"head":' + node * 1000 + "]}" * 1000 + "}"))
    assert deep["total"] == 1000


# --- speedscope ---

def speedscope(*profiles, frames=("main", "work", "parse"), **more):
    return {"$schema": "https://www.speedscope.app/file-format-schema.json",
            "shared": {"frames": [{"name": name, "file": f"{name}.py", "line": 7} for name in frames]},
            "profiles": list(profiles), **more}


def sampled(unit, samples, weights, name="MainThread"):
    return {"type": "sampled", "name": name, "unit": unit, "startValue": 0, "endValue": sum(weights),
            "samples": samples, "weights": weights}


def evented(unit, events, name="MainThread"):
    return {"type": "evented", "name": name, "unit": unit, "startValue": 0, "endValue": 100,
            "events": [{"type": type, "frame": frame, "at": at} for type, frame, at in events]}


@pytest.mark.parametrize("unit,factor,shown", [
    ("nanoseconds", 1, "nanoseconds"), ("microseconds", 10**3, "nanoseconds"),
    ("milliseconds", 10**6, "nanoseconds"), ("seconds", 10**9, "nanoseconds"), ("bytes", 1, "bytes"),
    ("none", 1, "count")])
def test_speedscopes_units(cprof, tmp_path, unit, factor, shown):
    path = write(tmp_path / "p", speedscope(sampled(unit, [[0, 1], [0], [0, 1, 2]], [3, 1, 6])))
    found = report(cprof, path)
    assert found["unit"] == shown
    assert {row["name"]: (row["self"], row["total"]) for row in found["rows"]} == {
        "main": (factor, 10 * factor), "work": (3 * factor, 9 * factor), "parse": (6 * factor, 6 * factor)}
    assert {row["frame_type"] for row in found["rows"]} == {"cpython"}


def test_speedscopes_numbers_need_not_be_whole(cprof, tmp_path):
    path = write(tmp_path / "p", speedscope(sampled("milliseconds", [[0]], [0.25])))
    assert table(cprof, path) == {"main": (250_000, 250_000)}
    path = write(tmp_path / "q", speedscope(sampled("none", [[0], [0, 1]], [0.25, 2])))
    assert table(cprof, path) == {"main": (250_000, 2_250_000), "work": (2_000_000, 2_000_000)}


def test_speedscopes_events_are_the_time_between_them(cprof, tmp_path):
    events = [("O", 0, 10), ("O", 1, 20), ("C", 1, 50), ("O", 2, 50), ("C", 2, 55), ("C", 0, 90), ("O", 1, 95),
              ("C", 1, 100)]
    path = write(tmp_path / "p", speedscope(evented("microseconds", events)))
    assert table(cprof, path) == {"main": (45_000, 80_000), "work": (35_000, 35_000), "parse": (5_000, 5_000)}


def test_speedscopes_profiles_are_threads(cprof, tmp_path):
    path = write(tmp_path / "p", speedscope(sampled("none", [[0]], [3]), sampled("none", [[1]], [4], "worker (12)")))
    assert {row["name"]: row["self"] for row in report(cprof, path, "--by", "thread")["rows"]} == {
        "MainThread": 3, "worker": 4}
    assert table(cprof, path, "--thread", "worker") == {"work": (4, 4)}


def test_what_cprof_writes_for_speedscope_is_read_again(cprof, small, tmp_path):
    assert cprof("convert", small, tmp_path / "o.speedscope.json").returncode == 0
    assert table(cprof, tmp_path / "o.speedscope.json") == table(cprof, small)
    assert cprof("convert", tmp_path / "o.speedscope.json", tmp_path / "again.speedscope.json").returncode == 0
    first, again = (json.loads((tmp_path / name).read_text())
                    for name in ("o.speedscope.json", "again.speedscope.json"))
    assert {each["name"]: sum(each["weights"]) for each in first["profiles"]} == \
        {each["name"]: sum(each["weights"]) for each in again["profiles"]}
    assert first["shared"] == again["shared"]


@pytest.mark.parametrize("profile,why", [
    (sampled("none", [[0, 9]], [1]), "names frame 9 of 3"),
    (sampled("none", [[0, -1]], [1]), "names frame -1 of 3"),
    (sampled("none", [[0]], [1, 2]), "1 samples have 2 weights"),
    (evented("none", [("O", 0, 1), ("C", 1, 2)]), "frame 1 is closed but not the innermost"),
    (evented("none", [("C", 0, 1)]), "frame 0 is closed but not the innermost"),
    (evented("none", [("X", 0, 1)]), 'neither "O" nor "C"'),
    ({"type": "other"}, 'neither "sampled" nor "evented"'),
])
def test_a_broken_speedscope_file_gets_one_line(cprof, tmp_path, profile, why):
    refused(cprof, write(tmp_path / "p", speedscope(profile)), why)


# --- perf script ---

PERF = """\
# ========
# captured on    : Mon Nov 30 10:42:39 2026
# ========
#
python3  6637/6640 [001]  1461.250000:    1001001 cpu-clock:u:
	ffffffff8161f663 alloc_pages+0x143 ([kernel.kallsyms])
	           d4ad7 __GI___execve+0x7 (/usr/lib/x86_64-linux-gnu/libc.so.6 (deleted))
	            3033 [unknown] (/usr/bin/env)
	    7eff115968a8 [unknown] ([unknown])

Web Content 2 77 [000]  1462.500000:    2000000 cpu-clock:u:
	            1234 inner (inlined)
	            1234 operator()(int (*)(char))+0xf (/app/shop)
	            2000 py::Cart.total:/app/shop.py+0xb (/tmp/perf-77.map)
	            3000 JS:*price /app/price.js:12:5+0x1c (/tmp/perf-77.map)
	            4000 main+0x10 (/app/shop)

Web Content 2 77 [000]  1462.750000:        500 cycles:P:  ffffffff8161f000 idle+0x1 ([kernel.kallsyms])
"""


def test_perf_scripts_text(cprof, tmp_path):
    found = report(cprof, write(tmp_path / "p", PERF))
    assert found["unit"] == "nanoseconds" and found["total"] == 3_001_001 and found["duration_ns"] == 1_500_000_000
    rows = {row["name"]: row for row in found["rows"]}
    assert {name: (row["self"], row["total"], row["frame_type"]) for name, row in rows.items()} == {
        "alloc_pages": (1001001, 1001001, "kernel"), "__GI___execve": (0, 1001001, "native"),
        "env+0x3033": (0, 1001001, "native"), "0x7eff115968a8": (0, 1001001, "native"),
        "inner": (2000000, 2000000, "native"), "operator()(int (*)(char))": (0, 2000000, "native"),
        "Cart.total": (0, 2000000, "cpython"), "price": (0, 2000000, "v8js"), "main": (0, 2000000, "native")}
    assert (rows["Cart.total"]["file"], rows["price"]["file"]) == ("/app/shop.py", "/app/price.js")
    modules = {row["name"]: row["total"] for row in report(cprof, tmp_path / "p", "--by", "module")["rows"]}
    assert modules["/usr/lib/x86_64-linux-gnu/libc.so.6"] == 1001001 and modules["/app/shop"] == 2000000
    assert table(cprof, tmp_path / "p", "--value", "cycles")["idle"] == (500, 500)
    assert report(cprof, tmp_path / "p", "--value", "samples")["total"] == 3
    threads = {row["name"]: row["self"] for row in report(cprof, tmp_path / "p", "--by", "thread")["rows"]}
    assert threads == {"python3": 1001001, "Web Content 2": 2000000}


@pytest.mark.parametrize("head", ["app 7 1.5:  9 cycles:", "app 7 1.5: cycles:", "app 7 cycles:", "app 7/8 [003] 1.5:",
                                  "my app 3 7 1.123456789:          1 sched:sched_switch:"])
def test_perfs_fields_may_lack(cprof, tmp_path, head):
    path = write(tmp_path / "p", f"{head}\n\t  12ab work+0x1 (/app)\n\t  34cd main (/app)\n\n")
    assert set(table(cprof, path)) == {"work", "main"}
    assert report(cprof, path, "--value", "samples")["total"] == 1


@pytest.mark.parametrize("text", ["a 5 6\n", "thread 12 main: 5\n", "main;work (libc.so.6) 7\n", "x 1.5: 3\n"])
def test_other_text_is_not_perfs(cprof, tmp_path, text):
    assert report(cprof, write(tmp_path / "p", text))["total"] == int(text.split()[-1])


def test_what_perf_prints_here_adds_up(cprof, tmp_path):
    perf = tool("perf")
    done = subprocess.run([perf, "record", "-q", "-F", "999", "-e", "cpu-clock", "-g", "-o", tmp_path / "data", "--",
                           "sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"],
                          capture_output=True, text=True, timeout=60)
    text = subprocess.run([perf, "script", "-i", tmp_path / "data"], capture_output=True, text=True, timeout=60).stdout
    if " cpu-clock" not in text:
        pytest.skip(f"perf may not sample here: {done.stderr[-200:]}")
    heads = [line.split() for line in text.splitlines() if " cpu-clock" in line]
    found = report(cprof, write(tmp_path / "p", text))
    assert found["total"] == sum(int(words[words.index(next(w for w in words if w.startswith("cpu-clock"))) - 1])
                                 for words in heads)
    assert report(cprof, tmp_path / "p", "--value", "samples")["total"] == len(heads)


# --- Python's cProfile ---

PROFILED = """
import json, zlib
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def pack(n): return len(zlib.compress(b"abc" * n))
def text(n): return json.dumps(list(range(n)))
def main():
    for i in range(10):
        fib(12); pack(20000); text(3000)
main()
"""


@pytest.fixture(scope="module", params=["cProfile", "profile"])
def of_python(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    write(folder / "app.py", PROFILED)
    subprocess.run([sys.executable, "-c", f"import {request.param} as p; p.run(open('app.py').read(), 'out')"],
                   cwd=folder, check=True, timeout=60, stdout=subprocess.DEVNULL)
    return folder / "out"


def test_what_a_python_function_took_itself_is_exact(cprof, of_python):
    stats = marshal.loads(of_python.read_bytes())
    times, calls = collections.Counter(), collections.Counter()
    for (_, _, name), (_, count, own, _, _) in stats.items():
        times[name] += round(own * 1e9)
        calls[name] += count
    found = table(cprof, of_python)
    assert {name: values[0] for name, values in found.items() if values[0] > 0} == {
        name: time for name, time in times.items() if time > 0}
    counted = {name: values[0] for name, values in table(cprof, of_python, "--value", "calls").items()}
    assert {name: count for name, count in counted.items() if count} == {
        name: count for name, count in calls.items() if count}


def test_what_a_python_function_took_with_its_callees_is_near(cprof, of_python):
    stats = marshal.loads(of_python.read_bytes())
    rows = {(row["file"], row["name"]): row for row in report(cprof, of_python)["rows"]}
    for name in ("main", "pack", "text"):
        (key, entry), = [(key, entry) for key, entry in stats.items() if key[2] == name]
        row = rows[(key[0], name)]
        assert row["total"] / 1e9 == pytest.approx(entry[3], rel=0.15), name  # by the wall clock, of milliseconds
        assert row["frame_type"] == "cpython"


def python_stats(path, functions):
    path.write_bytes(marshal.dumps(functions))
    return path


def test_the_way_to_a_shared_callee_is_split_as_its_callers_were(cprof, tmp_path):
    """a and b call c; c calls d. cProfile knows what c took for each of both."""
    a, b, c, d = [("x.py", line, name) for line, name in enumerate("abcd", 1)]
    path = python_stats(tmp_path / "p", {
        a: (1, 1, 1.0, 4.0, {}), b: (1, 1, 2.0, 11.0, {}),
        c: (2, 2, 4.0, 12.0, {a: (1, 1, 1.0, 3.0), b: (1, 1, 3.0, 9.0)}), d: (4, 4, 8.0, 8.0, {c: (4, 4, 8.0, 8.0)})})
    stacks = {row["name"]: row["self"] for row in report(cprof, path, "--by", "stack")["rows"]}
    assert stacks == {"a": 10**9, "b": 2 * 10**9, "a;c": 10**9, "b;c": 3 * 10**9, "a;c;d": 2 * 10**9,
                      "b;c;d": 6 * 10**9}


def test_functions_that_call_each_other_in_a_ring_lose_nothing(cprof, tmp_path):
    ring = [("x.py", i, f"f{i}") for i in range(50)]
    path = python_stats(tmp_path / "p", {
        key: (1, 2, 1.0, 50.0, {ring[i - 1]: (1, 1, 1.0, 50.0), key: (0, 1, 1.0, 1.0)}) for i, key in enumerate(ring)})
    assert {name: values[0] for name, values in table(cprof, path).items()} == {f"f{i}": 10**9 for i in range(50)}


def test_many_ways_to_everything_are_bounded(cprof, tmp_path):
    """Each of 40 layers of 30 functions calls all of the next: more ways than can be written."""
    layers = [[("x.py", 100 * i + k, f"f{i}_{k}") for k in range(30)] for i in range(40)]
    path = python_stats(tmp_path / "p", {
        key: (1, 1, 0.001, 1.0, {caller: (1, 1, 0.001, 0.03) for caller in layers[i - 1]} if i else {})
        for i, layer in enumerate(layers) for key in layer})
    found = report(cprof, path)
    assert found["total"] == 1200 * 10**6
    assert {row["self"] for row in found["rows"]} == {10**6}


@pytest.mark.parametrize("content,why", [
    ({("a", 1, 2): (1, 1, 0.0, 0.0, {})}, "a file, a line and a name"),
    ({("a", 1, "f"): (1, 1, 0.0)}, "no times and callers"),
    ({("a", 1, "f"): (1, 1, 0.0, 0.0, {("b", "g"): 1})}, "a file, a line and a name"),
    ({("a", 1, "f"): {1, 2}}, "not valid marshal of Python"),
    ({("a", 1, refused.__code__): 1}, "has compiled code of Python in it"),
])
def test_a_broken_file_of_cprofile_gets_one_line(cprof, tmp_path, content, why):
    refused(cprof, python_stats(tmp_path / "p", content), why)
    whole = marshal.dumps({("a", 1, "f"): (1, 1, 0.0, 0.0, {})})
    for cut in range(6, len(whole) - 1, 7):
        (tmp_path / "cut").write_bytes(whole[:cut])
        refused(cprof, tmp_path / "cut", "damaged at byte")


# --- callgrind ---

CALLGRIND = """\
# callgrind format
positions: line
events: Ir Dr

fl=(1) file1.c
fn=(1) main
16 20 5
cfn=(2) func1
calls=1 50
16 400 40
cfi=(2) file2.c
cfn=(3) func2
calls=3 20
+0 400 40

fn=(2)
51 100
cfi=(2)
cfn=(3)
calls=2 20
* 300 30

jump=1/2 17
fl=(2)
fn=(3)
0x14 300 30
fi=(1)
21 400 40
"""


def test_callgrinds_own_example(cprof, tmp_path):
    path = write(tmp_path / "p", CALLGRIND)
    found = report(cprof, path)
    assert found["unit"] == "count" and found["total"] == 820
    assert {(row["name"], row["file"]): (row["self"], row["total"]) for row in found["rows"]} == {
        ("main", "file1.c"): (20, 820), ("func1", "file1.c"): (100, 400), ("func2", "file2.c"): (700, 700)}
    stacks = {row["name"]: row["self"] for row in report(cprof, path, "--by", "stack")["rows"]}
    assert stacks == {"main": 20, "main;func1": 100, "main;func1;func2": 300, "main;func2": 400}
    assert {name: values[0] for name, values in table(cprof, path, "--value", "Dr").items()} == {
        "main": 5, "func1": 0, "func2": 70}


def test_xdebugs_units(cprof, tmp_path):
    path = write(tmp_path / "p", "version: 1\ncreator: xdebug 3.2\ncmd: /a.php\npart: 1\npositions: line\n\n"
                 "events: Time_(10ns) Memory_(bytes)\n\nfl=(1) /a.php\nfn=(1) {main}\n3 5 64\n")
    assert table(cprof, path, "--value", "wall") == {"{main}": (50, 50)}
    assert table(cprof, path, "--value", "alloc_space") == {"{main}": (64, 64)}


@pytest.mark.parametrize("options", [[], ["--dump-instr=yes", "--cache-sim=yes", "--compress-strings=no"]])
def test_what_callgrind_writes_adds_up(cprof, tmp_path, options):
    out = tmp_path / "callgrind.out.1"
    subprocess.run([tool("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", *options, "/bin/true"],
                   check=True, capture_output=True, timeout=120)
    total, = [int(line.split()[1]) for line in out.read_text().splitlines() if line.startswith("totals:")]
    found = report(cprof, out)
    assert found["total"] == total
    assert max(row["total"] for row in found["rows"]) > 0.9 * total


@pytest.mark.parametrize("text,why", [
    ("fn=main\n1 2 3\n", "line 4 has costs that are no numbers, or more than events"),
    ("fn=(1) main\n1 x\n", "line 4 has costs that are no numbers"),
    ("fn=(7)\n1 2\n", "line 3 names something that was not told before"),
    ("fn=(99999999999) a\n1 2\n", "line 3 has a name's number that is too large"),
    ("fn=main\ncalls=1 2\n1 2\n", "line 5 is a call of no function"),
])
def test_a_broken_callgrind_file_gets_one_line(cprof, tmp_path, text, why):
    refused(cprof, write(tmp_path / "p", "# callgrind format\nevents: Ir\n" + text), why)
    refused(cprof, write(tmp_path / "q", "# callgrind format\n" + text))


# --- the Firefox Profiler, samply and vernier ---

def gecko(shared=False, product="Firefox", weight=None, weight_type="samples", **samples):
    """main calls work (line 20, then 21); memcpy of libc below work has no name yet."""
    tables = {
        "stackTable": {"frame": [0, 1, 2, 3], "prefix": [None, 0, 0, 2], "length": 4},
        "frameTable": {"func": [0, 1, 1, 2], "line": [12, 20, 21, None], "column": [None] * 4,
                       "address": [-1, -1, -1, 0x1234], "length": 4},
        "funcTable": {"name": [0, 1, 4], "fileName": [2, 2, None], "lineNumber": [10, 19, None],
                      "resource": [-1, -1, 0], "isJS": [True, True, False], "length": 3},
        "resourceTable": {"lib": [0], "name": [3], "length": 1},
        "stringArray": ["main", "work", "/app/main.js", "libc.so.6", "0x1234"],
    }
    if shared:
        tables["funcTable"]["source"] = [0, 0, None]
        del tables["funcTable"]["fileName"]
        tables["sources"] = {"filename": [2], "length": 1}
    stacks = [0, 1, 2, 3, None]
    thread = {"name": "GeckoMain", "tid": "77", "pid": "7",
              "samples": {"stack": stacks, "time": [10, 12, 14, 16, 18], "weight": weight, "weightType": weight_type,
                          "length": 5, **samples}}
    meta = {"interval": 2, "startTime": 1_700_000_000_000, "product": product,
            "sampleUnits": {"time": "ms", "threadCPUDelta": "µs"}}
    libs = [{"name": "libc.so.6", "path": "/usr/lib/libc.so.6"}]
    return {"meta": meta, "libs": libs, "threads": [thread if shared else {**thread, **tables}],
            **({"shared": tables} if shared else {})}


@pytest.mark.parametrize("shared", [False, True])
def test_firefoxs_samples_have_its_interval(cprof, tmp_path, shared):
    path = write(tmp_path / "p", gecko(shared))
    found = report(cprof, path)
    assert found["unit"] == "nanoseconds" and found["duration_ns"] == 8_000_000
    assert {row["name"]: (row["self"] // 10**6, row["total"] // 10**6, row["file"], row["frame_type"])
            for row in found["rows"]} == {
        "main": (2, 8, "/app/main.js", "v8js"), "work": (4, 6, "/app/main.js", "v8js"),
        "libc.so.6+0x1234": (2, 2, "/usr/lib/libc.so.6", "native")}
    lines = {(row["name"], row["line"]): row["self"] // 10**6
             for row in report(cprof, path, "--by", "line")["rows"] if row["self"]}
    assert lines[("work", 20)] == 2 and lines[("work", 21)] == 2 and lines[("main", 12)] == 2
    assert table(cprof, path, "--thread", "GeckoMain", "--value", "samples")["main"] == (1, 4)


def test_firefoxs_weights_and_cpu_time(cprof, tmp_path):
    path = write(tmp_path / "p", gecko(threadCPUDelta=[9, 100, 0, 250, None]))
    assert report(cprof, path, "--value", "cpu")["total"] == 350_000
    path = write(tmp_path / "p", gecko(weight=[1, 2, 3, 4, 5]))
    assert report(cprof, path, "--value", "samples")["total"] == 10
    assert report(cprof, path, "--value", "wall")["total"] == 20_000_000
    path = write(tmp_path / "p", gecko(weight=[0.5, 2, 3, 4, 5], weight_type="tracing-ms"))
    assert report(cprof, path, "--value", "wall")["total"] == 9_500_000
    path = write(tmp_path / "p", gecko(weight=[64, 64, 64, -64, 5], weight_type="bytes"))
    assert report(cprof, path, "--value", "space")["total"] == 128


def raw_gecko(start, strings, samples, libs=(), processes=()):
    """As Firefox writes it when it ends: rows with a schema; main calls work (line 20, then 21)."""
    def rows(*names, data):
        return {"schema": {name: i for i, name in enumerate(names)}, "data": data}
    thread = {"name": "GeckoMain", "tid": 77, "pid": 7, "stringTable": strings,
              "samples": rows("stack", "time", "threadCPUDelta", data=samples),
              "stackTable": rows("prefix", "frame", data=[[None, 0], [0, 1], [0, 2], [2, 3]]),
              "frameTable": rows("location", "relevantForJS", "line", "column",
                                 data=[[0, True, 12], [1, True, 20, 5], [1, True, 21, 5], [2]])}
    return {"meta": {"interval": 2, "startTime": start, "sampleUnits": {"threadCPUDelta": "µs"}},
            "libs": list(libs), "threads": [thread], "processes": list(processes)}


def test_what_firefox_itself_writes_is_read(cprof, tmp_path):
    libs = [{"name": "other", "start": 0x100, "end": 0x200, "offset": 0},
            {"name": "libc.so.6", "path": "/usr/lib/libc.so.6", "start": 0x7000, "end": 0x9000, "offset": 0x400}]
    child = raw_gecko(1_700_000_000_010, ["Startup::Main", "f(g) (in libxul.so)", "0x8123"], [[1, 10], [3, 12]])
    path = write(tmp_path / "p", raw_gecko(
        1_700_000_000_000, ["main (/app/main.js:10:1)", "work (http://a:80/main.js:19:3)", "0x8123"],
        [[0, 10, 9], [1, 12, 100], [2, 14], [3, 16, 250], [None, 18]], libs, [child]))
    found = report(cprof, path, "--value", "wall")
    assert found["unit"] == "nanoseconds" and found["duration_ns"] == 12_000_000  # from 10 to 10 + 12 ms
    assert {row["name"]: (row["self"] // 10**6, row["total"] // 10**6, row["file"], row["line"], row["frame_type"])
            for row in found["rows"]} == {
        "main": (2, 8, "/app/main.js", 10, "v8js"), "work": (4, 6, "http://a:80/main.js", 19, "v8js"),
        "libc.so.6+0x1523": (2, 2, "/usr/lib/libc.so.6", 0, "native"),
        "Startup::Main": (0, 4, "", 0, ""), "f(g)": (2, 4, "libxul.so", 0, "native"), "0x8123": (2, 2, "", 0, "")}
    assert report(cprof, path, "--value", "cpu")["total"] == 350_000
    lines = {(row["name"], row["line"]): row["self"] // 10**6
             for row in report(cprof, path, "--by", "line", "--value", "wall")["rows"] if row["self"]}
    assert lines[("work", 20)] == 2 and lines[("work", 21)] == 2 and lines[("main", 12)] == 2


def test_verniers_frames_are_rubys(cprof, tmp_path):
    found = report(cprof, write(tmp_path / "p", gecko(product="Ruby/Vernier", weight=[3, 1, 1, 1, 1])))
    assert found["unit"] == "count" and found["total"] == 6
    assert {row["frame_type"] for row in found["rows"]} == {"ruby"}


def test_a_broken_firefox_profile_gets_one_line(cprof, tmp_path):
    for change, why in (
            (lambda p: p["threads"][0]["samples"].update(stack=[9]), "stack 9 of 4"),
            (lambda p: p["threads"][0]["stackTable"].update(prefix=[None, 7, 0, 2]), "stack 1 names"),
            (lambda p: p["threads"][0]["stackTable"].update(prefix=[1, 0, 0, 2]), "among its own callers")):
        profile = gecko()
        change(profile)
        refused(cprof, write(tmp_path / "p", profile), why)


# --- Python's own sampling profiler: python3.15 -m profiling.sampling run of app.py, which has
# inner() called by outer(), and idle() ---

SAMPLING = pathlib.Path(__file__).parent / "data" / "python3.15"
OF_APP = {"<module>", "outer", "inner", "inner.<locals>.<genexpr>", "idle"}


def test_what_python_samples_for_firefox_is_read(cprof):
    path = SAMPLING / "firefox.json.gz"
    with gzip.open(path) as file:
        profile = json.load(file)
    thread, = profile["threads"]
    stacks, functions, names = thread["stackTable"], thread["frameTable"]["func"], profile["shared"]["stringArray"]
    own = collections.Counter()
    for stack in thread["samples"]["stack"]:
        own[names[thread["funcTable"]["name"][functions[stacks["frame"][stack]]]]] += 1
    found = {row["name"]: row for row in report(cprof, path, "--value", "samples")["rows"]}
    assert {name: row["self"] for name, row in found.items() if row["self"]} == own
    assert found["outer"]["file"] == "app.py" and found["outer"]["frame_type"] == "cpython"
    assert OF_APP <= found.keys()


def test_what_python_samples_as_pstats_is_read(cprof):
    path = SAMPLING / "out.pstats"
    stats = {key: value for key, value in marshal.loads(path.read_bytes()).items() if len(key) == 3}
    times, counts = collections.Counter(), collections.Counter()
    for (_, _, name), (samples, _, own, _, _) in stats.items():
        times[name] += round(own * 1e9)
        counts[name] += samples
    assert {name: own for name, (own, _) in table(cprof, path).items()} == times and OF_APP <= times.keys()
    assert {name: own for name, (own, _) in table(cprof, path, "--value", "samples").items()} == counts
    lines = {(row["name"], row["line"]) for row in report(cprof, path, "--by", "line")["rows"]}
    assert {(name, line) for _, line, name in stats} == lines


def test_what_python_samples_as_collapsed_stacks_is_read(cprof):
    path = SAMPLING / "collapsed.txt"
    own = collections.Counter()
    for line in path.read_text().splitlines():
        stack, count = line.rsplit(" ", 1)
        own[re.sub(r".*;[^;:]+:|:\d+$", "", stack)] += int(count)
    rows = report(cprof, path)["rows"]
    assert {row["name"]: row["self"] for row in rows if row["self"]} == own
    assert {row["name"]: row["file"] for row in rows if row["frame_type"] == "cpython"} == {
        **dict.fromkeys(OF_APP, "app.py"), **dict.fromkeys(("_run_module_as_main", "_run_code"), "<frozen runpy>")}


# --- stackprof ---

STACKPROF = {"version": 1.2, "mode": "wall", "interval": 1000, "samples": 10, "gc_samples": 0, "missed_samples": 0,
             "frames": {"11": {"name": "<main>", "file": "app.rb", "line": None, "total_samples": 10, "samples": 1,
                               "edges": {"22": 9}},
                        "22": {"name": "Cart#total", "file": "/app/cart.rb", "line": 7, "total_samples": 9,
                               "samples": 5, "edges": {"33": 4}, "lines": {"8": [9, 5]}},
                        "33": {"name": "Integer#times", "file": "<cfunc>", "line": None, "total_samples": 4,
                               "samples": 4}}}


@pytest.mark.parametrize("raw", [None, [1, 11, 1, 2, 11, 22, 5, 3, 11, 22, 33, 4]])
def test_stackprof_with_and_without_its_stacks(cprof, tmp_path, raw):
    path = write(tmp_path / "p", {**STACKPROF, "raw": raw} if raw else STACKPROF)
    rows = {row["name"]: row for row in report(cprof, path)["rows"]}
    assert {name: (row["self"] // 10**6, row["total"] // 10**6, row["file"], row["frame_type"])
            for name, row in rows.items()} == {
        "<main>": (1, 10, "app.rb", "ruby"), "Cart#total": (5, 9, "/app/cart.rb", "ruby"),
        "Integer#times": (4, 4, "", "ruby")}
    assert report(cprof, path, "--value", "samples")["total"] == 10


def test_stackprofs_lines(cprof, tmp_path):
    raw, lines = [2, 11, 22, 5], [2, 3, 8, 5]
    path = write(tmp_path / "p", {**STACKPROF, "raw": raw, "raw_lines": lines})
    assert {(row["name"], row["line"]) for row in report(cprof, path, "--by", "line")["rows"]} == {
        ("<main>", 3), ("Cart#total", 8)}


def test_a_broken_stackprof_gets_one_line(cprof, tmp_path):
    for raw, why in (([1, 99, 1], "names frame 99"), ([5, 11, 1], "damaged at number 0"), ([-1, 2], "damaged")):
        refused(cprof, write(tmp_path / "p", {**STACKPROF, "raw": raw}), why)


def test_what_stackprof_dumps_is_read_as_its_json(cprof, tmp_path):
    program = ("require 'stackprof'; require 'json'\n"
               "def inner(n) s = 0; n.times { |i| s += i % 7 }; s end\n"
               "StackProf.run(mode: :wall, raw: true, interval: 500, out: 'raw.dump') { 40.times { inner(30000) } }\n"
               "StackProf.run(mode: :object, interval: 10, out: 'plain.dump') { 2000.times { 'a' + 'b' } }\n"
               "%w[raw plain].each { |n| d = Marshal.load(File.binread(n + '.dump'));\n"
               "File.write(n + '.json', JSON.generate(d)) }\n")
    done = subprocess.run([tool("ruby"), "-e", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"no stackprof on this machine (apt-get install ruby-stackprof): {done.stderr[-200:]}")
    for name in ("raw", "plain"):
        found = report(cprof, tmp_path / f"{name}.dump")
        assert found["rows"] == report(cprof, tmp_path / f"{name}.json")["rows"]
        frames = json.loads((tmp_path / f"{name}.json").read_text())["frames"].values()
        expected = collections.Counter()
        for frame in frames:
            expected[frame["name"]] += frame["samples"]
        samples = table(cprof, tmp_path / f"{name}.dump", "--value", "samples")
        assert {key: values[0] for key, values in samples.items() if values[0]} == {
            key: count for key, count in expected.items() if count}
    assert report(cprof, tmp_path / "plain.dump")["total"] % 10 == 0
    whole = (tmp_path / "raw.dump").read_bytes()
    for cut in (len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:cut])
        refused(cprof, tmp_path / "cut", "damaged at byte")


# --- heaps of gperftools and jemalloc ---

MAPS = "\nMAPPED_LIBRARIES:\n1000-2000 r-xp 00000000 08:01 7   /nowhere/app\n"


def test_tcmallocs_heap(cprof, tmp_path):
    path = write(tmp_path / "p", "heap profile:   3:  5000 [   9: 9000] @ heapprofile\n"
                 "  2:  4096 [  4:  8192] @ 0x1101 0x1201\n  1: 904 [ 5: 808] @ 0x1301\n" + MAPS)
    found = report(cprof, path)
    assert found["unit"] == "bytes" and {row["name"]: (row["self"], row["total"]) for row in found["rows"]} == {
        "app+0x100": (4096, 4096), "app+0x200": (0, 4096), "app+0x300": (904, 904)}
    assert report(cprof, path, "--value", "alloc_space")["total"] == 9000
    assert report(cprof, path, "--value", "inuse_objects")["total"] == 3


def test_what_was_sampled_is_scaled_up(cprof, tmp_path):
    """As pprof does it: 1 / (1 - e^(-size/period))."""
    def scaled(objects, space):
        return int(space / (1 - math.exp(-space / objects / 524288)))
    path = write(tmp_path / "p", "heap_v2/524288\n  t*: 5: 700000 [0: 0]\n  t0: 5: 700000 [0: 0]\n@ 0x1101 0x1201\n"
                 "  t*: 3: 300000 [0: 0]\n  t0: 3: 300000 [0: 0]\n@ 0x1301\n  t*: 2: 400000 [0: 0]\n" + MAPS)
    assert table(cprof, path) == {"app+0x100": (scaled(3, 300000),) * 2, "app+0x200": (0, scaled(3, 300000)),
                                  "app+0x300": (scaled(2, 400000),) * 2}
    path = write(tmp_path / "q", "heap profile: 3: 300000 [ 3: 300000] @ heap_v2/524288\n"
                 "  3: 300000 [ 3: 300000] @ 0x1101\n" + MAPS)
    assert report(cprof, path)["total"] == report(cprof, path, "--value", "alloc_space")["total"] == scaled(3, 300000)


@pytest.mark.parametrize("text,why", [
    ("heap profile: x\n", "line 1 has no counts"),
    ("heap profile: 1: 2 [3: 4] @ heapprofile\n1: 2 [3: 4] 0x12\n", "line 2 is neither a stack nor its counts"),
    ("heap profile: 1: 2 [3: 4] @ heapprofile\n1: 2 [3: 4] @ main\n", "line 2 has no addresses"),
    ("heap_v2/512\n@ 0x12\n t*: 1: x\n", "line 3 has no counts"),
])
def test_a_broken_heap_gets_one_line(cprof, tmp_path, text, why):
    refused(cprof, write(tmp_path / "p", text), why)


@pytest.mark.parametrize("library,variables", [
    ("libtcmalloc.so.4", {"HEAPPROFILE": "heap"}),
    ("libjemalloc.so.2", {"MALLOC_CONF": "prof:true,prof_final:true,lg_prof_sample:0,prof_prefix:heap"})])
def test_what_allocators_write_is_what_was_kept(cprof, tmp_path, library, variables):
    (tmp_path / "app.c").write_text(
        "#include <stdlib.h>\nvoid *kept[300];\n__attribute__((noinline)) void keep(int i) { kept[i] = malloc(4096); }\n"
        "int main(void) { for (int i = 0; i < 300; i++) keep(i); return 0; }\n")
    subprocess.run([tool("cc"), "-O0", "-g", "-o", "app", "app.c"], cwd=tmp_path, check=True)
    done = subprocess.run(["./app"], cwd=tmp_path, env={**os.environ, "LD_PRELOAD": library, **variables},
                          capture_output=True, text=True, timeout=60)
    heaps = list(tmp_path.glob("heap*"))
    if not heaps:
        pytest.skip(f"no {library} that profiles on this machine: {done.stderr[-200:]}")
    found = {row["name"]: row for row in report(cprof, heaps[0])["rows"]}
    assert 300 * 4096 <= found["keep"]["total"] <= 1.3 * 300 * 4096


# --- what cprof writes for the others' viewers ---


def test_every_format_that_is_written_is_in_the_help_the_page_and_the_completion(cprof, small):
    done = cprof("convert", "--format", "none", small, "x")
    names = re.search(r"needs (.*), not", done.stderr)[1].replace(" or ", ", ").split(", ")
    assert len(names) > 8
    man = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "cprof.1").read_text()
    for name in names:
        for text in (cprof("convert", "--help").stdout, cprof("completion", "bash").stdout, man):
            assert re.search(rf"\b{name}\b", text), name

WRITTEN = ["x.cpuprofile", "x.firefox.json", "x.callgrind", "x.pstats"]


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_read_again(cprof, small, tmp_path, name):
    assert cprof("convert", small, tmp_path / name).returncode == 0
    before = table(cprof, small)
    assert table(cprof, tmp_path / name) == before
    (tmp_path / "nameless").write_bytes((tmp_path / name).read_bytes())
    assert table(cprof, tmp_path / "nameless") == before
    assert cprof("convert", small, tmp_path / (name + ".gz"), "--format", name.split(".")[1]).returncode == 0
    assert table(cprof, tmp_path / (name + ".gz")) == before


@pytest.mark.parametrize("name", ["x.cpuprofile", "x.firefox.json", "x.pstats"])
def test_files_and_first_lines_are_written(cprof, small, tmp_path, name):
    assert cprof("convert", small, tmp_path / name).returncode == 0
    files = {(row["name"], row["file"]) for row in report(cprof, tmp_path / name)["rows"]}
    assert ("parse", "/app/shop/worker.py") in files and ("work", "/app/shop/main.py") in files


@pytest.mark.parametrize("name", ["x.cpuprofile", "x.firefox.json"])
def test_lines_are_written(cprof, small, tmp_path, name):
    """work was on line 24 for 20 samples; crc32 below it has no lines."""
    assert cprof("convert", small, tmp_path / name).returncode == 0
    lines = {(row["name"], row["line"]): row["self"] for row in report(cprof, tmp_path / name, "--by", "line")["rows"]}
    assert lines[("work", 24)] == 200_000_000 and lines[("parse", 31)] == 400_000_000


def test_threads_are_written_for_firefox(cprof, small, tmp_path):
    assert cprof("convert", small, tmp_path / "x.firefox.json").returncode == 0
    profile = json.loads((tmp_path / "x.firefox.json").read_text())
    assert {(thread["name"], thread["tid"]) for thread in profile["threads"]} == {("MainThread", 1), ("worker-1", 2)}
    for thread in profile["threads"]:
        for name in ("samples", "stackTable", "frameTable", "funcTable", "resourceTable", "markers"):
            columns = [column for column in thread[name].values() if isinstance(column, list)]
            assert columns and {len(column) for column in columns} == {thread[name]["length"]}, name
        assert max(thread["funcTable"]["name"] + [i for i in thread["funcTable"]["fileName"] if i is not None]) == \
            len(thread["stringArray"]) - 1
    found = report(cprof, tmp_path / "x.firefox.json", "--by", "thread")
    assert {row["name"]: row["self"] for row in found["rows"]} == {
        row["name"]: row["self"] for row in report(cprof, small, "--by", "thread")["rows"]}


def test_pythons_own_pstats_reads_what_is_written(cprof, small, tmp_path):
    assert cprof("convert", small, tmp_path / "x.pstats").returncode == 0
    stats = pstats.Stats(str(tmp_path / "x.pstats")).stats
    found = {name: (round(own, 9), round(whole, 9)) for (_, _, name), (_, _, own, whole, _) in stats.items()}
    assert found == {name: (values[0] / 1e9, values[1] / 1e9) for name, values in table(cprof, small).items()}
    (key, entry), = [(key, entry) for key, entry in stats.items() if key[2] == "crc32"]
    assert {caller[2]: (calls, own) for caller, (calls, _, own, _) in entry[4].items()} == {"work": (30, 0.3)}


def test_callgrinds_own_annotate_reads_what_is_written(cprof, small, tmp_path):
    assert cprof("convert", small, tmp_path / "x.callgrind").returncode == 0
    done = subprocess.run([tool("callgrind_annotate"), "--threshold=100", tmp_path / "x.callgrind"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        match = re.match(r"\s*([\d,]+) \([^)]*\)\s+([\d,]+) \([^)]*\)\s+\S*?:(\w+)( |$)", line)
        if match:
            found[match[3]] = int(match[1].replace(",", ""))
    assert {name: value for name, value in found.items() if value} == {
        name: values[0] for name, values in table(cprof, small).items() if values[0]}


def test_what_others_wrote_goes_through_unchanged(cprof, of_node, of_python, tmp_path):
    assert cprof("convert", of_node / "x.cpuprofile", tmp_path / "x.cpuprofile").returncode == 0
    before, after = (report(cprof, path / "x.cpuprofile", "--by", "stack") for path in (of_node, tmp_path))
    assert before["total"] == after["total"]
    assert {row["name"]: row["self"] for row in before["rows"]} == {row["name"]: row["self"] for row in after["rows"]}
    assert cprof("convert", of_python, tmp_path / "x.pstats").returncode == 0
    before, after = (table(cprof, path) for path in (of_python, tmp_path / "x.pstats"))
    assert {name: values[0] for name, values in after.items() if values[0]} == pytest.approx(
        {name: values[0] for name, values in before.items() if values[0]}, abs=200)


@pytest.mark.parametrize("name", WRITTEN)
def test_values_that_are_no_time_are_written(cprof, tmp_path, name):
    path = write(tmp_path / "p", "heap profile:   3:  5000 [   3: 5000] @ heapprofile\n"
                 "  2:  4096 [  2:  4096] @ 0x1101 0x1201\n  1: 904 [ 1: 904] @ 0x1301\n" + MAPS)
    assert cprof("convert", path, tmp_path / name, "--value", "inuse_space").returncode == 0
    found = report(cprof, tmp_path / name)
    factor = {"x.cpuprofile": 1000, "x.pstats": 10**9}.get(name, 1)
    assert found["total"] == 5000 * factor
