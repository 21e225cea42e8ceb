"""Who waits for locks, for how long, and who let them go: by the program's own clock."""

import os
import sysconfig

import pytest

from pprof import Profile

pytestmark = pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                                reason="locks of free-threaded Python are not counted")

# Whoever holds something lets it go some time after the main thread has begun to wait for it, however
# late that is: as the kernel says. A wait is measured by the program's own clock, and again where the
# thread was off its processor more than once meanwhile, or ran for more than a moment: maybe between a
# look at the clock and the wait.
COMMON = """
import os, queue, resource, sys, threading, time
from time import perf_counter
import cprof

sys.setswitchinterval(10)  # the GIL is given away at waits, and nowhere between a clock and a wait
main = threading.get_native_id()
about = []

def switches():
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_nvcsw + usage.ru_nivcsw

def until_main_waits():
    asleep = 0
    while asleep < 3:
        with open(f"/proc/self/task/{main}/stat") as stat:
            asleep = asleep + 1 if about and stat.read().rpartition(")")[2].split()[0] == "S" else 0
        time.sleep(0.001)

def begin(name, run):
    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread

def after(seconds, let_go, name="holder"):
    def run():
        until_main_waits()
        time.sleep(seconds)
        let_go()
    return begin(name, run)

def held(lock, seconds, name="holder"):
    taken = []
    def run():
        with lock:
            taken.append(1)
            until_main_waits()
            time.sleep(seconds)
    thread = begin(name, run)
    while not taken: time.sleep(0)
    return thread

def once(wait, *arguments):
    about.append(1)
    before, ran, begun = switches(), time.thread_time(), perf_counter()
    wait(*arguments)
    spent = perf_counter() - begun
    calm = switches() <= before + 1 and time.thread_time() < ran + 0.0003
    about.clear()
    return spent, calm

def measured(name, arm, wait, *arguments):
    for turn in range(30):
        thread = arm()
        with cprof.labels(wait=f"{name}-{turn}"):
            spent, calm = once(wait, *arguments)
        thread.join()
        if calm:
            print(f"{name}-{turn}", spent)
            break
"""


def run(execute, tmp_path, source):
    outcome = execute(COMMON + source, str(tmp_path / "out.pb.gz"), by=None)
    assert outcome.code == 0 and outcome.err == "", outcome.err
    return outcome


def told(outcome):
    """What the program says it has waited: name, seconds."""
    return {name: float(seconds) for name, seconds in map(str.split, outcome.out.splitlines())}


def of(profile, function, **labels):
    """The samples that have the function, of locks other than the GIL unless that is asked for. That
    a new thread has begun is waited for too."""
    gil = labels.get("wait.reason") == "gil"
    return [s for s in profile.samples if (s.labels.get("wait.reason") == "gil") == gil and function in (names := {f.name for f in s.stack})
            and "Thread.start" not in names and all(s.labels.get(key) == value for key, value in labels.items())]


def waits(samples):
    """Contentions and seconds."""
    return sum(s.values["contentions"] for s in samples), sum(s.values["delay"] for s in samples) / 1e9


KINDS = """
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
def joined():
    begin("none", lambda: time.sleep(0.03)).join()

def warm_up(lock): lock.acquire()

cprof.start(output=sys.argv[1], types=["lock"])
lock = threading.Lock()
thread = held(lock, 0.03)
once(warm_up, lock)
thread.join()
cprof.flush()  # the collector has what it needs of this stack
for lock in threading.Lock(), threading.RLock():
    kind = type(lock).__name__
    for turn in range(3):
        for wait, seconds in (first, 0.03), (second, 0.07):
            name = wait.__name__
            measured(f"{name}-{kind}{turn}", lambda: held(lock, seconds, "holder of " + name), wait, lock)
    alone(lock)
    taken, done = [], []
    def hold():
        with lock:
            taken.append(1)
            while not done: time.sleep(0.001)
    thread = begin("holder", hold)
    while not taken: time.sleep(0)
    tried(lock)
    measured("gave_up-" + kind, lambda: begin("none", int), gave_up, lock)
    done.append(1)
    thread.join()

it = threading.Condition()
def notify(it=it):
    with it: it.notify()
measured("condition-0", lambda: after(0.04, notify), condition, it)
it = threading.Semaphore(0)
measured("semaphore-0", lambda: after(0.04, it.release), semaphore, it)
it = threading.Event()
def clear(): # one that is set already is no wait
    it.clear()
    return after(0.04, it.set)
measured("event-0", clear, event, it)
it = queue.Queue(1)
measured("got-0", lambda: after(0.04, lambda: it.put(1)), got, it)
it.put(1)
measured("put-0", lambda: after(0.04, it.get), put, it)
with cprof.labels(wait="joined-0"): joined()
print("joined-0 0")
cprof.stop()
"""


