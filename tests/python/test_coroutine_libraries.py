"""greenlet and gevent: many stacks laid over one, by copying. A greenlet's samples show its own
frames and nothing of whoever started it, whose stack has long changed."""

import pytest

from conftest import BURN

GREENLETS = BURN + """
import greenlet, zlib
data = bytes(range(256)) * 2000
main = greenlet.getcurrent()
def in_plain():
    for _ in range(12):
        burn(0.04); main.switch()
def in_deep(): recurse(20)
def recurse(n):
    if n: return recurse(n - 1)
    for _ in range(12):
        burn(0.02); main.switch()
def in_c():
    for _ in range(12):
        end = time.thread_time() + 0.04
        while time.thread_time() < end: zlib.compress(data)
        main.switch()
def in_callback():
    for _ in range(12):
        sorted([1, 2], key=lambda x: (main.switch(), burn(0.01)) and x)
def start_deep(depth, function):
    if depth: return start_deep(depth - 1, function)
    started = greenlet.greenlet(function)
    started.switch()
    return started
def in_main(): burn(0.01)
def loop():
    running = [start_deep(0, in_plain), start_deep(10, in_deep), start_deep(30, in_c),
               start_deep(5, in_callback)]
    while running:
        running = [each for each in running if not each.dead]
        for each in running: each.switch()
        in_main()
loop()
"""


def outer(sample):
    return [frame.name for frame in reversed(sample.stack)]


def truncated(profile):
    return profile.share(lambda names: "[truncated]" in names or "[unknown]" in names)


def test_a_greenlet_shows_its_own_frames_only(execute):
    pytest.importorskip("greenlet")
    outcome = execute(GREENLETS, by="environment")
    assert (outcome.code, outcome.err) == (0, "")
    profile = outcome.profile
    assert truncated(profile) < 0.03  # caught in the middle of a switch
    for name in ("in_plain", "in_deep", "in_c", "in_callback"):
        samples = [s for s in profile.stacks_with(name) if "[truncated]" not in outer(s)]
        assert sum(s.count for s in samples) > 20, name
        for sample in samples:
            names = outer(sample)
            assert names[1 if "inner_bootstrap" in names[0] else 0] == name, names
            assert not {"start_deep", "loop", "in_main"} & set(names)
    deep = [outer(s) for s in profile.stacks_with("in_deep") if outer(s)[-1] == "burn"]
    assert all(names.count("recurse") == 21 for names in deep) and deep
    assert all("loop" in outer(s) for s in profile.stacks_with("in_main"))
    callback = next(outer(s) for s in profile.stacks_with("in_callback") if "burn" in outer(s))
    assert callback.index("in_callback") < callback.index("in_callback.<locals>.<lambda>")


def test_a_gevent_program_shows_every_greenlet_from_its_start(execute):
    pytest.importorskip("gevent")
    outcome = execute("from gevent import monkey; monkey.patch_all()\n" + BURN + """
import gevent.pool, hashlib, threading
data = bytes(1 << 20)
def render(n):
    burn(0.004); gevent.sleep(0)
    hashlib.sha256(data).digest(); time.sleep(0.001)
    return sorted(range(500), key=lambda x: -x)
def handle(n):
    for i in range(10): render(n)
pool = gevent.pool.Pool(20)
for i in range(80): pool.spawn(handle, i)
pool.join()
thread = threading.Thread(target=handle, args=(1,)); thread.start(); thread.join()
print("served")
""", by="environment")
    assert (outcome.code, outcome.out, outcome.err) == (0, "served\n", "")
    profile = outcome.profile
    assert truncated(profile) < 0.03
    rendering = profile.stacks_with("render")
    assert sum(s.count for s in rendering) > 300
    whole = sum(s.count for s in rendering if "handle" in outer(s) and "<module>" not in outer(s))
    assert whole > 0.97 * sum(s.count for s in rendering)
