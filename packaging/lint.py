"""What machines can see of the house's rules: clang-format over all C, shellcheck over all shell
scripts, clang-tidy over core/ and cli/ (.clang-tidy says what is looked for). Prints what they
find and writes a JUnit report with a test for each tool, and for clang-tidy for each file.

    lint.py [--analyzer] BUILD REPORT

BUILD is a built tree with its compile_commands.json. clang's analyzer takes minutes: it runs
only with --analyzer.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORMAT, TIDY = "clang-format-14", "clang-tidy-14"  # other versions lay out and find otherwise
GCC_ONLY = re.compile(r"-mtls-dialect=\S+")


def tracked(*patterns):
    files = subprocess.check_output(["git", "ls-files", "-z", *patterns], cwd=ROOT, text=True)
    return sorted(filter(None, files.split("\0")))


def run(*command):
    """What it had to say, or nothing when all is well."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip() or f"exit status {done.returncode}" if done.returncode else ""


def is_shell(name):
    with open(ROOT / name, "rb") as file:
        return name.endswith(".sh") or re.match(rb"#!.*\b(sh|bash)\b", file.readline()) is not None


def shell_scripts():
    return [name for name in tracked("*.sh", "packaging/*", ".ci/*") if is_shell(name)]


def compiled(build, folder):
    """The sources of core/ and cli/, and the compiler's options for them as clang takes them."""
    commands = json.loads((build / "compile_commands.json").read_text())
    ours = {}
    for command in commands:
        name = os.path.relpath(command["file"], ROOT)
        if name.startswith(("core/", "cli/")) and name not in ours:
            ours[name] = {**command, "command": GCC_ONLY.sub("", command["command"])}
    (folder / "compile_commands.json").write_text(json.dumps(list(ours.values())))
    return sorted(ours)


def tidy_all(build, analyzer):
    checks = [] if analyzer else ["--checks=-clang-analyzer-*"]
    with tempfile.TemporaryDirectory() as folder:
        names = compiled(build, pathlib.Path(folder))

        def tidy(name):
            return run(TIDY, "--quiet", f"-p={folder}", *checks, name)

        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return [(f"clang-tidy {name}", found) for name, found in zip(names, pool.map(tidy, names))]


def write_report(path, cases):
    suite = ElementTree.Element("testsuite", name="lint")
    for name, found in cases:
        case = ElementTree.SubElement(suite, "testcase", name=name)
        if found:
            ElementTree.SubElement(case, "failure", message="see above")
            print(f"== {name}\n{found}")
    ElementTree.ElementTree(suite).write(path)
    return any(found for _, found in cases)


def main(arguments):
    analyzer = "--analyzer" in arguments
    build, report = [argument for argument in arguments if argument != "--analyzer"]
    cases = tidy_all(pathlib.Path(build), analyzer)
    if not analyzer:
        cases.append(("clang-format", run(FORMAT, "--dry-run", "-Werror", *tracked("*.c", "*.h"))))
        scripts = shell_scripts()
        cases.append(("shellcheck", run("shellcheck", "--external-sources", "--severity=warning", *scripts)))
    return write_report(report, cases)


sys.exit(main(sys.argv[1:]))
