"""Where time goes when nothing runs: threads that wait are seen with their Python stacks, their
spans and labels, and the reason, and nobody is woken for it."""

import os
import platform
import sys
import tempfile
from collections import Counter

import pytest

cprof = pytest.importorskip("cprof")

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="looks are x86-64's so far")

OFFCPU = {"CPROF_TYPES": "cpu,offcpu,wall"}


def waits(profile, match=lambda sample: True, column="off_cpu"):
    """Seconds by reason."""
    found = Counter()
    for sample in profile.samples:
        if sample.values.get(column) and match(sample):
            state = sample.labels["thread.state"]
            found[sample.labels.get("wait.reason", state)] += sample.values[column] / 1e9
    return found


def names(sample):
    return [frame.name for frame in sample.stack]


def of_thread(name):
    return lambda sample: sample.labels.get("thread.name") == name


def test_a_thread_s_waits_have_their_stacks_and_add_up_to_its_life(execute):
    done = execute("""
import threading, time
never = threading.Lock()
never.acquire()
def sleeping(): time.sleep(0.33)
def locked(): never.acquire(timeout=0.22)
def running():
    end = time.thread_time() + 0.11
    while time.thread_time() < end: pass
def known():
    end = time.monotonic() + 6
    while time.monotonic() < end: sleeping(); locked(); running()
thread = threading.Thread(target=known, name="known")
thread.start(); thread.join()
""", env=OFFCPU)
    profile, known = done.profile, of_thread("known")
    found = waits(profile, known)
    total = sum(waits(profile, known, "wall").values())
    # Its life is 6 s and the rest of a turn; what it ran is sampled.
    assert 5.5 < total < 8.5, (found, done.err)
    # 1.5 but for chance: of some eight turns, what follows a look goes to where the next one is.
    assert 0.7 < found["sleep"] / found["lock"] < 2.5, found
    for function, reason in (("sleeping", "sleep"), ("locked", "lock")):
        seconds = waits(profile, lambda s: known(s) and function in names(s))
        assert seconds[reason] > 0.95 * found[reason], (function, seconds, found)
    assert sum(s.count for s in profile.samples if "[truncated]" in names(s)) == 0
    main = waits(profile, of_thread("MainThread"))
    assert main["lock"] > 4.5 and main["lock"] > 0.9 * sum(main.values()), main
    assert profile.metric("cprof.looks_refused") == 0


def test_spans_and_labels_of_a_waiting_thread(execute):
    profile = execute("""
import threading, time, cprof
def request(number):
    with cprof.labels(request=number): wait()
def wait(): time.sleep(1.5)
threads = [threading.Thread(target=request, args=(i,)) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()
""", env=OFFCPU).profile
    for number in range(4):
        seconds = waits(profile, lambda s: s.labels.get("request") == str(number))
        assert 1.0 < seconds["sleep"] < 1.9, (number, seconds)
    assert waits(profile, lambda s: "wait" in names(s) and "request" not in s.labels)["sleep"] < 0.05


def test_a_slow_server_is_io_with_its_address(execute):
    profile = execute("""
import socket, threading, time
server = socket.create_server(("127.0.0.1", 0))
def serve():
    for _ in range(2):
        connection, _ = server.accept()
        connection.recv(100); time.sleep(1); connection.sendall(b"done"); connection.close()
threading.Thread(target=serve, name="server").start()
def fetch(timeout):
    with socket.create_connection(server.getsockname(), timeout) as s:
        s.sendall(b"hello"); s.recv(100)
fetch(None); fetch(10)
print(server.getsockname()[1])
""", env=OFFCPU)
    found, peer = profile.profile, f"127.0.0.1:{profile.out.split()[0]}"
    asked = waits(found, lambda s: "fetch" in names(s))
    assert 1.7 < asked["io"] < 2.3, asked
    seen = waits(found, lambda s: s.labels.get("wait.peer") == peer)
    assert seen["io"] > 0.95 * asked["io"], (seen, asked)
    assert waits(found, of_thread("server"))["sleep"] > 1.7


def test_a_fight_for_the_gil_is_told_as_one(execute):
    profile = execute("""
import threading, time
end = time.monotonic() + 2.5
def fight():
    while time.monotonic() < end: pass
threads = [threading.Thread(target=fight, name=f"fighter-{i}") for i in range(3)]
for t in threads: t.start()
for t in threads: t.join()
""", env=OFFCPU).profile
    fighting = waits(profile, lambda s: "fight" in names(s))
    assert fighting["gil"] > 0.9 * (sum(fighting.values()) - fighting["runnable"]), fighting
    assert fighting["gil"] > 1, fighting
    if sys.version_info >= (3, 11):
        holders = {s.labels.get("lock.holder") for s in profile.samples
                   if s.labels.get("wait.reason") == "gil"}
        assert holders & {"fighter-0", "fighter-1", "fighter-2"}, holders


def test_who_waits_for_work_is_idle(execute):
    profile = execute("""
import asyncio, concurrent.futures, socketserver, threading, time
pool = concurrent.futures.ThreadPoolExecutor(2)
list(pool.map(time.sleep, [0.01, 0.01]))
server = socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler)
threading.Thread(target=server.serve_forever, name="server").start()
async def main(): await asyncio.sleep(1.5)
asyncio.run(main())
server.shutdown(); server.server_close()
""", env=OFFCPU).profile
    for match in (lambda s: "_worker" in names(s), lambda s: "BaseEventLoop._run_once" in names(s),
                  lambda s: "BaseServer.serve_forever" in names(s)):
        found = waits(profile, match)
        assert found["idle"] > 0.8 and found["idle"] > 0.9 * sum(found.values()), found


