"""How processes of real servers begin and end: each worker sends its own profile, under one
service, and no program notices. The interval is longer than the tests: what arrives was sent
at the process's end."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.request

import pytest

import backends
from collector import free_port

WSGI = """
import os, time
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
def application(environ, start_response):
    spin(0.05)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""

TASKS = """
import os, time, celery
app = celery.Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue"}
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
@app.task
def work(name):
    spin(0.1)
    open(f"done-{name}-{os.getpid()}", "w").close()
"""


@pytest.fixture
def pyroscope():
    with backends.checking_pyroscope() as server:
        yield server


@pytest.fixture
def environment(pyroscope):
    return {
        **os.environ,
        "CPROF_ENABLED": "1",
        "CPROF_EXPORTER": "pyroscope",
        "CPROF_ENDPOINT": pyroscope.url,
        "CPROF_INTERVAL": "60",
        "CPROF_RATE": "250",
        "OTEL_SERVICE_NAME": "shop",
    }


@contextlib.contextmanager
def server(command, folder, environment):
    """Ends it with SIGTERM, gently; `.code` is set then."""
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    process.log = lambda: (folder / "log").read_text()
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        process.code = process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def ask(port, process):
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return int(answer.read())
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, process.log()
            time.sleep(0.1)


def ask_until(port, process, workers):
    """Process ids that have answered."""
    pids, deadline = {}, time.monotonic() + 30
    while (len(pids) < workers or min(pids.values()) < 4) and time.monotonic() < deadline:
        pid = ask(port, process)
        pids[pid] = pids.get(pid, 0) + 1
    assert len(pids) == workers, process.log()
    return pids


def check_quiet(log):
    """A busy machine may cost samples; nothing else is told."""
    lines = [line for line in log.splitlines() if line.startswith("cprof:")]
    assert [line for line in lines if "samples were dropped" not in line] == []


def senders(pyroscope):
    return {int(taken.labels["process_pid"]) for taken in pyroscope.taken}


def check_workers(pyroscope, pids, function="spin", log=""):
    """Each worker's CPU time has arrived, under its own pid and one service."""
    assert pyroscope.refusals == []
    found = {}
    for taken in pyroscope.taken:
        assert taken.labels["service_name"] == "shop"
        pid = int(taken.labels["process_pid"])
        found[pid] = found.get(pid, 0) + sum(s.count for s in taken.profile.stacks_with(function))
    for pid in pids:
        assert found.get(pid, 0) > 0, (pid, found, log)


def module(python, name, debian):
    if subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode != 0:
        pytest.skip(f"{name} is not installed (Debian's {debian})")


@pytest.mark.parametrize("options", [["-k", "sync"], ["-k", "gthread", "--threads", "2"],
                                     ["-k", "sync", "--preload"]], ids=" ".join)
def test_gunicorn_s_workers(python, pyroscope, environment, tmp_path, options):
    module(python, "gunicorn", "gunicorn")
    (tmp_path / "app.py").write_text(WSGI)
    port = free_port()
    command = [python, "-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", *options, "app"]
    with server(command, tmp_path, environment) as process:
        pids = ask_until(port, process, 2)
    assert process.code == 0, process.log()
    check_workers(pyroscope, pids, log=process.log())
    check_quiet(process.log())


def uwsgi_command(python, port, *options):
    uwsgi = next((p for p in ("/usr/bin/uwsgi-core", "/usr/bin/uwsgi") if os.path.exists(p)), None)
    if uwsgi is None:
        pytest.skip("uwsgi is not installed (Debian's uwsgi-core and uwsgi-plugin-python3)")
    return [uwsgi, "--plugin", "python3", "--master", "--processes", "2", "--die-on-term",
            "--http-socket", f"127.0.0.1:{port}", "--wsgi-file", "app.py",
            "--py-call-osafterfork", "--virtualenv", python.parent.parent, *options]


@pytest.mark.parametrize("options", [[], ["--enable-threads", "--threads", "2"], ["--lazy-apps"]],
                         ids=lambda options: " ".join(options) or "plain")
