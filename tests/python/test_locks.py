"""Who waits for locks, for how long, and who let them go: by the program's own clock."""

import os
import sys
import sysconfig

import pytest

from pprof import Profile

pytestmark = pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                                reason="locks of free-threaded Python are not counted")

# wait(take) measures a wait; meet() has another thread hold something meanwhile, and let it go
# so long after the wait is about to begin.
COMMON = """
import os, queue, sys, threading, time
from time import perf_counter
import cprof

spent = {}

def timed(name, wait, *arguments):
    begun = perf_counter()
    wait(*arguments)
    spent[name] = spent.get(name, 0) + perf_counter() - begun

def after(seconds, let_go, name="holder"):
    thread = threading.Thread(target=lambda: (time.sleep(seconds), let_go()), name=name)
    thread.start()
    return thread

def held(lock, seconds, name="holder"):
    taken = []
    def hold():
        with lock:
            taken.append(1)
            time.sleep(seconds)
    thread = threading.Thread(target=hold, name=name)
    thread.start()
    while not taken: time.sleep(0)
    return thread
"""


def run(execute, tmp_path, source, types="lock"):
    outcome = execute(COMMON + source, str(tmp_path / "out.pb.gz"), by=None, env={"CPROF_TYPES": types})
    assert outcome.code == 0 and outcome.err == "", outcome.err
    return outcome


def told(outcome):
    """What the program says it has waited: name, seconds."""
    return {name: float(seconds) for name, seconds in map(str.split, outcome.out.splitlines())}


def waits(profile, function):
    """Contentions and seconds of the samples that have the function."""
    samples = [s for s in profile.samples if any(f.name == function for f in s.stack)]
    return sum(s.values["contentions"] for s in samples), sum(s.values["delay"] for s in samples) / 1e9


KINDS = COMMON + """
def first(lock):
    lock.acquire()
    lock.release()

def second(lock):
    with lock: pass

def alone(lock):
    for _ in range(20000):
        with lock: pass
        lock.acquire()
        lock.release()
        lock.acquire(False)
        lock.release()

def tried(lock):
    for _ in range(1000):
        assert not lock.acquire(False) and not lock.acquire(blocking=False)
        assert not lock.acquire(timeout=0) and not lock.acquire(True, 0)

def gave_up(lock):
    assert not lock.acquire(timeout=0.03)

def condition(it):
    with it: it.wait()

def semaphore(it): it.acquire()
def event(it): it.wait()
def got(it): it.get()
def put(it): it.put(1)
def joined(thread): thread.join()

cprof.start(output=sys.argv[1], types=["lock"])
for lock in threading.Lock(), threading.RLock():
    for name, wait, seconds in (("first", first, 0.03), ("second", second, 0.07)) * 3:
        thread = held(lock, seconds, "holder of " + name)
        with cprof.labels(kind=name):
            timed(name, wait, lock)
        thread.join()
    alone(lock)
    thread = held(lock, 0.06)
    tried(lock)
    timed("gave_up", gave_up, lock)
    thread.join()

it = threading.Condition()
def notify():
    with it: it.notify()
thread = after(0.04, notify)
timed("condition", condition, it)
it = threading.Semaphore(0)
thread = after(0.04, it.release)
timed("semaphore", semaphore, it)
it = threading.Event()
thread = after(0.04, it.set)
timed("event", event, it)
it = queue.Queue(1)
def give(it=it): it.put(1)
thread = after(0.04, give)
timed("got", got, it)
give()
thread = after(0.04, it.get)
timed("put", put, it)
thread = after(0.04, int)
timed("joined", joined, thread)
cprof.stop()
for item in spent.items(): print(*item)
"""


