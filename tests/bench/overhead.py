"""What a busy 4-thread Python program pays for being profiled at 100 Hz, printed beside the same
program without a profiler and under py-spy (with and without --native, where it is installed).

    python tests/bench/overhead.py [--rounds N] [--seconds S]

Run with an interpreter that has cprof installed. Every round runs each way once, in turn, so that
the machine's noise meets all of them alike; a fixed amount of work is done, and the figure is
the CPU time (user + system) of the process and everything it started, sampler included.
Two figures are given for cprof: the measured difference, which drowns in noise below about 1 %,
and the accounted one (time in handlers + CPU of cprof's threads), which leaves out signal delivery.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

WORK = """
import hashlib, json, os, sys, threading, time, zlib

def python_work(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total

def worker(units):
    data = os.urandom(40_000)
    for _ in range(units):
        python_work(20_000)
        zlib.crc32(zlib.compress(data, 1))
        hashlib.sha256(data * 8).digest()
        json.loads(json.dumps(list(range(2000))))

threads = [threading.Thread(target=worker, args=(int(sys.argv[1]),)) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
if len(sys.argv) > 2:
    import cprof, resource
    stats = cprof.stats()
    stats["maxrss_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    import json as j
    open(sys.argv[2], "w").write(j.dumps(stats))
else:
    import resource
    sys.stderr.write("maxrss %d\\n" % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def cpu_of(command, environment=None):
    """CPU seconds of the command and its children, and its standard error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-400:]}")
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime), done.stderr


def ways(folder, script, units):
    plain = [sys.executable, script, units]
    profile = os.path.join(folder, "bench.pb.gz")
    found = {
        "no profiler": (plain, {}),
        "cprof": (
            plain + [os.path.join(folder, "stats.json")],
            {"CPROF_ENABLED": "1", "CPROF_OUTPUT": profile},
        ),
    }
    py_spy = shutil.which("py-spy") or os.path.join(os.path.dirname(sys.executable), "py-spy")
    if os.path.exists(py_spy):
        spy = [py_spy, "record", "-r", "100", "-f", "raw", "-o", os.path.join(folder, "spy")]
        found["py-spy"] = (spy + ["--"] + plain, {})
        found["py-spy --native"] = (spy + ["--native", "--"] + plain, {})
    return found


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=8.0)
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.join(folder, "work.py")
        with open(script, "w") as file:
            file.write(WORK)
        probe, _ = cpu_of([sys.executable, script, "10"])
        units = str(max(1, int(10 * options.seconds / probe)))
        seconds = {}
        accounted = []
        for _ in range(options.rounds):
            for name, (command, environment) in ways(folder, script, units).items():
                cpu, _ = cpu_of(command, environment)
                seconds.setdefault(name, []).append(cpu)
                if name == "cprof":
                    with open(os.path.join(folder, "stats.json")) as file:
                        stats = json.load(file)
                    signals = stats["samples"] - stats["timer_overruns"]
                    own = signals * stats["handler_ns_mean"] + stats["collector_cpu_ns"]
                    accounted.append(100 * own / 1e9 / cpu)
        base = statistics.median(seconds["no profiler"])
        print(f"{'':18}{'CPU s, median':>14}{'extra':>9}   of {options.rounds} rounds")
        for name, values in seconds.items():
            median = statistics.median(values)
            spread = 100 * (max(values) - min(values)) / median
            extra = 100 * (median / base - 1)
            print(f"{name:18}{median:14.3f}{extra:8.2f}%   spread {spread:.1f} %")
        print(
            f"cprof, accounted: {statistics.median(accounted):.3f} % of the process's CPU; "
            f"handler mean {stats['handler_ns_mean']} ns, max {stats['handler_ns_max']} ns; "
            f"collector {stats['collector_cpu_ns'] / 1e6:.1f} ms; "
            f"{stats['samples']} samples, {stats['samples_dropped']} dropped"
        )


if __name__ == "__main__":
    main()
