"""What counting allocations takes of a Python program, by pairs: the same work within some tens of
milliseconds, once with the hooks in and once without, in random order.

    python tests/bench/allocs.py [--pairs N]

Run with an interpreter that has cprof installed. Prints the CPU time of the thread that works, as
the median of all pairs with the quartiles; the collector's own time stands beside it.
"""

import argparse
import json
import random
import re
import statistics
import time

import cprof

WORD = re.compile(r"[a-z]+")
TEXT = "the quick brown fox jumps over the lazy dog " * 40


class Node:
    def __init__(self, number):
        self.number = number


def objects():
    for _ in range(6):
        [Node(i) for i in range(10_000)]


def strings():
    for _ in range(6):
        [str(i) * 3 for i in range(20_000)]


def large():
    for _ in range(3000):
        bytearray(100_000)


def service():
    for _ in range(40):
        rows = [{"id": i, "name": f"n{i}", "price": i * 1.5} for i in range(100)]
        json.loads(json.dumps(sorted(rows, key=lambda row: -row["price"])))
        WORD.findall(TEXT)
        "".join("<li>%s</li>" % row["name"] for row in rows)


def cpu_of(work):
    before = time.thread_time()
    work()
    return time.thread_time() - before


def with_cprof(work, types):
    cprof.start(types=types, exporter="none", interval=3600)
    time.sleep(0.002)
    spent = cpu_of(work)
    cprof.stop()
    return spent, cprof.stats()["collector_cpu_ns"] / 1e9, cprof.stats()["samples"]


def measure(work, types, pairs):
    work()
    ratios, own, samples, total = [], 0, 0, 0
    for _ in range(pairs):
        order = [True, False]
        random.shuffle(order)
        times = {}
        for on in order:
            if on:
                times[on], collector, taken = with_cprof(work, types)
                own, samples, total = own + collector, samples + taken, total + times[on]
            else:
                times[on] = cpu_of(work)
        ratios.append(times[True] / times[False] - 1)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"  {work.__name__:8} {'+'.join(types):12} {100 * middle:+6.2f} %  (quartiles {100 * low:+.2f} "
          f"{100 * high:+.2f}; {samples / total:.0f} samples a second; the collector {100 * own / total:.2f} %, "
          "its start and end included)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--pairs", type=int, default=60)
    pairs = parser.parse_args().pairs
    print(f"CPU time with allocations counted, {pairs} pairs each")
    for work in (objects, strings, large, service):
        for types in (["alloc"], ["alloc", "heap"]):
            measure(work, types, pairs)


if __name__ == "__main__":
    main()
