"""Who raises what, and how often: known counts."""

import sys

import pytest

TOLD = sys.version_info >= (3, 12)
told = pytest.mark.skipif(not TOLD, reason="the type is off there")

# No more than 2,000 samples a second are taken, and none is left out while there is room: in
# between there is time, and what was taken is read.
PRELUDE = """
import sys, threading, time
import cprof

def calmly(times, function, at_once=50):
    for i in range(times):
        if i % at_once == 0:
            cprof.flush()
            time.sleep(0.05)
        function()

def caught(function):
    try:
        function()
    except Exception:
        pass

def start(*types):
    cprof.start(output=sys.argv[1], types=types or ["exception@1"])
"""


@pytest.fixture
def raised(execute, tmp_path):
    """raised(source, *functions) runs it, and says how many of each type were raised by the
    innermost of these functions. Those of others, such as the standard library's, are left out."""
    def run(source, *functions):
        outcome = execute(PRELUDE + source, str(tmp_path / "out.pb.gz"), by=None,
                          env={"PYTHONWARNINGS": "ignore"})  # of forks beside threads
        assert (outcome.code, outcome.err) == (0, "")
        found = {}
        for sample in outcome.profile.samples:
            by = next((f.name for f in sample.stack if f.name in functions), None)
            key = (sample.labels.get("exception.type"), by)
            if by is not None:
                found[key] = found.get(key, 0) + sample.values["exceptions"]
        run.outcome = outcome
        return found
    return run


@told
def test_each_is_counted_by_type_and_function(raised):
    found = raised("""
import json
class Mine(Exception):
    class Inner(Exception):
        pass
def parse():
    try:
        int("no number")
    except ValueError:
        pass
def look_up():
    try:
        {}["nothing"]
    except KeyError:
        pass
def own():
    raise Mine.Inner
def decode():
    json.loads("{")
start()
calmly(250, parse)
calmly(750, look_up)
calmly(10, lambda: caught(own))
calmly(10, lambda: caught(decode))
cprof.stop()
""", "parse", "look_up", "own", "decode")
    assert found == {("ValueError", "parse"): 250, ("KeyError", "look_up"): 750,
                     ("__main__.Mine.Inner", "own"): 10,
                     ("json.decoder.JSONDecodeError", "decode"): 10}
    leaves = {s.stack[0].name for s in raised.outcome.profile.samples}
    assert leaves == {"parse", "look_up", "own", "JSONDecoder.raw_decode"}


@told
def test_one_in_ten_stands_for_ten(raised):
    found = raised("""
def fail():
    raise ValueError
start("exception@10")
calmly(3000, lambda: caught(fail), at_once=500)
cprof.stop()
""", "fail")
    # Of 3,000 some 300 are met, with a standard deviation of 16.4: seven of these.
    assert found[("ValueError", "fail")] % 10 == 0
    assert abs(found[("ValueError", "fail")] - 3000) < 7 * 164


@told
def test_raised_again_or_passing_through_frames_is_once(raised):
    found = raised("""
import contextlib
from concurrent.futures import ThreadPoolExecutor
def fail():
    raise ValueError
def deep(n=10):
    fail() if n == 0 else deep(n - 1)
def bare():
    try:
        deep()
    except ValueError:
        raise
def named():
    try:
        deep()
    except ValueError as error:
        raise error
def at_last():
    try:
        deep()
    finally:
        len("")
@contextlib.contextmanager
def managed():
    try:
        yield
    except ValueError:
        raise
def within():
    with managed():
        deep()
def chained():
    try:
        deep()
    except ValueError as error:
        raise KeyError from error
def elsewhere():
    pool.submit(deep).result()
pool = ThreadPoolExecutor(1)
start()
for function in bare, named, at_last, within, chained, elsewhere:
    calmly(20, lambda: caught(function))
cprof.stop()
""", "bare", "named", "at_last", "within", "fail", "chained")
    assert found == {("ValueError", "fail"): 120, ("KeyError", "chained"): 20}


@told
def test_ends_of_loops_and_generators_are_none(raised):
    found = raised("""
import asyncio
def numbers():
    yield 1
def loop():
    for _ in numbers():
        pass
    try:
        it = numbers()
        next(it), next(it)
    except StopIteration:
        pass
    opened = numbers()
    next(opened)
    opened.close()
async def count():
    yield 1
async def wait():
    async for _ in count():
        await asyncio.sleep(0)
def thrown():
    opened = numbers()
    next(opened)
    opened.throw(OSError)
start()
calmly(20, loop)
asyncio.run(wait())
calmly(20, lambda: caught(thrown))
cprof.stop()
""", "loop", "wait", "thrown")
    assert found == {("OSError", "thrown"): 20}


