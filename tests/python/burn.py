"""Uses CPU time, in tests and, as conftest's BURN, in the programs that they profile."""

import sys
import time


def burn(seconds, looks=0, clock=time.thread_time):
    """Burns so many seconds of the thread's CPU time. With `looks` it goes on until cprof's handler
    has run that often meanwhile: a machine that has other work may let no tick of the kernel fall
    into a tenth of a second. It gives up after twenty times the seconds."""
    end, last = clock() + seconds, clock() + 20 * seconds
    seen = handler_ran() if looks else None
    while clock() < end or 0 < looks and clock() < last:
        for _ in range(2000 if looks > 0 else 200):
            pass
        if looks > 0 and seen != (seen := handler_ran()):
            looks -= 1


def handler_ran():
    """Something else after each time that it did."""
    stats = sys.modules["cprof"].stats()
    return stats["handler_ns_mean"], stats["handler_ns_max"], stats["timer_overruns"]