def test_uwsgi_s_workers(python, pyroscope, environment, tmp_path, options):
    (tmp_path / "app.py").write_text(WSGI)
    port = free_port()
    command = uwsgi_command(python, port, *options)
    # Without threads uWSGI's workers do not always run what Python wants run at the end.
    with server(command, tmp_path, {**environment, "CPROF_INTERVAL": "1"}) as process:
        pids = ask_until(port, process, 2)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not pids.keys() <= senders(pyroscope):
            ask(port, process)
    assert process.code == 0, process.log()
    check_workers(pyroscope, pids, log=process.log())


def test_uwsgi_s_recycled_workers_with_threads(python, pyroscope, environment, tmp_path):
    """Now and then uWSGI's threads hold up a worker's end until the master kills it: by then it
    has sent, as masters wait longer than an interval."""
    (tmp_path / "app.py").write_text(WSGI)
    port = free_port()
    command = uwsgi_command(python, port, "--enable-threads", "--threads", "2", "--max-requests",
                            "5", "--min-worker-lifetime", "1", "--worker-reload-mercy", "5")
    with server(command, tmp_path, {**environment, "CPROF_INTERVAL": "1"}) as process:
        pids = {}
        while sum(count == 5 for count in pids.values()) < 4:
            pid = ask(port, process)
            pids[pid] = pids.get(pid, 0) + 1
        recycled = [pid for pid, count in pids.items() if count == 5]
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not set(recycled) <= senders(pyroscope):
            time.sleep(0.1)
    check_workers(pyroscope, recycled, log=process.log())


def test_celery_s_workers(python, pyroscope, environment, tmp_path):
    module(python, "celery", "python3-celery")
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "queue").mkdir()
    command = [python, "-m", "celery", "-A", "tasks", "worker", "-P", "prefork", "-c", "2",
               "--without-gossip", "--without-mingle", "-l", "warning"]
    quiet = {**environment, "CPROF_ENABLED": ""}
    with server(command, tmp_path, environment) as process:
        subprocess.run([python, "-c", "import tasks\nfor n in range(12): tasks.work.delay(n)"],
                       cwd=tmp_path, env=quiet, check=True)
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("done-*"))) < 12:
            assert time.monotonic() < deadline and process.poll() is None, process.log()
            time.sleep(0.2)
    assert process.code == 0, process.log()
    pids = {int(path.name.rsplit("-", 1)[1]) for path in tmp_path.glob("done-*")}
    check_workers(pyroscope, pids, log=process.log())


SPIN = """
import os, signal, subprocess, sys, time
def spin(seconds=0.2):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
# Whoever runs the tests in the background may have had it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def heed_hangups():
    """Whoever runs the tests by nohup has it ignored, from the program's first line on."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def run(python, folder, environment, source, **changes):
    (folder / "program.py").write_text(SPIN + source)
    return subprocess.run([python, "program.py"], cwd=folder, env={**environment, **changes},
                          capture_output=True, text=True, timeout=60, preexec_fn=heed_hangups)


@pytest.mark.parametrize("end, code", [
    ("", 0),
    ("sys.exit(7)", 7),
    ("raise KeyError(1)", 1),
    ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", -signal.SIGINT),
    ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", -signal.SIGTERM),
    ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(5)", -signal.SIGHUP),
    ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
     "os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", 3),
])
def test_the_last_profile_is_sent_whatever_the_end(python, pyroscope, environment, tmp_path, end,
                                                   code):
    for _ in range(3):  # two seconds are not always enough on a busy machine
        done = run(python, tmp_path, environment, f"spin()\n{end}\n")
        assert done.returncode == code, done.stderr
        if pyroscope.taken:
            check_quiet(done.stderr)
            break
    check_workers(pyroscope, senders(pyroscope) or {0})


@pytest.mark.parametrize("end, code", [
    ("os._exit(9)", 9), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)])
