"""What takes long says so: on a terminal, and nowhere else."""

import os
import pty
import re
import subprocess
import threading
import time

from conftest import COMMAND


def until_shown(master, text):
    """Everything that comes on the terminal until that text does."""
    shown = b""
    while text not in shown:
        shown += os.read(master, 4096)
    return shown


def the_rest(master):
    rest = b""
    try:
        while piece := os.read(master, 4096):
            rest += piece
    except OSError:
        pass  # how Linux says that the other end has been closed
    return rest


def start(arguments, stdout, stderr, **environment):
    return subprocess.Popen([COMMAND, *map(str, arguments)], stdout=stdout, stderr=stderr,
                            env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", **environment})


def slow(small, tmp_path):
    """A profile that is read when somebody writes it."""
    path = tmp_path / "slow.pb.gz"
    os.mkfifo(path)

    def write():
        with open(small, "rb") as content:
            path.write_bytes(content.read())
    return path, write


def test_a_command_that_is_not_done_after_a_second_says_what_it_does(small, tmp_path):
    path, write = slow(small, tmp_path)
    master, slave = pty.openpty()
    child = start(["top", small, path, small], slave, slave)
    os.close(slave)
    shown = until_shown(master, b"reading 1 of 3 files")
    write()
    rest = the_rest(master)
    os.close(master)
    assert child.wait(60) == 0
    assert b"2.00 s of CPU" not in shown and rest.count(b"3.00 s of CPU") == 1
    # The line is gone when the table comes.
    last = rest[:rest.index(b"shop")]
    assert last.endswith(b"\r\x1b[K") and b"\n" not in shown + last


def test_one_file_is_named(small, tmp_path):
    path, write = slow(small, tmp_path)
    master, slave = pty.openpty()
    child = start(["convert", path, tmp_path / "out.otlp"], slave, slave)
    os.close(slave)
    until_shown(master, b"slow.pb.gz")
    write()
    rest = the_rest(master)
    os.close(master)
    assert child.wait(60) == 0 and rest.endswith(b"\r\x1b[K")


def test_an_error_stands_on_a_line_of_its_own(small, tmp_path):
    path, write = slow(small, tmp_path)
    broken = tmp_path / "broken.pb.gz"
    broken.write_bytes(b"\x1f\x8bgarbage")
    master, slave = pty.openpty()
    child = start(["merge", path, broken, "-o", tmp_path / "out.pb.gz"], slave, slave)
    os.close(slave)
    until_shown(master, b"reading")
    write()
    rest = the_rest(master)
    os.close(master)
    assert child.wait(60) == 1
    assert re.search(rb"\r\x1b\[Kcprof: [^\n]*broken.pb.gz: damaged gzip data[^\n]*\n$",
                     rest.replace(b"\r\n", b"\n"))


def test_files_pipes_and_dumb_terminals_get_no_progress(small, tmp_path):
    path, write = slow(small, tmp_path)
    child = start(["top", path], subprocess.PIPE, subprocess.PIPE)
    threading.Timer(1.3, write).start()
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 0 and output.startswith(b"shop") and errors == b""
    master, slave = pty.openpty()
    child = start(["top", path], subprocess.DEVNULL, slave, TERM="dumb")
    os.close(slave)
    time.sleep(1.3)
    write()
    assert the_rest(master) == b"" and child.wait(60) == 0
    os.close(master)
