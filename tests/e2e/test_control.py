"""Processes that are asked while they run: by their owner, by others, in order and out of it."""

import concurrent.futures
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pytest

import collector
from test_spans_node import addon  # noqa: F401 (a fixture)
from test_spans_ruby import ruby_paths  # noqa: F401 (a fixture)

COMMAND = os.environ.get("CPROF_COMMAND", str(collector.ROOT / "build/cli/cprof"))

PYTHON = """
import os, signal, sys, time
def busy():
    end = time.monotonic() + 0.02
    while time.monotonic() < end: sum(range(1000))
def live(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: busy(); time.sleep(0.02)
if sys.argv[1:] == ["fork"]:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    child = os.fork()
    if child: print(child, flush=True)
if sys.argv[1:] == ["raise"]:
    live(0.7)
    raise ValueError("nobody rescues it")
live(60)
"""

RUBY = """
CLOCK = Process::CLOCK_MONOTONIC
def busy
  finish = Process.clock_gettime(CLOCK) + 0.02
  nil while Process.clock_gettime(CLOCK) < finish
end
def live(seconds)
  finish = Process.clock_gettime(CLOCK) + seconds
  (busy; sleep 0.02) while Process.clock_gettime(CLOCK) < finish
end
if ARGV == ["fork"]
  trap("CHLD", "IGNORE")
  child = fork
  (puts child; $stdout.flush) if child
end
if ARGV == ["raise"]
  live 0.7
  raise "nobody rescues it"
end
live 60
"""
NODE = """
function busy () { for (const end = performance.now() + 20; performance.now() < end;); }
setInterval(busy, 40)
if (process.argv.includes("raise")) setTimeout(() => { throw new Error("nobody rescues it") }, 700)
"""

# A deadlock with itself in C, with the interpreter's lock: nothing but the end gets it out.
HANGING = """
import ctypes
library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
library.pthread_mutex_lock(mutex)
library.pthread_mutex_lock(mutex)
"""


class Program:
    """One that runs, and the folder in which it can be found."""

    def __init__(self, process, runtime):
        self.process, self.pid, self.runtime = process, process.pid, runtime
        self.folder = runtime / "cprof"

    def files(self, pid=None):
        return sorted(file.name.partition("-")[2] for file in self.folder.glob(f"*-{pid or self.pid}.*"))

    def wait_for(self, what, pid=None):
        until(lambda: self.files(pid) == [f"{pid or self.pid}.{what}"], lambda: self.files(pid))

    def threads(self):
        return [pathlib.Path(task, "comm").read_text().strip()
                for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir()]


def until(condition, shown=lambda: "", seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, shown()
        time.sleep(0.02)


def cprof(*arguments, code=0, **options):
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=90, **options)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def runtime():
    """A user's runtime directory; its path has to be a short one."""
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        yield pathlib.Path(folder)


@pytest.fixture
def run(runtime):
    """run(command, enabled): a program of a service called shop."""
    running = []

    def start(command, enabled="standby", stdin=None, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("CPROF_", "OTEL_"))}
        environment.update(CPROF_ENABLED=enabled, XDG_RUNTIME_DIR=str(runtime), OTEL_SERVICE_NAME="shop",
                           CPROF_EXPORTER="none", **variables)
        process = subprocess.Popen(list(map(str, command)), env=environment, stdin=stdin, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        running.append(process)
        return Program(process, runtime)

    yield start
    for process in running:
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
            stream.close()


@pytest.fixture
def standing_by(run, python):
    program = run([python, "-c", PYTHON])
    program.wait_for("standby")
    return program


@pytest.fixture(params=["python", "ruby", "nodejs"])
def spoken(request, run):
    """spoken(enabled, *arguments): the program in each language; and its name."""
    variables, command = {}, []
    if request.param == "python":
        command = [request.getfixturevalue("python"), "-c", PYTHON]
    elif request.param == "ruby":
        auto = collector.ROOT / "bindings/ruby/lib/cprof/auto.rb"
        variables = {"RUBYLIB": request.getfixturevalue("ruby_paths"), "RUBYOPT": f"-r{auto}"}
        command = ["ruby", "-e", RUBY]
    else:
        node = shutil.which("node") or pytest.skip("there is no node")
        variables = {"NODE_PATH": str(request.getfixturevalue("addon"))}
        command = [node, "-r", "cprof/auto", "-e", NODE]

    def start(enabled="standby", *arguments, **more):
        program = run([*command, *arguments], enabled, **variables, **more)
        program.wait_for({"standby": "standby", "on": "sock"}[enabled])
        program.language = request.param
        return program

    return start


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=60)
    except OSError:
        return None


