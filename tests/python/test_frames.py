"""What a profile shows of programs whose answer is known."""

import collections
import os
import re
import sys

import pytest

from conftest import BURN

# Functions of the interpreter that must never be seen: users did not write them.
HIDDEN = ("_PyEval_EvalFrame", "_PyEval_Vector", "_PyFunction_Vectorcall", "PyEval_EvalCode",
          "_TAIL_CALL_", "_PyObject_VectorcallTstate", "_PyObject_Call", "gen_send_ex")


def is_stripped():
    """A distribution's interpreter has no names for its static functions."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split()[-1]
            if "/libpython" in path or "/python" in path and "bin" in path:
                with open(path, "rb") as file:
                    if b".symtab" in file.read()[-65536:]:  # the sections' names
                        return False
    return True


def above(names, inner, outer):
    """inner was called, directly or not, by outer."""
    return inner in names and outer in names and names.index(inner) < names.index(outer)


def test_a_70_to_30_split_comes_out_within_3_points(execute):
    """What runs from one look of the handler to the next counts to where the second finds it, and
    looks come with the kernel's ticks: what repeats itself in step with them is shown wrong. So
    few changes, at times that do not."""
    profile = execute(BURN + """
def seventy(seconds): burn(0.7 * seconds)
def thirty(seconds): burn(0.3 * seconds)
for seconds in (0.731, 1.387, 0.859, 1.023):
    seventy(seconds); thirty(seconds)
""").profile
    seventy = profile.share(lambda names: "seventy" in names)
    thirty = profile.share(lambda names: "thirty" in names)
    assert abs(seventy - 0.7) < 0.03
    assert abs(thirty - 0.3) < 0.03


def test_samples_add_up_to_the_cpu_time_used(execute):
    outcome = execute(BURN + "burn(2)\n")
    seconds = sum(sample.nanoseconds for sample in outcome.profile.samples) / 1e9
    assert 1.9 < seconds < 2.25


def test_lines_are_exact(execute):
    profile = execute("""
import zlib, hashlib
data = bytes(range(256)) * 4000

def work():
    for _ in range(40):
        zlib.compress(data, 6)
        hashlib.sha256(data).hexdigest()
        sum(
            range(400000)
        )
work()
""").profile
    lines = profile.lines("work")
    assert set(lines) <= {6, 7, 8, 9, 10}
    assert lines[7] > 10 and lines[8] > 2 and lines[9] + lines[10] > 10
    assert {f.start_line for s in profile.samples for f in s.stack if f.name == "work"} == {5}


def test_native_functions_stand_under_the_line_that_called_them(execute):
    profile = execute("""
import zlib
data = bytes(range(256)) * 4000

def squeeze():
    return zlib.compress(data, 9)

def checksum():
    return zlib.crc32(data)

for _ in range(30):
    squeeze(); checksum(); checksum()
""").profile
    native = [s for s in profile.stacks_with("squeeze")
              if any(f.name.startswith(("deflate", "compress")) for f in s.stack)]
    assert native
    for sample in native:
        names = [f.name for f in sample.stack]
        caller = sample.stack[names.index("squeeze")]
        assert names.index("squeeze") < names.index("<module>")
        assert next(i for i, n in enumerate(names) if n.startswith("deflate") or
                    n.startswith("compress")) < names.index("squeeze")
        assert caller.line == 6


def test_a_callback_stands_above_the_native_function_that_called_it(execute):
    profile = execute(BURN + """
import functools, ctypes
def key(x):
    burn(0.02); return -x
def reducer(a, b):
    burn(0.02); return a
def compare(a, b):
    burn(0.02); return a[0] - b[0]
