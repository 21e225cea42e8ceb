"""Packaging: a source distribution builds on its own, and nothing leaks out of the extension."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

BINDING = Path(__file__).resolve().parents[2] / "bindings" / "python"


def test_the_extension_exports_nothing_but_its_entry():
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm")
    from cprof import _cprof
    listing = subprocess.run([nm, "-D", "--defined-only", _cprof.__file__], check=True,
                             capture_output=True, text=True).stdout
    assert [line.split()[-1] for line in listing.splitlines()] == ["PyInit__cprof"]


@pytest.mark.skipif(not (BINDING / "setup.py").exists() or shutil.which("cmake") is None or
                    not sys.base_prefix.startswith("/usr"),
                    reason="once is enough: under the system's Python, where a compiler is")
def test_the_source_distribution_installs_without_the_clone(tmp_path):
    subprocess.run([sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path)], check=True,
                   cwd=BINDING, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "source")
    (source,) = (tmp_path / "source").iterdir()
    target = tmp_path / "installed"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation",
                    "--no-deps", "--target", str(target), str(source)], check=True)
    names = {path.name for path in target.iterdir()}
    assert {"cprof", "_cprof_autostart.py", "cprof-autostart.pth",
            "cprof-autostart.start"} <= names
    done = subprocess.run(
        [sys.executable, "-c", "import cprof; cprof.start(exporter='none'); cprof.stop(); "
         "print(cprof.__file__)"], env={**os.environ, "PYTHONPATH": str(target)}, check=True,
        capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith(str(target))
    assert os.access(target / "cprof" / "bin" / "cprof", os.X_OK)
