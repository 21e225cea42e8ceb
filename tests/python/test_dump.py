"""All threads now: each with what it waits for, its Python stack, span and labels; and nobody who
waits is woken for it."""

import json
import os
import platform
import textwrap

import pytest

from conftest import LONG

cprof = pytest.importorskip("cprof")

SECONDS = float(os.environ.get("CPROF_STRESS_SECONDS", "60")) if LONG else 4

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="looks are x86-64's so far")

# dumped(): by name of the thread, what it does; and the names on its stack.
HEAD = """
import ctypes, json, os, socket, sys, threading, time
import cprof
threading.stack_size(256 << 10)
def begin(function, name=None):
    threading.Thread(target=function, name=name or function.__name__, daemon=True).start()
def dumped():
    page = json.loads(cprof.dump("json"))
    threads = {thread.get("name"): thread for thread in page["threads"]}
    for thread in threads.values():
        frames = page["stacks"][thread["stack"]]["frames"] if "stack" in thread else []
        thread["names"] = [frame["function"] for frame in frames]
    return page, threads
def settled(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
"""


@pytest.fixture
def run(execute):
    """run(source): what the program prints as JSON."""
    def run(source, **variables):
        done = execute(HEAD + textwrap.dedent(source), by=None, env={"CPROF_EXPORTER": "none", **variables},
                       timeout=3 * SECONDS + 120)
        assert done.code == 0, done.err
        return json.loads(done.out)
    return run


KNOWN = """
lock = threading.Lock()
lock.acquire()
ours, theirs = socket.socketpair()
def locked(): lock.acquire()
def reading(): ours.recv(1)
def sleeping():
    with cprof.labels(endpoint="/users"): time.sleep(100)
def running():
    while True: sum(range(1000))
for function in (locked, reading, sleeping, running): begin(function)
"""


def test_every_thread_is_there_with_its_state_stack_and_labels(run):
    page, threads = run(KNOWN + """
time.sleep(0.5)
print(json.dumps(dumped()))
""")
    assert page["complete"] and page["deadlocks"] == 0
    assert sorted(threads) == ["MainThread", "locked", "reading", "running", "sleeping"]
    for name, reason in (("locked", "lock"), ("reading", "io"), ("sleeping", "sleep")):
        assert (threads[name]["state"], threads[name]["reason"]) == ("waiting", reason), threads[name]
        assert name in threads[name]["names"], threads[name]
        assert threads[name]["labels"]["thread.name"] == name
    assert threads["sleeping"]["labels"]["endpoint"] == "/users"
    assert threads["running"]["state"] in ("running", "runnable") or threads["running"]["reason"] == "gil"
    assert "running" in threads["running"]["names"], threads["running"]
    assert threads["MainThread"]["state"] == "running" and "dump" in threads["MainThread"]["names"]


def test_it_is_known_for_how_long_a_thread_has_not_run(run):
    since, threads = run(KNOWN + """
cprof.start()
began = time.monotonic()
settled(lambda: dumped()[1]["locked"].get("unmoved_seconds", 0) > 3)
print(json.dumps([time.monotonic() - began, dumped()[1]]))
""")
    for name in ("locked", "reading", "sleeping"):
        assert 3 < threads[name]["unmoved_seconds"] < since + 1, threads[name]


def test_nobody_who_waits_is_woken(run):
    before, after, dumps = run(KNOWN + """
def switches():
    found = {}
    for tid in os.listdir("/proc/self/task"):
        name = open(f"/proc/self/task/{tid}/comm").read()
        status = open(f"/proc/self/task/{tid}/status").read().split("\\n")
        if not name.startswith("cprof"):
            found[tid] = [line for line in status if line.startswith("voluntary")]
    return found
waiting = [thread.native_id for thread in threading.enumerate() if thread.name in ("locked", "reading", "sleeping")]
cprof.start()
settled(lambda: dumped()[1]["sleeping"].get("state") == "waiting")
before = switches()
dumps = [dumped()[1]["reading"]["state"] for _ in range(10)]
after = switches()
print(json.dumps([[found[str(tid)] for tid in waiting] for found in (before, after)] + [dumps]))
""")
    assert before == after and dumps == 10 * ["waiting"]


