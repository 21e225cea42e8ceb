#!/usr/bin/env python3
"""Builds cprof for every Python that this machine has, and runs the tests under each.

    run_all.py [--quick | --walked | --everywhere] [--reports FOLDER] [VERSION ...] [-- PYTEST ARGUMENTS]

Pythons are the system's, pyenv's (~/.pyenv/versions), those named by CPROF_TEST_PYTHONS, and those
of Debian roots named by CPROF_TEST_ROOTS (entered with chroot; they need no compiler: the
extension is built here against their headers). The first of each minor version runs every test
(the system's also the long ones), but for what ../versions.py leaves to some of them, the others
those of stacks and names. Prints one line for each; exit 1 if any failed. --quick: the system's
only. --walked: those whose frames are walked, one of each minor version, and nothing left out; nor
where VERSIONs are named. --everywhere: under these, only what else is left to some. --reports: a
JUnit file for each there.
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
import threading
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gates import gates, room  # noqa: E402
from versions import same_everywhere, spread  # noqa: E402

BINDING = HERE.parent.parent / "bindings" / "python"
# Modules of other tests that these use as well.
SHARED = [HERE.parent / name for name in ("core/context/reader.py", "repeat.py", "gates.py")]
GATES = gates()
AT_A_TIME = 3
SUPPORTED = re.compile(r"3\.1[0-5]$")
WORK = Path(os.environ.get("CPROF_TEST_WORK", "/tmp/cprof-test-python"))
# What wheels may be made for that run here.
PLATFORMS = [f"{platform}_{os.uname().machine}" for platform in
             ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")]
EXTRA = os.environ.get("CPROF_TEST_PYTHONS", "")
ROOTS = os.environ.get("CPROF_TEST_ROOTS", "/var/cache/cprof-test/sid")


def quietly(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, **keywords)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


class Python:
    """One interpreter: what its tests need, and how they are run. `minor` and `version` say which;
    `lean`: another of the same minor version runs all tests, this one those of stacks and names;
    `first`: it is that other one; `without`: tests that others run alike."""

    lean = first = False
    without = ()
    unsupported = ""  # why the extension shall not walk the frames: given to see that it says so

    def install(self, site, includes):
        """Puts cprof into site-packages, built in the one folder that all interpreters share: the
        core is compiled once, the extension for each. Likewise the test module."""
        shutil.copytree(BINDING / "cprof", site / "cprof", dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("__pycache__", "*.so", "bin"))
        for name in ("_cprof_autostart.py", "cprof-autostart.pth", "cprof-autostart.start"):
            shutil.copy(BINDING / name, site)
        build = WORK / "build"
        quietly("cmake", "-S", BINDING, "-B", build, "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                f"-DCPROF_PYTHON_INCLUDE={';'.join(includes)}", "-DCPROF_PYTHON_SUFFIX=.so",
                f"-DCPROF_PYTHON_OUTPUT={site / 'cprof'}",
                f"-DCPROF_PYTHON_UNSUPPORTED={self.unsupported}",
                *(["-G", "Ninja"] if shutil.which("ninja") else []))
        quietly("cmake", "--build", build, "--parallel", str(os.cpu_count() or 1),
                "--target", "cprof_python")
        self.build_walktest(site, includes)

    def build_walktest(self, folder, includes):
        quietly("sh", HERE / "walktest" / "build.sh", folder / "_walktest.so", *includes)
        for module in SHARED:
            shutil.copy(module, folder)

    def fetch(self, site):
        """pytest, and what some tests can do without, as wheels: pip need not run there."""
        pip = [sys.executable, "-m", "pip", "install", "-q", "--root-user-action", "ignore",
               "--upgrade", "--only-binary=:all:", "--python-version", self.minor, "--target", site]
        if not (site / "pytest").exists():
            # The last two only where Python is older than the one that runs pip.
            quietly(*pip, "pytest", "exceptiongroup", "tomli")
        if not self.free_threaded and not (site / "gevent").exists():
            tags = ["--implementation", "cp", "--abi", f"cp{self.minor.replace('.', '')}"]
            for platform in PLATFORMS:
                tags += ["--platform", platform]
            subprocess.run([*pip, *tags, "greenlet", "gevent"], capture_output=True)
            subprocess.run([*pip, *tags, "uvloop"], capture_output=True)
        if not (site / "opentelemetry").exists():
            subprocess.run([*pip, "opentelemetry-sdk"], capture_output=True)


class Local(Python):
    """A Python with headers on this machine, in a virtual environment."""

    def __init__(self, python):
        self.python = python
        code = ("import sys, sysconfig; print('%d.%d' % sys.version_info[:2], sys.version.split()[0],"
                " sysconfig.get_config_var('Py_GIL_DISABLED') or 0, sysconfig.get_path('include'))")
        self.minor, self.version, free, self.include = quietly(python, "-c", code).split()
        self.free_threaded = free == "1"
        self.version += "t" if self.free_threaded else ""
        self.name = f"{self.version} ({python})"
        self.folder = WORK / f"venv-{self.version}"
        self.report = self.report_inside = WORK / f"{self.version}.xml"

    def prepare(self):
        python = self.folder / "bin" / "python"
        if not python.exists():
            quietly(self.python, "-m", "venv", "--without-pip", self.folder)
        site = Path(quietly(python, "-c", "import sysconfig; "
                            "print(sysconfig.get_path('purelib'))").strip())
        self.fetch(site)
        self.install(site, [self.include])

    def pytest(self, arguments):
        return [str(self.folder / "bin" / "python"), "-m", "pytest", *arguments], {"cwd": HERE}


class TooNew(Local):
    """The same Python, with an extension that takes it for one that it does not know."""

    unsupported = "this version is not supported yet"

    def __init__(self, python):
        super().__init__(python)
        self.version += "-unknown"
        self.name = f"{self.version} ({python})"
        self.folder = WORK / f"venv-{self.version}"
        self.report = self.report_inside = WORK / f"{self.version}.xml"


class System(Local):
    """The system's Python, where cprof comes by pip from this clone, as users install it."""

    def prepare(self):
        quietly("sh", HERE / "venv.sh", self.python, self.folder)
        subprocess.run([self.folder / "bin" / "python", "-m", "pip", "install", "-q", "greenlet",
                        "gevent", "opentelemetry-sdk", "pyinstaller"], capture_output=True)
        self.build_walktest(next(self.folder.glob("lib/python3*/site-packages")), [self.include])