def test_suspended_tasks_wait_by_themselves_with_their_spans_and_labels(execute):
    """Of asyncio's tasks each has the time it waits, beside that of its thread, which is none of
    theirs."""
    if sys.implementation.name != "cpython" or hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():
        pytest.skip("tasks are read where the GIL is")
    done = execute("""
import asyncio, time, cprof
SECONDS = 1.6
async def sleeping(): await asyncio.sleep(SECONDS)
async def locked(lock):
    async with lock: pass
async def holding(lock):
    async with lock: await sleeping()
async def reading(stream, number):
    with cprof.labels(request=number): await stream.read(1)
async def gathering(): await asyncio.gather(sleeping(), sleeping())
async def main():
    cprof.dump()  # by which it learns at once where tasks are
    lock, streams = asyncio.Lock(), [asyncio.StreamReader() for _ in range(20)]
    tasks = [asyncio.create_task(c) for c in (
        *(sleeping() for _ in range(47)), holding(lock), gathering(), *(locked(lock) for _ in range(30)),
        *(reading(stream, i) for i, stream in enumerate(streams)))]
    await asyncio.sleep(0)
    began = time.monotonic()
    await tasks[0]
    print(time.monotonic() - began)
    for stream in streams: stream.feed_eof()
    await asyncio.gather(*tasks)
asyncio.run(main())
""", env=OFFCPU)
    profile, life = done.profile, float(done.out)

    def is_task(sample):
        return sample.labels.get("kind") == "task"

    def in_(function):
        return lambda sample: is_task(sample) and function in names(sample)

    # A look that comes late, on a machine that has no CPU for it, counts a bit of what was before.
    near = [0.85 * life, 1.15 * life + 0.3]
    for function, reason, tasks in (("sleeping", "sleep", 50), ("locked", "lock", 30), ("reading", "io", 20)):
        found = waits(profile, in_(function))
        assert near[0] < found[reason] / tasks < near[1], (function, found, life)
        assert found[reason] > 0.999 * sum(found.values()), (function, found)
    # Who waits for gather() is no part of it: two tasks have its frame, as the callers of theirs.
    assert near[0] < waits(profile, lambda s: in_("gathering")(s) and in_("sleeping")(s))["sleep"] / 2 < near[1]
    for number in range(20):
        seconds = sum(waits(profile, lambda s: in_("reading")(s) and s.labels.get("request") == str(number)).values())
        assert near[0] < seconds < near[1], (number, seconds)
    assert not waits(profile, lambda s: is_task(s) and ("request" in s.labels) != ("reading" in names(s)))
    assert not waits(profile, is_task, "wall"), "elapsed time is that of threads"
    assert all("thread.id" not in s.labels for s in profile.samples if is_task(s))


def test_threads_that_come_and_go_and_children_are_looked_at_without_harm(execute):
    done = execute("""
import os, threading, time
def short(): time.sleep(0.01)
def deep(n): return deep(n - 1) if n else time.sleep(0.01)
end = time.monotonic() + 2
while time.monotonic() < end:
    threads = [threading.Thread(target=f, args=a) for f, a in ((short, ()), (deep, (200,)))] * 1
    for t in threads: t.start()
    pid = os.fork()
    if pid == 0: time.sleep(0.02); os._exit(0)
    for t in threads: t.join()
    os.waitpid(pid, 0)
print("alive")
""", env=dict(OFFCPU, CPROF_TYPES="wall@100hz"))
    assert done.code == 0 and "alive" in done.out, done.err
    found = waits(done.profile, column="wall")
    assert found["child"] > 0.1, found


@pytest.fixture
def for_all():
    """A path that any user may write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield os.path.join(folder, "out.pb.gz")


def test_where_the_kernel_keeps_silent_python_s_frames_are_seen(execute, for_all):
    done = execute("""
import ctypes, os, sys, threading, time, cprof
if os.geteuid() == 0:
    os.seteuid(65534)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # not dumpable
try:
    open("/proc/thread-self/syscall").close()
    sys.exit("it is said")
except PermissionError:
    pass
cprof.start(types=["cpu", "offcpu", "wall"], output=sys.argv[1])
never = threading.Lock()
never.acquire()
def sleeping(): time.sleep(2)
def locked(): never.acquire(timeout=2)
def running():
    end = time.thread_time() + 0.2
    while time.thread_time() < end: pass
threads = [threading.Thread(target=f, name=f.__name__) for f in (sleeping, locked, running)]
for thread in threads: thread.start()
for thread in threads: thread.join()
try: os.seteuid(0)
except PermissionError: pass
cprof.stop()
""", for_all, by=None, output=for_all)
    if "it is said" in done.err:
        pytest.skip("the kernel says it in spite of all")
    assert done.err.count("waiting is shown with the runtime's frames alone") == 1, done.err
    profile = done.profile
    sleep = "sleep" if sys.version_info >= (3, 11) else "io"  # a select(2), of which nothing more is known
    for function, reason in (("sleeping", sleep), ("locked", "lock")):
        known = of_thread(function)
        found = waits(profile, lambda s: known(s) and function in names(s))
        assert sum(found.values()) > 1.6, (function, found, waits(profile, known))
        if os.access("/proc/self/wchan", os.R_OK) and open("/proc/self/wchan").read():
            assert found[reason] > 0.95 * sum(found.values()), (function, found)
    assert waits(profile, of_thread("running")).get("sleep", 0) < 0.1
