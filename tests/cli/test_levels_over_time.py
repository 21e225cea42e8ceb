"""The page of several intervals that hold a level shows it over time; everything else has the last of each
process."""

import json

import pytest

from browser import Browser, why_not
from profiles import CRC, MAIN, PARSE, RUN, WORK, ProfileFile
from test_history import BEGIN, put
from test_page_read import carried
from test_run import environment, program  # noqa: F401
from test_serve import get, serving
from test_serve_history import data_of, key_of, link, ready
from test_timeline import START, drag

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

# Each sample is 10 ms of CPU and 1 MiB alive.
TYPES = (("cpu", "nanoseconds", 10**7), ("inuse_space", "bytes", 1 << 20))
KEPT = {71: [10, 20, 30, 40], 72: [1, 2, 3, 4]}  # of parse, by process and interval
CHURN = [7, 90, 0, 5]  # of crc32, of process 71
ALL = [18, 112, 33, 49]
STACKS = {"parse": [RUN, PARSE], "crc32": [MAIN, WORK, CRC]}


def piece(path, process, begin, seconds=10, **counts):
    profile = ProfileFile(service="shop", start=begin, duration=seconds, types=TYPES)
    profile.comments.append(f"process.pid={process}")
    for name, count in counts.items():
        if count > 0:
            profile.add(STACKS[name], count)
    return profile.write(path)


@pytest.fixture
def files(tmp_path):
    return [piece(tmp_path / f"{process}-{i}.pb.gz", process, START + i * 10**10, parse=kept[i],
                  crc32=CHURN[i] if process == 71 else 0)
            for process, kept in KEPT.items() for i in range(4)]


def rows(cprof, value, *arguments):
    done = cprof("top", "--json", "--value", value, *arguments)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return report["total"], [(row["name"], row["self"], row["total"]) for row in report["rows"]]


# --- who has the past ---

def test_a_page_holds_the_past_beside_what_every_table_shows(cprof, files, tmp_path):
    page = tmp_path / "page.html"
    assert cprof("flame", *files, "-o", page).returncode == 0
    profile = carried(page)
    column = [name for name, _ in profile["values"]].index("inuse_space")
    assert profile["levels"] == [column]
    assert sum(profile["samples"]["values"][column]) == ALL[3] << 20
    assert sum(profile["past"]["values"][column]) == sum(ALL[:3]) << 20
    assert sum(profile["past"]["values"][1 - column]) == 0
    for value, total in (("inuse_space", ALL[3] << 20), ("cpu", sum(ALL) * 10**7)):
        assert rows(cprof, value, page) == rows(cprof, value, *files)
        assert rows(cprof, value, page)[0] == total
    # What was read back has no past to give on.
    assert cprof("flame", page, "-o", tmp_path / "again.html").returncode == 0
    assert "past" not in carried(tmp_path / "again.html")
    assert b"cprof.past" not in json.dumps(carried(tmp_path / "again.html")).encode()


@pytest.mark.parametrize("ending", ["pb.gz", "otlp", "block", "html"])
def test_only_a_page_has_it(cprof, files, tmp_path, ending):
    out = tmp_path / f"all.{ending}"
    assert cprof("merge", "--intervals", *files, "-o", out).returncode == 0
    assert rows(cprof, "inuse_space", out)[0] == ALL[3] << 20
    again = tmp_path / "again.folded"
    assert cprof("convert", "--value", "inuse_space", out, again).returncode == 0
    assert sum(int(line.rsplit(" ", 1)[1]) for line in again.read_text().splitlines()) == ALL[3] << 20
    if ending in ("pb.gz", "otlp"):
        assert rows(cprof, "inuse_space", out, "--label", "cprof.past=1")[0] == 0
    if ending == "html":
        assert sum(map(sum, carried(out)["past"]["values"])) == sum(ALL[:3]) << 20


def test_the_order_of_the_files_does_not_matter(cprof, files, tmp_path):
    found = []
    for order in (files, files[::-1], files[1::2] + files[::2]):
        assert cprof("flame", *order, "-o", tmp_path / "page.html").returncode == 0
        found.append(intervals(carried(tmp_path / "page.html")))
        assert rows(cprof, "inuse_space", tmp_path / "page.html")[0] == ALL[3] << 20
    assert [found[0][time] for time in sorted(found[0])] == ALL
    assert found[0] == found[1] == found[2]


def test_one_file_and_one_process_each_have_no_past(cprof, files, tmp_path):
    for some in (files[:1], [files[0], files[5]]):
        assert cprof("flame", *some, "-o", tmp_path / "page.html").returncode == 0
        assert "past" not in carried(tmp_path / "page.html")


def intervals(page):
    """Interval → what is alive at its end, past or not, of a page that was read."""
    column = [name for name, _ in page["values"]].index("inuse_space")
    found = {}
    for samples in (page["samples"], page.get("past")):
        for labels, value in zip(samples["labels"], samples["values"][column]):
            held = page["labels"][labels]
            time = held[held.index("cprof.interval") + 1]
            found[time] = found.get(time, 0) + (value >> 20)
    return found