def sorts(): sorted(range(25), key=key)
def reduces(): functools.reduce(reducer, range(25))
def calls_c():
    libc = ctypes.CDLL(None)
    numbers = (ctypes.c_int * 8)(*range(8, 0, -1))
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    libc.qsort(numbers, 8, 4, kind(compare))
sorts(); reduces(); calls_c()
""").profile
    for callback, caller in (("key", "sorts"), ("reducer", "reduces"), ("compare", "calls_c")):
        samples = profile.stacks_with(callback)
        assert samples, callback
        for sample in samples:
            assert above([f.name for f in sample.stack], callback, caller)
    between = {frame.name for sample in profile.stacks_with("compare")
               for frame in sample.stack[[f.name for f in sample.stack].index("compare"):]}
    assert any("qsort" in name or "msort" in name for name in between)
    if not is_stripped():
        names = [f.name for f in profile.stacks_with("key")[0].stack]
        inside = names[names.index("key") + 1:names.index("sorts")]
        assert any("sort" in name for name in inside), names


@pytest.mark.skipif(not is_stripped(), reason="this interpreter's functions have symbols")
def test_c_functions_of_a_stripped_python_have_the_names_that_python_calls_them_by(execute):
    outcome = execute("""
import time
numbers = [n * 7919 % 100003 for n in range(100000)]
def adds(): return sum(range(2000000))
def sorts(): return sorted(numbers)
def sorts_in_place(): numbers[:].sort()
def squeezes(): return zlib.compress(bytes(range(256)) * 800, 9)
def dumps(): return json.dumps([{"a": n, "b": str(n)} for n in range(20000)])
def queries():
    base = sqlite3.connect(":memory:")
    base.execute("create table numbers (n)")
    base.executemany("insert into numbers values (?)", ((n,) for n in range(20000)))
    return base.execute("select n from numbers order by n desc").fetchall()
def joins(): return [",".join(map(str, range(100))).split(",") for _ in range(4000)]
import json, sqlite3, zlib  # not loaded when cprof starts
for _ in range(5):
    for work in (adds, sorts, sorts_in_place, squeezes, dumps, queries, joins):
        end = time.thread_time() + 0.06
        while time.thread_time() < end: work()
""")
    profile = outcome.profile
    # From 3.13 on list.sort may be a mere jump into its body, which nobody has a name for.
    sort = ["list.sort"] if sys.version_info < (3, 13) else []
    for caller, callees in (("adds", ["sum"]), ("sorts", ["sorted", *sort]),
                            ("sorts_in_place", sort), ("squeezes", ["zlib.compress"]),
                            ("dumps", ["_json.Encoder.__call__"]),
                            ("queries", ["sqlite3.Connection.executemany"]),
                            ("joins", ["str.join", "str.split"])):
        called = {name for sample in profile.stacks_with(caller)
                  for name in [f.name for f in sample.stack][
                      :[f.name for f in sample.stack].index(caller)]}
        assert set(callees) <= called, (caller, called)
    shown = profile.names()
    assert not {name for name in shown if name.startswith("python3")}
    assert not shown & {"exec", "eval", "wrapper_descriptor.__call__"}
    assert "dropped" not in outcome.err


def test_what_only_carries_a_call_is_shown_neither_as_a_frame_nor_where_it_is_inlined(execute):
    profile = execute(BURN + """
import asyncio
class Thing:
    def __call__(self, x=0): burn(0.02); return x
    def __lt__(self, other): burn(0.02); return False
    def __hash__(self): burn(0.02); return 1
    def __getattr__(self, name): burn(0.02); return name
    def __next__(self): burn(0.02)
async def inner(): burn(0.02)
async def steps():
    yield burn(0.02)
async def work():
    for _ in range(5):
        await inner()
        async for _ in steps(): pass
async def main(): await asyncio.gather(work(), work())
asyncio.run(main())
for _ in range(5):
    thing = Thing()
    list(map(thing, range(2))), sorted([thing, thing]), hash(thing), thing.other, next(thing)
    sum(burn(0.02) or 1 for _ in range(2)), eval("burn(0.02)")
""").profile
    carriers = re.compile(r"_?PyEval_(EvalFrame|Vector|EvalCode)|_?PyGen_|gen_send|slot_|"
                          r"_?PyObject_(Call|Vectorcall|FastCall|MakeTpCall)|.*vectorcall_method|"
                          r"_PyFunction_Vectorcall|method_vectorcall|(vector)?call_(un)?bound")
    assert profile.stacks_with("Thing.__getattr__")
    assert {name for name in profile.names() if carriers.match(name)} == set()


def test_generators_and_coroutines_stand_in_their_chain(execute):
    profile = execute(BURN + """
