"""cprof attach: into a Python that was started without cprof, by the interpreter's own remote execution."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cprof
import pytest

COMMAND = Path(cprof.__file__).parent / "bin" / "cprof"
PROGRAM = """
import sys, time
def busy():
    end = time.monotonic() + 0.02
    while time.monotonic() < end: sum(range(1000))
print("cprof" in sys.modules, flush=True)
end = time.monotonic() + 60
while time.monotonic() < end: busy(); time.sleep(0.02)
"""

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="remote execution came with 3.14")


def call(*arguments):
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def running():
    """running(**variables): a program without cprof in it."""
    programs = []

    def run(**variables):
        if not COMMAND.exists():
            pytest.skip("the command is not beside the package")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CPROF_", "OTEL_"))}
        program = subprocess.Popen([sys.executable, "-c", PROGRAM], env={**environment, **variables}, text=True,
                                   stdout=subprocess.PIPE)
        programs.append(program)
        assert program.stdout.readline() == "False\n"
        return program

    yield run
    for program in programs:
        program.kill()
        program.wait()
        program.stdout.close()


def test_a_python_without_cprof_is_attached_to_and_recorded(running, tmp_path):
    program, out = running(), tmp_path / "out.collapsed"
    assert call("record", "-o", out, program.pid).returncode == 1
    done = call("attach", program.pid)
    if "ermission" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"the kernel forbids it here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "already" in call("attach", program.pid).stdout
    done = call("record", "--seconds", "1", "-o", out, program.pid)
    assert done.returncode == 0, done.stderr
    assert "busy" in out.read_text()
    assert not [left for left in Path("/tmp").glob("cprof-attach-*") if left.stat().st_mtime > time.time() - 30]


def test_one_that_forbids_it_is_told_of(running):
    done = call("attach", running(PYTHON_DISABLE_REMOTE_DEBUG="1").pid)
    assert done.returncode == 1 and "CPROF_ENABLED=standby" in done.stderr
