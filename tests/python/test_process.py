"""How cprof starts and ends with a program, and that the program does not notice."""

import os
import py_compile
import signal
import socket
import subprocess
import sys
import zipapp

import pytest

import cprof
from conftest import BURN
from pprof import Profile

LONG_ENOUGH = {"CPROF_OUTPUT": "out-%p.pb.gz"}


def profiles_in(folder, pattern="out-*.pb.gz"):
    return [Profile(path) for path in sorted(folder.glob(pattern))]


# ---- cprof run ----

@pytest.fixture
def run_command(tmp_path):
    """run_command(source, shell): what `cprof run` says of a program; bash's script ends in "$@"."""
    def run(source, shell='exec "$@"', rate="500"):
        (tmp_path / "prog.py").write_text(BURN + source)
        command = [sys.executable, "-c", "from cprof._command import main; main()", "run", "--rate", rate, "-o",
                   "out.pb.gz", "--", "bash", "-c", shell, "bash", sys.executable, "prog.py"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("CPROF_", "OTEL_"))}
        return subprocess.run(command, env={**environment, "TMPDIR": "/tmp"}, cwd=tmp_path, capture_output=True,
                              text=True, timeout=120)
    return run


def test_without_timers_the_time_is_there_and_the_cause_is_said(run_command):
    done = run_command("burn(0.3)", 'ulimit -i 0; exec "$@"')
    assert "no timer for some threads: the limit of pending signals (ulimit -i)" in done.stderr
    assert "[not sampled]" in done.stderr and "no profile" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_a_program_does_after_it_has_dropped_root_is_kept(run_command, tmp_path):
    done = run_command("def before(): burn(0.2)\ndef after(): burn(0.4)\n"
                       "import os\nbefore(); os.setgid(65534); os.setuid(65534); after()\n")
    assert "is lost" not in done.stderr and "no profile" not in done.stderr
    profile = Profile(tmp_path / "out.pb.gz")
    assert profile.stacks_with("before") and profile.stacks_with("after")


@pytest.mark.parametrize("source, reason", [
    ("pass", "it ended before a sample was due"),
    ("import os; os._exit(0)", "nothing was written before it was killed, left by os._exit")])
def test_a_short_program_without_a_profile_is_no_failure_to_start(run_command, source, reason):
    done = run_command(source, rate="1")
    # In a second of CPU time there is one sample, and it may happen to be this program's.
    assert f"cprof: no profile: {reason}" in done.stderr or "1 sample " in done.stderr, done.stderr


@pytest.mark.parametrize("source, shell, reason", [
    ("burn(0.3)", 'CPROF_MAX_FRAMES=many exec "$@"', "cprof did not start: CPROF_MAX_FRAMES=many: must be"),
])
def test_the_command_knows_why_there_is_no_profile(run_command, source, shell, reason):
    done = run_command(source, shell)
    assert f"cprof: no profile: {reason}" in done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_helpers_of_multiprocessing_end_with_the_run(run_command, tmp_path, method):
    done = run_command(f"""
import multiprocessing
def work(n): burn(0.2); return n
if __name__ == "__main__":
    with multiprocessing.get_context("{method}").Pool(2) as pool: print(pool.map(work, [1, 2]))
""")
    assert done.stdout == "[1, 2]\n" and "is lost" not in done.stderr, done.stderr
    assert Profile(tmp_path / "out.pb.gz").stacks_with("work")


# ---- python -m cprof ----

def test_a_script_sees_its_own_arguments_and_path(execute, tmp_path):
    outcome = execute("""
import sys, os
print(sys.argv[1:], os.path.basename(sys.argv[0]), __name__, os.path.basename(__file__))
print(sys.path[0] == os.path.dirname(os.path.abspath(__file__)))
import __main__; print(__main__.__dict__ is globals())
""", "-o", "--rate")
    assert outcome.out.splitlines() == ["['-o', '--rate'] prog.py __main__ prog.py", "True",
                                        "True"]
    assert str(outcome.output) in outcome.err


def test_text_and_standard_input_are_run_as_python_does(tmp_path):
    program = BURN + "burn(0.2); import sys; print(sys.argv, sys.path[0] == '', __name__, '__file__' in globals())"
    for command, name, given in ((["-c", program, "a"], "-c", ""), (["-", "a"], "-", program)):
        process = subprocess.run([sys.executable, "-m", "cprof", "--rate", "500", "-o", "x.pb.gz", *command], text=True,
                                 cwd=tmp_path, capture_output=True, input=given)
        assert process.stdout == f"{[name, 'a']} True __main__ False\n", process.stderr
        assert Profile(tmp_path / "x.pb.gz").stacks_with("burn")