def test_waits_are_those_that_the_program_measured_and_count_once(execute, tmp_path):
    outcome = run(execute, tmp_path, KINDS)
    measured, profile = told(outcome), outcome.profile
    sums = {}
    for wait, seconds in measured.items():
        name = wait.partition("-")[0]
        found = waits(of(profile, name, wait=wait))
        if name == "joined":
            assert found == (0, 0)  # no lock
            continue
        assert found[1] == pytest.approx(seconds, rel=0.02), wait
        # These take their own lock again, which who let them go may still have for a moment.
        assert found[0] == 1 or name in ("condition", "got", "put") and found[0] > 1, wait
        sums[name] = [sums.get(name, [0, 0])[i] + (seconds, found[1])[i] for i in range(2)]
    assert {"first", "second"} <= set(sums)
    # 30 : 70, as the program has it and as the profile has it.
    shares = [sums["first"][i] / (sums["first"][i] + sums["second"][i]) for i in range(2)]
    assert shares[1] == pytest.approx(shares[0], abs=0.02)
    assert waits(of(profile, "alone")) == (0, 0) and waits(of(profile, "tried")) == (0, 0)

    lines = (COMMON + KINDS).splitlines()
    for name, line in (("first", "    lock.acquire()"), ("second", "    with lock: pass"),
                       ("event", "def event(it): it.wait()"), ("got", "def got(it): it.get()")):
        site = f"prog.py:{lines.index(line) + 1}"
        assert site in {s.labels["lock.site"] for s in of(profile, name)}, name
    for name in ("first", "second"):
        samples = of(profile, name)
        assert {s.labels["lock.holder"] for s in samples} == {"holder of " + name}
        assert {s.labels["wait.reason"] for s in samples} == {"lock"}
        assert len({s.labels["lock.address"] for s in samples}) == 2  # a Lock and an RLock


HOLDERS = """
class Told:
    pass

def hold(lock, seconds, taken, told):
    lock.acquire()
    taken.append(1)
    until_main_waits()
    time.sleep(seconds)
    before, told.released = switches(), perf_counter()
    lock.release()
    told.calm = switches() == before

def short(*arguments): hold(lock, 0.03, *arguments)
def long(*arguments): hold(lock, 0.07, *arguments)

def wait():
    global begun
    begun = perf_counter()
    with lock: pass

cprof.start(output=sys.argv[1], types=["blame"])
for lock in threading.Lock(), threading.RLock():
    for kind in (short, long) * 2:
        for turn in range(30):
            taken, told = [], Told()
            def run():
                with cprof.labels(hold=f"{kind.__name__}-{turn}-{id(lock)}"):
                    kind(taken, told)
            thread = begin("holder", run)
            while not taken: time.sleep(0)
            _, calm = once(wait)
            thread.join()
            print(f"{kind.__name__}-{turn}-{id(lock)}", told.released - begun if calm and told.calm else 0)
            if calm and told.calm: break
cprof.stop()
"""


