#!/usr/bin/env python3
"""Builds the gem, installs it from the built file for every Ruby at hand, and runs the tests
of this folder with each: Debian's own Ruby with the JIT off and on, and a newer one in the
Debian root of the tests (--sid). Writes JUnit files; every skip is printed with its reason.

    tests/ruby/run_all.py [--reports DIR] [--sid ROOT] [--only TEST | --everywhere] [--ruby NAME]…

--everywhere: only the tests that are left to some of the Rubies else (../versions.py), under all.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gates import gates, room  # noqa: E402
from versions import same_everywhere  # noqa: E402

ROOT = HERE.parent.parent
BINDING = ROOT / "bindings" / "ruby"
GATES = gates()
AT_A_TIME = 3  # tests, whatever their Rubies; half of a test is waiting
# So that all end together, what takes the longest begins.
TESTS = ("stress", "api", "build", "collections", "exceptions", "fibers", "frames", "locks", "prebuilt", "process", "puma", "rack", "slots",
         "spans", "waiting")

# A checkout of opentelemetry-ruby, for machines without the gems.
CHECKOUT = os.environ.get("CPROF_TEST_OTEL")
CHECKOUT_PARTS = ("api", "sdk", "common", "registry", "semantic_conventions")

# Runs "$@" in the root "$0", in a mount namespace of its own, where /proc is mounted.
IN_ROOT = """mountpoint -q "$0/proc" || mount -t proc proc "$0/proc"; exec chroot "$0" "$@" """


class Ruby:
    """One Ruby: how to call it, and where its root is; `without`: tests that another one runs alike."""

    def __init__(self, name, root=None, program="ruby", options=(), stress=10, without=()):
        self.name = name
        self.root = root
        self.program = program
        self.options = options
        self.stress = stress
        self.without = without

    def run(self, command, **environment):
        prefix = ["unshare", "--mount", "sh", "-c", IN_ROOT, str(self.root)] if self.root else []
        words = [f"{key}={value}" for key, value in environment.items()]
        return subprocess.run([*prefix, "env", *words, *map(str, command)], check=False, text=True,
                              pass_fds=GATES, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def missing(self):
        """Why this Ruby can't be tested, or None."""
        for tool in (self.program, "cmake", "cc"):
            if self.root and not os.path.lexists(self.root / "usr/bin" / tool):
                return f"there is no {tool} in {self.root}"
        if self.root and os.geteuid() != 0:
            return "chroot needs root"
        if not self.root and not shutil.which(self.program):
            return f"there is no {self.program}"
        if "--yjit" in self.options:
            out = subprocess.run([self.program, "--yjit", "-v"], capture_output=True, text=True)
            if "+YJIT" not in out.stdout:
                return "this ruby was built without YJIT"
        return None


def build_gem(folder):
    subprocess.run(["ruby", BINDING / "tools" / "stage.rb"], check=True)
    subprocess.run(["gem", "build", "cprof.gemspec", "--silent", "-o", folder / "cprof.gem"],
                   cwd=BINDING, check=True, stderr=subprocess.DEVNULL)
    return folder / "cprof.gem"


def build_platform_gem(rubies, target):
    """One gem with the extension for all of these Rubies, which share a root."""
    seen, inside = folder_for(rubies[0])
    try:
        shutil.copytree(BINDING, seen / "bindings" / "ruby")
        shutil.copytree(ROOT / "packaging", seen / "packaging")
        for text in ("LICENSE", "NOTICE"):
            shutil.copy(ROOT / text, seen)
        programs = sorted({ruby.program for ruby in rubies})
        # A quarter of the time; what is optimized is looked at in the gem that is built where it is installed.
        (seen / "cc").write_text('#!/bin/sh\nexec cc "$@" -O0 -g0\n')
        (seen / "cc").chmod(0o755)
        result = rubies[0].run(["sh", inside / "packaging" / "gem", inside / "gems", *programs], CC=inside / "cc")
        print(f"-- packaging/gem\n{result.stdout}", flush=True)
        for built in seen.glob("gems/*.gem"):
            shutil.move(built, target)
    finally:
        shutil.rmtree(seen, ignore_errors=True)
    return target


def build_platform_gems(rubies, folder):
    """For each root its gem, where there is a Ruby that can build it."""
    roots = {}
    for ruby in rubies:
        if not ruby.missing():
            roots.setdefault(ruby.root, []).append(ruby)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(build_platform_gem, group, folder / f"{number}.gem")
                for number, group in enumerate(roots.values())]
        return dict(zip(roots, [job.result() for job in jobs]))


def folder_for(ruby):
    """A new folder: its path here, and as this Ruby sees it."""
    seen = pathlib.Path(tempfile.mkdtemp(prefix="cprof-ruby-", dir=(ruby.root or pathlib.Path("/")) / "tmp"))
    return seen, pathlib.Path("/") / seen.relative_to(ruby.root or "/")


class Gems:
    """The gem as installed, which Rubies that only differ in their options share."""

    def __init__(self, gem):
        self.gem = gem
        self.guard = threading.Lock()
        self.made = {}  # (root, program): a lock, then also the folder here, and as the Ruby sees it

    def home(self, ruby):
        """Where it is, as this Ruby sees it; None when it can't be installed, which has been told."""
        with self.guard:
            one = self.made.setdefault((ruby.root, ruby.program), {"lock": threading.Lock()})
        with one["lock"]:
            if "home" not in one:
                one["seen"], inside = folder_for(ruby)
                shutil.copy(self.gem, one["seen"] / "cprof.gem")
                with room(alone=False):
                    one["home"] = inside / "gems" if install(ruby, inside) else None
            return one["home"]

    def remove(self):
        for one in self.made.values():
            shutil.rmtree(one.get("seen", ""), ignore_errors=True)


