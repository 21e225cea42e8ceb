"""Interpreters whose frames can't be walked (free-threaded, or newer than cprof knows): one line
says so, and the native frames are all there."""

import os
import sys

import pytest

import cprof
from conftest import BURN
from pprof import Profile

LINE = cprof._cprof.no_walk
pytestmark = pytest.mark.skipif(LINE is None, reason="this interpreter's frames can be walked")

WORK = BURN + """
import hashlib, threading
data = bytes(1 << 20)
def work():
    end = time.thread_time() + 0.4
    while time.thread_time() < end: hashlib.sha256(data).digest()
    burn(0.2)
"""
STAYS = """
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sys._is_gil_enabled() if hasattr(sys, "_is_gil_enabled") else True)
"""


def told(outcome):
    """What cprof says on standard error."""
    return [line for line in outcome.err.splitlines() if line.startswith("cprof:")]


def seconds(profile, match):
    return sum(s.nanoseconds for s in profile.samples if any(match(f) for f in s.stack)) / 1e9


def test_one_line_says_so_and_native_frames_are_whole(execute):
    outcome = execute(WORK + "import sys" + STAYS, by="environment")
    assert outcome.code == 0, outcome.err
    assert told(outcome) == [f"cprof: {LINE}; showing native frames only"]
    profile = outcome.profile
    total = sum(sample.nanoseconds for sample in profile.samples) / 1e9
    assert 2.2 < total < 3.2
    assert not profile.names() & {"work", "burn"}
    assert profile.share(lambda names: "[unknown]" in names) < 0.05  # code that was just loaded
    assert 1.3 < seconds(profile, lambda f: "sha256" in f.name.lower() or "crypto" in f.file) < 1.9
    assert seconds(profile, lambda f: f.name.startswith(("_PyEval_EvalFrame", "_TAIL_CALL_"))) > 1.8 \
        or "PyEval" not in str(profile.names())


def test_the_program_keeps_running_without_a_gil(execute):
    outcome = execute(WORK + "import sys" + STAYS, by="environment")
    assert outcome.out == f"{execute(WORK + 'import sys' + STAYS, by=None).out}"


def test_it_starts_and_stops_while_threads_run(execute):
    outcome = execute(WORK + """
import cprof, sys
stop = False
def churn():
    n = 0
    while not stop:
        n += 1
        scope = {}
        exec(compile(f"def f{n}(): return [x for x in range(50)]\\nf{n}()", "<made>", "exec"), scope)
        thread = threading.Thread(target=sum, args=(range(500),)); thread.start(); thread.join()
threads = [threading.Thread(target=churn) for _ in range(4)]
for thread in threads: thread.start()
for i in range(20):
    cprof.start(exporter="none")
    with cprof.labels(round=i): burn(0.05)
    samples = cprof.stop() and cprof.stats()["samples"]
    if not samples: break
stop = True
for thread in threads: thread.join()
print(i, samples > 0)
""", by=None, timeout=60)
    assert (outcome.code, outcome.out) == (0, "19 True\n"), outcome.err


def test_a_forked_child_profiles_itself(execute, tmp_path):
    outcome = execute(WORK + """
import os, sys
child = os.fork()
work()
if child == 0: sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""", by="environment")
    assert outcome.out == "3\n", outcome.err
    files = sorted(tmp_path.glob("out*.pb.gz"))
    assert len(files) == 2
    for path in files:
        assert sum(s.nanoseconds for s in Profile(path).samples) > 0.4e9


def test_asyncio_generators_and_exceptions_go_on(execute):
    outcome = execute(WORK + """
import asyncio
async def one(n):
    await asyncio.sleep(0.001)
    try: raise ValueError(n)
    except ValueError as error: return sum(i for i in range(2000)) + error.args[0]
async def main(): return sum(await asyncio.gather(*(one(n) for n in range(200))))
print([asyncio.run(main()) for _ in range(3)])
""", by="environment")
    assert outcome.out == f"{[1999 * 1000 * 200 + 199 * 100] * 3}\n", outcome.err