@pytest.mark.parametrize("output", ["x.html", "x.pb.gz"])
def test_the_hottest_functions_are_printed_at_the_end(execute, tmp_path, output):
    outcome = execute(BURN + "burn(0.3)\nprint('done')\nraise SystemExit(3)", options=["-o", output])
    assert outcome.code == 3 and outcome.out == "done\n"
    assert " of CPU in " in outcome.err and "burn" in outcome.err
    assert outcome.err.endswith(f"cprof: profile written to {tmp_path / output}\n")


def test_a_module_is_run_as_python_m_does(execute, tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__main__.py").write_text(
        "import sys\nprint(__package__, __name__, sys.argv[1:])\n")
    process = subprocess.run([sys.executable, "-m", "cprof", "-o", "x.folded", "-m", "pkg", "a"],
                             cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout == "pkg __main__ ['a']\n", process.stderr


@pytest.mark.parametrize("ending, code", [("raise SystemExit(7)", 7), ("sys.exit('no')", 1),
                                          ("sys.exit()", 0), ("os._exit(9)", 9),
                                          ("1/0", 1), ("os.kill(os.getpid(), 15)", -15)])
@pytest.mark.parametrize("by", ["module", "environment"])
def test_exit_codes_are_the_program_s_own(execute, ending, code, by):
    assert execute(f"import sys, os\n{ending}\n", by=by).code == code


def test_a_traceback_shows_no_frame_of_ours(execute):
    source = "def f():\n    1/0\nf()\n"
    profiled, plain = execute(source), execute(source, by=None)
    assert profiled.code == plain.code == 1
    assert plain.err and profiled.err.startswith(plain.err)  # and the table, if there were samples


def test_a_script_that_is_no_python_fails_as_under_python(execute):
    source = "x = (\n"
    profiled, plain = execute(source), execute(source, by=None)
    assert profiled.code == plain.code == 1
    assert profiled.err == plain.err


@pytest.mark.parametrize("name", ["app.pyz", "app", "app.exe", "folder", "app.pyc"])
def test_whatever_python_runs_is_run(tmp_path, name):
    program = tmp_path / "main" / "__main__.py"
    program.parent.mkdir()
    program.write_text("import sys\nprint('ran', __name__, sys.argv[1:])\n")
    target = tmp_path / name
    if name == "folder":
        program.parent.rename(target)
    elif name.endswith(".pyc"):
        py_compile.compile(str(program), str(target))
    else:
        zipapp.create_archive(program.parent, target, interpreter="/usr/bin/env python3")
    commands = [[sys.executable, *profiled, str(target), "a"] for profiled in
                ([], ["-m", "cprof", "-o", "x.folded"])]
    plain, profiled = (subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
                       for command in commands)
    assert (profiled.returncode, profiled.stdout) == (0, plain.stdout), profiled.stderr
    assert profiled.stdout == "ran __main__ ['a']\n"


def test_a_missing_script_is_one_line(execute, tmp_path):
    process = subprocess.run([sys.executable, "-m", "cprof", "nowhere.py"], cwd=tmp_path,
                             capture_output=True, text=True)
    assert process.returncode == 1
    assert process.stderr == "cprof: nowhere.py: No such file or directory\n"


def test_no_program_is_a_wrong_usage(tmp_path):
    process = subprocess.run([sys.executable, "-m", "cprof"], capture_output=True, text=True)
    assert process.returncode == 2


@pytest.mark.parametrize("thread", [False, True])
def test_a_process_that_ends_past_the_end_of_python_keeps_its_profile(execute, thread):
    """As uWSGI ends a worker that serves with threads, from whichever of them."""
    outcome = execute(BURN + f"""
import ctypes, threading
def leave(): ctypes.CDLL(None).exit(3)
burn(0.3)
if {thread}:
    threading.Thread(target=leave).start()
    burn(60)
leave()
""", by="environment")
    assert (outcome.code, outcome.err) == (3, "")
    assert outcome.profile.stacks_with("burn")


# ---- auto-start ----

@pytest.mark.parametrize("value, runs", [
    (None, False), ("", False), ("on", True), ("TRUE", True), ("off", False), ("No", False), ("0", False)])
def test_an_installed_package_follows_the_rule_of_three_languages(value, runs):
    """Nobody has named it, so without a word it does not start."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("CPROF_")}
    environment.update({"CPROF_EXPORTER": "none"} if value is None else {"CPROF_EXPORTER": "none", "CPROF_ENABLED": value})
    process = subprocess.run([sys.executable, "-c", "import cprof; print(cprof.is_running())"], env=environment,
                             capture_output=True, text=True)
    assert (process.stdout, process.stderr) == (f"{runs}\n", "")


def test_the_environment_starts_it_without_touching_the_program(execute):
    outcome = execute(BURN + "burn(0.5)\n", by="environment")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert outcome.profile.stacks_with("burn")


@pytest.mark.parametrize("variable, value", [
    ("CPROF_ENABLED", "maybe"), ("CPROF_RATE", "many"), ("CPROF_RATE", "0"),
    ("CPROF_TYPES", "nonsense"), ("CPROF_INTERVAL", "-1"), ("CPROF_OUTPUT", "x.unknown"),
    ("CPROF_OUTPUT", "/nowhere/at/all/x.html"), ("CPROF_EXPORTER", "carrier-pigeon"),
    ("CPROF_NATIVE", "perhaps"), ("CPROF_MAX_FRAMES", "-5")])
def test_a_nonsense_variable_is_one_line_and_the_program_runs(execute, variable, value):
    outcome = execute("print('ran')\n", by="environment", env={variable: value})
    assert (outcome.code, outcome.out) == (0, "ran\n")
    lines = outcome.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("cprof: ")
    assert variable in lines[0] and value in lines[0]


@pytest.mark.parametrize("value", ["", "0", "false", "no", "off"])
def test_off_means_off(execute, value):
    outcome = execute("import sys; print('cprof' in sys.modules)\n", by="environment",
                      env={"CPROF_ENABLED": value})
    assert (outcome.code, outcome.out, outcome.err) == (0, "False\n", "")
    assert not outcome.output.exists()


def test_the_sdk_s_switch_turns_it_off(execute):
    outcome = execute("import cprof; print(cprof.is_running())\n", by="environment",
                      env={"OTEL_SDK_DISABLED": "true"})
    assert (outcome.code, outcome.out, outcome.err) == (0, "False\n", "")


def test_without_the_variable_nothing_is_imported(execute):
    outcome = execute("import sys\nprint([m for m in sys.modules if 'cprof' in m])\n", by=None)
    # A .start file can only name a function; its module does nothing but look at the variable.
    hook = ["_cprof_autostart"] if sys.version_info >= (3, 15) else []
    assert outcome.out == f"{hook}\n"


# ---- children ----

def test_a_forked_child_profiles_itself(execute, tmp_path):
    outcome = execute(BURN + """
import os, sys
def in_child(): burn(0.5)
def in_parent(): burn(0.5)
pid = os.fork()
if pid == 0:
    in_child(); sys.exit(3)
in_parent()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""", by="environment", env=LONG_ENOUGH)
    assert outcome.out == "3\n"
    parent = [p for p in profiles_in(tmp_path) if p.stacks_with("in_parent")]
    child = [p for p in profiles_in(tmp_path) if p.stacks_with("in_child")]
    assert len(parent) == len(child) == 1 and parent[0] is not child[0]
    assert not parent[0].stacks_with("in_child")


@pytest.mark.parametrize("spool", [False, True])
def test_a_server_that_is_away_holds_no_program_at_its_end(execute, tmp_path, spool):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    # An hour each, if they were held.
    variables = {"CPROF_ENABLED": "1", "CPROF_EXIT_TIMEOUT": "3600",
                 "OTEL_EXPORTER_OTLP_ENDPOINT": address}
    if spool:
        variables["CPROF_SPOOL_DIR"] = str(tmp_path / "spool")
        (tmp_path / "spool").mkdir()
    outcome = execute(BURN + """
import os
if child := os.fork():
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
burn(0.1)
""", by=None, env=variables)
    assert (outcome.code, outcome.out) == (0, "0\n"), outcome.err
    dropped = outcome.err.count("could not be delivered")
    kept = len(list((tmp_path / "spool").iterdir())) if spool else 0
    assert (dropped, kept) == ((0, 2) if spool else (2, 0)), outcome.err


@pytest.mark.parametrize("ending", ["return", "sys.exit()"])
def test_a_child_that_a_thread_forked_ends_with_it(execute, tmp_path, ending):
    outcome = execute(BURN + f"""
import os, sys, threading
def worker():
    if pid := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return
    burn(0.1)
    {ending}
thread = threading.Thread(target=worker)
thread.start()
thread.join()
burn(0.05)
""", by="environment", env=LONG_ENOUGH)
    assert (outcome.code, outcome.out) == (0, "0\n"), outcome.err
    child = max(profiles_in(tmp_path), key=lambda profile: len(profile.stacks_with("worker")))
    assert child.stacks_with("worker")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_profile_themselves(execute, tmp_path, method):
    outcome = execute(BURN + """
import multiprocessing, sys
def in_child(n): burn(0.3); return n * n
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    process = multiprocessing.Process(target=in_child, args=(1,))
    process.start(); process.join()
    with multiprocessing.Pool(2) as pool:
        print(pool.map(in_child, range(4)), process.exitcode)
        pool.close(); pool.join()
""", method, by="environment", env=LONG_ENOUGH)
    assert outcome.out == "[0, 1, 4, 9] 0\n", outcome.err
    seconds = sum(s.nanoseconds for p in profiles_in(tmp_path)
                  for s in p.stacks_with("in_child")) / 1e9
    assert 1.3 < seconds < 1.8


def test_subprocesses_are_left_alone_or_profile_themselves(execute, tmp_path):
    outcome = execute("""
import subprocess, sys
print(subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout)
print(subprocess.run(["sh", "-c", "sleep 0.2; echo done"], capture_output=True).stdout)
""", by="environment", env=LONG_ENOUGH)
    assert outcome.out == "b'1\\n'\nb'done\\n'\n"


def test_programs_started_by_the_program_do_not_write_over_its_profile(execute, tmp_path):
    """All inherit the same CPROF_OUTPUT, without a %p."""
    outcome = execute(BURN + """
import multiprocessing, os, subprocess, sys
def in_spawned(): burn(0.3)
def in_parent(): burn(0.3)
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    process = multiprocessing.Process(target=in_spawned)
    process.start(); process.join()
    in_started = "import prog\\ndef in_started(): prog.burn(0.3)\\nin_started()"
    subprocess.run([sys.executable, "-c", in_started], check=True)
    in_parent()
""", by="environment", env={"PYTHONPATH": str(tmp_path), "CPROF_LOG": "info"})
    assert outcome.code == 0, outcome.err
    assert outcome.profile.stacks_with("in_parent")
    assert not outcome.profile.names() & {"in_spawned", "in_started"}
    for function in ("in_spawned", "in_started"):
        assert len([p for p in profiles_in(tmp_path, "out.*.pb.gz")
                    if p.stacks_with(function)]) == 1, os.listdir(tmp_path)
    assert f"another process writes {outcome.output}: this one writes beside it" in outcome.err


def test_cprof_run_makes_one_profile_of_a_program_and_its_children(tmp_path):
    (tmp_path / "prog.py").write_text(BURN + """
import multiprocessing, os, subprocess, sys
def in_spawned(): burn(0.3)
def in_forked(): burn(0.3)
def in_parent(): burn(0.3)
def in_started(): burn(0.3)
if len(sys.argv) > 1:
    in_started()
elif __name__ == "__main__":
    for method, function in (("spawn", in_spawned), ("fork", in_forked)):
        process = multiprocessing.get_context(method).Process(target=function)
        process.start(); process.join()
    subprocess.run([sys.executable, __file__, "started"], check=True)
    in_parent()
""")
    command = os.path.join(os.path.dirname(cprof.__file__), "bin", "cprof")
    done = subprocess.run([command, "run", "-o", "all.pb.gz", "--", sys.executable, "prog.py"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    profile = Profile(tmp_path / "all.pb.gz")
    for function in ("in_spawned", "in_forked", "in_started", "in_parent"):
        seconds = sum(s.nanoseconds for s in profile.stacks_with(function)) / 1e9
        assert 0.2 < seconds < 0.4, (function, seconds)
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"all.pb.gz", "prog.py"}


def test_the_name_of_the_file_written_is_the_one_told(execute, tmp_path):
    outcome = execute(BURN + """
import os, subprocess, sys
if "again" not in sys.argv:
    subprocess.run([sys.executable, "-m", "cprof", "-o", "out.pb.gz", __file__, "again"], check=True)
burn(0.1)
""")
    written = [line.rpartition(" ")[2] for line in outcome.err.splitlines() if "written to" in line]
    assert len(written) == 2 and written[1] == str(outcome.output)
    assert all(Profile(path).stacks_with("burn") for path in written)


# ---- living together ----

def test_the_program_s_own_signals_and_timers_go_on(execute):
    outcome = execute(BURN + """
import signal, faulthandler, time
faulthandler.enable()
hits = []
signal.signal(signal.SIGPROF, lambda *a: hits.append(1))
signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)
burn(0.6)
signal.setitimer(signal.ITIMER_PROF, 0)
start = time.monotonic(); time.sleep(0.3); slept = time.monotonic() - start
print(len(hits) > 20 or len(hits), slept >= 0.3)
""", by="environment")
    assert outcome.out == "True True\n"
    assert outcome.profile.stacks_with("burn")


def test_faulthandler_tells_of_hangs_and_signals_as_ever(execute):
    """Its watchdog thread, and a signal of its own, while this thread is being sampled."""
    outcome = execute(BURN + """
