import os
import pathlib
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import profiles  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Whoever runs the tests in the background has these ignored (nohup, a shell's &), and so would
# every program that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

COMMAND = os.environ.get("CPROF_COMMAND", str(ROOT / "build" / "cli" / "cprof"))


@pytest.fixture
def cprof():
    """Runs the command; gives back the finished process, its output as text."""
    if not os.access(COMMAND, os.X_OK):
        pytest.fail(f"{COMMAND} is not built (or set CPROF_COMMAND)")

    def call(*arguments, **options):
        options.setdefault("timeout", 120)
        options.setdefault("capture_output", True)
        return subprocess.run([COMMAND, *map(str, arguments)], encoding="utf-8", errors="replace",
                              **options)

    return call


@pytest.fixture
def small(tmp_path):
    return profiles.small(tmp_path / "small.pb.gz")
