"""asyncio's event loop: how long its turns take, as figures and on the samples; how many tasks there are."""

import json

WORDS = ("", "10ms", "100ms", "1s")

PROGRAM = """
import asyncio, json, os, socket, sys, time
import cprof

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

def block(): burn(0.3)
def short(): burn(0.002)

def scrape():
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[2])
        connection.sendall(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")
        lines = connection.makefile().read().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if "eventloop" in line or "cprof_tasks" in line)

def settled():
    "Tasks are counted where an interval closes, once their layout is known."
    end = time.monotonic() + 60
    while "cprof_tasks" not in (figures := scrape()) and time.monotonic() < end:
        cprof.flush()
    return figures

async def wait(): await asyncio.sleep(1000)
async def end(): pass

async def main():
    cprof.start(output=sys.argv[1], interval=600, rate=500)
    ended = [asyncio.create_task(end()) for _ in range(500)]
    waiting = [asyncio.create_task(wait()) for _ in range(999)]
    await asyncio.sleep(0.01)
    starts = []
    for _ in range(20):
        starts.append(time.monotonic())
        short()
        await asyncio.sleep(0)
    gaps = [later - earlier for earlier, later in zip(starts, starts[1:] + [time.monotonic()])]
    block()
    await asyncio.sleep(0)
    run = asyncio.get_running_loop().run_in_executor
    after = await run(None, scrape)
    figures = await run(None, settled)
    print(json.dumps([max(gaps), after, figures, len(asyncio.all_tasks())]))

asyncio.run(main())
"""


def word(seconds):
    return sum(seconds >= least for least in (0.01, 0.1, 1))


def test_a_turn_that_blocks_the_loop_is_seen_and_tasks_are_counted(execute, tmp_path):
    address = str(tmp_path / "s")
    outcome = execute(PROGRAM, str(tmp_path / "out.pb.gz"), address, by=None,
                      env={"CPROF_LISTEN": f"unix:{address}"})
    assert (outcome.code, outcome.err) == (0, "")
    gap, after, figures, tasks = json.loads(outcome.out)
    assert int(figures["cprof_tasks"]) == tasks == 1000
    assert float(after['cprof_eventloop_delay_max_seconds{thread="MainThread"}']) >= 0.3
    turns = {text: int(after[f'cprof_eventloop_turns_total{{thread="MainThread",turn="{text or "short"}"}}'])
             for text in WORDS}
    assert turns["100ms"] + turns["1s"] >= 1 and sum(turns.values()) >= 20
    assert float(after['cprof_eventloop_time_seconds_total{thread="MainThread",state="active"}']) >= 0.3

    def words_of(name):
        return {s.labels.get("loop.turn", "") for s in outcome.profile.samples if any(f.name == name for f in s.stack)}
    assert words_of("block") and words_of("block") <= {"100ms", "1s"}
    assert max(map(WORDS.index, words_of("short"))) <= word(gap)


BESIDE = """
import asyncio, os, socket, sys
import cprof
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string

def loops():
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[2])
        connection.sendall(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")
        return sum(line.startswith("cprof_eventloop_delay_max_seconds{") for line in connection.makefile())

cprof.start(output=sys.argv[1])
other = interpreters.create()
run(other, '''
import asyncio
async def main():
    for _ in range(20):
        await asyncio.sleep(0.001)
asyncio.run(main())
''')
interpreters.destroy(other)
before = loops()
asyncio.run(asyncio.sleep(0.01))
print(before, loops(), flush=True)
os._exit(0)  # CPython 3.12.1 aborts at the end of such a program by itself
"""


def test_loops_of_an_interpreter_beside_work_and_are_not_followed(execute, tmp_path):
    address = str(tmp_path / "s")
    outcome = execute(BESIDE, str(tmp_path / "out.pb.gz"), address, by=None,
                      env={"CPROF_LISTEN": f"unix:{address}"})
    assert (outcome.code, outcome.out, outcome.err) == (0, "0 1\n", "")
