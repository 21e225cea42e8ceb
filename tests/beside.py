"""Two runs of pytest over one folder, beside each other: what one has begun, the other leaves out.

    beside.py NAME REPORTS FOLDER [PYTEST ARGUMENTS]

Prints what each has said when it ends, and writes REPORTS/NAME-1.xml and -2.xml; exit 1 if any test
failed. As a plugin (-p beside) it is what each run chooses its files with: the tests of a file
share what is made for that file, so they stay together.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gates import gates

HERE = Path(__file__).resolve().parent
AT_A_TIME = 2  # much of a test is waiting
SHARED = "CPROF_TEST_BESIDE"  # a folder of theirs
ours = {}  # by file: is it this run's?


def shared(otherwise):
    """The folder where one run finds what the other has made; `otherwise` makes one for a single run."""
    return Path(os.environ[SHARED]) if SHARED in os.environ else otherwise()


def claim(file):
    """True for the first that asks."""
    try:
        os.close(os.open(Path(os.environ[SHARED], f"claimed-{file.name}"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    """Says of a test of the other run's that it is done with."""
    if item.path not in ours:
        ours[item.path] = claim(item.path)
    return None if ours[item.path] else True


def run(number, name, reports, descriptors, arguments):
    report = reports / f"{name}-{number}.xml"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rs", "-p", "beside", "-p", "repeat",
                           f"--junitxml={report}", *arguments], pass_fds=descriptors,
                          env={**os.environ, "PYTHONPATH": str(HERE)},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"-- {report.stem}\n{done.stdout}", end="", flush=True)
    return done.returncode


def main(name, reports, *arguments):
    descriptors = gates()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_A_TIME) as pool:
        os.environ[SHARED] = folder
        jobs = [pool.submit(run, number + 1, name, Path(reports), descriptors, arguments)
                for number in range(AT_A_TIME)]
        return 1 if any(job.result() for job in jobs) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
