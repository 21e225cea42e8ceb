"""cprof run, with programs that leave profiles as cprof in an interpreter does."""

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time

import pytest

from conftest import COMMAND
from profiles import MAIN, ProfileFile
from test_helpers import program as interpreted
from test_page_read import carried

# Stands for a program with cprof in it: writes the profile where the environment says.
PROGRAM = """#!/bin/sh
leave() {
    out=$(printf %s "$CPROF_OUTPUT" | sed "s/%p/$$/; s/%t/$(date +%s)/; s/%n/$1/")
    cp "$PROFILE" "$out"
}
"""


@pytest.fixture
def program(tmp_path, small):
    """Makes an executable script; its environment has PROFILE."""
    def make(body, name="program", first=PROGRAM):
        path = tmp_path / name
        path.write_text(first + body)
        path.chmod(0o755)
        return path
    return make


@pytest.fixture
def environment(tmp_path, small):
    folder = tmp_path / "tmp"
    folder.mkdir()
    clean = {key: value for key, value in os.environ.items()
             if not key.startswith("CPROF_") and key not in ("RUBYOPT", "NODE_OPTIONS")}
    return {**clean, "PROFILE": small, "TMPDIR": str(folder)}


def left_behind(environment):
    return os.listdir(environment["TMPDIR"])


def test_run_prints_the_table_and_writes_every_output(cprof, program, environment, tmp_path):
    done = cprof("run", "-o", "out.html", "-o", "out.pb.gz", "--", program("leave 1; echo its own output"),
                 env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "its own output\n")
    assert "shop · 1.00 s of CPU in 10.0 s · 100 samples" in done.stderr
    assert re.search(r"400 ms  40\.0%   400 ms  40\.0%   parse +shop/worker\.py:30", done.stderr)
    assert done.stderr.endswith("\nprofile: out.html\n         out.pb.gz\n")
    assert cprof("top", tmp_path / "out.pb.gz").returncode == 0
    assert stat.S_IMODE((tmp_path / "out.html").stat().st_mode) == 0o600
    assert left_behind(environment) == []


def test_a_profile_on_standard_output_is_alone_there(cprof, program, environment, tmp_path):
    script = program("leave 1; echo its own output; echo its error >&2")
    done = cprof("run", "-o", "-", "--format", "collapsed", "--", script, env=environment, cwd=tmp_path)
    assert done.returncode == 0
    assert sum(int(line.rsplit(" ", 1)[1]) for line in done.stdout.splitlines()) == 100
    assert done.stderr.startswith("its own output\nits error\n") and "profile: standard output\n" in done.stderr
    assert os.listdir(tmp_path / "tmp") == []
    both = cprof("run", "-o", "/dev/stdout", "-o", "out.txt", "--format", "collapsed", "--", script, env=environment,
                 cwd=tmp_path)
    assert both.stdout == done.stdout == (tmp_path / "out.txt").read_text()
    for wrong in (("-o", "-"), ("-o", "-", "--format", "svg"), ("-o", "out.svg")):
        assert cprof("run", *wrong, "--", script, env=environment, cwd=tmp_path).returncode == 2


def test_the_default_output_is_a_flame_graph_named_by_the_process(cprof, program, environment, tmp_path):
    done = cprof("run", program("leave 1; echo $$"), env=environment, cwd=tmp_path)
    assert f"profile: cprof-{done.stdout.strip()}.html" in done.stderr
    assert (tmp_path / f"cprof-{done.stdout.strip()}.html").exists()


def test_profiles_of_all_processes_and_intervals_are_merged(cprof, program, environment, tmp_path):
    body = f"leave 1; leave 2; {program('leave 1', 'child')} & {program('leave 1; leave 2', 'other')}; wait"
    done = cprof("run", "-o", "o.html", "--", program(body), env=environment, cwd=tmp_path)
    assert "5.00 s of CPU" in done.stderr and "500 samples" in done.stderr


