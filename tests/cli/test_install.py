"""cmake --install brings the command, its man page and what shells complete with."""

import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import COMMAND


def test_install_brings_the_command_its_man_page_and_completions(tmp_path):
    build = pathlib.Path(COMMAND).resolve().parents[1]
    if not shutil.which("cmake") or not (build / "CMakeCache.txt").exists():
        pytest.skip("the command was not built with cmake here")
    done = subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], capture_output=True, text=True,
                          env={**os.environ, "DESTDIR": str(tmp_path)}, timeout=120)
    assert done.returncode == 0, done.stderr
    command = tmp_path / "usr" / "bin" / "cprof"
    said = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60).stdout
    assert said.startswith("cprof ")
    (tmp_path / "in.folded").write_text("main;work 3\n")
    shown = subprocess.run([command, "top", tmp_path / "in.folded"], capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, "") and " work" in shown.stdout
    share = tmp_path / "usr" / "share"
    for shell, file in (("bash", "bash-completion/completions/cprof"), ("zsh", "zsh/site-functions/_cprof"),
                        ("fish", "fish/vendor_completions.d/cprof.fish")):
        printed = subprocess.run([command, "completion", shell], capture_output=True, text=True, timeout=60).stdout
        assert (share / file).read_text() == printed != ""
    if shutil.which("man"):
        shown = subprocess.run(["man", "-l", share / "man" / "man1" / "cprof.1"], capture_output=True, text=True,
                               env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"}, timeout=60)
        assert shown.returncode == 0 and "cprof diff [OPTIONS] BASE NEW" in shown.stdout
    else:
        assert (share / "man" / "man1" / "cprof.1").exists()