def test_the_blame_is_on_the_stack_that_let_the_lock_go(execute, tmp_path):
    outcome = run(execute, tmp_path, HOLDERS)
    profile, held = outcome.profile, {}
    for name, seconds in map(str.split, outcome.out.splitlines()):
        held.setdefault(name, []).append(float(seconds))
    sums = {"short": 0, "long": 0}
    for name, seconds in held.items():
        kind = name.partition("-")[0]
        samples = of(profile, kind, hold=name)
        blame = sum(s.values["blame"] for s in samples) / 1e9
        assert sum(s.values["blamed"] for s in samples) == len(seconds), name
        if all(seconds):
            assert blame == pytest.approx(sum(seconds), rel=0.02), name
        sums[kind] += blame
    assert sums["short"] > 0.1 and sums["long"] > 0.25
    assert not of(profile, "wait")


PROCESSES = """
import multiprocessing

def waited(lock):
    with lock: pass

def gave_up(lock):
    assert not lock.acquire(timeout=0.05) and not lock.acquire(False) and not lock.acquire(block=False)

def mine(lock):
    with lock:
        for _ in range(1000):
            with lock: lock.acquire()
            lock.release()

cprof.start(output=sys.argv[1], types=["lock"])
for lock in multiprocessing.Lock(), multiprocessing.RLock():
    measured("waited-" + type(lock).__name__, lambda: held(lock, 0.04), waited, lock)
mine(lock)
done, taken = [], []
def hold():
    with lock:
        taken.append(1)
        while not done: time.sleep(0.001)
keeper = begin("keeper", hold)
while not taken: time.sleep(0)
gave_up(lock)
done.append(1)
keeper.join()
cprof.stop()
"""


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there are no semaphores")
def test_multiprocessing_s_locks_count_alike(execute, tmp_path):
    outcome = run(execute, tmp_path, PROCESSES)
    profile = outcome.profile
    for wait, seconds in told(outcome).items():
        samples = of(profile, "waited", wait=wait)
        assert waits(samples)[0] == 1
        assert waits(samples)[1] == pytest.approx(seconds, rel=0.02), wait
        assert {s.labels["lock.holder"] for s in samples} == {"holder"}
    contentions, delay = waits(of(profile, "gave_up"))
    assert contentions == 1 and delay >= 0.05
    assert waits(of(profile, "mine")) == (0, 0)  # it has it already


SHORT = """
def shortly(lock, spent):
    for _ in range(250):
        begun = perf_counter()
        lock.acquire()
        spent.append(perf_counter() - begun)
        time.sleep(0.0003)
        lock.release()
        time.sleep(0)

lock, spent = threading.Lock(), []
cprof.start(output=sys.argv[1], types=["lock@1ms"])
threads = [threading.Thread(target=shortly, args=(lock, spent)) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
cprof.stop()
print("shortly", sum(spent))
"""


def test_short_waits_are_met_by_chance(execute, tmp_path):
    outcome = run(execute, tmp_path, SHORT)
    contentions, delay = waits(of(outcome.profile, "shortly"))
    # Some hundred samples: five standard deviations and more. That nothing is wrong on average is
    # tests/core/source/source_test.c's to show.
    assert delay == pytest.approx(told(outcome)["shortly"], rel=0.7)
    assert 0 < contentions < 3 * 750


AGAIN = """
def waited(lock): lock.acquire()
def not_counted(lock): lock.acquire()

lock = threading.Lock()
for turn in range(3):
    cprof.start(output=sys.argv[1], types=["lock"])
    thread = held(lock, 0.03)
    once(waited, lock)
    thread.join()
    lock.release()
    cprof.stop()
    thread = held(lock, 0.03)
    once(not_counted, lock)
    thread.join()
    lock.release()

# A wait that began before cprof did, and one that ends after it, count for nothing.
def start_and_release():
    cprof.start(types=["lock"], exporter="none")
    lock.release()

def stop_and_release():
    cprof.stop()
    lock.release()

lock.acquire()
thread = after(0.01, start_and_release)
once(not_counted, lock)
thread.join()
thread = after(0.01, stop_and_release)
once(not_counted, lock)
thread.join()
"""