def test_of_many_files_neighbours_share_the_last(cprof, tmp_path):
    paths = [piece(tmp_path / f"{i:04}.pb.gz", 71, START + i * 10**9, 1, parse=i + 1) for i in range(500)]
    assert cprof("flame", *paths, "-o", tmp_path / "page.html").returncode == 0
    found = intervals(carried(tmp_path / "page.html"))
    # Three share one: the last of 500 is alone with its neighbour.
    assert [found[time] for time in sorted(found)] == [*range(3, 500, 3), 500]
    assert all(time.endswith(f":{(20 + alive) % 60:02}.000Z") for time, alive in found.items())


def test_run_shows_it_too_and_its_table_and_other_files_the_end(cprof, program, environment, files, tmp_path):  # noqa: F811
    body = "".join(f"PROFILE={path}; leave {i}\n" for i, path in enumerate(files[:4]))
    done = cprof("run", "--value", "inuse_space", "-o", "out.html", "-o", "out.pb.gz", "--", program(body),
                 env=environment, cwd=tmp_path)
    assert done.returncode == 0 and "45.0 MiB of inuse_space" in done.stderr, done.stderr
    assert rows(cprof, "inuse_space", tmp_path / "out.pb.gz")[0] == 45 << 20
    assert list(sorted(intervals(carried(tmp_path / "out.html")).values())) == sorted(
        [17, 110, 30, 45])


@pytest.fixture
def store(cprof, tmp_path):
    """Process 71 for five minutes, 72 for the first."""
    folder = tmp_path / "store"
    folder.mkdir()
    for process, kept in {71: [10, 20, 30, 40, 50], 72: [1]}.items():
        for i, count in enumerate(kept):
            profile = ProfileFile(service="shop", start=(BEGIN + 60 * i) * 10**9, duration=60, types=TYPES)
            profile.comments.append(f"process.pid={process}")
            put(cprof, folder, profile.add(STACKS["parse"], count), BEGIN + 60 * i, 60, 10 * process + i, key_of("shop"))
    return folder


def test_history_has_it_of_processes_that_have_ended_as_well(cprof, store, tmp_path):
    page = tmp_path / "page.html"
    for command in (["query", store], ["flame", "--store", store], ["record", "--last", "1h", "--store", store, "71"]):
        assert cprof(*command, "-o", page).returncode == 0
        found = intervals(carried(page))
        assert [found[time] for time in sorted(found)] == [10 if "record" in command else 11, 20, 30, 40, 50]
        assert rows(cprof, "inuse_space", page)[0] == 50 << 20
    assert rows(cprof, "inuse_space", "--store", store)[0] == 50 << 20


def test_the_strip_of_a_service_has_a_level_as_it_stood(cprof, store):
    with serving("--store", store) as (url, _):
        data = data_of(get(link(url + "history", s="shop"))[1])
        assert data["type"] == "cpu" and not data["level"]
    for file in store.iterdir():
        file.unlink()
    for process, kept in {71: [10, 20, 30, 40, 50], 72: [1]}.items():
        for i, count in enumerate(kept):
            profile = ProfileFile(service="shop", start=(BEGIN + 60 * i) * 10**9, duration=60,
                                  types=(("inuse_objects", "count", 2), TYPES[1])).add(STACKS["parse"], count)
            put(cprof, store, profile, BEGIN + 60 * i, 60, 10 * process + i, key_of("shop"))
    with serving("--store", store) as (url, _):
        data = data_of(get(link(url + "history", s="shop"))[1])
        assert (data["type"], data["unit"], data["level"]) == ("inuse_space", "bytes", True)
        bars = len(data["amounts"]) // 5
        for i, alive in enumerate((11, 20, 30, 40, 50)):
            assert data["amounts"][i * bars:(i + 1) * bars] == pytest.approx([alive << 20] * bars, rel=1e-4)


# --- the page ---

@pytest.fixture(scope="module")
def browser():
    with Browser() as started:
        yield started


def open_page(browser, page):
    browser.log()
    browser.open(page)
    browser.run("""window.texts = []; const {prototype} = CanvasRenderingContext2D, {fillText} = prototype;
        prototype.fillText = function (text, ...rest) {
            if (this.canvas.closest('#timeline')) window.texts.push(text);
            return fillText.call(this, text, ...rest); };""")
    choose(browser, "inuse_space")
    return browser


def choose(browser, value):
    browser.run("window.texts.length = 0; const {profile} = window.page.model;"
                "window.page.update({column: profile.values.findIndex(({type}) => type === arguments[0])})", value)
    browser.settle()


@pytest.fixture
def page(browser, cprof, files, tmp_path):
    assert cprof("flame", *files, "-o", tmp_path / "page.html").returncode == 0
    return open_page(browser, tmp_path / "page.html")


def strip(page):
    """What it draws: all, and the search's, by time, in MiB."""
    return page.run("""const {totals: {all, matched}, time} = window.page.timeline;
        return [all, matched].map((amounts) => time.order.map((each) => amounts[time.intervals.indexOf(each)] / 2 ** 20));""")


