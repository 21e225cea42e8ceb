"""What packaging/releasing/packages makes of the command: a tarball, a .deb and an .rpm. A script stands for it here."""

import os
import shutil
import subprocess

import pytest

from conftest import ROOT

NAMES = ["cprof-1.2.3-1.x86_64.rpm", "cprof-1.2.3-linux-x86_64.tar.gz", "cprof_1.2.3_amd64.deb"]
FILES = ["/usr/bin/cprof", "/usr/share/doc/cprof/NOTICE", "/usr/share/doc/cprof/copyright", "/usr/share/man/man1/cprof.1.gz"]

pytestmark = pytest.mark.skipif(not shutil.which("rpmbuild") or not shutil.which("dpkg-deb"),
                                reason="no rpmbuild (Debian: apt-get install rpm)")


def run(*arguments, **options):
    return subprocess.run([str(a) for a in arguments], check=True, capture_output=True, text=True, timeout=120,
                          **options).stdout


def make(folder, command):
    folder.mkdir()
    run(ROOT / "packaging/releasing/packages", command, "x86_64", "1.2.3", folder,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600"})
    return folder


def test_packages_hold_the_command_and_are_the_same_bytes_twice(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho runs\n")
    one, two = make(tmp_path / "one", script), make(tmp_path / "two", script)
    assert sorted(path.name for path in one.iterdir()) == NAMES
    for name in NAMES:
        assert (one / name).read_bytes() == (two / name).read_bytes()
    rpm, tar, deb = (one / name for name in NAMES)
    run("dpkg-deb", "-x", deb, tmp_path / "deb")
    run("tar", "-C", tmp_path, "-xzf", tar)
    for command in tmp_path / "deb/usr/bin/cprof", tmp_path / "cprof-1.2.3-linux-x86_64/cprof":
        assert command.read_bytes() == script.read_bytes()
        assert run(command) == "runs\n"
    assert sorted("/" + str(path.relative_to(tmp_path / "deb")) for path in (tmp_path / "deb").rglob("*")
                  if path.is_file()) == FILES
    assert run("dpkg-deb", "-f", deb, "Version", "Architecture").split() == ["Version:", "1.2.3", "Architecture:", "amd64"]
    assert [line for line in run("rpm", "-qpl", rpm).split() if line != "/usr/share/doc/cprof"] == FILES
    assert run("rpm", "-qp", "--queryformat", "%{VERSION} %{ARCH} %{LICENSE}", rpm) == "1.2.3 x86_64 Apache-2.0"
    assert all(line.startswith("rpmlib(") for line in run("rpm", "-qpR", rpm).splitlines())