import faulthandler, os, signal, sys
faulthandler.enable()
faulthandler.register(signal.SIGUSR1)
faulthandler.dump_traceback_later(0.1, repeat=True)
def hangs():
    for _ in range(10): burn(0.05); os.kill(os.getpid(), signal.SIGUSR1)
hangs()
faulthandler.cancel_dump_traceback_later()
print("ran")
""", by="environment")
    assert (outcome.code, outcome.out) == (0, "ran\n")
    assert outcome.err.count("Timeout (") >= 2
    assert outcome.err.count("in hangs") >= 12
    assert outcome.profile.stacks_with("hangs")


@pytest.mark.parametrize("enabled_first", [True, False])
def test_a_crash_is_the_program_s_own_and_faulthandler_tells_of_it(execute, enabled_first):
    outcome = execute(BURN + """
import ctypes, faulthandler, sys
def crashes():
    burn(0.2)
    ctypes.string_at(0)
if "first" in sys.argv:
    faulthandler.enable()
import cprof; cprof.start(exporter="none")
if "first" not in sys.argv:
    faulthandler.enable()
crashes()
""", "first" if enabled_first else "second", by=None)
    assert outcome.code == -signal.SIGSEGV
    assert outcome.err.startswith("Fatal Python error: Segmentation fault")
    assert "in crashes" in outcome.err and "cprof" not in outcome.err.split("\n\n")[1]


def test_daemon_threads_at_exit_do_no_harm(execute):
    outcome = execute(BURN + """
