"""Programs with several interpreters in one process: only the first one's frames are shown, and
everything stays whole."""

from conftest import BURN

PROGRAM = BURN + """
import sys, threading
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string
SOURCE = '''
import time
def in_another(seconds, clock=time.thread_time):
    end = clock() + seconds
    while clock() < end:
        for _ in range(200): pass
    exec("def made(): return [i for i in range(1000)]", globals())
    made()
in_another(0.3)
'''
def runs_another():
    other = interpreters.create()
    run(other, SOURCE)
    interpreters.destroy(other)
def in_main(): burn(0.5)
thread = threading.Thread(target=runs_another)
thread.start()
in_main()
thread.join()
runs_another()
for _ in range(10):
    other = interpreters.create()
    run(other, "import threading; sum(range(50000))")
    interpreters.destroy(other)
in_main()
print("ran")
"""


def test_other_interpreters_come_and_go_without_a_word(execute):
    outcome = execute(PROGRAM, by="environment")
    assert (outcome.code, outcome.out, outcome.err) == (0, "ran\n", "")
    profile = outcome.profile
    total = sum(sample.nanoseconds for sample in profile.samples) / 1e9
    assert total > 1.5
    mine = sum(s.nanoseconds for s in profile.stacks_with("in_main")) / 1e9
    assert 0.9 < mine < 1.2
    for sample in profile.stacks_with("in_main"):
        names = [frame.name for frame in reversed(sample.stack)]
        assert "runs_another" not in names and names.index("<module>") < names.index("in_main")
    # Their functions are not named, and not taken for others.
    assert not profile.names() & {"in_another", "made"}
    assert profile.share(lambda names: "[unknown]" in names and "[truncated]" not in names) < 0.01


def test_it_can_start_after_another_interpreter_has_ended(execute):
    outcome = execute(PROGRAM + "import cprof\ncprof.start(output=sys.argv[1])\nin_main()\n"
                      "runs_another()\ncprof.stop()\n", "late.pb.gz", by=None, output="late.pb.gz")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.profile.stacks_with("in_main")