def test_a_deadlock_is_said_in_words(run):
    page, text = run("""
library = ctypes.CDLL(None)
mutexes = [ctypes.create_string_buffer(64) for _ in range(2)]
meet = threading.Barrier(3)
def take(one, other):
    library.pthread_mutex_lock(mutexes[one])
    meet.wait()
    library.pthread_mutex_lock(mutexes[other])
begin(lambda: take(0, 1), "first")
begin(lambda: take(1, 0), "second")
meet.wait()
cprof.start()
settled(lambda: dumped()[0]["deadlocks"] == 1)
print(json.dumps([dumped()[0], cprof.dump()]))
""")
    assert sorted(thread["name"] for thread in page["threads"] if thread.get("deadlock") == 1) == ["first", "second"]
    line = next(line for line in text.splitlines() if line.startswith("Deadlock: "))
    assert line.index("first (") and line.index("second (") and line.count(" waits for the lock 0x") == 2


def test_equal_stacks_are_one_with_their_number(run):
    text = run("""
never = threading.Event()
def waiting(): never.wait()
for i in range(30): begin(waiting, f"w{i}")
time.sleep(0.5)
print(json.dumps(cprof.dump()))
""")
    # The first one may wait at another instruction: what it runs is not specialised yet.
    groups = [group for group in text.split("\n\n") if " waiting, lock\n" in group]
    counts = [int(group.split()[0]) for group in groups]
    assert sum(counts) == 30 and max(counts) >= 29, text
    largest = groups[counts.index(max(counts))]
    assert largest.count("\n  w") == 16 and f"\n  … and {max(counts) - 16} more\n" in largest, text
    assert largest.count("      waiting  ") == 1, text


def test_a_thousand_threads(run):
    took = run("""
never = threading.Event()
def waiting(deep):
    if deep: waiting(deep - 1)
    else: never.wait()
for i in range(1000): begin(lambda deep=i % 4: waiting(deep), f"w{i}")
cprof.start()
time.sleep(0.5)
took = []
for _ in range(3):
    page, threads = dumped()
    took.append(page["took_nano"] / 1e6)
    assert len(threads) == 1001, len(threads)
    for i in range(1000):
        thread = threads[f"w{i}"]
        assert thread["state"] == "waiting" and thread["names"].count("waiting") == i % 4 + 1, thread
print(json.dumps(took))
""")
    print("1,000 threads dumped in", took, "ms")


TASKS = """
import asyncio
async def nap(): await asyncio.sleep(100)
async def outer(): await nap()
async def parent(): await asyncio.create_task(outer(), name="child")
async def both(): await asyncio.gather(asyncio.create_task(nap(), name="one"), asyncio.create_task(nap(), name="two"))
async def main(then):
    lock, queue = asyncio.Lock(), asyncio.Queue()
    await lock.acquire()
    async def locked(): await lock.acquire()
    async def queued(): await queue.get()
    tasks = [asyncio.create_task(coroutine(), name=coroutine.__name__) for coroutine in (locked, queued, parent, both)]
    await asyncio.sleep(0.2)
    then()
def tasks_now():
    page = json.loads(cprof.dump("json"))
    return {task["name"]: [task["state"], task.get("reason")] + [frame["function"].rpartition(".")[2] for frame in
            (page["stacks"][task["stack"]]["frames"] if "stack" in task else [])] for task in page["tasks"]}
"""


