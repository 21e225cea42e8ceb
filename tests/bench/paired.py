"""What sampling takes of a busy 4-thread Python program, by pairs: the same thread does the same
work twice within some milliseconds, once with cprof's signal blocked, in random order.

    python tests/bench/paired.py [--seconds S] [--rate HZ]

Run with an interpreter that has cprof installed. overhead.py compares whole runs, whose CPU times
differ by 10 % and more on a shared machine; what a pair meets is nearly the same, and thousands of
pairs leave a standard error far below what is measured. A rate of 1,000 Hz raises it further (the
kernel looks at such timers once a tick, so there are fewer signals), and the signals that came say
what one took: the delivery, the handler, the caches it cools, which are somewhat warmer than at
100 Hz. What a signal takes whose handler does nothing stands beside it. cprof's own threads are
measured at 100 Hz by their CPU clocks, the first ten seconds, with the names of all that is met for
the first time, apart from what follows.
"""

import argparse
import ctypes
import hashlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import cprof

THREADS = 4
WARM_UP = 10  # seconds
DATA = os.urandom(40_000)
OUTPUT = os.path.join(tempfile.gettempdir(), "cprof-bench.pb.gz")
EMPTY_SIGNAL = 40  # a real-time one that nobody uses


def python_work(count):
    total = 0
    for number in range(count):
        total += number * number % 7
    return total


def work():
    python_work(20_000)
    zlib.crc32(zlib.compress(DATA, 1))
    hashlib.sha256(DATA * 8).digest()
    json.loads(json.dumps(list(range(2000))))


def signal_of_this_thread():
    """cprof's, from the kernel's list of timers."""
    with open("/proc/self/timers") as file:
        return int(re.search(rf"signal: (\d+)/\S+\nnotify: signal/tid\.{threading.get_native_id()}\n",
                             file.read())[1])


def cpu_of_work(number, blocked):
    """Nanoseconds of this thread's CPU time."""
    signal.pthread_sigmask(signal.SIG_BLOCK if blocked else signal.SIG_UNBLOCK, {number})
    began = time.thread_time_ns()
    for _ in range(4):
        work()
    return time.thread_time_ns() - began


def pairs(number, seconds, into):
    """Appends (with, without) to `into`. `number` gives this thread's signal."""
    number, end = number(), time.monotonic() + seconds
    while time.monotonic() < end:
        order = random.sample((False, True), 2)
        taken = {blocked: cpu_of_work(number, blocked) for blocked in order}
        into.append((taken[False], taken[True]))


def in_threads(function, *arguments):
    threads = [threading.Thread(target=function, args=arguments) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def print_pairs(what, number, signals, seconds):
    """`signals` says how many have come."""
    met = []
    in_threads(pairs, number, WARM_UP, [])
    before = signals()
    in_threads(pairs, number, seconds, met)
    # The one that waited for the end of a half without signals came before the clock was read.
    frequency = (signals() - before - len(met)) / (sum(on for on, _ in met) / 1e9)
    extra = sorted((on - off) / off for on, off in met)
    kept = extra[len(extra) // 10:-(len(extra) // 10)]  # the tails are other programs'
    one = 1e6 * statistics.mean(kept) / frequency  # microseconds
    error = 1e6 * statistics.stdev(kept) / len(kept) ** 0.5 / frequency
    print(f"{what}: {one / 100:+.3f} % at 100 Hz, standard error {error / 100:.3f}: "
          f"{one:.1f} us a signal ({len(met)} pairs with {frequency:.0f} signals a second of CPU)")


def print_sampled(rate, seconds):
    def signals():
        cprof.flush()
        stats = cprof.stats()
        return stats["samples"] - stats["timer_overruns"]

    cprof.start(rate=rate, output=OUTPUT)
    time.sleep(0.3)  # until this thread has its timer
    print_pairs("in the sampled threads", signal_of_this_thread, signals, seconds)
    print(f"  handler mean {cprof.stats()['handler_ns_mean']} ns")
    cprof.stop()


def print_empty(rate, seconds):
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "empty_handler.so")
        source = os.path.join(os.path.dirname(__file__), "empty_handler.c")
        if subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source]).returncode != 0:
            return
        empty = ctypes.CDLL(library)

    def arm():
        assert empty.empty_handler_start(EMPTY_SIGNAL, ctypes.c_long(10**9 // rate)) == 0
        return EMPTY_SIGNAL

    print_pairs("in threads with an empty handler", arm, empty.empty_handler_signals, seconds)


def print_own_threads(seconds):
    cprof.start(rate=100, output=OUTPUT, interval=15)
    work_until = lambda end: [work() for _ in iter(lambda: time.monotonic() < end, False)]
    in_threads(work_until, time.monotonic() + WARM_UP)
    first, began = cprof.stats(), time.process_time()
    in_threads(work_until, time.monotonic() + seconds)
    last, cpu = cprof.stats(), time.process_time() - began
    cprof.stop()
    steady = (last["collector_cpu_ns"] - first["collector_cpu_ns"]) / 1e9
    print(f"in cprof's own threads: {100 * steady / cpu:.3f} % at 100 Hz, after "
          f"{first['collector_cpu_ns'] / 1e6:.0f} ms in the first {WARM_UP} s; "
          f"handler mean {last['handler_ns_mean']} ns, {last['samples']} samples, "
          f"{last['samples_dropped']} dropped")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--rate", type=int, default=1000)
    options.add_argument("--part", choices=("empty", "sampled", "threads"))
    options = options.parse_args()
    if options.part == "empty":
        print_empty(options.rate, options.seconds)
    elif options.part == "sampled":
        print_sampled(options.rate, options.seconds)
    elif options.part == "threads":
        print_own_threads(options.seconds)
    else:
        for part in ("empty", "sampled", "threads"):  # each in a process of its own
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--part", part], check=True)


if __name__ == "__main__":
    main()
