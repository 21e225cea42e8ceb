"""The walk and its names, without the core: against what Python says of its own frames."""

import functools
import random
import subprocess
import sys
import threading

import pytest

walktest = pytest.importorskip("_walktest")


@pytest.fixture(autouse=True)
def opened():
    walktest.open()
    yield
    walktest.close()


def expected_frames():
    frames, frame = [], sys._getframe(1)
    while frame:
        code = frame.f_code
        frames.append((code.co_name, code.co_filename, frame.f_lineno, code.co_firstlineno))
        frame = frame.f_back
    return frames


def compare():
    complete, walked = walktest.walk()
    expected = expected_frames()
    assert complete
    found = [(name.split(".")[-1], file, line, start) for name, file, line, start, _ in walked]
    # The first frame stands on two lines: that of each call.
    assert found[1:] == expected[1:] and found[0][:2] == expected[0][:2]
    return [name for name, *_ in walked]


class Cart:
    class Item:
        def price(self):
            return compare()

    def __init__(self):
        self.names = compare()

    def total(self):
        def add():
            return [compare() for _ in range(1)][0]
        return add()

    def __del__(self):
        compare()


def test_plain_calls_nested_names_and_inlined_init():
    assert Cart().total()[1].startswith("Cart.total.<locals>.add")
    assert Cart.Item().price()[1] == "Cart.Item.price"
    for _ in range(200):
        names = Cart().names
    assert names[1:3] == ["Cart.__init__",
                          "test_plain_calls_nested_names_and_inlined_init"]


def test_generators_coroutines_and_callbacks():
    def leaf():
        compare()
        yield 1

    def trunk():
        yield from leaf()

    async def inner():
        return compare()

    async def outer():
        return await inner()

    assert list(trunk()) == [1]
    with pytest.raises(StopIteration):
        outer().send(None)
    sorted([3, 1, 2], key=lambda x: (compare(), x)[1])
    functools.reduce(lambda a, b: (compare(), a)[1], [1, 2, 3])
    exec("def q():\n\n    return compare()\nq()", {"compare": compare})
    eval("compare()")


@pytest.mark.parametrize("depth", [1, 10, 150])
def test_deep_recursion_through_python_and_c(depth):
    def by_python(n):
        return compare() if n == 0 else by_python(n - 1)

    def by_c(n):
        return compare() if n == 0 else max([n], key=lambda _: by_c(n - 1) and 0)

    by_python(depth)
    by_c(min(depth, 50))


def test_capacity_cuts_the_oldest():
    def down(n):
        return walktest.walk(10) if n == 0 else down(n - 1)

    complete, frames = down(30)
    assert not complete and len(frames) == 10
    if sys.version_info >= (3, 11):  # before, every frame is a run of its own
        assert frames[-1][4] == 1  # the run that was cut: its eval call is not known
    complete, frames = walktest.walk(250)
    assert complete


def test_stack_addresses_ascend_and_close_every_run():
    def callback(x):
        addresses.append([f[4] for f in walktest.walk()[1]])
        return x

    addresses = []
    sorted([2, 1], key=callback)
    for stack in addresses:
        named = [address for address in stack if address != 0]
        assert stack[-1] != 0 and len(named) >= 2
        assert named == sorted(named) and len(set(named)) == len(named)


def lined_sources(count, seed):
    """Programs with a call of mark() on known lines, in code of every shape."""
    chooser = random.Random(seed)
    for _ in range(count):
        lines = ["def f(mark, n=3):"]
        for _ in range(chooser.randrange(1, 30)):
            lines += chooser.choice([
                ["    mark()"], [""], [""] * chooser.randrange(1, 300) + ["    mark()"],
                ["    x = (1,", "         mark(),", "         3)"],
                ["    for i in range(2):", "        mark()"],
                ["    try:", "        1 / 0", "    except ZeroDivisionError:",
                 "        mark()", "    finally:", "        mark()"],
                ["    y = [mark()", "         for _ in range(2)]"],
                ["    with open('/dev/null') as z:", "        mark()"],
                ["    if n: mark()", "    else: mark()"],
                ["    while n > 100000:", "        pass", "    mark(" + " " * 200 + ")"],
            ])
        yield "\n".join(lines)


def test_lines_of_generated_code_are_exact():
    def mark():
        frame = sys._getframe(1)
        held = walktest.walk()[1][1]
        assert held[2] == frame.f_lineno

    for source in lined_sources(150, 20261120):
        scope = {}
        exec(compile(source, "<generated>", "exec"), scope)
        scope["f"](mark)