def test_garbage_is_collected_for_who_asks_for_the_heap_or_a_line_says_why_not(spoken):
    port = collector.free_port()
    program = spoken("on", CPROF_TYPES="heap", CPROF_LISTEN=f"127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}/debug/pprof/heap?gc=1"
    until(lambda: answers(url.partition("heap")[0]))
    if program.language != "nodejs":
        assert urllib.request.urlopen(url, timeout=60).read(2) == b"\x1f\x8b"
        return
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url, timeout=60)
    assert (error.value.code, error.value.read().decode()) == (
        503, "gc=1 is not done here: Node collects when asked only with --expose-gc\n")


def status_of(pid):
    lines = [json.loads(line) for line in cprof("ps", "--json").splitlines()]
    return next((line for line in lines if line["pid"] == pid), None)


def test_a_process_that_stands_by_has_no_thread_and_no_socket(standing_by):
    assert len(standing_by.threads()) == 1
    assert not re.search(r"socket:", "".join(os.readlink(fd) for fd in pathlib.Path(
        f"/proc/{standing_by.pid}/fd").iterdir()))
    timers = pathlib.Path(f"/proc/{standing_by.pid}/timers").read_text()
    assert timers == ""
    assert stat.S_IMODE(standing_by.folder.stat().st_mode) == 0o700
    status = status_of(standing_by.pid)
    assert (status["state"], status["service"], status["language"]) == ("standby", "shop", "python")
    assert standing_by.files() == [f"{standing_by.pid}.standby"]  # to be listed wakes nobody


def test_it_is_started_and_stopped_and_stands_by_again(standing_by, tmp_path):
    pid, out = standing_by.pid, tmp_path / "out.collapsed"
    assert "on" in cprof("start", "--types", "cpu@500hz", "-o", out, pid)
    status = status_of(pid)
    assert (status["state"], status["types"], status["origin"]) == ("on", "cpu", "cprof start")
    assert standing_by.files() == [f"{pid}.sock"]
    assert stat.S_IMODE(next(standing_by.folder.glob("*.sock")).stat().st_mode) == 0o600
    assert "on already" in cprof("start", pid, code=1)
    time.sleep(0.5)
    assert "off" in cprof("stop", pid)
    assert "busy" in out.read_text()
    assert "off already" in cprof("stop", pid, code=1)
    standing_by.wait_for("standby")
    until(lambda: len(standing_by.threads()) == 1, standing_by.threads)
    assert status_of(pid)["state"] == "standby"
    assert "on" in cprof("start", pid)


def test_a_recording_leaves_it_as_it_was(spoken, tmp_path):
    program, out = spoken(), tmp_path / "out.collapsed"
    assert status_of(program.pid)["language"] == program.language
    assert not [name for name in program.threads() if name.startswith("cprof")]
    cprof("record", "--seconds", "1", "-o", out, program.pid)
    assert "busy" in out.read_text()
    assert status_of(program.pid)["state"] == "standby"


def test_each_language_starts_and_stops_again_and_again(spoken, tmp_path):
    program = spoken("on")
    assert status_of(program.pid)["origin"] == "CPROF_ENABLED"
    for number in range(3):
        assert "off" in cprof("stop", program.pid)
        assert "rate" in cprof("start", "--types", "cpu@9999999hz", program.pid, code=1)
        out = tmp_path / f"{number}.collapsed"
        assert "on" in cprof("start", "--types", "cpu@500hz", "-o", out, program.pid)
        time.sleep(0.3)
    program.process.terminate()
    assert program.process.wait() == -signal.SIGTERM
    assert all("busy" in (tmp_path / f"{number}.collapsed").read_text() for number in range(3))
    assert program.files() == []


def test_what_a_start_can_not_take_is_a_line_and_changes_nothing(standing_by):
    assert "cpu@9999999hz" in cprof("start", "--types", "cpu@9999999hz", standing_by.pid, code=1)
    assert status_of(standing_by.pid)["state"] == "standby"