@pytest.mark.parametrize("arguments, has", [([], False), (["--all-native"], True)])
def test_the_interpreters_own_frames_show_in_table_and_page_when_asked_for(cprof, program, environment, tmp_path,
                                                                          arguments, has):
    environment["PROFILE"] = interpreted(tmp_path / "program.pb.gz")
    done = cprof("run", *arguments, "-o", "o.html", "-o", "o.pb.gz", "--", program("leave 1"), env=environment,
                 cwd=tmp_path)
    assert ("_PyObject_Call" in done.stderr) == has and "crc32" in done.stderr
    assert carried(tmp_path / "o.html")["allNative"] is has
    assert "_PyObject_Call" in cprof("top", "--all-native", "-n99", tmp_path / "o.pb.gz").stdout


def test_the_processes_of_a_run_are_told_apart(cprof, program, environment, tmp_path):
    body = ""
    for pid, count in ((101, 3), (102, 20)):
        profile = ProfileFile(service="shop").add([MAIN], count)
        profile.comments = [f"process.pid={pid}"]
        body += f"PROFILE={profile.write(tmp_path / f'{pid}.pb.gz')} leave {pid}\n"
    done = cprof("run", "-o", "o.html", "-o", "o.pb.gz", "--", program(body), env=environment, cwd=tmp_path)
    assert done.stderr.lstrip().startswith("shop · 230 ms of CPU"), done.stderr
    for file in ("o.html", "o.pb.gz"):
        assert "· 30.0 ms of CPU" in cprof("top", "--label", "process.pid=101", tmp_path / file).stdout


def test_what_a_run_leaves_can_be_narrowed(cprof, program, environment, tmp_path):
    done = cprof("run", "-o", "o.pb.gz", "--thread", "worker-1", "--type", "samples", "--", program("leave 1"),
                 env=environment, cwd=tmp_path)
    assert "shop · 40 samples" in done.stderr and "crc32" not in done.stderr
    assert "40 samples" in cprof("top", tmp_path / "o.pb.gz").stdout
    done = cprof("run", "-o", "o.pb.gz", "--type", "cheese", "--", program("leave 1; exit 7"), env=environment,
                 cwd=tmp_path)
    assert done.returncode == 7 and 'has no frames of type "cheese", only: ' in done.stderr
    kept = re.search(r"profiles are kept in (\S+)", done.stderr)[1]
    assert len(os.listdir(kept)) == 1


def test_half_written_and_broken_files_do_not_spoil_the_rest(cprof, program, environment, tmp_path):
    body = 'leave 1; d=$(dirname "$CPROF_OUTPUT"); echo x >"$d/1-1-1.pb.gz.Ab3dEf"; echo x >"$d/9-9-9.pb.gz"'
    with tempfile.TemporaryDirectory() as short:  # a line has room for a path of 100 characters
        environment = {**environment, "TMPDIR": short}
        done = cprof("run", "-o", "o.html", "--", program(body), env=environment, cwd=tmp_path)
        assert "1.00 s of CPU" in done.stderr and "9-9-9.pb.gz" in done.stderr
        assert left_behind(environment) == []


@pytest.mark.parametrize("body, code", [("leave 1; exit 7", 7), ("leave 1; kill -9 $$", 137), ("exit 3", 3)])
def test_the_exit_code_is_the_programs(cprof, program, environment, tmp_path, body, code):
    assert cprof("run", "-o", "o.html", "--", program(body), env=environment, cwd=tmp_path).returncode == code


def test_a_program_that_cannot_be_run_gives_the_codes_of_the_shell(cprof, program, environment, tmp_path):
    done = cprof("run", "no-such-program", env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        127, 'cprof: cannot run "no-such-program": No such file or directory\n')
    plain = tmp_path / "plain"
    plain.write_text("")
    assert cprof("run", plain, env=environment, cwd=tmp_path).returncode == 126
    assert left_behind(environment) == []


def test_the_environment_says_what_was_asked(cprof, program, environment, tmp_path):
    done = cprof("run", "--rate", "250", "--types", "cpu,wall", "-o", "o.html", "--",
                 program("leave 1; env | grep ^CPROF_"), env=environment, cwd=tmp_path)
    values = dict(line.split("=", 1) for line in done.stdout.splitlines())
    output, notes = values.pop("CPROF_OUTPUT"), values.pop("CPROF_RUN")
    assert values == {"CPROF_ENABLED": "1", "CPROF_EXPORTER": "file", "CPROF_RATE": "250",
                      "CPROF_TYPES": "cpu,wall", "CPROF_INTERVAL": "1"}
    assert re.fullmatch(re.escape(environment["TMPDIR"]) + r"/cprof-\w{6}/[0-9a-f]{16}", notes)
    assert output == f"{notes}/%p-%t-%n.pb.gz"


