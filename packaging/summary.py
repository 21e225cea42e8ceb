"""Adds up the reports of packaging/test: JUnit files of ctest and pytest, and the exit status
of each step. Prints every skipped test with its reason, then what each failed test said, their
names, and one closing line over all languages: who sees only the end of a log sees what failed.
Exits 1 if anything failed.

A ctest entry is a whole cmocka program, so its tests are counted from the program's output. A
step that failed without a failed test (it did not build, or a runner crashed) counts as one.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

CMOCKA_FAILURE = re.compile(r"^\[ +(ERROR|LINE|FAILED) +\]|Sanitizer")
SAID_LINES = 30
CMOCKA_LINE = re.compile(r"^\[\s*(OK|FAILED|SKIPPED)\s*\] ([A-Za-z_]\w*)\s*$", re.MULTILINE)


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.said = {}  # by failed test: lines of what it printed
        self.skipped = []

    def add_case(self, report, case):
        name = f"{report}: {case.get('name')}"
        output = "".join(element.text or "" for element in case.iter("system-out"))
        inner = {}
        for outcome, test in CMOCKA_LINE.findall(output):
            if inner.get(test) != "FAILED":
                inner[test] = outcome
        self.passed += sum(outcome == "OK" for outcome in inner.values())
        self.failed += [f"{name}: {t}" for t, outcome in inner.items() if outcome == "FAILED"]
        self.skipped += [
            f"{name}: {t}: {skip_reason(output, t)}"
            for t, outcome in inner.items()
            if outcome == "SKIPPED"
        ]
        broken = case.find("failure") is not None or case.find("error") is not None
        if broken:
            self.said[name] = said(case, output)
        if broken and "FAILED" not in inner.values():
            self.failed.append(name)
        skip = case.find("skipped")
        if skip is not None:
            self.skipped.append(f"{name}: {skip.get('message') or skip_reason(output, '')}")
        elif not inner and not broken:
            self.passed += 1


def said(case, output):
    """The end of what a failed test printed: of a cmocka program, its lines about failures."""
    texts = [element.text or "" for element in case.iter() if element.tag in ("failure", "error")]
    lines = (output or "\n".join(texts)).strip().splitlines()
    return ([line for line in lines if CMOCKA_FAILURE.search(line)] or lines)[-SAID_LINES:]


def skip_reason(output, test):
    """The line "SKIP reason" or "SKIP test: reason" that a skipping C test prints."""
    for line in output.splitlines():
        if line.startswith("SKIP ") and test in line:
            return line.removeprefix("SKIP ").removeprefix(f"{test}: ")
    lines = [line[5:] for line in output.splitlines() if line.startswith("SKIP ")]
    return lines[0] if lines else "no reason given"


def main(folder):
    tally = Tally()
    for path in sorted(folder.glob("*.xml")):
        try:
            cases = ElementTree.parse(path).getroot().iter("testcase")
        except ElementTree.ParseError as error:
            tally.failed.append(f"{path.stem}: unreadable report ({error})")
            continue
        for case in cases:
            tally.add_case(path.stem, case)
    for path in sorted(folder.glob("*.status")):
        status = path.read_text().strip()
        if status != "0" and not any(f.startswith(path.stem) for f in tally.failed):
            tally.failed.append(f"{path.stem}: the step ended with status {status}")
    for line in tally.skipped:
        print("skipped", line)
    for name, lines in tally.said.items():
        print(f"== {name}", *lines, sep="\n")
    for line in tally.failed:
        print("FAILED ", line)
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
