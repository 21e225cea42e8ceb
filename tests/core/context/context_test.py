"""What another process reads of a process that runs cprof."""

import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager

import pytest

import reader

SUBJECT = os.environ["CONTEXT_SUBJECT"]
MODEL = os.environ["CONTEXT_TLS_MODEL"]
TRACE, SPAN = bytes(range(1, 17)), bytes(range(0xa0, 0xa8))

# Runs the lines it is sent, and answers each with one line.
PROGRAM = f'''
import ctypes, os, sys, threading
subject = ctypes.CDLL({SUBJECT!r})
subject.subject_profile_id.restype = ctypes.c_bool
def attach(trace, span, flags=1, **labels):
    texts = [t.encode() for pair in labels.items() for t in pair]
    subject.subject_attach(trace + span + bytes([flags]) if trace else None,
                           (ctypes.c_char_p * len(texts))(*texts), ctypes.c_size_t(len(labels)))
def on_thread(line):
    """Runs the line on another thread, which stays; its id."""
    done = threading.Event()
    def run():
        exec(line, globals()); done.set(); threading.Event().wait()
    thread = threading.Thread(target=run, daemon=True)
    thread.start(); done.wait()
    return thread.native_id
def fork():
    subject.subject_fork_prepare()
    pid = os.fork()
    if pid == 0:
        subject.subject_fork_child()
        while True: threading.Event().wait()
    subject.subject_fork_parent()
    return pid
for line in sys.stdin:
    print(eval(line), flush=True)
'''


class Program:
    def __init__(self, process):
        self.process = process
        self.pid = process.pid

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, "the program ended"
        return answer


@contextmanager
def program(**variables):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True,
                               env={**os.environ, **variables})
    try:
        yield Program(process)
    finally:
        process.kill()
        process.wait()


def read(function, *arguments):
    try:
        return function(*arguments)
    except reader.Unreadable as error:
        pytest.skip(f"this machine forbids it: {error}")


def start(p):
    """With all that the collector's thread begins with."""
    assert p.do("subject.subject_start()") == "0"
    assert p.do("subject.subject_flush()") == "0"


def attach(flags=1, **labels):
    return f"attach({TRACE!r}, {SPAN!r}, {flags}, **{labels!r})"