import asyncio
def inner():
    for _ in range(10):
        burn(0.02); yield 1
def outer():
    yield from inner()
def consume(): return sum(outer())
async def leaf(): burn(0.2)
async def middle():
    await asyncio.sleep(0)
    await leaf()
async def root(): await asyncio.gather(middle(), middle())
consume(); asyncio.run(root())
""").profile
    for sample in profile.stacks_with("inner"):
        names = [f.name for f in sample.stack if f.name in ("inner", "outer", "consume")]
        assert names == ["inner", "outer", "consume"]
    for sample in profile.stacks_with("leaf"):
        assert above([f.name for f in sample.stack], "leaf", "middle")
    assert profile.stacks_with("inner") and profile.stacks_with("leaf")


# The first task is where it is learnt.
AWAITED = BURN + """
import asyncio, sys
async def leaf(seconds=0.05):
    await asyncio.sleep(0)
    burn(seconds, looks=3)
async def worker(): await leaf()
def run(main):
    async def learn():
        await asyncio.create_task(leaf(0.5))
        await main()
    asyncio.run(learn())
"""


def chains(profile, name, ours):
    """How often the functions that are ours stand so in stacks with this one, innermost first."""
    found = collections.Counter()
    for sample in profile.stacks_with(name):
        found[" ".join(f.name for f in sample.stack if f.name in ours)] += sample.count
    return found


def test_who_awaits_a_task_stands_behind_it(execute):
    profile = execute(AWAITED + """
async def gathering(): await asyncio.gather(worker(), worker())
async def caller(): await gathering()
async def all_of_all(): await asyncio.gather(caller(), caller())
async def in_group():
    if sys.version_info < (3, 11): return
    async with asyncio.TaskGroup() as group:
        for _ in range(2): group.create_task(worker())
async def by_task(): await asyncio.create_task(worker())
async def for_a_time(): await asyncio.wait_for(worker(), 60)
async def for_all(): await asyncio.wait([asyncio.create_task(worker()) for _ in range(2)])
async def shielded(): await asyncio.shield(worker())
async def cleans_up():
    try: await asyncio.sleep(60)
    finally: await leaf()
async def cancels():
    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
async def main():
    for each in (caller, all_of_all, in_group, by_task, for_a_time, for_all, shielded, cancels):
        for _ in range(2): await each()
run(main)
""").profile

    ours = ("leaf worker gathering caller all_of_all in_group by_task for_a_time for_all shielded "
            "cleans_up cancels main").split()
    found = chains(profile, "leaf", ours)
    whole = {"leaf worker gathering caller main", "leaf worker gathering caller all_of_all main",
             "leaf worker by_task main", "leaf worker for_a_time main", "leaf worker for_all main",
             "leaf worker shielded main", "leaf cleans_up cancels main"}
    if sys.version_info >= (3, 11):
        whole.add("leaf worker in_group main")
    alone = {"leaf", "leaf worker", "leaf cleans_up"}  # not learnt yet, or nobody awaits it yet
    assert whole <= found.keys() <= whole | alone
    assert sum(found[chain] for chain in whole) > 0.5 * sum(found.values())


def test_of_several_that_await_a_task_none_stands_behind_it(execute):
    profile = execute(AWAITED + """
async def alone(): burn(0.3)
async def shared():
    await asyncio.sleep(0)
    burn(0.3)
async def waits_for(task): await task
async def main():
    task = asyncio.create_task(alone())
    await asyncio.sleep(0)  # nobody awaits it yet
    await task
    both = asyncio.create_task(shared())
    await asyncio.gather(waits_for(both), waits_for(both))
run(main)
""").profile
    ours = "alone shared waits_for main".split()
    assert chains(profile, "alone", ours).keys() == {"alone"}
    assert chains(profile, "shared", ours).keys() == {"shared"}


def test_callbacks_of_the_program_make_nobody_stand_behind_a_task(execute):
    profile = execute(AWAITED + """
import functools
async def other():
    await asyncio.sleep(60)
class Group:
    def __init__(self, task): self._parent_task = task
    def done(self, task): self._parent_task.cancel()