def test_every_instruction_of_a_code_object_has_python_s_line():
    import dis
    import struct

    def check(code):
        token, position, stack = struct.unpack("QQQ", walktest.hold_code(code))
        starts = {}
        for start, end, line in code.co_lines():
            for offset in range(start, end, 2):
                starts[offset] = line or 0
        for offset in range(0, len(code.co_code), 2):
            frame = struct.pack("QQQ", token, position & ~0xFFFFFFFF | offset, stack)
            assert walktest.resolve(frame)[2] == starts[offset], (code, offset)
        for constant in code.co_consts:
            if hasattr(constant, "co_code"):
                check(constant)

    for module in (dis, functools, threading, random):
        with open(module.__file__) as file:
            check(compile(file.read(), module.__file__, "exec"))


def test_dead_code_keeps_its_name_when_its_address_is_used_again():
    held = []
    for n in range(5000):
        scope = {"hold": walktest.hold}
        line = n % 500 + 1
        source = "\n" * (line - 1) + f"def f_{n}():\n    return hold()\n"
        exec(compile(source, f"file{n}", "exec"), scope)
        held.append((n, line, scope[f"f_{n}"]()))
        del scope
        if len(held) == 1000:
            for number, first, frame in held:
                assert walktest.resolve(frame)[:4] == (f"f_{number}", f"file{number}",
                                                       first + 1, first)
            held.clear()
            walktest.drained()


def test_code_that_died_too_long_ago_has_no_name_rather_than_a_wrong_one():
    def make(n):
        scope = {"hold": walktest.hold}
        exec(compile(f"def f_{n}(): return hold()", f"file{n}", "exec"), scope)
        return scope[f"f_{n}"]()

    held = [make(n) for n in range(20000)]
    for n, frame in enumerate(held):
        assert walktest.resolve(frame)[0] in (f"f_{n}", "[unknown]")
    assert walktest.resolve(held[-1])[0] == "f_19999"


def test_code_that_lives_keeps_its_name_while_much_unsampled_code_dies():
    def lives():
        pass

    for _ in range(3):  # what the tests before have sampled is forgotten
        walktest.drained()
    held = walktest.hold_code(lives.__code__)
    dying = [lives.__code__.replace(co_firstlineno=n + 1) for n in range(20000)]
    del dying
    assert walktest.resolve(held)[0].split(".")[-1] == "lives"


def test_names_and_paths_that_are_not_ascii():
    for name, path in (("größe", "/tmp/größe.py"), ("名前", "/tmp/名前.py"),
                       ("𝔘", "/tmp/\udc80bytes.py")):
        scope = {"hold": walktest.hold}
        exec(compile(f"def {name}(): return hold()", path, "exec"), scope)
        function = scope[[key for key in scope if key not in ("hold", "__builtins__")][0]]
        got = walktest.resolve(function())
        assert got[0] == function.__qualname__
        assert got[1] == path.encode("utf-8", "replace").decode().replace("?", "\ufffd")


STRESS = r"""
import functools, gc, sys, threading, time
import _walktest as w
end = time.process_time() + float(sys.argv[1])
def churn():
    n = 0
    while time.process_time() < end:
        n = (n + 1) % 400
        scope = {}
        exec(compile("\n" * n + f"def f_{n + 1}(k):\n s=0\n for i in range(k): s+=i\n", f"file{n}",
                     "exec"), scope)
        scope[f"f_{n + 1}"](300)
def generators():
    def g(n):
        if n: yield from g(n - 1)
        yield n
    while time.process_time() < end: sum(g(20))
async def chain(n): return await chain(n - 1) if n else sum(i for i in range(20))
def coroutines():
    while time.process_time() < end:
        try: chain(20).send(None)
        except StopIteration: pass
def deep(n): return deep(n - 1) if n else sorted(range(50), key=lambda x: -x)
def recursion():
    while time.process_time() < end: deep(100)
class Ring:
    def __init__(self): self.me = self
    def __del__(self): [i for i in range(10)]
def garbage():
    while time.process_time() < end:
        for _ in range(100): Ring()
        gc.collect(0)
def threads():
    while time.process_time() < end:
        t = threading.Thread(target=lambda: functools.reduce(lambda a, b: a + b, range(500)))
        t.start(); t.join()
w.open(); w.sample(2000)
all_threads = [threading.Thread(target=f) for f in
               (churn, churn, generators, coroutines, recursion, garbage, threads)]
for t in all_threads: t.start()
for t in all_threads: t.join()
print(w.sample(0)); w.close()
"""


def test_two_thousand_signals_a_second_under_churn_neither_crash_nor_misname():
    seconds = "5"
    done = subprocess.run([sys.executable, "-c", STRESS, seconds], capture_output=True, text=True,
                          timeout=120, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 0, done.stderr
    figures = eval(done.stdout)
    assert figures["taken"] > 200 and figures["named"] > 1000
    assert figures["misplaced"] == 0
    assert figures["unnamed"] / figures["named"] < 0.001
    assert figures["incomplete"] / figures["taken"] < 0.01
