"""The command's own files: who calls whom, from the symbols of the built objects."""

import pathlib
import subprocess

import pytest

from conftest import COMMAND, ROOT


@pytest.fixture(scope="module")
def calls():
    """object → the other objects of the command whose symbols it needs."""
    folder = pathlib.Path(COMMAND).parent / "CMakeFiles" / "cprof.dir"
    defined, needed = {}, {}
    for source in sorted((ROOT / "cli").glob("*.c")):
        path = folder / f"{source.name}.o"
        assert path.exists(), f"{path} is not built, or {source.name} is in no list"
        needed[source.stem] = set()
        for line in subprocess.check_output(["nm", "-P", "-g", path], text=True).splitlines():
            symbol, kind = line.split()[:2]
            if kind == "U":
                needed[source.stem].add(symbol)
            else:
                defined[symbol] = source.stem
    return {name: {defined[symbol] for symbol in symbols if symbol in defined} - {name}
            for name, symbols in needed.items()}


def reached(calls, name):
    """All that a file needs, by whatever way."""
    seen, left = set(), [name]
    while left:
        for other in calls[left.pop()] - seen:
            seen.add(other)
            left.append(other)
    return seen


def test_no_file_needs_itself_in_a_circle(calls):
    assert calls["main"] and calls["cmd_top"]
    assert [name for name in calls if name in reached(calls, name)] == []


def test_commands_are_listed_by_main_alone_and_know_of_no_other(calls):
    for name, needs in calls.items():
        assert not needs & {"main"}, f"{name} needs main"
        commands = {other for other in needs if other.startswith("cmd_")}
        assert not commands or name == "main", f"{name} needs {commands}"
    assert {name for name in calls if name.startswith("cmd_")} <= calls["main"]