def test_the_resource_is_published_from_start_to_stop():
    with program(OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test") as p:
        assert read(reader.process_context, p.pid) is None
        start(p)
        context = read(reader.process_context, p.pid)
        assert context.resource["service.name"] == "shared"
        assert context.resource["process.runtime.name"] == "subject"
        # What only describes is not sent, but who reads this is on the same host.
        assert context.resource["process.executable.path"] and context.resource["os.type"] == "linux"
        assert context.resource["deployment.environment.name"] == "test"
        assert context.resource["process.pid"] == p.pid
        assert len(context.resource["service.instance.id"]) == 36
        assert context.attributes == {}, "no thread has a record yet"
        p.do("subject.subject_stop()")
        assert reader.process_context(p.pid) is None
        start(p)
        again = reader.process_context(p.pid)
        assert again.published_at > context.published_at


def test_nothing_stays_published_when_stop_follows_at_once():
    with program() as p:
        p.do("[subject.subject_start() or subject.subject_stop() for _ in range(200)] and 1")
        assert read(reader.context_mappings, p.pid) == []


def test_a_thread_tells_its_span_and_labels_while_they_are_attached():
    with program() as p:
        start(p)
        assert read(reader.thread_context, p.pid) is None
        p.do(attach(flags=3, route="/users", tenant="é"))
        assert reader.thread_context(p.pid) == (TRACE.hex(), SPAN.hex(), 3,
                                                {"route": "/users", "tenant": "é"})
        assert reader.Variable(p.pid).model == MODEL
        p.do("attach(None, None, tenant='b')")
        assert reader.thread_context(p.pid) == ("00" * 16, "00" * 8, 0, {"tenant": "b"})
        p.do("subject.subject_detach()")
        assert reader.thread_context(p.pid) is None


def test_what_is_attached_right_after_start_is_told():
    with program() as p:
        p.do("subject.subject_start() or " + attach(route="/users"))
        p.do("subject.subject_flush()")
        assert read(reader.thread_context, p.pid).attributes == {"route": "/users"}


def test_each_thread_has_its_own():
    with program() as p:
        start(p)
        p.do(attach())
        other = int(p.do(f"on_thread({('attach(' + repr(SPAN * 2) + ', ' + repr(SPAN) + ')')!r})"))
        bare = int(p.do("on_thread('pass')"))
        assert read(reader.thread_context, p.pid).trace_id == TRACE.hex()
        assert reader.thread_context(p.pid, other).trace_id == (SPAN * 2).hex()
        assert reader.thread_context(p.pid, bare) is None


def test_new_names_are_added_to_the_map_and_the_old_keep_their_numbers():
    with program() as p:
        start(p)
        p.do(attach(a="1"))
        before = read(reader.process_context, p.pid)
        assert before.keys == ["a"]
        p.do(attach(b="2", a="3"))
        after = reader.process_context(p.pid)
        assert after.keys == ["a", "b"] and after.published_at > before.published_at
        assert after.resource == before.resource
        assert reader.thread_context(p.pid).attributes == {"a": "3", "b": "2"}
        p.do("[attach(None, None, **{f'n{i}': str(i)}) for i in range(400)] and 1")
        assert len(reader.process_context(p.pid).keys) == 256
        assert reader.thread_context(p.pid).attributes == {}, "its name has no number"


def test_values_that_have_no_room_are_cut_or_left_out():
    with program() as p:
        start(p)
        p.do(attach(long="x" * 1000000, b="y" * 255, c="z" * 255, d="w" * 90))
        attributes = read(reader.thread_context, p.pid).attributes
        assert attributes == {"long": "x" * 255, "b": "y" * 255, "d": "w" * 90}


def test_a_forked_child_publishes_its_own():
    with program() as p:
        start(p)
        p.do(attach())
        child = int(p.do("fork()"))
        for _ in range(200):
            context = read(reader.process_context, child)
            if context is not None:
                break
            reader.time.sleep(0.02)
        assert context.resource["process.pid"] == child
        mother = reader.process_context(p.pid).resource
        assert mother["process.pid"] == p.pid
        assert mother["service.instance.id"] != context.resource["service.instance.id"]
        os.kill(child, 9)


def test_what_was_attached_before_stop_is_not_told_after_a_new_start():
    with program() as p:
        start(p)
        p.do(attach())
        p.do("subject.subject_stop()")
        assert read(reader.thread_context, p.pid) is None
        p.do("subject.subject_detach()")
        start(p)
        assert reader.thread_context(p.pid) is None


def test_nothing_is_published_when_it_is_switched_off():
    with program(CPROF_SHARE_CONTEXT="off") as p:
        start(p)
        p.do(attach(a="b"))
        assert read(reader.process_context, p.pid) is None
        assert reader.context_mappings(p.pid) == []


def test_a_context_that_the_program_publishes_itself_is_the_only_one():
    lines = textwrap.dedent("""
        libc = ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p
        file = os.memfd_create('OTEL_CTX')
        os.ftruncate(file, 4096)
        at = libc.mmap(None, ctypes.c_size_t(4096), 3, 2, file, ctypes.c_long(0))
    """)
    with program() as p:
        p.do(f"exec({lines!r}, globals()) or 1")
        start(p)
        assert len(read(reader.context_mappings, p.pid)) == 1
        p.do(attach())
        p.do("subject.subject_stop()")
        assert len(reader.context_mappings(p.pid)) == 1


def test_the_profile_id_of_the_interval_is_told_when_it_is_asked_for():
    ask = "(lambda id: subject.subject_profile_id(id) and id.raw.hex())(ctypes.create_string_buffer(16))"
    with program(CPROF_SPAN_PROFILE_ID="on") as p:
        assert p.do(ask) == "False"
        start(p)
        first = p.do(ask)
        assert len(first) == 32 and int(first, 16) != 0
        assert p.do(ask) == first
    with program() as p:
        start(p)
        assert p.do(ask) == "False"
