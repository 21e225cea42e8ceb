"""Everything at once at the highest rate, with a watchdog: no hang, no crash, no wrong name."""

import os

from conftest import LONG

SECONDS = float(os.environ.get("CPROF_STRESS_SECONDS", "30" if LONG else "8"))

CHURN = """
import asyncio, ctypes, functools, gc, os, sys, threading, time, zlib
end = time.monotonic() + float(sys.argv[1])
def until_end(function):
    def loop():
        while time.monotonic() < end: function()
    return loop
counter = iter(range(10 ** 9))
def compiles():
    n = next(counter) % 400
    scope = {}
    exec(compile("\\n" * n + f"def f_{n + 1}(k):\\n s=0\\n for i in range(k): s+=i\\n",
                 f"file{n + 1}", "exec"), scope)
    scope[f"f_{n + 1}"](3000)
def generator(n):
    if n: yield from generator(n - 1)
    yield n
async def chain(n):
    if n: return await chain(n - 1)
    await asyncio.sleep(0)
    return sum(range(50))
async def chains(): await asyncio.gather(*(chain(20) for _ in range(20)))
def deep(n): return deep(n - 1) if n else sorted(range(50), key=lambda x: -x)
class Ring:
    alive = 0
    def __init__(self): self.me = self; Ring.alive += 1
    def __del__(self): [i for i in range(10)]; Ring.alive -= 1
def garbage():
    if Ring.alive < 10000:  # while another thread collects, collect() returns at once
        for _ in range(100): Ring()
    gc.collect(0)
def threads():
    t = threading.Thread(target=functools.reduce, args=(lambda a, b: a + b, range(500)))
    t.start(); t.join()
def libraries():
    lib = ctypes.CDLL("libz.so.1"); lib.zlibVersion()
    zlib.compress(bytes(1 << 16)); time.sleep(0.001)
def forks():
    pid = os.fork()
    if pid == 0:
        deep(20); os._exit(0)
    os.waitpid(pid, 0); time.sleep(0.05)
workers = [threading.Thread(target=until_end(f)) for f in
           (compiles, compiles, lambda: sum(generator(20)), lambda: deep(150), garbage, threads,
            libraries, lambda: asyncio.run(chains()))]
for w in workers: w.start()
until_end(forks)()
for w in workers: w.join()
import cprof
print((cprof.stats(), time.process_time()))
"""


def test_churn_of_everything_at_1000_samples_a_second(execute):
    outcome = execute(CHURN, str(SECONDS), by="environment", timeout=SECONDS * 3 + 60,
                      env={"CPROF_RATE": "1000"})
    assert outcome.code == 0, outcome.err
    stats, used = eval(outcome.out)
    assert stats["samples"] > 500 * used
    assert stats["samples_dropped"] < 0.01 * stats["samples"]
    profile = outcome.profile
    made = [f for s in profile.samples for f in s.stack if f.name.startswith("f_")]
    assert len(made) > 20
    for frame in made:
        assert (frame.file, frame.start_line) == (f"file{frame.name[2:]}", int(frame.name[2:]))
    unknown = profile.share(lambda names: any("unknown" in name for name in names))
    assert unknown < 0.005, unknown
