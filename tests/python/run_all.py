#!/usr/bin/env python3
"""Builds cprof for every Python that this machine has, and runs the tests under each.

    run_all.py [--quick] [--reports FOLDER] [VERSION ...] [-- PYTEST ARGUMENTS]

Pythons are the system's, pyenv's (~/.pyenv/versions), and those of Debian roots named by
CPROF_TEST_ROOTS (entered with chroot; they need no compiler: the extension is built here against
their headers). Prints one line for each; exit 1 if any failed. --quick: the system's only. --reports: a JUnit
file for each there.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
BINDING = HERE.parent.parent / "bindings" / "python"
SUPPORTED = re.compile(r"3\.1[0-5]$")
WORK = Path(os.environ.get("CPROF_TEST_WORK", "/tmp/cprof-test-python"))
ROOTS = os.environ.get("CPROF_TEST_ROOTS", "/var/cache/cprof-test/sid")


def quietly(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, **keywords)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


class Local:
    """A Python with headers on this machine: a virtual environment, and pip."""

    def __init__(self, python):
        self.python = python
        code = "import sys; print('%d.%d' % sys.version_info[:2], sys.version.split()[0])"
        self.minor, self.version = quietly(python, "-c", code).split()
        self.name = f"{self.version} ({python})"

    def prepare(self):
        self.folder = WORK / f"venv-{self.version}"
        quietly("sh", HERE / "venv.sh", self.python, self.folder)
        self.report = self.report_inside = WORK / f"{self.version}.xml"
        self.walktest = self.folder / "walktest"
        self.walktest.mkdir(exist_ok=True)
        include = quietly(self.python, "-c", "import sysconfig; "
                          "print(sysconfig.get_path('include'))").strip()
        quietly("sh", HERE / "walktest" / "build.sh", self.walktest / "_walktest.so", include)

    def pytest(self, arguments):
        return [str(self.folder / "bin" / "python"), "-m", "pytest", *arguments], {
            "cwd": HERE, "env": {**os.environ, "PYTHONPATH": str(self.walktest)}}


class Rooted:
    """A Python inside a Debian root, without compiler or pip: everything is built here."""

    def __init__(self, root, minor):
        self.root, self.minor = Path(root), minor
        self.version = f"{minor}-{Path(root).name}"
        self.name = f"{minor} ({root})"

    def prepare(self):
        if os.geteuid() != 0:
            raise PermissionError("only root can enter the Debian root")
        inside = Path("/tmp/cprof-test") / self.minor
        outside = self.root / inside.relative_to("/")
        shutil.rmtree(outside, ignore_errors=True)
        outside.mkdir(parents=True)
        quietly("chroot", self.root, f"python{self.minor}", "-m", "venv", "--without-pip",
                inside / "venv")
        site = outside / "venv" / "lib" / f"python{self.minor}" / "site-packages"
        quietly(sys.executable, "-m", "pip", "install", "-q", "--target", site,
                "--python-version", self.minor, "--only-binary=:all:", "pytest")
        shutil.copytree(BINDING / "cprof", site / "cprof", dirs_exist_ok=True)
        for name in ("_cprof_autostart.py", "cprof-autostart.pth", "cprof-autostart.start"):
            shutil.copy(BINDING / name, site)
        includes = self.includes()
        build = WORK / f"build-{self.minor}"
        quietly("cmake", "-S", BINDING, "-B", build, "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                f"-DCPROF_PYTHON_INCLUDE={';'.join(includes)}", "-DCPROF_PYTHON_SUFFIX=.so",
                f"-DCPROF_PYTHON_OUTPUT={site / 'cprof'}")
        quietly("cmake", "--build", build, "--parallel", str(os.cpu_count() or 1),
                "--target", "cprof_python")
        shutil.copytree(HERE, outside / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        quietly("sh", HERE / "walktest" / "build.sh", site / "_walktest.so", *includes)
        self.inside = inside
        self.report, self.report_inside = outside / "report.xml", inside / "report.xml"

    def includes(self):
        """Debian keeps one header in a folder by architecture, beside the C library's: only
        that one is made visible."""
        machine = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
        headers = self.root / "usr" / "include"
        shim = WORK / "include" / machine
        shim.mkdir(parents=True, exist_ok=True)
        link = shim / f"python{self.minor}"
        if not link.exists():
            link.symlink_to(headers / machine / f"python{self.minor}")
        return [str(headers / f"python{self.minor}"), str(shim.parent)]

    def pytest(self, arguments):
        """In a mount namespace of its own, where /proc is there while the tests run."""
        script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
        inside = f'cd {self.inside}/tests && exec {self.inside}/venv/bin/python -m pytest "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(self.root), "sh", "-c", inside, "sh",
                *arguments], {}


def find_all(quick):
    found = [Local("/usr/bin/python3")]
    if not quick:
        for python in sorted(Path.home().glob(".pyenv/versions/3.*/bin/python")):
            if SUPPORTED.match(".".join(python.parts[-3].split(".")[:2])):
                found.append(Local(str(python)))
        for root in filter(os.path.isdir, ROOTS.split(":")):
            for python in sorted(Path(root, "usr", "bin").glob("python3.1?")):
                if (Path(root) / "usr" / "include" / python.name / "Python.h").exists():
                    found.append(Rooted(root, python.name[len("python"):]))
    return [python for python in found if SUPPORTED.match(python.minor)]


def parse_arguments():
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--reports", type=Path)
    parser.add_argument("versions", nargs="*")
    options = parser.parse_args(arguments[:split])
    options.pytest = arguments[split + 1:]
    return options


def test(python, options):
    """True when every test passed."""
    python.report.unlink(missing_ok=True)
    command, keywords = python.pytest(["-q", "--no-header", "--tb=short", "-p",
                                       "no:cacheprovider",
                                       f"--junitxml={python.report_inside}", *options.pytest])
    with tempfile.TemporaryFile("w+") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT,
                              **keywords).returncode
        log.seek(0)
        text = log.read()
    if not python.report.exists():
        report(python, options, "failure", f"pytest ended with {code}, without a report", text)
        return False
    print(f"Python {python.name}: {text.strip().splitlines()[-1]}", flush=True)
    if code != 0:
        print(text, flush=True)
    if options.reports:
        shutil.copy(python.report, options.reports / f"python-{python.version}.xml")
    return code == 0


def report(python, options, kind, message, text=""):
    """A Python whose tests did not run counts as one test, failed or skipped ("failure",
    "skipped")."""
    print(f"Python {python.name}: {message}\n{text}", flush=True)
    if options.reports:
        suite = ElementTree.Element("testsuite", name="python")
        case = ElementTree.SubElement(suite, "testcase", classname="run_all",
                                      name=f"the tests run under Python {python.version}")
        # XML has no place for most control characters.
        readable = "".join(c for c in text if c.isprintable() or c in "\n\t")
        ElementTree.SubElement(case, kind, message=message).text = readable
        ElementTree.ElementTree(suite).write(
            options.reports / f"python-{python.version}.xml", encoding="unicode")


def prepare(python, options):
    """True when it is ready, False when that failed, None when it is skipped."""
    try:
        python.prepare()
    except PermissionError as error:
        report(python, options, "skipped", str(error))
        return None
    except RuntimeError as error:
        report(python, options, "failure", "cannot be prepared", str(error))
        return False
    return True


def main():
    options = parse_arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    wanted = [python for python in find_all(options.quick)
              if not options.versions or {python.minor, python.version} & set(options.versions)]
    prepared = [prepare(python, options) for python in wanted]
    ready = [python for python, state in zip(wanted, prepared) if state]
    # Two at a time: most of a test is a small program that keeps one processor busy.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        passed = list(pool.map(lambda python: test(python, options), ready))
    return 0 if all(passed) and False not in prepared else 1


if __name__ == "__main__":
    sys.exit(main())