class Rooted(Python):
    """A Python inside a Debian root, without compiler or pip: everything is built here."""

    free_threaded = False

    def __init__(self, root, minor):
        self.root, self.minor = Path(root), minor
        self.version = f"{minor}-{Path(root).name}"
        self.name = f"{minor} ({root})"

    def prepare(self):
        if os.geteuid() != 0:
            raise PermissionError("only root can enter the Debian root")
        inside = Path("/tmp/cprof-test") / self.minor
        outside = self.root / inside.relative_to("/")
        outside.mkdir(parents=True, exist_ok=True)
        site = outside / "venv" / "lib" / f"python{self.minor}" / "site-packages"
        if not site.exists():
            quietly("chroot", self.root, f"python{self.minor}", "-m", "venv", "--without-pip",
                    inside / "venv")
        self.fetch(site)
        self.install(site, self.includes())
        shutil.rmtree(outside / "tests", ignore_errors=True)
        shutil.copytree(HERE, outside / "tests", ignore=shutil.ignore_patterns("__pycache__"))
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
    found = [System("/usr/bin/python3"), TooNew("/usr/bin/python3")]
    if not quick:
        others = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))
        for python in [*others, *filter(None, EXTRA.split(":"))]:
            found.append(Local(str(python)))
        for root in filter(os.path.isdir, ROOTS.split(":")):
            for python in sorted(Path(root, "usr", "bin").glob("python3.1?")):
                if (Path(root) / "usr" / "include" / python.name / "Python.h").exists():
                    found.append(Rooted(root, python.name[len("python"):]))
    found = [python for python in found if SUPPORTED.match(python.minor)]
    minors = set()
    for python in found:
        walked = not python.free_threaded and not python.unsupported
        python.lean = walked and python.minor in minors
        minors |= {python.minor} if walked else set()
        python.first = walked and not python.lean
    leave_out([python for python in found if python.first])
    return found


def leave_out(pythons):
    """Of one Python of each minor version, some run the tests whose subject is no version's."""
    pythons.sort(key=lambda python: int(python.minor.partition(".")[2]))
    system = next((python for python in pythons if isinstance(python, System)), None)
    for python in pythons:
        if python not in spread(pythons, system):
            python.without = same_everywhere("python")


def work_of(python):
    """Where one stands among those that take the longest: they begin first."""
    return isinstance(python, System), python.first, python.lean


def parse_arguments():
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--walked", action="store_true")
    parser.add_argument("--everywhere", action="store_true")
    parser.add_argument("--reports", type=Path)
    parser.add_argument("versions", nargs="*")
    options = parser.parse_args(arguments[:split])
    options.pytest = arguments[split + 1:]
    if options.everywhere:
        options.walked = True
        options.pytest += [name.removesuffix("::") for name in same_everywhere("python")]
    return options


def selected(python, options):
    """The files of tests, where not all of them are to run."""
    if any(argument.startswith("test_") for argument in options.pytest):
        return []
    if python.free_threaded or python.unsupported:
        return ["test_native_only.py"]
    return ["test_frames.py", "test_walk.py", "test_labels.py"] if python.lean else []


def test(python, options):
    """True when every test passed."""
    python.report.unlink(missing_ok=True)
    all_of_them = options.versions or options.walked
    without = [] if all_of_them else [f"--deselect={name}" for name in python.without]
    command, keywords = python.pytest(["-q", "--no-header", "--tb=short", "-p",
                                       "no:cacheprovider", "-p", "repeat",
                                       f"--junitxml={python.report_inside}", *without, *options.pytest,
                                       *selected(python, options)])
    environment = {**os.environ, **({"CPROF_TEST_LONG": "1"} if isinstance(python, System) else {})}
    with tempfile.TemporaryFile("w+") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT,
                              env=environment, pass_fds=GATES, **keywords).returncode
        log.seek(0)
        text = log.read()
    if not python.report.exists():
        report(python, options, "failure", f"pytest ended with {code}, without a report", text)
        return False
    print(f"Python {python.name}: {text.strip().splitlines()[-1]}", flush=True)
    again = [line for line in text.splitlines() if line.startswith("tried again: ")]
    print("".join(f"  {line}\n" for line in again), end="", flush=True)
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
              if (python.first or not options.walked)
              and (not options.versions or {python.minor, python.version} & set(options.versions))]
    building = threading.Lock()  # they share a folder

    def prepare_and_test(python):
        with building, room(alone=False):
            ready = prepare(python, options)
        return test(python, options) if ready else ready is None

    # Half of a test is waiting. So that all end together, what takes the longest begins.
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        passed = list(pool.map(prepare_and_test, sorted(wanted, key=work_of, reverse=True)))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
