"""Pauses of the garbage collector: as many as Python counts itself, and what made it collect."""

import pytest

PROGRAM = """
import gc, sys, time
import cprof

def counted():
    return [generation["collections"] for generation in gc.get_stats()]

class Node:
    def __init__(self):
        self.me = self

def make():
    for _ in range(300):
        [Node() for _ in range(30)]

def ask():
    for generation in 0, 1, 2, 2:
        gc.collect(generation)

gc.disable()
callbacks = list(gc.callbacks)
cprof.start(output=sys.argv[1], types=["gc"])
began, before = time.monotonic_ns(), counted()
gc.enable()
make()
ask()
gc.disable()
after, elapsed = counted(), time.monotonic_ns() - began
stats = cprof.stats()
cprof.stop()
assert gc.callbacks == callbacks
gc.collect()
assert cprof.stats()["gc_collections"] == stats["gc_collections"]
print(sum(after) - sum(before), stats["gc_collections"], stats["gc_pause_ns"], stats["gc_cpu_ns"], elapsed)
"""


def test_as_many_as_python_counts_by_cause_and_stack(execute, tmp_path):
    outcome = execute(PROGRAM, str(tmp_path / "out.pb.gz"), by=None)
    assert (outcome.code, outcome.err) == (0, "")
    expected, counted, wall, cpu, elapsed = map(int, outcome.out.split())
    assert counted == expected >= 5
    assert 0 < wall <= elapsed and 0 < cpu <= elapsed
    samples = outcome.profile.samples
    assert sum(s.values["gc_pauses"] for s in samples) == counted
    assert sum(s.values["gc_pause"] for s in samples) == wall
    by = {cause: [s for s in samples if s.labels["gc.cause"] == cause] for cause in ("threshold", "collect")}
    assert len(by["threshold"]) + len(by["collect"]) == len(samples)
    assert sum(s.values["gc_pauses"] for s in by["collect"]) == 4
    assert {s.labels["gc.generation"] for s in by["collect"]} == {"0", "1", "2"}
    assert all(any(f.name == "ask" for f in s.stack) for s in by["collect"])
    assert any(any(f.name == "make" for f in s.stack) for s in by["threshold"])


def test_nothing_is_counted_that_nobody_asks_for(execute, tmp_path):
    outcome = execute("""
import gc, sys, cprof
callbacks, collect = list(gc.callbacks), gc.collect
cprof.start(output=sys.argv[1])
gc.collect()
assert gc.callbacks == callbacks
print(cprof.stats()["gc_collections"])
cprof.stop()
""", str(tmp_path / "out.pb.gz"), by=None)
    assert (outcome.code, outcome.out, outcome.err) == (0, "0\n", "")
