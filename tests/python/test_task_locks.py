"""How long asyncio's tasks wait for its locks, and who lets them go: by the program's own clock."""

import sys
import sysconfig

import pytest

pytestmark = pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                                reason="locks of free-threaded Python are not counted")

# A wait is measured by the program's own clock, and again where the thread was taken off its processor
# meanwhile, or ran for more than a moment: maybe between a look at the clock and the wait.
COMMON = """
import contextlib, resource, sys, threading
from time import perf_counter, thread_time
import cprof

WAY = sys.argv[2]
if WAY == "pure": sys.modules["_asyncio"] = None
if WAY != "late": import asyncio
if WAY == "uvloop": import uvloop

sys.setswitchinterval(10)

def torn():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw

def run(main):
    if WAY == "uvloop": return uvloop.new_event_loop().run_until_complete(main())
    async def begin():
        if WAY == "tasks":
            asyncio.get_running_loop().set_task_factory(
                lambda loop, coroutine, **more: asyncio.tasks._PyTask(coroutine, loop=loop, **more))
            return await asyncio.create_task(main())
        await main()
    asyncio.run(begin())

async def after(seconds, let_go):
    await asyncio.sleep(seconds)
    done = let_go()
    if done is not None: await done

async def inner(wait, *arguments):
    before, ran, begun = torn(), thread_time(), perf_counter()
    await wait(*arguments)
    spent = perf_counter() - begun
    return spent, torn() == before and thread_time() - ran < 0.015 * spent

async def measured(name, arm, wait, *arguments):
    for turn in range(30):
        holder = await arm()
        with cprof.labels(wait=f"{name}-{turn}"):
            spent, calm = await inner(wait, *arguments)
        await holder
        if calm:
            print(f"{name}-{turn}", spent)
            break
"""


def run(execute, tmp_path, source, way="c"):
    outcome = execute(COMMON + source, str(tmp_path / "out.pb.gz"), way, by=None)
    assert outcome.code == 0 and outcome.err == "", outcome.err
    return outcome


def told(outcome):
    """What the program says it has waited: name, seconds."""
    return {name: float(seconds) for name, seconds in map(str.split, outcome.out.splitlines())}


def of(profile, function, **labels):
    return [s for s in profile.samples if function in {f.name for f in s.stack}
            and all(s.labels.get(key) == value for key, value in labels.items())]


def waits(samples):
    """Contentions and seconds."""
    return sum(s.values["contentions"] for s in samples), sum(s.values["delay"] for s in samples) / 1e9


KINDS = """
async def first(lock):
    await lock.acquire()
    lock.release()

async def second(lock):
    async with lock: pass

async def alone(lock):
    for _ in range(2000):
        async with lock: pass

async def gave_up(lock):
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(lock.acquire(), 0.07)

async def cancelled(lock):
    with contextlib.suppress(asyncio.CancelledError):
        await lock.acquire()

async def event(it): await it.wait()
async def got(it): await it.get()
async def put(it): await it.put(1)
async def condition(it):
    async with it: await it.wait()
async def barrier(it): await it.wait()
async def slept(): await asyncio.sleep(0.03)

async def holding(lock, seconds, taken):
    async with lock:
        taken.set()
        await asyncio.sleep(seconds)

async def held(lock, seconds, name=None):
    taken = asyncio.Event()
    holder = asyncio.create_task(holding(lock, seconds, taken))
    if name: holder.set_name(name)
    await taken.wait()
    return holder

def armed(seconds, let_go):
    async def arm(): return asyncio.create_task(after(seconds, let_go))
    return arm

async def main():
    for lock in asyncio.Lock(), asyncio.Semaphore():
        kind = type(lock).__name__
        for turn in range(3):
            for wait, seconds in (first, 0.03), (second, 0.07):
                name = wait.__name__
                await measured(f"{name}-{kind}{turn}", lambda: held(lock, seconds, "holder of " + name), wait, lock)
        await alone(lock)
    await measured("unnamed-0", lambda: held(lock, 0.03), first, lock)
    await measured("gave_up-0", lambda: held(lock, 0.12), gave_up, lock)
    async def cancelling():
        me = asyncio.current_task()
        asyncio.get_running_loop().call_later(0.07, me.cancel)
        return await held(lock, 0.12)
    await asyncio.create_task(measured("cancelled-0", cancelling, cancelled, lock))
    it = asyncio.Event()
    async def clear(): # one that is set already is no wait
        it.clear()
        return asyncio.create_task(after(0.04, it.set))
    await measured("event-0", clear, event, it)
    it = asyncio.Queue(1)
    await measured("got-0", armed(0.04, lambda: it.put(1)), got, it)
    await it.put(1)
    await measured("put-0", armed(0.04, it.get), put, it)
    it = asyncio.Condition()
    async def notify():
        async with it: it.notify()
    await measured("condition-0", armed(0.04, notify), condition, it)
    if hasattr(asyncio, "Barrier"):
        it = asyncio.Barrier(2)
        await measured("barrier-0", armed(0.04, it.wait), barrier, it)
    await slept()

cprof.start(output=sys.argv[1], types=["lock"])
if WAY == "late": import asyncio
run(main)
cprof.stop()
assert not [finder for finder in sys.meta_path if "_cprof.Finder" in repr(finder)]
"""