def test_it_counts_while_it_is_started_and_no_longer(execute, tmp_path):
    profile = run(execute, tmp_path, AGAIN).profile
    assert waits(of(profile, "waited"))[0] == 1
    assert waits(of(profile, "not_counted")) == (0, 0)


FORK = """
def waited(lock):
    lock.acquire()
    lock.release()

lock, other = threading.Lock(), threading.Lock()
cprof.start(output=sys.argv[1], types=["lock"])
other.acquire()
beside = begin("beside", lambda: waited(other))  # waits while it forks
child = os.fork()
if child == 0:
    main = threading.get_native_id()
    while not cprof.stats()["resident_bytes"]: time.sleep(0.01)  # a child starts once it has lived for a while
    for _ in range(3):
        thread = held(lock, 0.03, "in the child")
        once(waited, lock)
        thread.join()
    cprof.stop()
    os._exit(0)
os.waitpid(child, 0)
other.release()
beside.join()
thread = held(lock, 0.03)
once(waited, lock)
thread.join()
cprof.stop()
print("child", child)
"""


def test_a_forked_child_counts_its_own(execute, tmp_path):
    outcome = execute(COMMON + FORK, str(tmp_path / "out.pb.gz"), by=None, env={"PYTHONWARNINGS": "ignore"})
    assert outcome.code == 0 and outcome.err == "", outcome.err
    assert waits(of(outcome.profile, "waited", **{"lock.holder": "holder"}))[0] == 1
    own = of(Profile(tmp_path / f"out.{int(told(outcome)['child'])}.pb.gz"), "waited")
    assert waits(own)[0] == 3
    assert {s.labels["lock.holder"] for s in own} == {"in the child"}


CHURN = """
def shared(locks):
    for i in range(100):
        for lock in locks:
            with lock: counts[0] += 1

sys.setswitchinterval(0.001)
counts = [0]
locks = [threading.Lock()] * 3
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
    assert outcome.code == 0 and outcome.out == f"whole {6 * 5 * 8 * 100 * 3}\n", outcome.err


BESIDE = """
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string

def waited(lock): lock.acquire()

cprof.start(output=sys.argv[1], types=["lock"])
other = interpreters.create()
run(other, '''
import threading
for lock in threading.Lock(), threading.Semaphore():
    lock.acquire()
    assert not lock.acquire(timeout=0.03)
    lock.release()
with threading.RLock(), threading.Condition(): pass
''')
interpreters.destroy(other)
lock = threading.Lock()
thread = held(lock, 0.03)
once(waited, lock)
thread.join()
cprof.stop()
"""


def test_locks_of_an_interpreter_beside_work_and_are_not_counted(execute, tmp_path):
    profile = run(execute, tmp_path, BESIDE).profile
    assert waits(of(profile, "waited"))[0] == 1
    # Its 30 ms would be sampled for sure. Threads that start are waited for too.
    assert all(any(f.name in ("waited", "Thread.start") for f in s.stack) for s in profile.samples
               if s.labels["wait.reason"] != "gil")


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


# The GIL is kept through a call of ctypes.PyDLL, and given away by one of CDLL, and nowhere else.
GIL = """
import ctypes
keeps, gives = ctypes.PyDLL(None), ctypes.CDLL(None)

def short(): hold(30000)
def long(): hold(70000)
def hold(microseconds):
    keeps.usleep(microseconds)
    time.sleep(0.002)

def asks():
    begun = perf_counter()
    gives.getppid()
    spent.append(perf_counter() - begun)

def off_its_processor():
    with open(f"/proc/self/task/{threading.get_native_id()}/schedstat") as file: return int(file.read().split()[1]) / 1e9

def wait():
    begun = off_its_processor()
    while not done: asks()
    print("runnable", off_its_processor() - begun)

def held(hold):
    begun = perf_counter()
    hold()
    return perf_counter() - begun - 0.002