def test_one_that_runs_listens_and_has_no_thread_for_it_until_it_is_asked(run, python, tmp_path):
    program = run([python, "-c", PYTHON], "on")
    program.wait_for("sock")
    assert "cprof-control" not in program.threads()
    assert status_of(program.pid)["origin"] == "CPROF_ENABLED"
    assert "keeps no history" in cprof("record", "--last", "5m", "-o", tmp_path / "x.html", program.pid, code=1)
    cprof("record", "--seconds", "0.3", "-o", tmp_path / "out.html", program.pid)
    assert status_of(program.pid)["state"] == "on"
    assert "cprof-control" in program.threads()
    assert "off" in cprof("stop", program.pid)
    program.wait_for("standby")


def test_without_the_variable_there_is_nothing(run, python):
    program = run([python, "-c", "import cprof, time; cprof.start(); print(flush=True); time.sleep(60)"], "off")
    program.process.stdout.readline()
    time.sleep(0.5)
    assert not program.folder.exists()
    assert "CPROF_ENABLED" in cprof("start", program.pid, code=1)


@pytest.mark.parametrize("enabled, file", [("standby", "standby"), ("on", "sock")])
@pytest.mark.parametrize("spoken", ["python", "ruby"], indirect=True)
def test_a_forked_worker_has_its_own(spoken, run, python, tmp_path, enabled, file):
    program = spoken(enabled, "fork")
    child = int(program.process.stdout.readline())
    try:
        program.wait_for(file)
        program.wait_for(file, child)
        cprof("record", "--seconds", "1", "-o", tmp_path / "out.collapsed", child)
        assert "busy" in (tmp_path / "out.collapsed").read_text()
    finally:
        os.kill(child, signal.SIGKILL)
    # What it leaves is swept by the next that starts.
    until(lambda: not pathlib.Path(f"/proc/{child}").exists())
    run([python, "-c", PYTHON]).wait_for("standby")
    assert program.files(child) == []


@pytest.mark.parametrize("enabled, file", [("standby", "standby"), ("on", "sock")])
def test_the_end_of_a_program_takes_its_files_away(run, python, enabled, file):
    program = run([python, "-c", "import sys; sys.stdin.read()"], enabled, stdin=subprocess.PIPE)
    program.wait_for(file)
    program.process.stdin.close()
    assert program.process.wait() == 0
    assert program.files() == []


def test_a_socket_that_is_left_over_is_taken_over(run, python, runtime):
    """The program ends as the kernel ends it; its number comes again to one that execs itself."""
    again = f"import os, sys, time; time.sleep(1); os.execv(sys.executable, [sys.executable, '-c', {PYTHON!r}])"
    program = run([python, "-c", again], "on")
    program.wait_for("sock")
    path = next(program.folder.glob("*.sock"))
    first = path.stat().st_ctime_ns
    until(lambda: path.exists() and path.stat().st_ctime_ns != first)
    until(lambda: (status_of(program.pid) or {}).get("state") == "on")


def test_a_program_that_came_in_its_place_is_left_alone(run, python):
    program = run([python, "-c", "import os, time; time.sleep(0.5); os.execvp('sleep', ['sleep', '60'])"])
    program.wait_for("standby")
    until(lambda: b"sleep\0" in pathlib.Path(f"/proc/{program.pid}/cmdline").read_bytes())
    assert "can't be asked" in cprof("start", program.pid, code=1)
    assert status_of(program.pid) is None
    assert program.process.poll() is None


def test_a_main_thread_that_does_not_come_back_is_told_of(run, python):
    program = run([python, "-c", HANGING])
    program.wait_for("standby")
    time.sleep(0.3)
    assert "native code" in cprof("start", program.pid, code=1)
    assert program.files() == [f"{program.pid}.standby"]


def test_a_hanging_interpreter_can_be_recorded_where_it_runs(run, python, tmp_path):
    program = run([python, "-c", HANGING], "on")
    program.wait_for("sock")
    assert status_of(program.pid)["state"] == "on"
    cprof("record", "--seconds", "0.3", "-o", tmp_path / "out.pb.gz", program.pid)


