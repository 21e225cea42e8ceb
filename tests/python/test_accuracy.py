"""Do the figures of a profile agree with what the kernel says the process has used?"""

import json

import pytest

from conftest import LONG

PROGRAM = """
import json, resource, sys, threading, time
import cprof

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(i * i for i in range(2000))

threads, seconds = int(sys.argv[1]), float(sys.argv[2])
before = used()
cprof.start(output=sys.argv[3], rate=100)
workers = [threading.Thread(target=burn, args=(seconds / threads,)) for _ in range(threads)]
for worker in workers: worker.start()
for worker in workers: worker.join()
after = used()
cprof.stop()
stats = cprof.stats()
print(json.dumps({"rusage": after - before, "own": stats["collector_cpu_ns"] / 1e9,
                  "samples": stats["samples"], "failed": stats["samples_failed"],
                  "dropped": stats["samples_dropped"],
                  "truncated": stats["samples_truncated"]}))
"""


@pytest.mark.parametrize("threads", [1, 4, 32] if LONG else [4])
def test_the_total_is_within_2_percent_of_getrusage(execute, tmp_path, threads):
    """cprof's own threads are not sampled, so their CPU time is taken off rusage's."""
    outcome = execute(PROGRAM, str(threads), "10" if LONG else "6", str(tmp_path / "out.pb.gz"), by=None)
    told = json.loads(outcome.out)
    sampled = sum(sample.nanoseconds for sample in outcome.profile.samples) / 1e9
    expected = told["rusage"] - told["own"]
    assert sampled == pytest.approx(expected, rel=0.02), told
    assert told["samples"] == sum(sample.count for sample in outcome.profile.samples)
    assert told["dropped"] == 0


def test_fewer_than_one_frame_in_200_is_unknown(execute, tmp_path):
    outcome = execute(PROGRAM, "4", "3", str(tmp_path / "out.pb.gz"), by=None)
    told = json.loads(outcome.out)
    frames = [f.name for s in outcome.profile.samples for f in s.stack for _ in range(s.count)]
    unknown = sum(name in ("[unknown]", "?", "") for name in frames)
    assert unknown < len(frames) / 200
    assert told["truncated"] < told["samples"] / 200
