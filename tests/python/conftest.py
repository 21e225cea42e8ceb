"""Runs small programs profiled, and hands back what came of it."""

import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pprof import Profile  # noqa: E402

# Under one interpreter the tests of totals and of stress take their full time (run_all.py).
LONG = bool(os.environ.get("CPROF_TEST_LONG"))

# What runs the programs: this Python, or one for another processor in an emulator (tests/arm64).
PYTHON = os.environ.get("CPROF_TEST_PYTHON", sys.executable)

# burn() for programs.
BURN = (Path(__file__).parent / "burn.py").read_text()


class Outcome:
    def __init__(self, process, output):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr
        self.output = output

    @property
    def profile(self):
        assert self.output.exists(), f"no profile; exit {self.code}\n{self.out}\n{self.err}"
        return Profile(self.output)


@pytest.fixture
def execute(tmp_path):
    """execute(source, *arguments, env={}, by="module") runs a program under `python -m cprof`
    (by="module"), by auto-start (by="environment") or unprofiled (by=None)."""
    def run(source, *arguments, env=None, by="module", options=(), timeout=120, name="prog.py",
            output="out.pb.gz"):
        program = tmp_path / name
        program.write_text(textwrap.dedent(source))
        output_path = tmp_path / output
        variables = {k: v for k, v in os.environ.items()
                     if not k.startswith(("CPROF_", "OTEL_"))}
        variables["CPROF_RATE"] = "500"
        command = [PYTHON]
        if by == "module":
            command += ["-m", "cprof", "-o", str(output_path), *options]
        elif by == "environment":
            variables.update(CPROF_ENABLED="1", CPROF_OUTPUT=str(output_path))
        variables.update(env or {})
        process = subprocess.run([*command, str(program), *arguments], env=variables, text=True,
                                 capture_output=True, timeout=timeout, cwd=tmp_path)
        return Outcome(process, output_path)
    return run


@pytest.fixture
def run_beside(tmp_path):
    """with run_beside(source) as process: a program that runs meanwhile, its streams pipes."""
    @contextmanager
    def run(source):
        program = tmp_path / "prog.py"
        program.write_text(textwrap.dedent(source))
        process = subprocess.Popen([PYTHON, str(program)], text=True, cwd=tmp_path,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()
    return run