def test_ruby_and_node_are_told_only_where_they_have_cprof(cprof, program, environment, tmp_path):
    show = 'echo "ruby $RUBYOPT"; echo "node $NODE_OPTIONS"'
    bare = tmp_path / "bare"
    bare.mkdir()
    # Interpreters that know nothing of cprof: nothing is added.
    for name in ("ruby", "node"):
        (bare / name).write_text("#!/bin/sh\nexit 1\n")
        (bare / name).chmod(0o755)
    path = f"{bare}:/usr/bin:/bin"
    script = program(show)
    done = cprof("run", "-o", "o.html", "--", script, env={**environment, "PATH": path}, cwd=tmp_path)
    assert done.stdout == "ruby \nnode \n"
    # Interpreters that have it answer where it is; what was set before stays.
    (bare / "ruby").write_text("#!/bin/sh\n[ \"$CPROF_ENABLED\" = 0 ] && printf /gems/cprof/auto.rb\n")
    (bare / "node").write_text("#!/bin/sh\necho '/my \"modules\"/cprof/auto.js'\n")
    done = cprof("run", "-o", "o.html", "--", script, cwd=tmp_path,
                 env={**environment, "PATH": path, "RUBYOPT": "-W0"})
    assert done.stdout == ('ruby -W0 -r/gems/cprof/auto.rb\n'
                           'node --require "/my \\"modules\\"/cprof/auto.js"\n')
    # RUBYOPT knows no quotes.
    (bare / "ruby").write_text("#!/bin/sh\nprintf '/my gems/cprof/lib/cprof/auto.rb'\n")
    done = cprof("run", "-o", "o.html", "--", program('echo "$RUBYOPT $RUBYLIB"'), cwd=tmp_path,
                 env={**environment, "PATH": path, "RUBYOPT": "-W0", "RUBYLIB": "/mine"})
    assert done.stdout == "-W0 -rcprof/auto /mine:/my gems/cprof/lib\n"


@pytest.mark.parametrize("answer, reason", [
    ("exit 1", "has no cprof: "), ("exit 0", "has cprof, but did not start it: ")])
def test_no_profile_is_explained_in_one_line(cprof, program, environment, tmp_path, answer, reason):
    python = program(f'[ "$1" = -c ] && {{ {answer}; }}; exit 5', name="python3.99", first="#!/bin/sh\n")
    done = cprof("run", python, "app.py", env=environment, cwd=tmp_path)
    assert done.returncode == 5
    assert done.stderr.startswith("cprof: no profile: ") and len(done.stderr.splitlines()) == 1
    assert reason in done.stderr
    assert left_behind(environment) == []


# Stands for what cprof notes in a process.
NOTE = 'note() { echo "$*" >>"$CPROF_RUN/$$.note"; }\n'


@pytest.mark.parametrize("body, reason", [
    ("note started; note ended 0 0", "it ended before a sample was due, after 0."),
    ("note started; note ended 0 3", "no timer was to be had: the limit of pending signals (ulimit -i) is spent"),
    ("note started; note ended 42 0", "its 42 samples could not be written to "),
    ("note started; kill -9 $$", "nothing was written before it was killed, left by os._exit or became"),
    ("note started; exec sleep 0", "nothing was written before it was killed, left by os._exit or became"),
    ("note 'refused CPROF_RATE=fast: must be a number'",
     "cprof did not start: CPROF_RATE=fast: must be a number"),
])
def test_no_profile_of_a_program_that_had_cprof_has_its_true_reason(cprof, program, environment, tmp_path, body,
                                                                    reason):
    done = cprof("run", program(NOTE + body), env=environment, cwd=tmp_path)
    assert done.stderr.startswith(f"cprof: no profile: {reason}") and len(done.stderr.splitlines()) == 1
    assert left_behind(environment) == []


