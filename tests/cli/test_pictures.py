"""The pictures of docs/, made from the stacks of data/shop.collapsed (the shop example's). Every run
makes them, in build/pictures; with CPROF_PICTURES=docs they go where the documentation shows them."""

import os
import pathlib
import random
import re
import struct

import pytest

import profiles
from browser import Browser, why_not
from conftest import ROOT

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

FOLDER = ROOT / os.environ.get("CPROF_PICTURES", "build/pictures")
KINDS = {".py": "cpython", ".rb": "ruby", ".js": "v8js"}
THREADS = {"price_carts": "pricing", "archive_orders": "archive", "report_sales": "reports"}
START = 1_700_000_000_000_000_000
SECONDS = 60


def module_of(file):
    """Where the C sources of CPython went: extension modules, or the interpreter itself."""
    return "/usr/lib/python3.11/lib-dynload/extension.so" if file.startswith("Modules/") else "/usr/bin/python3.11"


def frame(text):
    place = re.fullmatch(r"(.+) \((.+):(\d+)\)", text)
    if place:
        name, file, line = place[1], place[2], int(place[3])
        kind = "cpython" if file.startswith("<frozen") else KINDS.get(pathlib.PurePath(file).suffix)
        return profiles.Frame(name, file, line, kind=kind, module=None if kind else module_of(file))
    module = re.fullmatch(r"(.+) \((.+)\)", text)
    return profiles.native(module[1], module[2]) if module else profiles.Frame(text)


def stacks():
    for line in (pathlib.Path(__file__).parent / "data" / "shop.collapsed").read_text().splitlines():
        text, count = line.rsplit(" ", 1)
        names = [each.split(" ")[0] for each in text.split(";")]
        thread = next((THREADS[name] for name in names if name in THREADS), "MainThread")
        yield [frame(each) for each in text.split(";")], int(count), thread


def write(folder, grown=lambda second, thread: 1.0):
    """A file for each second; `grown` is how much more a thread does then."""
    chance = random.Random(1)
    known = list(stacks())
    for second in range(SECONDS):
        profile = profiles.ProfileFile(service="shop", duration=1.0, start=START + second * 10**9)
        for stack, count, thread in known:
            expected = count / 4 * grown(second, thread)
            samples = int(expected) + (chance.random() < expected % 1)
            if samples:
                profile.add(stack, samples, **{"thread.name": thread})
        yield profile.write(folder / f"{second:02}.pb.gz")


@pytest.fixture(scope="module")
def browser():
    with Browser() as started:
        started.resize(1500, 960)
        yield started


def rush(second, thread):
    """Orders are archived in one go."""
    return (1.6 if 34 <= second < 46 else 0.35) if thread == "archive" else 0.8 + 0.2 * (second % 7) / 7


def take(browser, page, name):
    FOLDER.mkdir(parents=True, exist_ok=True)
    browser.open(page)
    browser.settle()
    browser.screenshot(FOLDER / name)
    width, height = struct.unpack(">II", (FOLDER / name).read_bytes()[16:24])
    assert width > 1000 and height > 500


def test_the_flame_graph(browser, cprof, tmp_path):
    done = cprof("flame", *write(tmp_path, rush), "-o", tmp_path / "shop.html")
    assert done.returncode == 0, done.stderr
    take(browser, tmp_path / "shop.html", "flamegraph.png")
    assert browser.run("return [...document.querySelectorAll('#legend li')].map((each) => each.textContent)"
                       ) == ["Python", "native", "other"]
    assert not browser.run("return document.getElementById('timeline').hidden")


def test_the_time_strip_with_a_brush_and_a_search(browser, cprof, tmp_path):
    cprof("flame", *write(tmp_path, rush), "-o", tmp_path / "shop.html")
    browser.open(tmp_path / "shop.html")
    browser.run("const {timeline} = window.page, {from} = timeline.time; timeline.brush(from + 30e3, from + 50e3)")
    browser.type("search", "deflate")
    browser.run("window.page.graph.setTheme && document.getElementById('theme').click()")
    browser.settle()
    browser.screenshot(FOLDER / "timeline.png")
    assert browser.text("matches").startswith("1 · ")


def test_the_comparison(browser, cprof, tmp_path):
    base, new = tmp_path / "base", tmp_path / "new"
    for folder, more in ((base, lambda second, thread: 1.0),
                         (new, lambda second, thread: {"pricing": 1.5, "reports": 0.6}.get(thread, 1.0))):
        folder.mkdir()
        assert cprof("merge", *write(folder, more), "-o", tmp_path / f"{folder.name}.pb.gz").returncode == 0
    done = cprof("diff", tmp_path / "base.pb.gz", tmp_path / "new.pb.gz", "-o", tmp_path / "diff.html",
                 "--fail-over", "2")
    assert done.returncode == 3, done.stderr
    take(browser, tmp_path / "diff.html", "diff.png")
    colours = set(browser.run("""return [...window.page.graph.rows.flat()].filter((box) => box.isFrame)
        .map((box) => window.page.model.changeOf(box).direction)"""))
    assert colours == {"grew", "shrank", "noise"}