def test_tasks_are_there_with_their_coroutines_and_what_they_wait_for(run):
    tasks = run(TASKS + """
asyncio.run(main(lambda: print(json.dumps(tasks_now()))))
""")
    main = next(name for name in tasks if name.startswith("Task-"))
    assert tasks.pop(main) == ["running", None]
    assert tasks == {"child": ["waiting", "sleep", "sleep", "nap", "outer", "parent"],
                     "one": ["waiting", "sleep", "sleep", "nap", "both"],
                     "two": ["waiting", "sleep", "sleep", "nap", "both"],
                     "locked": ["waiting", "lock", "acquire", "locked"],
                     "queued": ["waiting", "idle", "get", "queued"],
                     "parent": ["waiting", None, "parent"],
                     "both": ["waiting", None, "both"]}


def test_tasks_are_there_while_the_event_loop_is_blocked(run):
    tasks = run(TASKS + """
cprof.start()
def blocking():
    found = {}
    def look(): found.update(tasks_now())
    other = threading.Thread(target=look)
    other.start()
    time.sleep(0.5)
    other.join()
    print(json.dumps(found))
asyncio.run(main(blocking))
""")
    assert tasks["locked"] == ["waiting", "lock", "acquire", "locked"] and len(tasks) == 8


def test_ten_thousand_tasks(run):
    took, count = run(TASKS + """
async def many():
    tasks = [asyncio.create_task(outer()) for _ in range(10000)]
    await asyncio.sleep(0)
    page = json.loads(cprof.dump("json"))
    print(json.dumps([page["took_nano"] / 1e6, len(page["tasks"])]))
    for task in tasks: task.cancel()
cprof.start()
asyncio.run(many())
""")
    print("10,000 tasks dumped in", took, "ms")
    assert count == 10001


GREENLETS = """
def frames_of(page, each):
    return [frame["function"] for frame in page["stacks"][each["stack"]]["frames"]]
def own_frames(greenlet):
    frame, names = greenlet.gr_frame, []
    while frame: names.append((frame.f_code.co_name, frame.f_lineno)); frame = frame.f_back
    return names
"""


def test_suspended_greenlets_are_there_with_their_stacks(run):
    pytest.importorskip("greenlet")
    # The first are older than cprof's start, the second ones are made by a type derived before.
    found, expected, count = run(GREENLETS + """
import greenlet
main = greenlet.getcurrent()
class Mine(greenlet.greenlet): pass
def suspended(): main.switch()
def deep(n):
    if n: deep(n - 1)
    else: suspended()
def begun(kind, n):
    made = kind(lambda: deep(n))
    made.switch()
    return made
old = [begun(greenlet.greenlet, 2) for _ in range(3)]
cprof.start()
new = [begun(Mine, 5) for _ in range(30)]
ended = [greenlet.greenlet(int) for _ in range(3)]
for each in ended: each.switch()
never = greenlet.greenlet(suspended)
gone = [begun(greenlet.greenlet, 9) for _ in range(10)]
del gone
inner = greenlet.greenlet(lambda: json.loads(cprof.dump("json")))
page = inner.switch()
stacks = {each["id"]: [[frame["function"].rpartition(".")[2], frame["line"]] for frame in
          page["stacks"][each["stack"]]["frames"]] for each in page["greenlets"]}
expected = {id(each): own_frames(each) for each in old + new}
print(json.dumps([stacks.pop(id(main)), stacks == json.loads(json.dumps(expected), object_pairs_hook=lambda pairs: {int(k): v for k, v in pairs}), len(stacks)]))
""")
    assert found[-1][0] == "<module>" and expected and count == 33


def test_gevents_greenlets_say_what_they_wait_for(run):
    pytest.importorskip("gevent")
    reasons = run(GREENLETS + """
import gevent, gevent.event, gevent.socket
ours, theirs = gevent.socket.socketpair()
def napping(): gevent.sleep(100)
def reading(): ours.recv(1)
def waiting(): gevent.event.Event().wait()
spawned = [gevent.spawn(each) for each in (napping, reading, waiting)]
gevent.sleep(0.01)
page = json.loads(cprof.dump("json"))
print(json.dumps({frames_of(page, each)[-1]: each.get("reason") for each in page["greenlets"]}))
""")
    assert reasons == {"napping": "sleep", "reading": "io", "waiting": None, "Hub.run": "idle"}