import threading
def forever():
    while True: burn(0.01)
for _ in range(4): threading.Thread(target=forever, daemon=True).start()
burn(0.3)
""", by="environment")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.profile.stacks_with("forever")


def test_a_low_limit_of_pending_signals_does_not_stop_it(execute):
    outcome = execute(BURN + """
import resource
resource.setrlimit(resource.RLIMIT_SIGPENDING, (1, 1))
import cprof, threading
threads = [threading.Thread(target=burn, args=(0.3,)) for _ in range(5)]
for t in threads: t.start()
for t in threads: t.join()
burn(0.3)  # the main thread has had its timer since the start
print("ran")
""", by="environment")
    assert (outcome.code, outcome.out) == (0, "ran\n")
    (line,) = outcome.err.splitlines()
    assert "limit of pending signals" in line
    assert outcome.profile.metric("cprof.threads_unsampled") > 0
    assert outcome.profile.stacks_with("burn")


def test_fork_hooks_of_others_may_let_the_gil_go(execute):
    """A hook registered earlier runs after ours and lets other threads run: they must not meet
    a lock that is held for the fork."""
    outcome = execute("""
        import os, threading, time
        os.register_at_fork(before=lambda: time.sleep(0.01))
        import cprof
        cprof.start(exporter="none")
        stop = False
        def churn():
            n = 0
            while not stop:
                n += 1
                exec(compile(f"def f{n}(): return {n}\\nf{n}()", "generated", "exec"))
                cprof.stats()
        thread = threading.Thread(target=churn)
        thread.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        stop = True
        thread.join()
        print("done")
        """, by=None, timeout=60)
    assert outcome.out.strip() == "done", outcome.err