async def main():
    others = [asyncio.create_task(other()) for _ in range(5)]
    await asyncio.sleep(0)
    for add in (lambda task: task.add_done_callback(lambda _, it=others[0]: it.cancel()),
                lambda task: task.add_done_callback(Group(others[1]).done),
                lambda task: task.add_done_callback(functools.partial(others[2].remove_done_callback)),
                lambda task: task.add_done_callback(set(others[3:4]).discard),
                lambda task: task.add_done_callback(others[4].remove_done_callback)):
        task = asyncio.create_task(worker())
        add(task)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await task
    for task in others: task.cancel()
run(main)
""").profile
    found = chains(profile, "worker", "leaf worker other main".split())
    assert found.keys() <= {"leaf worker", "leaf worker main"}


def test_tasks_that_come_and_go_while_they_are_sampled_show_no_false_awaiter(execute):
    outcome = execute(AWAITED + """
import random, threading
async def by_gather(depth):
    await asyncio.gather(step(depth), step(depth), return_exceptions=True)
async def by_group(depth):
    if sys.version_info < (3, 11): return await by_task(depth)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(2): group.create_task(step(depth))
            if random.random() < 0.2: raise ValueError
    except BaseException: pass
async def by_task(depth): await asyncio.create_task(step(depth))
async def by_time(depth):
    try: await asyncio.wait_for(step(depth), random.random() * 0.01)
    except asyncio.TimeoutError: pass
async def by_shield(depth):
    task = asyncio.ensure_future(asyncio.shield(step(depth)))
    await asyncio.sleep(0)
    task.cancel()
    try: await task
    except asyncio.CancelledError: pass
WAYS = by_gather, by_group, by_task, by_time, by_shield
async def step(depth):
    burn(random.random() * 0.001)
    if depth: await random.choice(WAYS)(depth - 1)
    burn(random.random() * 0.001)
async def root():
    while clock() < end: await asyncio.wait([asyncio.create_task(step(3))])
def loop(): asyncio.run(root())
async def main():
    threads = [threading.Thread(target=loop) for _ in range(3)]
    for thread in threads: thread.start()
    await root()
    for thread in threads: await asyncio.to_thread(thread.join)
clock = time.process_time
end = clock() + 1.5
run(main)
""", env={"CPROF_RATE": "1000"})
    assert outcome.code == 0, outcome.err
    ways = "by_gather by_group by_task by_time by_shield".split()
    found = chains(outcome.profile, "step", ["step", "root", *ways])
    way = f"(?:{'|'.join(ways)})"
    # Before 3.11, where there are no groups, one way goes by another.
    right = re.compile(rf"(?:{way} (?:{way} )?)?step(?: {way}(?: {way})? step)*(?: root| {way})?")
    assert [chain for chain in found if not right.fullmatch(chain)] == []
    assert sum(n for chain, n in found.items() if chain.endswith("root")) > 0.2 * sum(found.values())


def test_qualified_names_of_nested_classes_and_functions(execute):
    profile = execute(BURN + """
class Cart:
    class Item:
        def price(self): burn(0.1, looks=3)
    def total(self):
        def add():
            Cart.Item().price()
            burn(0.1, looks=3)
        return add()
    @staticmethod
    def static(): burn(0.1, looks=3)
Cart().total(); Cart.static()
(lambda: burn(0.1, looks=3))()
""").profile
    assert {"Cart.Item.price", "Cart.total", "Cart.total.<locals>.add", "Cart.static",
            "<lambda>", "<module>"} <= profile.names()


def test_code_from_exec_and_eval_is_named_by_its_own_file(execute):
    profile = execute(BURN + """
scope = {"burn": burn}
exec(compile("def made():\\n    burn(0.3)\\nmade()\\n", "<template>", "exec"), scope)
eval("burn(0.2)")
""").profile
    made = [f for s in profile.stacks_with("made") for f in s.stack if f.name == "made"]
    assert {(f.file, f.line, f.start_line) for f in made} == {("<template>", 2, 1)}
    assert any(f.file == "<string>" for s in profile.samples for f in s.stack)


def test_code_that_died_before_it_was_named_keeps_its_own_name(execute):
    profile = execute(BURN + """