def prepare(ruby, gem, platform_gem):
    """Copies gems and tests to where this Ruby sees them; returns that folder, and as it sees it."""
    seen, inside = folder_for(ruby)
    shutil.copy(gem, seen / "cprof.gem")
    if platform_gem and platform_gem.exists():
        shutil.copy(platform_gem, seen / "platform.gem")
    shutil.copytree(HERE, seen / "tests")
    shutil.copy(ROOT / "tests" / "core" / "context" / "reader.py", seen / "tests")
    if CHECKOUT:
        for part in CHECKOUT_PARTS:
            shutil.copytree(pathlib.Path(CHECKOUT) / part / "lib", seen / "otel" / part / "lib")
    return seen, inside


def install(ruby, inside):
    result = ruby.run([ruby.program, "-S", "gem", "install", "--local", "--no-document", "--silent", "--force",
                       "--install-dir", inside / "gems", inside / "cprof.gem"])
    if result.returncode != 0:
        print(f"-- {ruby.name}: gem install\n{result.stdout}", flush=True)
    return result.returncode == 0


def run_tests(ruby, reports, gems, platform_gem, tests, pool):
    """Has the pool run its tests, each by itself, once it is ready."""
    reason = ruby.missing()
    if reason:
        print(f"SKIP {ruby.name}: {reason}")
        write_single(reports, ruby.name, "skipped", reason)
        return True
    home = gems.home(ruby)
    if not home:
        write_single(reports, ruby.name, "failure", "gem install failed")
        return False
    seen, inside = prepare(ruby, gems.gem, platform_gem)
    gem_path = f"{home}:{default_path(ruby)}"
    try:
        jobs = [pool.submit(run_test, ruby, reports, test, gem_path, seen, inside) for test in tests]
        return all([job.result() for job in jobs])
    finally:
        shutil.rmtree(seen, ignore_errors=True)


def run_test(ruby, reports, test, gem_path, seen, inside):
    name = f"ruby-{ruby.name}-{test}"
    result = ruby.run(
        [ruby.program, "-e", "require 'minitest/autorun'; require ARGV.shift",
         inside / "tests" / f"test_{test}.rb"],
        GEM_PATH=gem_path,
        CPROF_TEST_REPORT=inside / f"{name}.xml",
        CPROF_TEST_GEM=inside / "cprof.gem",
        CPROF_TEST_PLATFORM_GEM=inside / "platform.gem",
        **({"CPROF_TEST_OTEL": inside / "otel"} if CHECKOUT else {}),
        CPROF_TEST_RUBY_OPTIONS=" ".join(ruby.options),
        CPROF_STRESS_SECONDS=os.environ.get("CPROF_STRESS_SECONDS", ruby.stress))
    print(f"-- {name}\n{result.stdout}", flush=True)
    if (seen / f"{name}.xml").exists():
        shutil.copy(seen / f"{name}.xml", reports)
    else:
        write_single(reports, name, "failure", "the tests wrote no report")
    return result.returncode == 0


def tests_for(ruby, arguments):
    if arguments.only:
        return [arguments.only]
    if arguments.everywhere:
        return same_everywhere("ruby")
    return [test for test in TESTS if test not in ruby.without]


def default_path(ruby):
    return ruby.run([ruby.program, "-W0", "-e", "print Gem.path.join(':')"]).stdout


def write_single(reports, name, outcome, message):
    element = f'<{outcome} message="{message}"/>'
    (reports / f"ruby-{name}.xml").write_text(
        f'<testsuite name="ruby-{name}"><testcase name="{name}">{element}</testcase></testsuite>')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=pathlib.Path, default=ROOT / "build" / "reports")
    parser.add_argument("--sid", type=pathlib.Path, default=pathlib.Path("/var/cache/cprof-test/sid"))
    parser.add_argument("--only", choices=TESTS)
    parser.add_argument("--everywhere", action="store_true")
    parser.add_argument("--ruby", action="append",
                        help="the name of one of the Rubies, as in ruby-NAME-…; may be repeated")
    arguments = parser.parse_args()
    arguments.reports.mkdir(parents=True, exist_ok=True)
    rubies = [Ruby("debian", stress=30), Ruby("sid", root=arguments.sid),
              Ruby("debian-yjit", options=("--yjit",), without=same_everywhere("ruby")),
              Ruby("sid-3.4", root=arguments.sid, program="ruby3.4")]
    chosen = [ruby for ruby in rubies if not arguments.ruby or ruby.name in arguments.ruby]
    with tempfile.TemporaryDirectory() as folder:
        gem = build_gem(pathlib.Path(folder))
        built = any("prebuilt" in tests_for(ruby, arguments) for ruby in chosen)
        platform_gems = build_platform_gems(chosen, pathlib.Path(folder)) if built else {}
        gems = Gems(gem)
        try:
            with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool, \
                    concurrent.futures.ThreadPoolExecutor(len(chosen)) as waiting:
                results = list(waiting.map(
                    lambda ruby: run_tests(ruby, arguments.reports, gems, platform_gems.get(ruby.root),
                                           tests_for(ruby, arguments), pool), chosen))
        finally:
            gems.remove()
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