def test_a_flight_recorder_tells_what_has_been_also_after_a_crash(run, python, tmp_path):
    store, out = tmp_path / "store", tmp_path / "out.collapsed"
    programs = [run([python, "-c", PYTHON.replace("busy", name)], "on", CPROF_STORE_DIR=str(store))
                for name in ("first", "second")]
    for program in programs:
        program.wait_for("sock")
    first, second = (program.pid for program in programs)
    assert status_of(first)["store"] == str(store.resolve())
    time.sleep(1)  # a tenth of an interval
    cprof("record", "--last", "5m", "-o", out, first)
    assert "first" in out.read_text() and "second" not in out.read_text()
    programs[0].process.kill()
    programs[0].process.wait()
    assert "--store DIR" in cprof("record", "--last", "5m", "-o", out, first, code=1)
    out.unlink()
    cprof("record", "--last", "5m", "--store", store, "-o", out, first)
    assert "first" in out.read_text() and "second" not in out.read_text()
    assert status_of(second)["state"] == "on"


def test_what_was_closed_is_there_however_a_process_ended(spoken, tmp_path):
    store, out = tmp_path / "store", tmp_path / "out.collapsed"

    def blocks():
        return len(list(store.glob("*.block")))

    def kept(program):
        cprof("record", "--last", "5m", "--store", store, "-o", out, program.pid)
        return out.read_text()

    ends = {end: spoken("on", CPROF_STORE_DIR=str(store), CPROF_INTERVAL="1")
            for end in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)}
    raising = spoken("on", "raise", CPROF_STORE_DIR=str(store))  # ends long before its interval does
    for end, program in ends.items():
        until(lambda: subprocess.run([COMMAND, "record", "--last", "5m", "--store", store, "-o", out,
                                      str(program.pid)], capture_output=True).returncode == 0, blocks)
        program.process.send_signal(end)
        program.process.communicate()
        assert program.process.returncode < 0  # Ruby reports a SIGSEGV, and aborts
        assert "busy" in kept(program), end
    assert "nobody rescues it" in raising.process.communicate()[1] and raising.process.returncode > 0
    assert "busy" in kept(raising)


# The main thread holds the GIL and waits for a mutex; who has the mutex waits for the GIL.
DEADLOCKED = """
import ctypes, threading, time
library, with_gil, mutex = ctypes.CDLL(None), ctypes.PyDLL(None), ctypes.create_string_buffer(64)
held = threading.Event()
def owner():
    library.pthread_mutex_lock(mutex)
    held.set()
    while True: time.sleep(0.01)
threading.Thread(target=owner, name="owner", daemon=True).start()
held.wait()
def hanging(): with_gil.pthread_mutex_lock(mutex)
hanging()
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks are x86-64's so far")
def test_a_hanging_interpreter_s_threads_are_dumped_with_its_deadlock(run, python, tmp_path):
    program = run([python, "-c", DEADLOCKED], "on")
    program.wait_for("sock")
    until(lambda: "Deadlock: " in cprof("dump", program.pid))
    text = cprof("dump", program.pid)
    line = next(line for line in text.splitlines() if line.startswith("Deadlock: "))
    assert "owner (" in line and "MainThread (" in line and "waits for the GIL, which" in line, text
    assert "      hanging  <string>:" in text and "      owner  <string>:" in text, text
    cprof("dump", "-o", tmp_path / "now.json", program.pid)
    assert len(json.loads((tmp_path / "now.json").read_text())["threads"]) == 2
    for name in ("old.pb.gz", "new.pb.gz"):
        cprof("dump", "-o", tmp_path / name, program.pid)
    assert "hanging" in cprof("top", "-n", "50", tmp_path / "new.pb.gz")
    cprof("diff", tmp_path / "old.pb.gz", tmp_path / "new.pb.gz")


LEAKING = """
import queue, threading, time
jobs = queue.Queue()
def poller(): jobs.get()
def steady(): time.sleep(1000)
def begin(function, number):
    for _ in range(number): threading.Thread(target=function, daemon=True).start()
begin(steady, 5); begin(poller, 3); print(flush=True)
input(); begin(poller, 20); print(flush=True)
input()
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks are x86-64's so far")
def test_two_dumps_name_the_threads_that_leak(run, python, tmp_path):
    program = run([python, "-c", LEAKING], "on", stdin=subprocess.PIPE)
    program.wait_for("sock")
    files = [tmp_path / "old.pb.gz", tmp_path / "new.pb.gz"]
    for file, waiting in zip(files, (8, 28)):
        program.process.stdout.readline()
        until(lambda: cprof("dump", program.pid).splitlines()[1].endswith(f", {waiting + 1} waiting"))
        cprof("dump", "-o", file, program.pid)
        program.process.stdin.write("\n")
        program.process.stdin.flush()
    rows = cprof("diff", "--cum", "-n", "50", *files).splitlines()
    grown = {row.split()[-2]: row.split()[:3] for row in rows[5:]}
    assert grown.get("poller") == ["3.00", "23.0", "+20.0"], rows
    assert "+20.0" not in grown.get("steady", []), rows


