"""Single samples with their times: kept by OTLP and the page, and shown as they came, thread by thread."""

import json

import pytest

from browser import Browser, why_not
from profiles import CRC, MAIN, PARSE, RUN, WORK, ProfileFile

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

START = 1_700_000_000_000_000_000
SECOND = 10**9
# As they came, by thread; samples of a stack that come again later are others.
THREADS = {1: [[MAIN, WORK, CRC], [MAIN, WORK, CRC], [MAIN, PARSE], [MAIN, WORK, CRC], [MAIN]],
           2: [[RUN, PARSE], [RUN], [RUN, PARSE]]}


@pytest.fixture
def timed(tmp_path):
    """The files' order is not that of time."""
    profile = ProfileFile(service="shop")
    samples = [(stack, thread, START + turn * SECOND) for thread, stacks in THREADS.items()
               for turn, stack in enumerate(stacks)]
    for stack, thread, time in sorted(samples, key=lambda each: each[2] * 7 % 11):
        profile.add(stack, 1, **{"thread.id": thread, "cprof.time": time})
    return profile.write(tmp_path / "timed.pb.gz")


def total(cprof, *arguments):
    done = cprof("top", "--json", "--value", "samples", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["total"]


def test_times_are_kept_as_otlp_has_them(cprof, timed, tmp_path):
    otlp, back = tmp_path / "timed.otlp", tmp_path / "back.pb.gz"
    assert cprof("convert", timed, otlp).returncode == 0
    assert b"cprof.time" not in otlp.read_bytes()  # no attribute: OTLP has a field of its own
    assert (START + SECOND).to_bytes(8, "little") in otlp.read_bytes()
    assert cprof("convert", otlp, back).returncode == 0
    for file in (timed, otlp, back):
        assert total(cprof, file) == 8
        for turn in range(5):
            assert total(cprof, file, "--label", f"cprof.time={START + turn * SECOND}") == (2 if turn < 3 else 1)
        assert "cprof.time" not in cprof("tags", file).stdout and "thread.id" in cprof("tags", file).stdout
    assert cprof("top", otlp).stdout.splitlines()[2:] == cprof("top", timed).stdout.splitlines()[2:]


BOXES = """
    const rows = (box) => page.model.children(box).map((child) =>
        [page.model.grouping.name(child.key), child.x / 1e7, child.total / 1e7, rows(child)]);
    return rows(page.model.root)"""


@needs_browser
def test_the_page_shows_samples_as_they_came(cprof, timed, small, tmp_path):
    page, plain = tmp_path / "timed.html", tmp_path / "plain.html"
    assert cprof("flame", timed, "-o", page).returncode == 0
    assert cprof("flame", small, "-o", plain).returncode == 0
    with Browser() as browser:
        browser.open(plain)
        assert browser.run("return $('ordered').hidden")
        browser.open(page)
        merged = browser.run(BOXES)
        assert [(name, value) for name, _, value, _ in merged] == [("main", 5), ("Worker.run", 3)]
        assert not browser.run("return page.model.profile.facets.some(({name}) => name === 'cprof.time')")
        browser.keys("o")
        assert browser.run(BOXES) == [
            ["main", 0, 5, [["work", 0, 2, [["crc32", 0, 2, []]]], ["parse", 2, 1, []],
                            ["work", 3, 1, [["crc32", 3, 1, []]]]]],
            ["Worker.run", 5, 3, [["parse", 5, 1, []], ["parse", 7, 1, []]]]]
        assert browser.run("return [page.model.total, page.model.root.size]") == [8 * 10**7, 8 * 10**7]
        assert "ordered=1" in browser.run("return location.hash")
        # One thread alone, by the filter.
        browser.run("const facet = page.model.profile.facets.find(({name}) => name === 'thread.id');"
                    "page.filters.toggle(facet, facet.index.get('2'))")
        browser.settle()
        assert browser.run(BOXES) == [["Worker.run", 0, 3, [["parse", 0, 1, []], ["parse", 2, 1, []]]]]
        browser.keys("o")
        assert browser.run(BOXES) == [["Worker.run", 0, 3, [["parse", 0, 2, []]]]]
        assert browser.log() == []
