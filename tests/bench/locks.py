"""What locks that are free cost while `lock` is on: pairs of acquire and release in turns with and
without it in one process, the least of each; and where ddtrace is installed, with its profiler of locks.

    python locks.py [ROUNDS]
"""

import asyncio
import sys
import threading
from time import perf_counter_ns

import cprof

PAIRS = 2000
CHUNKS = 30


def called(lock):
    acquire, release = lock.acquire, lock.release
    begun = perf_counter_ns()
    for _ in range(PAIRS):
        acquire()
        release()
    return (perf_counter_ns() - begun) / PAIRS


def within(lock):
    begun = perf_counter_ns()
    for _ in range(PAIRS):
        with lock:
            pass
    return (perf_counter_ns() - begun) / PAIRS


def awaited(lock):
    async def pairs():
        begun = perf_counter_ns()
        for _ in range(PAIRS // 4):
            async with lock:
                pass
        return (perf_counter_ns() - begun) / (PAIRS // 4)
    return loop.run_until_complete(pairs())


def ddtraces():
    """Pairs of a lock that ddtrace's profiler has made; None: it is not installed."""
    try:
        from ddtrace.profiling.collector.threading import ThreadingLockCollector
    except ImportError:
        return None
    with ThreadingLockCollector():
        lock = threading.Lock()
        return min(called(lock) for _ in range(10 * CHUNKS)), min(within(lock) for _ in range(10 * CHUNKS))


loop = asyncio.new_event_loop()


def main(rounds):
    cases = {"Lock, acquire() and release()": (called, threading.Lock()),
             "Lock, with": (within, threading.Lock()),
             "RLock, acquire() and release()": (called, threading.RLock()),
             "RLock, with": (within, threading.RLock()),
             "asyncio.Lock, async with": (awaited, asyncio.Lock())}
    least = {name: [1e9, 1e9] for name in cases}
    for _ in range(rounds):
        for on in (0, 1):
            if on:
                cprof.start(types=["lock"], exporter="none")
            for name, (measure, lock) in cases.items():
                least[name][on] = min(least[name][on], *(measure(lock) for _ in range(CHUNKS)))
            if on:
                cprof.stop()
    print(f"Python {sys.version.split()[0]}, least of {rounds}:")
    for name, (without, beside) in least.items():
        print(f"  {name}: {without:.1f} ns, with cprof {beside:.1f} ({beside - without:+.1f})")
    theirs = ddtraces()
    if theirs:
        print(f"  Lock, with ddtrace's: acquire() and release() {theirs[0]:.1f} ns, with {theirs[1]:.1f}")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