@told
def test_threads_spans_and_labels_are_theirs(raised):
    found = raised("""
def fail():
    raise ValueError
def work(name):
    with cprof.labels(shop=name):
        for _ in range(20):
            caught(fail)
start()
for i in range(4):
    thread = threading.Thread(target=work, args=(str(i),), name=f"worker {i}")
    thread.start()
    thread.join()
cprof.stop()
""", "fail")
    assert found == {("ValueError", "fail"): 80}
    samples = raised.outcome.profile.samples
    assert {(s.labels["thread.name"], s.labels["shop"]) for s in samples} == {
        (f"worker {i}", str(i)) for i in range(4)}


@told
def test_only_while_it_runs_and_again(raised):
    found = raised("""
def before(): raise ValueError
def between(): raise ValueError
def first(): raise ValueError
def again(): raise ValueError
caught(before)
start()
calmly(20, lambda: caught(first))
cprof.stop()
assert all(sys.monitoring.get_tool(i) is None for i in range(6))
calmly(20, lambda: caught(between))
sys.argv[1] += ".pb.gz"
start()
calmly(20, lambda: caught(again))
cprof.stop()
import os
os.rename(sys.argv[1], sys.argv[1][:-6])
""", "before", "first", "between", "again")
    assert found == {("ValueError", "again"): 20}


@told
def test_a_forked_child_goes_on(raised, tmp_path):
    found = raised("""
import os
def fail(): raise ValueError
def child(): raise KeyError
start()
calmly(20, lambda: caught(fail))
pid = os.fork()
if pid == 0:
    calmly(20, lambda: caught(child))
    cprof.stop()
    os._exit(0)
os.waitpid(pid, 0)
calmly(20, lambda: caught(fail))
cprof.stop()
""", "fail", "child")
    assert found == {("ValueError", "fail"): 40}
    from pprof import Profile
    (path,) = [path for path in tmp_path.glob("out.*.gz") if path.name != "out.pb.gz"]
    samples = Profile(path).samples
    assert sum(s.values["exceptions"] for s in samples) == 20
    assert {s.labels["exception.type"] for s in samples} == {"KeyError"}


@told
def test_other_tools_see_what_they_saw_without_us(raised):
    found = raised("""
import cProfile, pstats, io
def fail(): raise ValueError
def tool(identity, name):
    seen = []
    sys.monitoring.use_tool_id(identity, name)
    event = sys.monitoring.events.RAISE
    sys.monitoring.register_callback(identity, event, lambda *what: seen.append(what))
    sys.monitoring.set_events(identity, event)
    return seen
def tell(frame, event, argument):
    if event == "exception":
        traced.append(argument)
    return tell
traced, coverage, early = [], tool(1, "coverage"), tool(4, "early")
start()
debugger = tool(0, "debugger")
calmly(5, lambda: caught(fail))
sys.settrace(tell)
for _ in range(5): caught(fail)
sys.settrace(None)
profile = cProfile.Profile()
profile.enable()
for _ in range(5): caught(fail)
profile.disable()
cprof.stop()
# One for each frame that each passes.
assert len(coverage) == len(early) == len(debugger) == 30, (len(coverage), len(debugger))
assert len(traced) == 10, traced
assert sys.monitoring.get_tool(4) == "early" and sys.monitoring.get_tool(3) is None
""", "fail")
    assert found == {("ValueError", "fail"): 15}


@told
def test_no_slot_is_one_line(execute, tmp_path):
    outcome = execute(PRELUDE + """
for identity in 3, 4, 5:
    sys.monitoring.use_tool_id(identity, "other")
start("cpu", "exception")
print(cprof.is_running())
cprof.stop()
""", str(tmp_path / "out.pb.gz"), by=None)
    assert (outcome.code, outcome.out) == (0, "True\n")
    assert outcome.err == ("cprof: no exception profiles: other tools have all slots of "
                           "sys.monitoring that have no name\n")


@told
def test_names_without_end_are_bounded(raised):
    found = raised("""
types = [type(f"E{i}", (Exception,), {}) for i in range(1100)]
def fail(i): raise types[i]
numbers = iter(range(1100))
start()
calmly(1100, lambda: caught(lambda: fail(next(numbers))), at_once=80)
cprof.stop()
""", "fail")
    assert sum(found.values()) == 1100
    assert found[("[overflow]", "fail")] == 1100 - 1024


@pytest.mark.skipif(TOLD, reason="the type is there")
def test_where_it_is_off_one_line_says_why(execute, tmp_path):
    outcome = execute(PRELUDE + """
start("cpu", "exception")
print(cprof.is_running())
cprof.stop()
""", str(tmp_path / "out.pb.gz"), by=None)
    assert (outcome.code, outcome.out) == (0, "True\n")
    assert outcome.err == ("cprof: no exception profiles: before Python 3.12 only a trace function is told of "
                           "them, which slows all code\n")