spent, done = [], []
cprof.start(output=sys.argv[1], types=["lock@1us", "blame@1us"])
waiter = begin("waiter", wait)
while not spent: time.sleep(0.001)
sums = {short: 0, long: 0}
for _ in range(6):
    for kind in short, long: sums[kind] += held(kind)
done.append(1)
waiter.join()
cprof.stop()
print("asked", sum(second for second in spent if second > 0.01))
print("times", sum(second > 0.01 for second in spent))
print("short", sums[short])
print("long", sums[long])
"""


def test_the_gil_is_one_more_lock_and_who_keeps_it_is_to_blame(execute, tmp_path):
    outcome = run(execute, tmp_path, GIL)
    measured, profile = told(outcome), outcome.profile
    # What neither side can tell apart: the waiter may have had no processor before it asked, or after.
    unsure = measured["runnable"] + 0.02
    found = of(profile, "asks", **{"wait.reason": "gil"})
    contentions, delay = waits(found)
    assert measured["asked"] * 0.98 - unsure < delay < measured["asked"] * 1.02 + unsure
    assert contentions >= measured["times"] - measured["runnable"] / 0.01 - 1
    by_main = [s for s in found if s.labels.get("lock.holder") not in (None, "waiter")]
    assert waits(by_main)[1] >= 0.95 * delay
    assert all("lock.site" not in s.labels and "lock.address" not in s.labels for s in found)
    for kind in "short", "long":
        samples = of(profile, kind, **{"wait.reason": "gil"})
        blame = sum(s.values["blame"] for s in samples) / 1e9
        assert measured[kind] * 0.98 - unsure < blame < measured[kind] * 1.02 + unsure, kind
        assert sum(s.values["blamed"] for s in samples) >= 6 - unsure / 0.03
        assert all("thread.state" not in s.labels for s in samples if s.values["blame"])


GIL_AT_THE_END = """
def fight(seconds):
    until = perf_counter() + seconds
    while perf_counter() < until: pass

sys.setswitchinterval(0.0005)
for turn in range(8):
    cprof.start(output=sys.argv[1], types=["lock@100us", "blame@100us"])
    threads = [threading.Thread(target=fight, args=(0.02,)) for _ in range(6)]
    for thread in threads: thread.start()
    if turn % 2: cprof.stop()  # while they wait
    child = os.fork() if turn == 3 else -1
    if child == 0: os._exit(0)
    for thread in threads: thread.join()
    cprof.stop()