def shown(page):
    return page.text("summary").split(" · ")[:2]


@needs_browser
def test_the_strip_shows_the_level_of_each_interval_in_bytes(page):
    assert strip(page) == [ALL, [0, 0, 0, 0]]
    assert "112 MiB" in page.run("return window.texts")
    page.type("search", "parse")
    assert strip(page)[1] == [11, 22, 33, 44]
    heights = page.run("""const canvas = document.querySelector('#timeline canvas');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const height = (x) => { let n = 0; for (let y = 0; y < canvas.height * 0.66; y++)
            n += pixels[4 * (y * canvas.width + x) + 3] > 200; return n; };
        return [1, 3, 5, 7].map((eighth) => height(Math.round(canvas.width * eighth / 8)));""")
    assert sorted(range(4), key=heights.__getitem__) == [0, 2, 3, 1] and heights[1] > 5 * heights[0] > 0
    choose(page, "cpu")
    assert any(text.endswith(" CPUs") for text in page.run("return window.texts"))
    assert [amount * 2**20 / 1e7 for amount in strip(page)[0]] == ALL
    assert page.log() == []


@needs_browser
def test_a_brush_shows_what_lived_at_its_end(page):
    assert shown(page) == ["49.0 MiB", "in 40.0 s"]
    for i, alive in enumerate(ALL):
        drag(page, (i + 0.5) / 4, (i + 0.5) / 4)  # a click
        assert shown(page) == [f"{alive}{'.0' if alive < 100 else ''} MiB", f"at 22:1{3 + (30 + 10 * i) // 60}:{(30 + 10 * i) % 60:02}"]
        page.run("window.page.timeline.clear()")
    drag(page, 0.02, 0.74)
    assert shown(page) == ["33.0 MiB", "at 22:13:50"]
    assert page.run("return [...document.querySelectorAll('#rows tr[data-key]')].map((row) => "
                    "row.querySelector('.name .kind').textContent)") == ["parse", "Worker.run"]
    # Filters narrow that; facets tell what there is of it.
    page.run("const facet = window.page.model.profile.facets.find(({name}) => name === 'process.pid');"
             "window.page.filters.toggle(facet, facet.index.get('72'))")
    page.settle()
    assert shown(page)[0] == "3.00 MiB of 33.0 MiB (9.1%)"
    choose(page, "cpu")
    assert page.text("summary").startswith("60.0 ms of 2.12 s (2.8%) · in 30.0 s")
    page.run("window.page.timeline.clear()")
    choose(page, "inuse_space")
    assert shown(page)[0] == "4.00 MiB of 49.0 MiB (8.2%)"
    assert "cprof.past" not in page.run("return window.page.model.profile.facets.map(({name}) => name)")
    assert page.log() == []


@needs_browser
def test_what_had_ended_before_the_end_of_the_brush_is_not_there(browser, cprof, store, tmp_path):
    assert cprof("query", store, "-o", tmp_path / "page.html").returncode == 0
    open_page(browser, tmp_path / "page.html")
    assert strip(browser)[0] == [11, 20, 30, 40, 50]
    for end, alive in ((0.39, 21), (0.59, 31), (0.79, 40)):  # heard of no more for more than two intervals
        drag(browser, 0.01, end)
        assert shown(browser)[0] == f"{alive}.0 MiB"
        browser.run("window.page.timeline.clear()")
    assert shown(browser)[0] == "50.0 MiB"
    assert browser.log() == []


@needs_browser
def test_the_strip_of_a_service_says_bytes_and_an_average(browser, cprof, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    for i, count in enumerate((10, 20, 30)):
        profile = ProfileFile(service="shop", start=(BEGIN + 3600 * i) * 10**9, duration=3600, types=TYPES[1:])
        put(cprof, folder, profile.add(STACKS["parse"], count), BEGIN + 3600 * i, 3600, i + 1, key_of("shop"))
    with serving("--store", folder) as (url, _):
        browser._ask("POST", "/url", {"url": link(url + "history", s="shop")})
        ready(browser)
        assert browser.run("return $('strip').getAttribute('aria-label')").endswith("at most 30.0 MiB")
        browser.type("from", "2026-01-28 12:00:00+00:00")
        browser.type("to", "2026-01-28 14:00:00+00:00")
        assert browser.text("new-amount").endswith("(2 h): 15.0 MiB on average")


@needs_browser
def test_a_heat_map_of_a_level_has_the_level(browser, cprof, tmp_path):
    paths = [piece(tmp_path / f"{i:02}.pb.gz", 71, START + i * 10**9, 1, parse=i % 10 + 1) for i in range(30)]
    assert cprof("flame", *paths, "-o", tmp_path / "page.html").returncode == 0
    open_page(browser, tmp_path / "page.html")
    browser.keys("e")
    cells = browser.run("return [...window.page.heat.amounts].map((each) => each / 2 ** 20)")
    assert cells == pytest.approx([i % 10 + 1 for i in range(30)])
    assert browser.log() == []