def test_pprof_is_a_profile_of_threads(execute):
    done = execute(HEAD + KNOWN + """
time.sleep(0.5)
open("out.pb.gz", "wb").write(cprof.dump("pprof"))
""", by=None, env={"CPROF_EXPORTER": "none"})
    assert done.code == 0, done.err
    samples = done.profile.samples
    assert sum(sample.values["threads"] for sample in samples) == len(samples) == 5
    locked = next(sample for sample in samples if sample.labels["thread.name"] == "locked")
    assert "locked" in [frame.name for frame in locked.stack] and locked.labels["wait.reason"] == "lock"


def test_a_forked_child_is_dumped_at_once(run):
    code, names = run("""
begin(lambda: time.sleep(100), "other")
cprof.start()
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, json.dumps(sorted(dumped()[1])).encode())
    os._exit(7)
print(json.dumps([os.waitstatus_to_exitcode(os.wait()[1]), json.loads(os.read(reading, 1000))]))
""")
    assert (code, names) == (7, ["MainThread"])


def test_dumps_beside_locks_threads_tasks_greenlets_and_forks_that_come_and_go(run):
    dumps, deadlocks, stateless, children = run(f"""
import asyncio, random
end = time.monotonic() + {SECONDS}
try: import greenlet
except ImportError: greenlet = None
lock, again, ready, queue = threading.Lock(), threading.RLock(), threading.Condition(), __import__("queue").Queue(4)
def until_end(function):
    def loop():
        while time.monotonic() < end: function()
    return loop
def churning():
    few = [threading.Thread(target=lambda: time.sleep(random.random() / 50)) for _ in range(8)]
    for thread in few: thread.start()
    for thread in few: thread.join()
def locking():
    with lock, again: sum(range(200))
    time.sleep(0.0005)
def meeting():
    with ready: ready.notify_all(); ready.wait(0.002)
def giving():
    try: queue.put(1, timeout=0.002)
    except Exception: queue.get()
def looping():
    async def deep(n): await (deep(n - 1) if n else asyncio.sleep(random.random() / 50))
    async def main():
        while time.monotonic() < end:
            await asyncio.gather(*[asyncio.create_task(deep(random.randrange(8))) for _ in range(50)])
    asyncio.run(main())
def switching():
    if not greenlet: return time.sleep(0.01)
    main = greenlet.getcurrent()
    def deep(n): main.switch() if n == 0 else deep(n - 1)
    few = [greenlet.greenlet(deep) for _ in range(50)]
    for each in few: each.switch(random.randrange(8))
    time.sleep(0.002)
    for each in few[:25]: each.switch()
found = [0, 0, 0, 0]
def forking():
    child = os.fork()
    if child == 0:
        if random.random() < 0.1: json.loads(cprof.dump("json"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    found[3] += 1
    time.sleep(0.02)
def dumping():
    page, threads = dumped()
    found[0] += 1
    found[1] += page["deadlocks"]
    found[2] += sum("state" not in thread for thread in threads.values())
cprof.start(types=["cpu", "offcpu", "lock", "blame"])
threads = [threading.Thread(target=until_end(each)) for each in
           (churning, locking, locking, meeting, meeting, giving, giving, switching, switching, forking, dumping, dumping)]
threads.append(threading.Thread(target=looping))
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(found))
""")
    assert dumps > 0 and children > 0 and deadlocks == stateless == 0


def test_another_format_is_refused(run):
    assert run("""
try: cprof.dump("xml")
except ValueError as error: print(json.dumps(str(error)))
""") == "format: 'xml': text, json or pprof is allowed"
