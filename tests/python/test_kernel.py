"""CPROF_KERNEL=on: the kernel's functions stand before the thread's own."""

import os
import platform

import pytest

cprof = pytest.importorskip("cprof")

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="looks are x86-64's so far")

SLEEP = """
import threading, time
thread = threading.Thread(target=time.sleep, args=(1.5,), name="sleeper")
thread.start(); thread.join()
"""


def kernel_part(sample):
    """The names of the kernel's frames, which are the innermost ones and no others."""
    count = sum(frame.file == "[kernel]" for frame in sample.stack)
    assert all(frame.file == "[kernel]" for frame in sample.stack[:count]), sample.stack
    return [frame.name for frame in sample.stack[:count]]


def sleeper(profile):
    return [s for s in profile.samples
            if s.labels.get("thread.name") == "sleeper" and s.labels.get("wait.reason") == "sleep"]


def test_a_thread_that_sleeps_shows_the_kernel_s_function(execute):
    with open("/proc/self/wchan") as file:
        if not file.read():
            pytest.skip("this kernel does not say in which function a thread waits")
    done = execute(SLEEP, env={"CPROF_TYPES": "offcpu", "CPROF_KERNEL": "on"})
    assert sleeper(done.profile), done.err
    for sample in sleeper(done.profile):
        # Before 3.11 it sleeps in select().
        assert any("nanosleep" in name or "select" in name for name in kernel_part(sample)), sample.stack
        assert any("sleep" in frame.name for frame in sample.stack[len(kernel_part(sample)):])


def test_without_being_asked_for_no_frame_is_the_kernel_s(execute):
    profile = execute(SLEEP, env={"CPROF_TYPES": "cpu,offcpu"}).profile
    assert sleeper(profile)
    assert not any(kernel_part(sample) for sample in profile.samples)