def test_a_hard_end_loses_the_running_interval_and_no_more(python, pyroscope, environment,
                                                           tmp_path, end, code):
    source = f"def first(): spin(0.4)\nfirst(); time.sleep(2.5)\n{end}\n"
    done = run(python, tmp_path, environment, source, CPROF_INTERVAL="0.5")
    assert done.returncode == code, done.stderr
    check_workers(pyroscope, senders(pyroscope) or {0}, "first")


@pytest.mark.parametrize("end, code", [
    ("os._exit(9)", 9), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ("signal.signal(signal.SIGUSR1, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGUSR1)",
     -signal.SIGUSR1)])
def test_with_a_spool_a_hard_end_loses_nothing_that_was_closed(python, environment, tmp_path, end,
                                                               code):
    port, spool = free_port(), tmp_path / "spool"
    told = {"CPROF_INTERVAL": "0.5", "CPROF_SPOOL_DIR": str(spool),
            "CPROF_ENDPOINT": f"http://127.0.0.1:{port}"}
    # Nobody answers. After the work the process is idle until all of it has been closed.
    died = run(python, tmp_path, environment, f"""
import cprof
for _ in range(4): spin(0.3); time.sleep(0.6)
time.sleep(2)
print(os.getpid(), cprof.stats()["samples"], cprof.stats()["profiles_exported"], flush=True)
{end}
""", **told)
    assert died.returncode == code, died.stderr
    pid, samples, exported = map(int, died.stdout.split())
    assert samples > 100 and exported == 0
    assert len(list(spool.iterdir())) >= 2
    with backends.checking_pyroscope(port) as pyroscope:
        for _ in range(10):  # an end waits two seconds for delivery, of its own and of these
            run(python, tmp_path, environment, "time.sleep(0.5)", **told)
            if not list(spool.iterdir()):
                break
        assert list(spool.iterdir()) == [] and pyroscope.refusals == []
        arrived = sum(sample.count for taken in pyroscope.taken
                      if int(taken.labels["process_pid"]) == pid
                      for sample in taken.profile.samples)
    # Asking may have cost a sample, in the interval that was lost.
    assert samples - 2 <= arrived <= samples


def test_subprocesses_profile_themselves_by_inheritance(python, pyroscope, environment, tmp_path):
    done = run(python, tmp_path, environment, """
if len(sys.argv) > 1:
    spin(); print(os.getpid())
else:
    subprocess.run([sys.executable, __file__, "child"])
""")
    check_workers(pyroscope, [int(done.stdout)])


def test_a_server_that_hangs_holds_up_the_end_for_two_seconds_at_most(python, environment,
                                                                      tmp_path):
    import socket
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        source = "spin()\nopen('ended', 'w').write(str(time.time()))\nsys.exit(5)\n"
        done = run(python, tmp_path, environment, source, CPROF_ENDPOINT=url)
        waited = time.time() - float((tmp_path / "ended").read_text())
    assert done.returncode == 5
    assert waited < 10  # two seconds, and what a busy machine adds
    assert "could not be delivered" in done.stderr


@pytest.mark.parametrize("listen", ["127.0.0.1:{port}", "unix:{folder}/%p.sock"])
def test_forked_workers_and_the_pull_endpoint(python, environment, tmp_path, listen):
    address = listen.format(port=free_port(), folder=tmp_path)
    done = run(python, tmp_path, environment, """
def sockets():
    folder = "/proc/self/fd"
    links = [os.path.join(folder, name) for name in os.listdir(folder)]
    print(len([link for link in links if os.path.islink(link) and
               os.readlink(link).startswith("socket:")]), flush=True)
pid = os.fork()
if pid == 0:
    import cprof
    sockets(); spin(); cprof.flush(); sockets(); sys.exit(4)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""", CPROF_LISTEN=address, CPROF_EXPORTER="none")
    # None of its parent's; then its own, or its door, and that by which its owner asks it.
    assert done.stdout.split() == ["0", "2", "4"], done.stderr
    assert "does not listen" not in done.stderr, done.stderr