def test_waits_are_those_that_the_program_measured_and_count_once(execute, tmp_path):
    outcome = execute(KINDS, str(tmp_path / "out.pb.gz"), by=None)
    assert outcome.code == 0 and outcome.err == "", outcome.err
    measured, profile = told(outcome), outcome.profile
    found = {name: waits(profile, name) for name in measured}
    for name, times in (("first", 6), ("second", 6), ("gave_up", 2), ("semaphore", 1), ("event", 1)):
        assert found[name][0] == times, name
        assert found[name][1] == pytest.approx(measured[name], rel=0.02), name
    # These take their own lock again, which who let them go may still have for a moment.
    for name in ("condition", "got", "put"):
        assert found[name][0] >= 1, name
        assert found[name][1] == pytest.approx(measured[name], rel=0.02), name
    assert found["joined"] == (0, 0)  # no lock
    assert waits(profile, "alone") == (0, 0) and waits(profile, "tried") == (0, 0)

    for name in ("first", "second"):
        samples = [s for s in profile.samples if any(f.name == name for f in s.stack)]
        assert {s.labels["lock.holder"] for s in samples} == {"holder of " + name}
        assert {s.labels["kind"] for s in samples} == {name}
        assert {s.labels["wait.reason"] for s in samples} == {"lock"}
        assert len({s.labels["lock.address"] for s in samples}) == 2  # a Lock and an RLock


SHORT = """
def shortly(lock):
    lock.acquire()
    lock.release()

def hold(lock, seconds, count):
    for _ in range(count):
        with lock: time.sleep(seconds)

lock = threading.Lock()
cprof.start(output=sys.argv[1], types=["lock@1ms"])
threads = [threading.Thread(target=hold, args=(lock, 0.0001, 300)) for _ in range(2)]
for thread in threads: thread.start()
while any(thread.is_alive() for thread in threads):
    timed("shortly", shortly, lock)
for thread in threads: thread.join()
cprof.stop()
for item in spent.items(): print(*item)
"""


def test_short_waits_are_met_by_chance(execute, tmp_path):
    outcome = run(execute, tmp_path, SHORT)
    contentions, delay = waits(outcome.profile, "shortly")
    assert contentions > 0 and delay > 0
    # What it measured has the uncontended ones in it, and these are a few hundred samples by chance.
    assert delay < 2 * told(outcome)["shortly"]


AGAIN = """
def waited(lock): timed("waited", lock.acquire)
def not_counted(lock): timed("not_counted", lock.acquire)

lock = threading.Lock()
acquire = lock.acquire  # bound before hooks are in
for turn in range(3):
    cprof.start(output=sys.argv[1], types=["lock"])
    thread = held(lock, 0.03)
    waited(lock)
    thread.join()
    lock.release()
    cprof.stop()
    thread = held(lock, 0.03)
    not_counted(lock)
    thread.join()
    lock.release()

# A wait that began before cprof did, and one that ends after it, count for nothing.
thread = held(lock, 0.05)
waiter = threading.Thread(target=not_counted, args=(lock,))
waiter.start()
cprof.start(types=["lock"], exporter="none")
thread.join()
waiter.join()
waiter = threading.Thread(target=not_counted, args=(lock,))
waiter.start()
time.sleep(0.02)
cprof.stop()
lock.release()
waiter.join()
print("waited", spent["waited"])
"""


def test_it_counts_while_it_is_started_and_no_longer(execute, tmp_path):
    outcome = run(execute, tmp_path, AGAIN)
    profile = outcome.profile
    assert waits(profile, "waited")[0] == 1
    assert waits(profile, "waited")[1] == pytest.approx(told(outcome)["waited"] / 3, rel=0.3)
    assert waits(profile, "not_counted") == (0, 0)


