"""Who runs beside others, and who runs alone, where several runs of tests share a machine.

gates() makes two files whose descriptors those runs inherit and CPROF_TEST_GATES names. Who has
passed the first gate holds the second shared or, to be alone, exclusively; who waits for that
keeps the first closed. ruby/helper.rb has the same.
"""

import fcntl
import os
import tempfile
from contextlib import ExitStack, contextmanager


def gates():
    """Two files, open for as long as this process lives, and their variable in its environment.
    The descriptors are for those who run tests: as pass_fds of subprocess.run()."""
    descriptors = [os.dup(file.fileno()) for file in (tempfile.TemporaryFile() for _ in range(2))]
    os.environ["CPROF_TEST_GATES"] = " ".join(map(str, descriptors))
    return descriptors


@contextmanager
def held(gate, how):
    """A descriptor of our own: locks belong to what was opened, which others have inherited."""
    descriptor = os.open(f"/proc/self/fd/{gate}", os.O_RDWR)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder):
    """Who makes something in a folder that several runs share: one after the other."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def room(alone):
    """Where a test runs: beside those of other runs, or alone."""
    named = os.environ.get("CPROF_TEST_GATES")
    with ExitStack() as stack:
        if named:
            entry, inside = named.split()
            with held(entry, fcntl.LOCK_EX):
                stack.enter_context(held(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        yield