def ways():
    found = ["c", "pure", "late"]
    if sys.version_info < (3, 14):  # since then what runs is known of C tasks alone
        found.append("tasks")
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return found
    return found + ["uvloop"]


@pytest.mark.parametrize("way", ways())
def test_waits_are_those_that_the_program_measured_and_count_once(execute, tmp_path, way):
    outcome = run(execute, tmp_path, KINDS, way)
    measured, profile = told(outcome), outcome.profile
    sums = {"first": [0, 0], "second": [0, 0]}
    for wait, seconds in measured.items():
        name, samples = wait.partition("-")[0], [s for s in profile.samples if s.labels.get("wait") == wait]
        found = waits(samples)
        assert found[1] == pytest.approx(seconds, rel=0.02), wait
        assert found[0] == 1 and samples[0].labels["kind"] == "task", wait
        # wait_for() made a task of its own up to 3.11, whose callers only asyncio's C code tells.
        if name != "gave_up" or way not in ("tasks", "pure"):
            assert samples == of(profile, "inner", wait=wait), wait
        if name in sums:
            sums[name] = [sums[name][0] + seconds, sums[name][1] + found[1]]
    # 30 : 70, as the program has it and as the profile has it.
    shares = [sums["first"][i] / (sums["first"][i] + sums["second"][i]) for i in range(2)]
    assert shares[1] == pytest.approx(shares[0], abs=0.02)
    expected = {"first", "second", "unnamed", "gave_up", "cancelled", "event", "got", "put", "condition"}
    assert {wait.partition("-")[0] for wait in measured} >= expected
    assert waits(of(profile, "alone")) == waits(of(profile, "slept")) == (0, 0)

    lines = (COMMON + KINDS).splitlines()
    for name, line in (("first", "    await lock.acquire()"), ("second", "    async with lock: pass"),
                       ("event", "async def event(it): await it.wait()"),
                       ("put", "async def put(it): await it.put(1)")):
        site = f"prog.py:{lines.index(line) + 1}"
        assert site in {s.labels["lock.site"] for s in of(profile, name, **{"kind": "task"})}, name
    for name in ("first", "second"):
        samples = [s for s in of(profile, name) if not s.labels["wait"].startswith("unnamed")]
        assert {s.labels["lock.holder"] for s in samples} == {"holder of " + name}
        assert {s.labels["wait.reason"] for s in samples} == {"lock"}
        assert len({s.labels["lock.address"] for s in samples}) == 2  # a Lock and a Semaphore
    [unnamed] = of(profile, "first", wait=next(wait for wait in measured if wait.startswith("unnamed")))
    # What it runs; 3.13.0 gives tasks of a factory the name "None".
    assert unnamed.labels["lock.holder"] in ("holding", "None" if way == "tasks" else "holding")
    assert {s.labels["wait.reason"] for s in of(profile, "got")} == {"idle"}
    # A cancelled one, too, has all of its callers.
    assert all([f.name for f in s.stack[:3]] == ["Semaphore.acquire", "cancelled", "inner"]
               for s in of(profile, "cancelled"))