FORK = """
def waited(lock):
    lock.acquire()
    lock.release()

lock, other = threading.Lock(), threading.Lock()
cprof.start(output=sys.argv[1], types=["lock"])
beside = held(other, 0.2)  # somebody waits while it forks
waiter = threading.Thread(target=waited, args=(other,))
waiter.start()
child = os.fork()
if child == 0:
    while not cprof.is_running(): time.sleep(0.01)
    while not cprof.stats()["resident_bytes"]: time.sleep(0.01)  # a child starts once it has lived for a while
    for _ in range(3):
        thread = held(lock, 0.03, "in the child")
        waited(lock)
        thread.join()
    cprof.stop()
    os._exit(0)
os.waitpid(child, 0)
beside.join()
waiter.join()
cprof.stop()
print("child", child)
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_counts_its_own(execute, tmp_path):
    outcome = execute(COMMON + FORK, str(tmp_path / "out.pb.gz"), by=None, env={"PYTHONWARNINGS": "ignore"})
    assert outcome.code == 0 and outcome.err == "", outcome.err
    assert waits(outcome.profile, "waited")[0] == 1
    own = Profile(tmp_path / f"out.{int(told(outcome)['child'])}.pb.gz")
    assert waits(own, "waited")[0] == 3
    assert {s.labels["lock.holder"] for s in own.samples
            if any(f.name == "waited" for f in s.stack)} == {"in the child"}


CHURN = """
def shared(locks):
    for i in range(200):
        for lock in locks:
            with lock: counts[0] += 1

counts = [0]
locks = [threading.Lock(), threading.RLock(), threading.Condition()]
jobs = queue.Queue(3)
def serve():
    while jobs.get() is not None: pass

for turn in range(6):
    cprof.start(output=sys.argv[1], types=["cpu@1000hz", "lock@100us"])
    for _ in range(5):
        threads = [threading.Thread(target=shared, args=(locks,)) for _ in range(8)]
        threads += [threading.Thread(target=serve) for _ in range(4)]
        for thread in threads: thread.start()
        for _ in range(40): jobs.put(1)
        for _ in range(4): jobs.put(None)
        if turn % 2: cprof.stop()
        for thread in threads: thread.join()
    cprof.stop()
print("whole", counts[0])
"""


def test_threads_that_come_and_go_and_restarts_do_no_harm(execute, tmp_path):
    outcome = execute(COMMON + CHURN, str(tmp_path / "out.pb.gz"), by=None)  # some samples may be lost
    assert outcome.code == 0 and outcome.out == f"whole {6 * 5 * 8 * 200 * 3}\n"


BESIDE = """
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string

def waited(lock): timed("waited", lock.acquire)

WORK = '''
import threading
for lock in threading.Lock(), threading.Semaphore():
    lock.acquire()
    assert not lock.acquire(timeout=0.03)
    lock.release()
with threading.RLock(), threading.Condition(): pass
'''
cprof.start(output=sys.argv[1], types=["lock"])
other = interpreters.create()
run(other, WORK)
interpreters.destroy(other)
lock = threading.Lock()
thread = held(lock, 0.03)
waited(lock)
cprof.stop()
print("waited", spent["waited"])
"""


def test_locks_of_an_interpreter_beside_work_and_are_not_counted(execute, tmp_path):
    outcome = run(execute, tmp_path, BESIDE)
    contentions, delay = waits(outcome.profile, "waited")
    assert contentions == 1 and delay == pytest.approx(told(outcome)["waited"], rel=0.1)
    assert sum(s.values["delay"] for s in outcome.profile.samples) / 1e9 < delay + 0.03


def test_a_type_that_is_not_asked_for_leaves_the_methods_alone(execute, tmp_path):
    outcome = execute("""
        import ctypes, sys, threading, cprof
        kind = type(threading.Lock())

        def entry():
            method = ctypes.c_void_p.from_address(id(kind.__dict__["acquire"]) + 5 * 8).value
            return ctypes.c_void_p.from_address(method + 8).value

        original = entry()
        cprof.start(exporter="none", types=["cpu"])
        assert entry() == original
        cprof.stop()
        cprof.start(exporter="none", types=["lock"])
        assert entry() != original
        cprof.stop()
        assert entry() == original
        print("whole")
    """, by=None)
    assert outcome.out == "whole\n", outcome.err
