"""Programs that do something to all signals are not harmed, and sampled as ever."""

from conftest import BURN


def seconds_in(outcome, name):
    return sum(sample.nanoseconds for sample in outcome.profile.stacks_with(name)) / 1e9


def test_a_program_that_resets_all_signals_lives_on(execute):
    outcome = execute(BURN + """
import signal, threading
threads = [threading.Thread(target=burn, args=(0.3,)) for _ in range(2)]
[thread.start() for thread in threads]
for number in signal.valid_signals():
    try: signal.signal(number, signal.SIG_DFL)
    except (OSError, ValueError): pass
[thread.join() for thread in threads]
print("alive")
""")
    assert (outcome.code, outcome.out) == (0, "alive\n"), outcome.err
    assert 0.5 < seconds_in(outcome, "burn") < 0.7


def test_children_that_reset_all_signals_live_on(execute):
    outcome = execute(BURN + """
import os, signal
def child():
    for number in signal.valid_signals():
        try: signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError): pass
    burn(0.03)
    os._exit(0)
for _ in range(60):
    if (pid := os.fork()) == 0:
        child()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, status
""", by="environment", output="out-%p.pb.gz")
    assert outcome.code == 0, outcome.err


def test_a_program_that_handles_all_signals_receives_none_of_ours(execute):
    outcome = execute(BURN + """
import signal
received = []
for number in signal.valid_signals():
    try: signal.signal(number, lambda number, frame: received.append(number))
    except (OSError, ValueError): pass
burn(0.3)
print(received)
""")
    assert outcome.out == "[]\n", outcome.err
    assert 0.25 < seconds_in(outcome, "burn") < 0.35


def test_a_program_that_waits_for_all_signals_gets_what_was_sent(execute):
    outcome = execute(BURN + """
import os, signal, threading
ways = [signal.sigwait, lambda all: signal.sigwaitinfo(all).si_signo,
        lambda all: signal.sigtimedwait(all, 60).si_signo]
everything = signal.valid_signals()
signal.pthread_sigmask(signal.SIG_BLOCK, everything)
got, turn = [], threading.Semaphore(0)
def wait():
    for way in ways * 3:
        turn.release()
        got.append(way(everything))
        burn(0.03)
waiter = threading.Thread(target=wait)
waiter.start()
for _ in range(9):
    turn.acquire()
    os.kill(os.getpid(), signal.SIGUSR1)
waiter.join()
print(set(got) == {signal.SIGUSR1}, len(got))
""")
    assert outcome.out == "True 9\n", outcome.err
    assert 0.2 < seconds_in(outcome, "burn") < 0.35  # all of it blocks them


def test_identities_can_be_changed_by_any_thread(execute):
    outcome = execute(BURN + """
import os, threading
ends = time.monotonic() + 1
def change():
    while time.monotonic() < ends:
        os.setresuid(*os.getresuid())
        os.setresgid(*os.getresgid())
        if os.getuid() == 0:
            os.setgroups(os.getgroups())
def work():
    while time.monotonic() < ends:
        burn(0.01)
threads = [threading.Thread(target=run) for run in (change, change, work, work)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("changed")
""")
    assert (outcome.code, outcome.out) == (0, "changed\n"), outcome.err
    assert seconds_in(outcome, "work") > 0