for n in range(400):
    scope = {"burn": burn}
    exec(compile("\\n" * n + f"def f_{n}():\\n burn(0.004, looks=1)\\nf_{n}()\\n", f"file{n}", "exec"), scope)
    del scope
""").profile
    seen = 0
    for sample in profile.samples:
        for frame in sample.stack:
            if frame.name.startswith("f_"):
                number = int(frame.name[2:])
                assert (frame.file, frame.start_line) == (f"file{number}", number + 1)
                seen += 1
    assert seen > 100
    assert profile.share(lambda names: "[unknown]" in names) < 0.005


def test_recursion_shows_every_level(execute):
    profile = execute(BURN + """
def deep(n): return burn(0.5) if n == 0 else deep(n - 1)
deep(99)
""").profile
    depths = [[f.name for f in s.stack].count("deep") for s in profile.stacks_with("burn")]
    assert depths and set(depths) == {100}


def test_a_stack_deeper_than_the_limit_is_marked(execute):
    profile = execute(BURN + """
def deep(n): return burn(0.5) if n == 0 else deep(n - 1)
deep(200)
""", env={"CPROF_MAX_FRAMES": "100"}).profile
    samples = profile.stacks_with("deep")
    assert samples
    assert all(s.stack[-1].name == "[truncated]" for s in samples)


def test_the_eval_loop_never_shows(execute):
    profile = execute(BURN + """
class A:
    def __init__(self): self.x = [str(i) for i in range(20)]
    def __getattr__(self, name): return name
    def __add__(self, other): return sorted(self.x, key=lambda v: v + other)
    def __iter__(self): yield from (x for x in self.x)
for _ in range(8000): A().nothing; A() + "1"; sum(map(len, A())); tuple(map(lambda v: v, A().x))
burn(0.3)
""").profile
    seen = {n for n in profile.names() if n.startswith(HIDDEN)}
    assert not seen, seen
    assert profile.share(lambda names: any("unknown" in name for name in names)) < 0.005


@pytest.mark.skipif(sys.version_info < (3, 12) or os.uname().machine != "x86_64",
                    reason="has no trampolines for perf, or others")
def test_trampolines_for_perf_cut_no_stack_and_show_no_function_twice(execute):
    outcome = execute(BURN + """
import os, sys
print(os.getpid())
sys.activate_stack_trampoline("perf")
def leaf(): burn(0.05)
def middle(): leaf()
def outer():
    for i in range(12): middle()
outer()
""")
    os.unlink(f"/tmp/perf-{int(outcome.out.split()[0])}.map")
    profile = outcome.profile
    called = ["outer", "middle", "leaf", "burn"]
    assert profile.share(lambda names: [n for n in names[::-1] if n in called] == called) > 0.9
    assert profile.share(lambda names: "[truncated]" in names) < 0.02
    assert not [n for n in profile.names() if n.startswith("py::") or "trampoline" in n]


@pytest.mark.skipif(not getattr(sys, "_jit", None) or not sys._jit.is_available(),
                    reason="has no JIT")
def test_code_of_pythons_own_jit_cuts_no_stack(execute):
    profile = execute("""
import time
def leaf(n):
    s = 0
    for i in range(n): s += i * i
    return s
def middle():
    return sum(leaf(500) for _ in range(20))
