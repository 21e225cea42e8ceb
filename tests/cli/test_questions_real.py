"""The questions on files that other tools wrote, with the answers of `go tool pprof`: Go's own profiles
(of data/go/shop/shop.go), and what Node writes here and now, which pprof gets as cprof converts it."""

import collections
import json
import pathlib

import pytest

import pprof
from test_foreign import of_node  # noqa: F401 (a fixture)

SHOP = pathlib.Path(__file__).parent / "data" / "go" / "shop"  # made by Go 1.26

Real = collections.namedtuple("Real", "ours theirs unit own")  # the file for each tool, the program's own functions


@pytest.fixture(params=["base.cpu.out", "new.heap.out", "x.cpuprofile", "x.heapprofile"])
def real(request, cprof, tmp_path):
    unit = "B" if "heap" in request.param else "ns"
    if request.param.endswith(".out"):
        return Real(SHOP / request.param, SHOP / request.param, unit, r"^main\.")
    path = request.getfixturevalue("of_node") / request.param
    assert cprof("convert", path, tmp_path / "x.pb.gz").returncode == 0
    return Real(path, tmp_path / "x.pb.gz", unit, "^(total|pack|keep)$")


def asked(cprof, command, *arguments):
    everything = [] if command == "tags" else ["--all-native"]
    done = cprof(command, "--json", "-n", 100000, *everything, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unique(rows):
    """Those whose name no other function has: to pprof all of one name are one."""
    names = collections.Counter(row["name"] for row in rows)
    return {row["name"]: row for row in rows if names[row["name"]] == 1}


@pytest.mark.parametrize("rule", ["focus", "ignore", "hide", "show", "prune-from"])
def test_a_rule_leaves_what_it_leaves_for_pprof(cprof, real, rule):
    for expression in (real.own, "(?i)TOTAL|node:|runtime"):
        rows = asked(cprof, "top", f"--{rule}", expression, real.ours)["rows"]
        expected = pprof.top(f"-{rule.replace('-', '_')}={expression}", real.theirs, unit=real.unit)
        found = {name: (row["self"], row["total"]) for name, row in unique(rows).items()}
        assert expected.keys() == {row["name"] for row in rows}, expression
        assert found == {name: expected[name] for name in found}, expression


def test_callers_and_callees_are_those_of_pprof(cprof, real):
    found = {each["name"]: tuple({other["name"]: other["value"] for other in each[side]}
                                 for side in ("callers", "callees"))
             for each in asked(cprof, "peek", real.own, real.ours)["functions"]}
    assert found and found == pprof.peek(real.own, real.theirs, unit=real.unit)


def test_lines_are_those_of_pprof(cprof):
    """Those without recursion: of that pprof adds up the addresses of a line."""
    path = SHOP / "base.cpu.out"
    expected = pprof.lines("^main\\.", "-source_path", SHOP, "-trim_path", "./", path)
    functions = asked(cprof, "list", "--source", SHOP, "^main\\.", path)["functions"]
    source = (SHOP / "shop.go").read_text().splitlines()
    assert {each["name"]: {line["line"]: (line["self"], line["total"]) for line in each["lines"] if line["total"]}
            for each in functions} == expected and len(expected) > 5
    for each in functions:
        for line in each["lines"]:
            assert line["text"].strip() == source[line["line"] - 1].strip()


def test_labels_are_those_of_pprof(cprof):
    path = SHOP / "base.cpu.out"
    labels = asked(cprof, "tags", path)["labels"]
    assert {key: {each["name"]: each["value"] for each in values if each["name"] != "[none]"}
            for key, values in labels.items()} == pprof.tags(path)
    for value, amount in pprof.tags(path)["endpoint"].items():
        assert asked(cprof, "top", "--label", f"endpoint={value}", path)["total"] == amount


def test_a_heap_differs_as_it_does_for_pprof(cprof):
    """Levels are compared as they stand, without being asked to."""
    base, new = SHOP / "base.heap.out", SHOP / "new.heap.out"
    found = {row["name"]: row["new"] - row["base"] for row in asked(cprof, "diff", base, new)["rows"]}
    theirs = {name: own for name, (own, _) in pprof.top("-diff_base", base, new, unit="B").items()}
    assert theirs and {name: found.get(name, 0) for name in theirs} == theirs
    assert all(name in theirs or delta == 0 for name, delta in found.items())
