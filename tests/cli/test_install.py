"""cmake --install brings the command, its man page and what shells complete with."""

import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import COMMAND

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = "cprof: the build lacks what Debian has as: apt install "


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
    remote = subprocess.run([command, "top", "http://127.0.0.1:1/"], capture_output=True, text=True, timeout=60)
    assert remote.returncode == 1 and "127.0.0.1" in remote.stderr and "libcprof" not in remote.stderr
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


@pytest.fixture
def clone(tmp_path):
    """A copy of what is built from, with the build folders of the place that it was copied from."""
    if not shutil.which("cmake"):
        pytest.skip("there is no cmake")
    copy = tmp_path / "clone"
    copy.mkdir()
    for part in ("CMakeLists.txt", "cmake", "core", "cli", "proto"):
        (copy / part).symlink_to(ROOT / part)
    for language in ("python", "node", "ruby"):
        shutil.copytree(ROOT / "bindings" / language, copy / "bindings" / language, ignore=shutil.ignore_patterns(
            "build", "core-src", "prebuilds", "*.egg-info", "node_modules", "*.gem"))
    for build in ("bindings/python/temp/cmake", "bindings/node/build"):
        (copy / build).mkdir(parents=True)
        (copy / build / "CMakeCache.txt").write_text("CMAKE_HOME_DIRECTORY:INTERNAL=/where/it/came/from\n")
    return copy


BUILDS = {
    "python": ["/usr/bin/python3", "setup.py", "build_ext", "--build-temp", "temp", "--build-lib", "lib"],
    "node": ["node", "tools/build.js"],
    "ruby": ["ruby", "ext/cprof/extconf.rb"],
}


@pytest.mark.parametrize("language", BUILDS)
@pytest.mark.parametrize("lack", ["cmake", "libcurl4-openssl-dev"])
def test_a_build_that_lacks_something_ends_with_the_name_of_its_package(clone, tmp_path, language, lack):
    command = BUILDS[language]
    if not shutil.which(command[0]):
        pytest.skip(f"there is no {command[0]}")
    environment = {**os.environ, "PKG_CONFIG_LIBDIR": "/nowhere"}  # as if no library were installed
    if lack == "cmake":
        bare = tmp_path / "bare"
        bare.mkdir()
        for name in (command[0], "cc", "ninja", "sh"):
            (bare / pathlib.Path(name).name).symlink_to(shutil.which(name) or "/nowhere")
        environment["PATH"] = str(bare)
        command = [shutil.which(command[0]), *command[1:]]
    done = subprocess.run(command, cwd=clone / "bindings" / language, env=environment, capture_output=True, text=True,
                          timeout=120)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("cprof: ")]
    assert lines and all(line == LINE + lack for line in lines if "apt install" in line) and LINE + lack in lines, \
        done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "does not match the source" not in done.stderr
    if language != "ruby":  # whose gem is installed all the same, and says at run time what it lacks
        assert done.returncode == 1 and done.stderr.splitlines()[-1] == LINE + lack
