"""What `import cprof` and `cprof.start()` add to the CPU time of a Python that does nothing else, each
the least of some runs: tests/bench/python_start.py [PYTHON with cprof installed]"""

import os
import resource
import subprocess
import sys

RUNS = 25
PYTHON = sys.argv[1] if len(sys.argv) > 1 else sys.executable
# Compiled once, as after an installation.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("CPROF_")}


def cpu_ms(code):
    def children():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime
    before = children()
    subprocess.run([PYTHON, "-c", code], check=True, env=ENVIRONMENT)
    return (children() - before) * 1e3


def main():
    programs = ["pass", "import cprof", "import cprof; cprof.start(exporter='none')",
                "import cprof; cprof.start(exporter='none'); cprof.stop()"]
    least = [float("inf")] * len(programs)
    for _ in range(RUNS):  # by turns, so that a busy moment of the machine meets all
        least = [min(best, cpu_ms(code)) for best, code in zip(least, programs)]
    for code, best in zip(programs, least):
        print(f"{best - least[0]:5.1f} ms more: {code}")


main()
