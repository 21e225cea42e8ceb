"""The other tool to ask: Go's pprof, where this machine has it. What it prints, as numbers, in
nanoseconds, or in bytes where that is the unit (B)."""

import functools
import os
import re
import shutil
import subprocess

import pytest


@functools.cache
def find():
    """Its path, or None. Go of newer versions makes the tool when it is asked for first."""
    path = os.environ.get("CPROF_TEST_TOOLS", "") + os.pathsep + os.environ["PATH"]
    tool = shutil.which("pprof", path=path)
    go = shutil.which("go", path=path)
    if not tool and go:
        done = subprocess.run([go, "tool", "-n", "pprof"], capture_output=True, text=True, timeout=240)
        tool = done.stdout.strip() if done.returncode == 0 else None
    return tool if tool and os.access(tool, os.X_OK) else None


def pprof(*arguments, unit="ns"):
    tool = find()
    if not tool:
        pytest.skip("no pprof on this machine (part of Go)")
    done = subprocess.run([tool, "-symbolize=none", "-nodefraction=0", "-edgefraction=0", f"-unit={unit}",
                           *map(str, arguments)], capture_output=True, text=True, timeout=120)
    return done.stdout if done.returncode == 0 else done.stderr


def number(text):
    """"12ns", "0", "-3ns" """
    return int(float(re.match(r"-?[0-9.]+", text)[0]))


def top(*arguments, unit="ns"):
    """{name: (self, total)}"""
    rows = {}
    for line in pprof("-top", "-nodecount=100000", *arguments, unit=unit).splitlines():
        found = re.match(r"\s*(-?\d+)(?:ns|B)?\s+\S+%\s+\S+%\s+(-?\d+)(?:ns|B)?\s+\S+%\s+(.*)", line)
        if found:
            rows[re.sub(r" \((partial-)?inline\)$", "", found[3])] = int(found[1]), int(found[2])
    return rows


def peek(name, *arguments, unit="ns"):
    """{function: (callers, callees)}, each {name: value}"""
    found, before, row = {}, {}, None
    for line in pprof("-peek", name, *arguments, unit=unit).splitlines():
        edge = re.match(r"\s*(\d+)(?:ns|B)?\s+\S+%? \|   (.*)", line)
        node = re.match(r"\s*\d+(?:ns|B)?\s+\S+%\s+\S+%\s+\d+(?:ns|B)?\s+\S+%\s+\| (.*)", line)
        if line.startswith("---"):
            before, row = {}, None
        elif node:
            row = re.sub(r" \((partial-)?inline\)$", "", node[1])
            found[row] = (before, {})
        elif edge:
            (before if row is None else found[row][1])[re.sub(r" \((partial-)?inline\)$", "", edge[2])] = int(edge[1])
    return found


def lines(name, *arguments, unit="ns"):
    """{function: {line: (self, total)}}"""
    found, function = {}, None
    for line in pprof("-list", name, *arguments, unit=unit).splitlines():
        begin = re.match(r"ROUTINE =+ (.*) in ", line)
        each = re.match(r"\s*(\.|\d+)(?:ns|B)?\s+(\.|\d+)(?:ns|B)?\s+(\d+):", line)
        if begin:
            function = found.setdefault(begin[1], {})
        elif each and (each[1], each[2]) != (".", "."):
            function[int(each[3])] = tuple(0 if text == "." else int(text) for text in (each[1], each[2]))
    return found


def tags(*arguments, unit="ns"):
    """{key: {value: amount}}"""
    found, key = {}, None
    for line in pprof("-tags", *arguments, unit=unit).splitlines():
        begin = re.match(r" *(\S+): Total ", line)
        each = re.match(r" *(\d+)(?:ns|B)? \([^)]*\): (.*)", line)
        if begin:
            key = found.setdefault(begin[1], {})
        elif each:
            key[each[2]] = int(each[1])
    return found