def test_one_that_stands_by_is_dumped_and_stands_by_again(standing_by):
    until(lambda: "      live  <string>:" in cprof("dump", standing_by.pid))
    assert cprof("dump", standing_by.pid).partition("  MainThread (")[0].startswith("shop, process ")
    standing_by.wait_for("standby")
    cprof("dump", "--format", "xml", standing_by.pid, code=2)


def test_what_is_gone_or_never_was_is_a_line(standing_by):
    standing_by.process.kill()
    standing_by.process.wait()
    assert "there is no process" in cprof("record", "-o", "x.html", standing_by.pid, code=1)
    assert "there is no process" in cprof("stop", 2 ** 22 + 1, code=1)
    assert "there is no process" in cprof("record", "--last", "5m", "-o", "x.html", standing_by.pid, code=1)
    for arguments in (["start"], ["start", "1", "2"], ["start", "x"], ["stop", "-1"], ["record", "1"]):
        cprof(*arguments, code=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_only_the_owner_and_root_get_in(run, python, runtime):
    os.chmod(runtime, 0o755)
    os.chown(runtime, 65534, 65534)
    for folder in python.parents:  # pytest keeps its folders to itself
        if folder.is_relative_to(tempfile.gettempdir()) and folder.stat().st_uid == 0:
            os.chmod(folder, folder.stat().st_mode | 0o055)
    reachable = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, "-c",
                                "import cprof"], capture_output=True)
    if reachable.returncode != 0:
        pytest.skip("another user can't run this Python")
    program = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, "-c", PYTHON], "on")
    program.wait_for("sock")
    assert "on" == status_of(program.pid)["state"]  # root
    path = str(next(program.folder.glob("*.sock")))
    refused = subprocess.run(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", COMMAND, "stop",
                              str(program.pid)], capture_output=True, text=True)
    assert refused.returncode == 1 and "belongs to nobody" in refused.stderr
    # Even where somebody has opened the folder.
    os.chmod(program.folder, 0o755)
    os.chmod(path, 0o666)
    knock = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); " \
            "s.sendall(b'POST /cprof/stop HTTP/1.0\\r\\n\\r\\n'); s.settimeout(10); sys.exit(len(s.recv(100)))"
    other = subprocess.run(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", sys.executable, "-c", knock,
                            path], capture_output=True, text=True)
    assert other.returncode == 0 or "reset" in other.stderr or "Broken" in other.stderr, other.stderr
    os.chmod(program.folder, 0o700)
    assert "on" == status_of(program.pid)["state"]


@pytest.mark.parametrize("trap", ["link", "open", "foreign"])
def test_a_folder_that_is_not_the_users_alone_is_not_used(run, python, tmp_path, runtime, trap):
    if trap == "foreign" and os.geteuid() != 0:
        pytest.skip("only root can be two users")
    folder = runtime / "cprof"
    if trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir(mode=0o700)
        if trap == "open":
            folder.chmod(0o777)
        else:
            os.chown(folder, 65534, 65534)
    before = folder.stat().st_mtime_ns
    program = run([python, "-c", PYTHON])
    other = pathlib.Path(f"/tmp/cprof-{os.geteuid()}")
    until(lambda: list(other.glob(f"*-{program.pid}.standby")))
    assert folder.stat().st_mtime_ns == before
    assert status_of(program.pid)["state"] == "standby"


def dial(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))  # waits where too many others do
    client.settimeout(60)
    return client


