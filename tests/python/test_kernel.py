"""CPROF_KERNEL=on: the kernel's functions stand before the thread's own."""

import os
import platform
import signal

import pytest

from pprof import Profile

cprof = pytest.importorskip("cprof")

x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="looks are x86-64's so far")

ON = {"CPROF_KERNEL": "on"}
REFUSED = "no kernel frames in CPU samples: "

READ = """
import os, time
def read_zeros(seconds):
    zero, zeros = os.open("/dev/zero", os.O_RDONLY), bytearray(1 << 18)
    end = time.thread_time() + seconds
    while time.thread_time() < end: os.readv(zero, [zeros])
    os.close(zero)
def compute(seconds):
    end, n = time.thread_time() + seconds, 0
    while time.thread_time() < end:
        for i in range(20000): n += i
"""

SLEEP = """
import threading, time
thread = threading.Thread(target=time.sleep, args=(1.5,), name="sleeper")
thread.start(); thread.join()
"""


def kernel_part(sample):
    """The names of the kernel's frames, which are the innermost ones and no others."""
    kernel = [frame.file.startswith("[") and frame.file not in ("[vdso]", "[native]") for frame in sample.stack]
    count = sum(kernel)
    assert all(kernel[:count]), sample.stack
    return [frame.name for frame in sample.stack[:count]]


def named(profile, function):
    return [s for s in profile.samples if any(frame.name == function for frame in s.stack)]


def sleeper(profile):
    return [s for s in profile.samples
            if s.labels.get("thread.name") == "sleeper" and s.labels.get("wait.reason") == "sleep"]


def count(samples, match=lambda sample: True):
    return sum(s.count for s in samples if match(s))


def allowed(done):
    """Skips where the machine refuses, with its reason."""
    for line in done.err.splitlines():
        if REFUSED in line:
            pytest.skip(line)
    return done


def reads(sample):
    """The kernel is at a read, called from the C library's function, which may be without a name."""
    kernel = kernel_part(sample)
    caller = sample.stack[len(kernel)]
    return ("readv" in caller.name or "libc" in caller.file) and any("read" in name for name in kernel)


def test_a_system_call_s_time_is_the_kernel_s(execute):
    done = allowed(execute(READ + """
for part in read_zeros, compute:
    began = time.thread_time()
    part(0.8)
    print(time.thread_time() - began)
""", env=ON))
    profile = done.profile
    known = any(line.split()[0].strip("0") for line in open("/proc/kallsyms"))
    for function, seconds in zip(("read_zeros", "compute"), map(float, done.out.split())):
        samples = named(profile, function)
        # 500 a second; a sample at either end may fall to the other side.
        assert abs(count(samples) - 500 * seconds) <= 2 + 0.01 * 500 * seconds, (function, seconds)
    # Those within the call, but for what it takes in the program itself.
    calls = [s for s in named(profile, "read_zeros") if any("readv" in f.name for f in s.stack)]
    assert count(calls) > 0.5 * count(named(profile, "read_zeros"))
    assert count(calls, kernel_part) >= 0.9 * count(calls)
    if known:
        assert count(calls, reads) >= 0.9 * count(calls)
        assert any("vfs_read" in name for s in calls for name in kernel_part(s))
    assert not any("vfs_read" in name for s in named(profile, "compute") for name in kernel_part(s))
    assert count(named(profile, "compute"), kernel_part) < 0.1 * count(named(profile, "compute"))
    assert profile.metric("cprof.threads_without_kernel") == 0


def test_starts_forks_threads_and_closed_descriptors(execute, tmp_path):
    """It comes and goes with sampling, is there for a child, and minds no descriptor."""
    allowed(execute(READ + """
import cprof, threading
def first(): read_zeros(0.2)
def second(): read_zeros(0.2)
def in_child(): read_zeros(0.9)  # until a scan sees it at work it has its timer
def in_thread(): read_zeros(0.005)
cprof.start(output="1.pb.gz")
first()
cprof.stop()
cprof.start(output="2-%p.pb.gz")
for n in range(40):
    thread = threading.Thread(target=in_thread)
    thread.start(); thread.join()
os.closerange(3, 256)
mine = [os.open("/dev/null", os.O_RDONLY) for n in range(20)]
second()
child = os.fork()
if child == 0:
    in_child()
    cprof.stop()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
cprof.stop()
assert all(os.fstat(number) for number in mine)
print(os.getpid(), child)
""", env=ON, by=None))
    output = sorted(tmp_path.glob("?*.pb.gz"))
    for function in ("first", "second", "in_child"):
        samples = [s for path in output for s in named(Profile(path), function)]
        assert count(samples, kernel_part) > 0.5 * count(samples) > 10, (function, output)


def paranoid():
    with open("/proc/sys/kernel/perf_event_paranoid") as file:
        return int(file.read())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_may_not_have_them_reads_one_line_and_is_profiled_all_the_same(execute):
    if paranoid() < 2:
        pytest.skip(f"perf_event_paranoid is {paranoid()}: everybody may have them")
    done = execute(READ + """
import cprof
os.setgid(65534); os.setuid(65534)
cprof.start()
read_zeros(0.2)
cprof.flush()
print(cprof.stats()["samples"])
""", env={**ON, "CPROF_EXPORTER": "none"}, by=None)
    assert int(done.out) > 50, done.err
    lines = [line for line in done.err.splitlines() if "kernel" in line]
    assert len(lines) == 1 and REFUSED in lines[0] and "perf_event_paranoid" in lines[0], done.err


def test_a_program_keeps_the_signals_that_it_handles(execute):
    """There are two that may bring the kernel's samples."""
    done = execute(READ + """
import cprof, signal, sys
def keep(number):
    seen = []
    signal.signal(number, lambda *_: seen.append(1))
    cprof.start(output=f"{int(number)}.pb.gz")
    read_zeros(0.2)
    cprof.stop()
    assert not seen
    os.kill(os.getpid(), number)
    assert seen
    print("kept", file=sys.stderr)
keep(signal.SIGURG)
keep(signal.SIGWINCH)
""", env=ON, by=None)
    assert done.code == 0, done.err
    first, second, _ = done.err.split("kept")
    assert "SIGURG and SIGWINCH, by which they could come, have handlers" in second
    assert "SIGWINCH" not in first
    if REFUSED not in first:
        for number, frames in ((signal.SIGURG, True), (signal.SIGWINCH, False)):
            profile = Profile(done.output.parent / f"{number.value}.pb.gz")
            assert bool(count(profile.samples, kernel_part)) == frames, number


@x86_only
def test_a_thread_that_sleeps_shows_the_kernel_s_function(execute):
    with open("/proc/self/wchan") as file:
        if not file.read():
            pytest.skip("this kernel does not say in which function a thread waits")
    done = execute(SLEEP, env={**ON, "CPROF_TYPES": "offcpu"})
    assert sleeper(done.profile), done.err
    for sample in sleeper(done.profile):
        # Before 3.11 it sleeps in select().
        assert any("nanosleep" in name or "select" in name for name in kernel_part(sample)), sample.stack
        assert any("sleep" in frame.name for frame in sample.stack[len(kernel_part(sample)):])


@x86_only
def test_without_being_asked_for_no_frame_is_the_kernel_s(execute):
    profile = execute(SLEEP, env={"CPROF_TYPES": "cpu,offcpu"}).profile
    assert sleeper(profile)
    assert not any(kernel_part(sample) for sample in profile.samples)
