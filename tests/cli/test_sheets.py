"""Profiles of several sheets: CPU time and live heap in one file of any format."""

import json

import pytest

import profiles
from profiles import MAIN, PARSE, WORK


@pytest.fixture
def heap(tmp_path):
    file = profiles.ProfileFile(service="shop", types=(("inuse_objects", "count", 1),
                                                       ("inuse_space", "bytes", 1 << 19)))
    file.add([MAIN, PARSE], 6).add([MAIN, WORK], 2)
    return file.write(tmp_path / "heap.pb.gz")


@pytest.fixture(params=[".otlp", ".pb.gz", ".html"])
def both(request, cprof, small, heap, tmp_path):
    path = tmp_path / f"both{request.param}"
    assert cprof("merge", small, heap, "-o", path).returncode == 0
    return path


def rows(cprof, *arguments):
    done = cprof("top", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_type_finds_a_column_in_any_sheet(cprof, both, small, heap):
    for types, alone in (((), small), (("--type", "samples"), small), (("--type", "inuse_space"), heap),
                         (("--type", "inuse_objects"), heap)):
        merged, own = rows(cprof, *types, both), rows(cprof, *types, alone)
        assert [(row["name"], row["self"], row["total"]) for row in merged["rows"]] == \
            [(row["name"], row["self"], row["total"]) for row in own["rows"]]
        assert (merged["type"], merged["unit"], merged["total"]) == (own["type"], own["unit"], own["total"])


@pytest.mark.parametrize("both", [".otlp"], indirect=True)
def test_formats_of_one_value_hold_the_chosen_one(cprof, both, heap, tmp_path):
    for path, name in ((both, "one.folded"), (heap, "two.folded")):
        assert cprof("convert", "--type", "inuse_space", path, tmp_path / name).returncode == 0
    one, two = ((tmp_path / name).read_text().splitlines() for name in ("one.folded", "two.folded"))
    assert one == two


def test_each_sheet_has_its_own_period(cprof, small, heap, tmp_path):
    path = tmp_path / "both.otlp"
    assert cprof("merge", heap, small, "-o", path).returncode == 0
    assert "at 100 Hz" in cprof("top", path).stdout.splitlines()[0]
    first = cprof("top", "--type", "inuse_space", path).stdout.splitlines()[0]
    assert "every 512 KiB" in first and "4.00 MiB of inuse_space" in first


def test_the_one_period_of_a_pprof_file_is_told_of_what_it_is_of(cprof, small, heap, tmp_path):
    path = tmp_path / "both.pb.gz"
    assert cprof("merge", small, heap, "-o", path).returncode == 0
    for value in ("cpu", "samples"):
        assert "at 100 Hz" in cprof("top", "--value", value, path).stdout.splitlines()[0]
    first = cprof("top", "--value", "inuse_space", path).stdout.splitlines()[0]
    assert "4.00 MiB of inuse_space" in first and "Hz" not in first


def test_levels_of_a_sheet_are_compared_as_they_stand(cprof, both):
    done = cprof("diff", "--type", "inuse_space", both, both)
    assert done.returncode == 0 and "as it stands" in done.stdout
    done = cprof("diff", both, both)
    assert done.returncode == 0 and "self CPU time per second" in done.stdout
