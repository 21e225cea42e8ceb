"""What cprof's handler adds to an empty one in a Python program, at 30 native and 20 Python frames
together: the whole handler, as the timer's signal runs it.

    python tests/bench/handler_python.py [--native N] [--python N] [--signals N]

Run with an interpreter that has cprof installed, and a C compiler at hand. The signal is the one
that this thread's timer would send (/proc/self/timers tells which), raised with
rt_tgsigqueueinfo(2) from a C function at the wanted depth; the collector names and counts the
samples meanwhile, as in life. Before 3.11 a Python frame takes native frames of its own, so there
may be more of these than asked for: what was met is printed.
"""

import argparse
import ctypes
import os
import platform
import re
import statistics
import subprocess
import tempfile
import threading

import cprof

HELPER = r"""
#define _GNU_SOURCE
#include <execinfo.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int sink;

static void on_empty(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
}

int install_empty(int signal)
{
    struct sigaction action = {.sa_sigaction = on_empty, .sa_flags = SA_SIGINFO | SA_RESTART};
    return sigaction(signal, &action, NULL);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Fills `times` (ns of a round trip); returns the native frames that the handler meets. */
__attribute__((noinline)) int raise_at(int depth, int signal, uint64_t value, uint64_t *times,
                                       int count)
{
    if (depth > 0) {
        int frames = raise_at(depth - 1, signal, value, times, count);
        sink++;
        return frames;
    }
    siginfo_t info;
    void *frames[512];
    memset(&info, 0, sizeof info);
    info.si_signo = signal;
    info.si_code = SI_TIMER;
    info.si_value.sival_ptr = (void *)value;
    for (int i = 0; i < count; i++) {
        uint64_t begin = now();
        syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), signal, &info);
        times[i] = now() - begin;
        if (i % 8 == 0)
            usleep(2000); /* the collector keeps up, as it does in life */
    }
    return backtrace(frames, 512) + 1; /* and syscall() */
}
"""


def build(folder):
    source, library = os.path.join(folder, "helper.c"), os.path.join(folder, "helper.so")
    with open(source, "w") as file:
        file.write(HELPER)
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-g", "-fno-optimize-sibling-calls", "-shared",
                    "-fPIC", source, "-o", library], check=True)
    helper = ctypes.PyDLL(library)
    helper.raise_at.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_uint64,
                                ctypes.POINTER(ctypes.c_uint64), ctypes.c_int]
    return helper


def timer_of_this_thread():
    """The signal and the value that cprof's timer sends to this thread."""
    with open("/proc/self/timers") as file:
        text = file.read()
    found = re.search(rf"signal: (\d+)/([0-9a-fx]+)\nnotify: signal/tid\.{threading.get_native_id()}\n",
                      text)
    return int(found[1]), int(found[2], 16)


def below(frames, function):
    """Calls the function with so many Python frames under way, this one's included."""
    return below(frames - 1, function) if frames > 1 else function()


def measure(helper, options, depth, signal, value):
    """Python frames on the stack: the module's, main()'s, this one and those of below()."""
    times = (ctypes.c_uint64 * options.signals)()
    native = below(options.python - 3,
                   lambda: helper.raise_at(depth, signal, value, times, options.signals))
    return native, sorted(times)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--native", type=int, default=30)
    options.add_argument("--python", type=int, default=20)
    options.add_argument("--signals", type=int, default=3000)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        helper = build(folder)
        helper.install_empty(12)
        base, _ = measure(helper, argparse.Namespace(**{**vars(options), "signals": 1}), 0, 12, 0)
        depth = max(0, options.native - base)
        cprof.start(exporter="none", rate=1)
        signal, value = timer_of_this_thread()
        results = {}
        for round in range(5):  # in turn, so that the machine's noise meets both alike
            for name, which in (("empty", (12, 0)), ("cprof", (signal, value))):
                native, times = measure(helper, options, depth, *which)
                results.setdefault(name, []).append((times[len(times) // 2], times[len(times) // 10]))
        cprof.stop()
        stats = cprof.stats()
    median = {name: statistics.median(m for m, _ in rounds) for name, rounds in results.items()}
    least = {name: min(low for _, low in rounds) for name, rounds in results.items()}
    print(f"{platform.python_version():8} {native} native + {options.python} Python frames: "
          f"empty {median['empty']:.0f} ns, cprof {median['cprof']:.0f} ns, "
          f"difference {median['cprof'] - median['empty']:.0f} ns (median); "
          f"{least['cprof'] - least['empty']:.0f} ns (quietest tenth); "
          f"samples {stats['samples']}, dropped {stats['samples_dropped']}, "
          f"truncated {stats['samples_truncated']}")


if __name__ == "__main__":
    main()