def test_notes_that_are_no_files_are_left_alone(cprof, program, environment, tmp_path):
    body = 'mkfifo "$CPROF_RUN/1.note"; ln -s /etc/shadow "$CPROF_RUN/2.note"; ln -s /etc/shadow "$CPROF_RUN/3.pb.gz"'
    done = cprof("run", "-o", "o.html", "--", program(f"leave 1; {body}"), env=environment, cwd=tmp_path)
    assert "1.00 s of CPU" in done.stderr and "shadow" not in done.stderr and "3.pb.gz" not in done.stderr
    assert left_behind(environment) == []


def test_a_process_that_ends_with_its_program_is_waited_for_and_one_that_stays_is_told(cprof, program, environment,
                                                                                       tmp_path):
    late = program(NOTE + "note started; sleep 0.3; leave 2; note ended 100 0", "late")
    done = cprof("run", "-o", "o.html", "--", program(f"leave 1; {late} & sleep 0.1"), env=environment, cwd=tmp_path)
    assert "2.00 s of CPU" in done.stderr and "still" not in done.stderr
    stays = program(NOTE + "note started; exec sleep 20 >/dev/null 2>&1", "stays")
    done = cprof("run", "-o", "o.html", "--", program(f"leave 1; {stays} & sleep 0.1"), env=environment, cwd=tmp_path)
    assert "\n1 process of it still runs: what it does from now on is not in the profile\n" in done.stderr
    assert left_behind(environment) == []


def test_what_cannot_be_written_is_known_before_the_start(cprof, program, environment, tmp_path):
    script = program("touch started")
    (tmp_path / "folder.html").mkdir()
    for out, code in (("no/out.html", 1), ("folder.html", 1), ("out.unknown", 2)):
        done = cprof("run", "-o", out, "--", script, env=environment, cwd=tmp_path)
        assert done.returncode == code and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "started").exists()


def test_profiles_are_kept_when_the_output_fails_at_the_end(cprof, program, environment, tmp_path):
    (tmp_path / "out").mkdir()
    done = cprof("run", "-o", "out/o.html", "--", program("leave 1; rmdir out; exit 4"),
                 env=environment, cwd=tmp_path)
    assert done.returncode == 4
    kept = re.search(r"the profiles are kept in (\S+)", done.stderr)[1]
    assert len(os.listdir(kept)) == 1


def test_the_profile_is_written_even_if_nobody_reads_the_table(program, environment, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.Popen([COMMAND, "run", "-o", "o.pb.gz", "--", program("leave 1; exit 6")],
                             env=environment, cwd=tmp_path, stderr=writer)
    os.close(writer)
    assert child.wait(30) == 6
    assert (tmp_path / "o.pb.gz").exists() and left_behind(environment) == []


def start(script, environment, tmp_path):
    """The command in a process group of its own, once the program has said that it runs."""
    child = subprocess.Popen([COMMAND, "run", "-o", "o.html", "--", script], env=environment, cwd=tmp_path,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             start_new_session=True)
    assert child.stdout.readline() == "running\n"
    return child


def test_the_keyboards_interrupt_is_the_programs(program, environment, tmp_path):
    script = program("trap 'leave 1; exit 42' INT; echo running; while :; do sleep 0.05; done")
    child = start(script, environment, tmp_path)
    os.killpg(child.pid, signal.SIGINT)  # as the terminal does it
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 42 and "1.00 s of CPU" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_passed_on(program, environment, tmp_path, number):
    script = program("trap 'leave 1; exit 43' TERM HUP; echo running; while :; do sleep 0.05; done")
    child = start(script, environment, tmp_path)
    child.send_signal(number)  # to cprof alone
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 43 and "1.00 s of CPU" in errors


def test_signals_reach_the_program_as_cprof_got_them(program, environment, tmp_path):
    """Ignored stays ignored (nohup), and nothing is blocked."""
    script = program("", first=f"#!{sys.executable}\n" + (
        "import signal\n"
        "print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN,"
        " signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,"
        " signal.getsignal(signal.SIGQUIT) == signal.SIG_DFL,"
        " signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"))
    done = subprocess.run(["nohup", COMMAND, "run", script], env=environment, cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert done.stdout == "True True True set()\n"
