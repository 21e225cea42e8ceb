"""What an exception costs: raises so many, with the profile type that is named, and ends.

    for n in 500 4500; do valgrind --tool=callgrind python tests/bench/raise.py $n exception@1000000; done

The difference, by 4,000, is that of one. `off` profiles nothing; `exception@1` takes each.
"""

import os
import sys

import cprof


def fail():
    raise ValueError


def run(times):
    for _ in range(times):
        try:
            fail()
        except ValueError:
            pass


run(200)
if sys.argv[2] != "off":
    cprof.start(exporter="none", types=[sys.argv[2]])
run(int(sys.argv[1]))
os._exit(0)