def run(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: middle()
def measured(): run(2.0) # from its first moment: code is made all the time
measured()
""", env={"PYTHON_JIT": "1"}).profile
    share = profile.share(lambda names: "measured" in names)
    whole = profile.share(lambda names: "measured" in names and "[truncated]" not in names)
    leaves = profile.share(lambda names: "measured" in names and "leaf" in names)
    assert share > 0.3
    assert whole > 0.99 * share
    assert leaves > 0.9 * share


def test_threads_carry_their_names_and_python_ids(execute):
    outcome = execute(BURN + """
import threading
def work(): burn(0.4)
early = threading.Thread(target=work, name="worker-a")
late = threading.Thread(target=work, name="worker-b")
early.start(); late.start()
print(early.ident, late.ident, threading.get_ident())
early.join(); late.join(); burn(0.3)
""")
    threads = {(s.labels["thread.name"], str(s.labels["thread.id"]))
               for s in outcome.profile.samples}
    early, late, main = outcome.out.split()
    assert {("worker-a", early), ("worker-b", late), ("MainThread", main)} <= threads


def test_threads_that_live_5_ms_are_sampled_in_proportion(execute):
    outcome = execute(BURN + """
import threading
def brief(): burn(0.005)
def steady(): burn(1.0)
long = threading.Thread(target=steady); long.start()
for _ in range(200):
    t = threading.Thread(target=brief); t.start(); t.join()
long.join()
""")
    profile = outcome.profile
    brief = profile.share(lambda names: "brief" in names)
    steady = profile.share(lambda names: "steady" in names)
    # 0.92 to 1.10 in 16 runs on a machine with a processor to spare. The kernel looks at CPU
    # timers in its tick (each 4 ms at 250 Hz). Where threads queue for the processors it also
    # switches between them there, so that a life tends to begin with a tick and its last ms
    # are seen by none: 0.55 to 0.87 in 14 runs.
    crowded = os.getloadavg()[0] > os.cpu_count()
    assert (0.5 if crowded else 0.8) < brief / steady < 1.2


def test_work_in_a_thread_that_c_started_is_shown(execute):
    profile = execute(BURN + """
import ctypes, threading
libc = ctypes.CDLL(None)
kind = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def body(_):
    burn(1.0); return 0
body_c = kind(body)
handle = ctypes.c_ulong()
libc.pthread_create(ctypes.byref(handle), None, body_c, None)
libc.pthread_join(handle, None)
""").profile
    assert profile.stacks_with("body")


def test_native_code_without_the_gil_is_sampled_with_its_python_caller(execute):
    profile = execute("""
import hashlib, threading
data = bytes(1 << 22)
def digest():
    for _ in range(40): hashlib.sha512(data).digest()
threads = [threading.Thread(target=digest) for _ in range(2)]
for t in threads: t.start()
for t in threads: t.join()
""").profile
    assert profile.share(lambda names: "digest" in names) > 0.9


def test_without_native_frames_only_python_is_shown(execute):
    profile = execute(BURN + "burn(0.5)\n", env={"CPROF_NATIVE": "off"}).profile
    assert all(f.file.endswith(".py") or f.file.startswith("<") or f.name.startswith("[")
               for s in profile.samples for f in s.stack)
    assert profile.stacks_with("burn")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exact lines of comprehensions")
def test_inlined_comprehensions_have_their_line(execute):
    profile = execute("""
def rows():
    return [
        sum(range(2000))
        for _ in range(5000)
    ]
for _ in range(4): rows()
""").profile
    assert profile.lines("rows")[4] + sum(profile.lines("rows.<locals>.<listcomp>").values()) > 20


def test_functions_that_die_by_the_thousands_keep_the_names_they_were_sampled_under(execute):
    """Chains of hundreds, and tens of thousands beside them, die at once while samples of them
    have no names yet."""
    outcome = execute("""
import time
def burn(seconds, clock=time.thread_time):
    end = clock() + seconds
    while clock() < end: pass
depth = 300
text = "".join(f"def f_{n}(): f_{n + 1}()\\n" for n in range(depth)) + f"def f_{depth}(): burn(0.02)\\n"
made = compile(text, "<chain>", "exec")
def chain():
    names = {"burn": burn}
    exec(made, names)
    for n in range(depth + 1):
        names[f"f_{n}"].__code__ = names[f"f_{n}"].__code__.replace(co_firstlineno=n + 1)
    return names
for _ in range(3):
    others = [code.replace(co_firstlineno=1) for code in made.co_consts if hasattr(code, "co_code")
              for _ in range(60)]
    chains = [chain() for _ in range(10)]
    for names in chains: names["f_0"]()
    for names in chains: names.clear()
    del chains, others, names
""")
    names = [frame.name for sample in outcome.profile.samples for frame in sample.stack]
    assert sum(name.startswith("f_") for name in names) > 1000
    assert names.count("[unknown]") == 0
    assert "no room" not in outcome.err
