"""/debug/pprof/heap and /allocs of a real program."""

import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from collector import free_port
from python.pprof import Profile

# 64 MiB that keep() holds, 48 MiB in a cycle, and 480 MiB of churn, all in blocks that are sampled for sure.
PROGRAM = """
import gc, sys, time
gc.disable()
class Node: pass
def keep(): return [bytes(8 << 20) for _ in range(8)]
def cycle():
    node = Node()
    node.self = node
    node.data = [bytes(8 << 20) for _ in range(6)]
def churn():
    for _ in range(60):
        bytes(8 << 20)
        time.sleep(0.005)
kept = keep()
cycle()
churn()
print("ready", flush=True)
for line in sys.stdin:
    churn()
    print("done", flush=True)
"""


@pytest.fixture(params=["cpu,alloc@64k,heap@64k"])
def program(python, tmp_path, request):
    port = free_port()
    environment = {**os.environ, "CPROF_ENABLED": "1", "CPROF_EXPORTER": "none",
                   "CPROF_TYPES": request.param, "CPROF_LISTEN": f"127.0.0.1:{port}"}
    process = subprocess.Popen([python, "-c", PROGRAM], env=environment, cwd=tmp_path, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    process.url = f"http://127.0.0.1:{port}/debug/pprof/"
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def get(tmp_path):
    def read(url):
        path = tmp_path / "page.pb.gz"
        path.write_bytes(fetch(url))
        return Profile(path)
    return read


def fetch(url):
    """The page, as soon as somebody listens there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def mib(profile, column, function):
    return sum(sample.values[column] for sample in profile.samples
               if function in [frame.name for frame in sample.stack]) / (1 << 20)


def test_heap_is_what_lives_and_allocs_what_was_allocated_since_the_start(program, get):
    heap, allocs = get(program.url + "heap"), get(program.url + "allocs")
    assert heap.sample_types == ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]
    assert mib(heap, "inuse_space", "keep") == pytest.approx(64, rel=0.01)
    assert mib(heap, "inuse_space", "cycle") == pytest.approx(48, rel=0.01)
    assert mib(heap, "inuse_space", "churn") == 0
    assert mib(allocs, "alloc_space", "churn") == pytest.approx(480, rel=0.01)
    again = get(program.url + "allocs")
    assert mib(again, "alloc_space", "churn") == pytest.approx(480, rel=0.01)


def test_garbage_is_collected_first_where_the_request_says_so(program, get):
    assert mib(get(program.url + "heap?gc=1"), "inuse_space", "cycle") == 0
    assert mib(get(program.url + "heap"), "inuse_space", "keep") == pytest.approx(64, rel=0.01)


def test_with_seconds_a_page_shows_what_they_have_changed(program, get):
    get(program.url + "heap")
    answers = []
    client = threading.Thread(target=lambda: answers.append(get(program.url + "allocs?seconds=3")))
    client.start()
    program.stdin.write("\n")  # before, amid or after: all of the churn is in it, or some, or none
    program.stdin.flush()
    client.join(timeout=120)
    assert 0 <= mib(answers[0], "alloc_space", "churn") < 481
    assert mib(answers[0], "inuse_space", "keep") == 0
    assert mib(get(program.url + "allocs"), "alloc_space", "churn") == pytest.approx(960, rel=0.01)


@pytest.mark.parametrize("program", ["cpu,heap@64k"], indirect=True)
def test_a_type_that_is_off_is_one_line(program, get):
    assert mib(get(program.url + "heap"), "inuse_space", "keep") == pytest.approx(64, rel=0.01)
    with pytest.raises(urllib.error.HTTPError) as error:
        get(program.url + "allocs")
    assert error.value.code == 503
    assert error.value.read() == b"there is no such profile: CPROF_TYPES does not have alloc\n"


def test_go_tool_pprof_reads_both(program, tmp_path):
    fetch(program.url + "heap")
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if go is None:
        pytest.skip("no Go on this machine")
    for page, kind, function in (("heap", "inuse_space", "keep"), ("allocs", "alloc_space", "churn")):
        result = subprocess.run([go, "tool", "pprof", "-top", "-cum", program.url + page],
                                env={**os.environ, "PPROF_TMPDIR": str(tmp_path)}, capture_output=True,
                                text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        assert f"Type: {kind}" in result.stdout
        assert re.search(rf"\b{function}$", result.stdout, re.M), result.stdout


LOCKS = """
import sys, threading, time
lock = threading.Lock()
def waited():
    assert not lock.acquire(timeout=0.25)
lock.acquire()
for _ in range(4): waited()
print("ready", flush=True)
for line in sys.stdin: waited()
"""


def test_mutex_and_block_are_what_threads_have_waited_since_the_start(python, tmp_path, get):
    port = free_port()
    environment = {**os.environ, "CPROF_ENABLED": "1", "CPROF_EXPORTER": "none", "CPROF_TYPES": "cpu,lock",
                   "CPROF_LISTEN": f"127.0.0.1:{port}"}
    process = subprocess.Popen([python, "-c", LOCKS], env=environment, cwd=tmp_path, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "ready\n"
        for page in "mutex", "block":
            found = get(f"http://127.0.0.1:{port}/debug/pprof/{page}")
            waits = [s.values for s in found.samples if "waited" in [frame.name for frame in s.stack]]
            assert sum(values["contentions"] for values in waits) == 4
            assert sum(values["delay"] for values in waits) >= 4 * 0.25e9
            assert all("cpu" not in values for values in waits)
    finally:
        process.kill()
        process.communicate()