def test_clients_of_every_kind_leave_it_well(run, python, tmp_path):
    program = run([python, "-c", PYTHON], "on")
    program.wait_for("sock")
    path = next(program.folder.glob("*.sock"))
    for request in (b"", b"\0" * 9000, b"GET /cprof/status\r\n\r\n", b"POST /cprof/start?types=%zz HTTP/1.0\r\n\r\n",
                    b"GET /cprof/stop HTTP/1.0\r\n\r\n", b"POST /cprof/start?output=" + b"a" * 5000 +
                    b" HTTP/1.0\r\n\r\n", os.urandom(4000)):
        with dial(path) as client:
            try:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(4096)
            except OSError:
                answer = b""
            assert b" 200 " not in answer
    slow = [dial(path) for _ in range(6)]  # which never say what they want

    def ask(_):
        with dial(path) as client:
            client.sendall(b"GET /cprof/status HTTP/1.0\r\n\r\n")
            return b'"state":"on"' in b"".join(iter(lambda: client.recv(4096), b""))

    with concurrent.futures.ThreadPoolExecutor(40) as clients:
        assert all(clients.map(ask, range(300)))
    for client in slow:
        client.close()
    descriptors = len(os.listdir(f"/proc/{program.pid}/fd"))
    cprof("record", "--seconds", "1", "-o", tmp_path / "out.collapsed", program.pid)
    assert "busy" in (tmp_path / "out.collapsed").read_text()
    assert len(os.listdir(f"/proc/{program.pid}/fd")) <= descriptors


class Screen:
    """A terminal with a command in it, by tmux."""

    def __init__(self, folder, *command):
        self.tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        line = " ".join(map(str, command))
        self.call("new-session", "-d", "-x", "90", "-y", "24", f"{line}; echo ended $?; sleep 300")

    def call(self, *arguments):
        return subprocess.run([*self.tmux, *arguments], check=True, capture_output=True, text=True).stdout

    def shows(self, pattern):
        until(lambda: re.search(pattern, self.call("capture-pane", "-p"), re.M), lambda: self.call("capture-pane", "-p"))

    def press(self, *keys):
        self.call("send-keys", *keys)


@pytest.fixture
def screen(runtime):
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux")
    screens = []
    yield lambda *command: screens.append(Screen(runtime, *command)) or screens[-1]
    for one in screens:
        one.call("kill-server")


def test_live_shows_what_runs_and_follows_its_keys(standing_by, screen):
    shown = screen(COMMAND, "live", "--seconds", "0.5", standing_by.pid)
    shown.shows(r"^ +self +total +function$")
    shown.shows(r" busy ")
    assert status_of(standing_by.pid)["state"] == "on"
    shown.press("t")
    shown.shows(r"function by total$")
    shown.press("h")
    shown.shows(r"^ +cpu +thread$")
    shown.press("l")
    shown.shows(r"^ +self +total +line$")
    shown.press("f", "/", "b", "u", "s", "x", "BSpace", "y", "Enter", "Up")
    shown.shows(r"with busy$")
    shown.shows(r"busy +<string>:\d+ *\n\n")  # and no other row
    shown.press("/", "z", "z", "Enter")
    shown.shows(r'No name contains "busyzz"')
    shown.press("Escape")
    shown.shows(r"function by total$")
    shown.press("Space")
    shown.shows(r"function by total, held$")
    shown.call("resize-window", "-x", "60", "-y", "10")
    shown.shows(r"\d+ more$")
    shown.press("q")
    shown.shows(r"^ended 0$")
    until(lambda: status_of(standing_by.pid)["state"] == "standby")


def test_live_says_when_the_process_ends_and_gives_the_terminal_back(standing_by, screen):
    shown = screen(COMMAND, "live", standing_by.pid)
    shown.shows(r"^process \d+, function by self$")
    standing_by.process.kill()
    standing_by.process.wait()
    shown.shows(r"^cprof: .*\b%d\b" % standing_by.pid)
    shown.shows(r"^ended 1$")


def test_live_needs_a_terminal(standing_by):
    assert "terminal" in cprof("live", standing_by.pid, code=1, stdin=subprocess.DEVNULL)


def test_an_older_python_and_what_is_none_can_not_be_attached_to(run, python):
    program = run([python, "-S", "-c", "print(flush=True)\nimport time; time.sleep(60)"], "off")
    program.process.stdout.readline()
    version = subprocess.run([python, "-c", "import sys; print(sys.version_info >= (3, 14))"], capture_output=True,
                             text=True).stdout
    if version == "False\n":
        assert "only 3.14 and newer" in cprof("attach", program.pid, code=1)
    other = run(["sleep", "60"], "off")
    assert "no CPython" in cprof("attach", other.pid, code=1)
    assert not list(pathlib.Path("/tmp").glob("cprof-attach-*"))