HOLDERS = """
async def short(lock): await hold(lock, 0.03)
async def long(lock): await hold(lock, 0.07)

async def hold(lock, seconds):
    global released
    async with lock:
        await asyncio.sleep(seconds)
        released = perf_counter()

async def wait(lock):
    async with lock: pass

async def several(lock):
    begun, before = perf_counter(), torn()
    waiting = [asyncio.create_task(wait(lock)) for _ in range(3)]
    await asyncio.sleep(0)
    return begun, before, waiting

async def main():
    for lock in asyncio.Lock(), asyncio.Semaphore():
        for kind in (short, long) * 2:
            for turn in range(30):
                name = f"{kind.__name__}-{turn}-{id(lock)}"
                with cprof.labels(hold=name):
                    holder = asyncio.create_task(kind(lock))
                while not lock.locked(): await asyncio.sleep(0)  # an Event's short wait would be blamed on him, too
                begun, before, waiting = await several(lock)
                await holder
                calm = torn() == before
                await asyncio.gather(*waiting)
                print(name, 3 * (released - begun) if calm else 0)
                if calm: break

cprof.start(output=sys.argv[1], types=["blame"])
run(main)
cprof.stop()
"""


def test_the_blame_is_on_the_task_that_let_the_lock_go(execute, tmp_path):
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
    assert sums["short"] > 0.3 and sums["long"] > 0.75


SHORT = """
async def shortly(lock, spent):
    for _ in range(250):
        begun = perf_counter()
        await lock.acquire()
        spent.append(perf_counter() - begun)
        await asyncio.sleep(0.0003)
        lock.release()
        await asyncio.sleep(0)

async def main():
    lock, spent = asyncio.Lock(), []
    await asyncio.gather(*(shortly(lock, spent) for _ in range(3)))
    print("shortly", sum(spent))

cprof.start(output=sys.argv[1], types=["lock@1ms"])
run(main)
cprof.stop()
"""


def test_short_waits_are_met_by_chance(execute, tmp_path):
    outcome = run(execute, tmp_path, SHORT)
    contentions, delay = waits(of(outcome.profile, "shortly"))
    assert delay == pytest.approx(told(outcome)["shortly"], rel=0.7)  # five standard deviations and more
    assert 0 < contentions < 3 * 750


AGAIN = """
import gc, weakref

async def waited(lock): await lock.acquire()
async def not_counted(lock): await lock.acquire()

async def once(wait, between):
    lock = asyncio.Lock()
    await lock.acquire()
    waiter = asyncio.create_task(wait(lock))
    await asyncio.sleep(0.03)
    between()
    lock.release()
    await waiter
    return weakref.ref(lock)

def start(): cprof.start(output=sys.argv[1], types=["lock"])

async def main():
    original = asyncio.mixins._LoopBoundMixin._get_loop
    for _ in range(3):
        start()
        assert asyncio.mixins._LoopBoundMixin._get_loop is not original
        await once(waited, int)
        cprof.stop()
        assert asyncio.mixins._LoopBoundMixin._get_loop is original
        await once(not_counted, int)
    # A wait that began before cprof did, and one that ends after it, count for nothing.
    await once(not_counted, start)
    await once(not_counted, cprof.stop)
    start()
    gone = await once(waited, int)
    gc.collect()
    assert gone() is None
    # A loop that ends while a task waits, and a lock that goes with it.
    lock = asyncio.Lock()
    await lock.acquire()
    for _ in range(3): asyncio.create_task(not_counted(lock))
    await asyncio.sleep(0)

run(main)
gc.collect()
cprof.stop()
"""


def test_it_counts_while_it_is_started_and_no_longer(execute, tmp_path):
    profile = run(execute, tmp_path, AGAIN).profile
    assert waits(of(profile, "waited"))[0] == 1
    # Those that asyncio.run() cancels at its end have waited for a moment.
    assert waits(of(profile, "not_counted"))[1] < 0.01


NOT_OURS = """
import asyncio.locks

class Own(asyncio.Lock):
    async def ask(self): return self._get_loop()

async def main():
    lock = Own()
    assert await lock.ask() is asyncio.get_running_loop()  # nobody else gets anything but the loop
    await lock.acquire()
    waiter = asyncio.create_task(lock.acquire())
    await asyncio.sleep(0)
    [future] = lock._waiters
    assert isinstance(future, asyncio.Future) and future.get_loop() is asyncio.get_running_loop()
    assert repr(future).startswith("<Future pending"), future
    future.set_exception(ValueError("given up"))
    try: await waiter
    except ValueError: print("raised 0")
    other = asyncio.new_event_loop()
    try:
        await asyncio.to_thread(other.run_until_complete, lock.acquire())
    except RuntimeError as error: print("foreign", "different event loop" in str(error))

cprof.start(output=sys.argv[1], types=["lock"])
run(main)
cprof.stop()
"""


def test_locks_work_as_they_do_without(execute, tmp_path):
    outcome = run(execute, tmp_path, NOT_OURS)
    assert outcome.out == "raised 0\nforeign True\n"