cprof.start(output=sys.argv[1], types=["lock@100us", "blame@100us"])
for _ in range(4): threading.Thread(target=fight, args=(60,), daemon=True).start()
child = os.fork()
if child == 0:  # those that waited are not there
    threads = [threading.Thread(target=fight, args=(0.05,)) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
fight(0.05)
print("whole 0")  # the others wait for the GIL when the interpreter ends
"""


def test_fights_for_the_gil_end_with_threads_forks_and_the_interpreter(execute, tmp_path):
    outcome = execute(COMMON + GIL_AT_THE_END, str(tmp_path / "out.pb.gz"), by=None, env={"PYTHONWARNINGS": "ignore"})
    # On a busy machine a buffer may be full; that is counted, and said once a start.
    said = [line for line in outcome.err.splitlines() if "samples were dropped" not in line]
    assert outcome.code == 0 and outcome.out == "whole 0\n" and not said, outcome.err
    found = of(outcome.profile, "fight", **{"wait.reason": "gil"})
    assert waits(found)[0] > 4 and sum(s.values["blamed"] for s in found) > 4


STOPPED_WHILE_WAITED_FOR = """
def fight(goes_on):
    while goes_on(): pass
    rests.wait()

def until(end): return lambda: perf_counter() < end
def fights():
    fight(lambda: not stopped)
    rests.wait()
    fight(until(perf_counter() + 0.3))

sys.setswitchinterval(0.0005)
rests, stopped = threading.Barrier(4), []
cprof.start(exporter="none", types=["lock@1us"])
threads = [threading.Thread(target=fights) for _ in range(3)]
for thread in threads: thread.start()
time.sleep(0.1)
cprof.stop()  # two of them wait for the GIL
stopped.append(1)
rests.wait()
time.sleep(1.5)
cprof.start(output=sys.argv[1], types=["lock@1us"])
rests.wait()
begun = perf_counter()
rests.wait()
print("again", perf_counter() - begun)
for thread in threads: thread.join()
cprof.stop()
"""


def test_a_wait_for_the_gil_that_a_stop_has_cut_is_not_counted_later(execute, tmp_path):
    outcome = run(execute, tmp_path, STOPPED_WHILE_WAITED_FOR)
    found = of(outcome.profile, "fights", **{"wait.reason": "gil"})
    assert 0 < waits(found)[1] < 3 * told(outcome)["again"] + 0.1



# Mutexes of C, which nobody but the kernel sees: ctypes lets the GIL go for the call.
NATIVE = """
import ctypes
libc = ctypes.CDLL(None)

class Mutex:
    def __init__(self): self.words = ctypes.create_string_buffer(64)
    def lock(self): libc.pthread_mutex_lock(self.words)
    def unlock(self): libc.pthread_mutex_unlock(self.words)

def holds_short(mutex): hold(mutex, 0.3)
def holds_long(mutex): hold(mutex, 0.7)

def hold(mutex, seconds):
    mutex.lock()
    taken.append(1)
    until_main_waits()
    time.sleep(seconds)
    mutex.unlock()

def told(turn, function, *arguments):
    with cprof.labels(first=str(turn == 0)): return function(*arguments)

def waits_short(mutex): mutex.lock()
def waits_long(mutex): mutex.lock()

cprof.start(output=sys.argv[1], types=["lock", "blame"])
spent = {waits_short: 0, waits_long: 0}
taken = []
time.sleep(0.6)  # looks have begun
cprof.flush()
for turn in range(3):
    for holds, waits in (holds_short, waits_short), (holds_long, waits_long):
        taken.clear()
        mutex = Mutex()
        thread = begin("holder of " + waits.__name__, lambda: told(turn, holds, mutex))
        while not taken: time.sleep(0.001)
        spent[waits] += told(turn, lambda: once(waits, mutex)[0])
        thread.join()
# A Python lock's wait is counted by its hook, and by nobody else.
lock = threading.Lock()
def waits_python(lock): lock.acquire()
thread = held(lock, 0.3)
once(waits_python, lock)
thread.join()
# Nor is a condition, a semaphore or a sleep one.
def waits_otherwise():
    words = ctypes.create_string_buffer(64)
    libc.sem_timedwait(words, ctypes.byref((ctypes.c_long * 2)(int(time.time()) + 1, 0)))
    libc.usleep(100000)
waits_otherwise()
cprof.stop()
for waits, seconds in spent.items(): print(waits.__name__, seconds)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="threads that sleep are not looked at here")
def test_mutexes_of_c_are_seen_by_looks(execute, tmp_path):
    outcome = run(execute, tmp_path, NATIVE)
    profile, measured = outcome.profile, told(outcome)
    for name, seconds in measured.items():
        found = of(profile, name)
        contentions, delay = waits(found)
        # The time since the look before goes to where the next one finds it.
        assert seconds - 0.4 < delay < seconds + 0.4, name
        assert 3 <= contentions
        holder = [s for s in found if s.labels.get("lock.holder") == "holder of " + name]
        assert waits(holder)[1] >= 0.95 * delay
        assert 1 <= len({s.labels["lock.address"] for s in found}) <= 3
        assert {s.labels["wait.reason"] for s in found} == {"lock"}
        # The first time their functions may have no names yet.
        blame = of(profile, name.replace("waits", "holds"), first="False")
        assert sum(s.values["blame"] for s in blame) / 1e9 >= 0.5 * waits(of(profile, name, first="False"))[1], name
    assert waits(of(profile, "waits_python"))[0] == 1
    assert waits(of(profile, "waits_otherwise")) == (0, 0)
