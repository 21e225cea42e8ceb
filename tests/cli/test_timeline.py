"""The time strip of profiles that were merged out of intervals: what each had, and what a brush
leaves, in numbers of `cprof top`."""

import json
import os
import re
import subprocess

import pytest

import profiles
from browser import Browser, why_not

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

LEFT, RIGHT, SHIFT, ESCAPE = "\ue012", "\ue014", "\ue008", "\ue00c"
START = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z, as profiles.py has it
COUNTS = {"parse": [5, 10, 20, 40], "crc32": [8, 8, 8, 8]}


@pytest.fixture
def four(tmp_path):
    """Four files of 10 s each; parse doubles in each, crc32 stays."""
    paths = []
    for i in range(4):
        profile = profiles.ProfileFile(service="shop", start=START + i * 10_000_000_000)
        profile.add([profiles.RUN, profiles.PARSE], COUNTS["parse"][i], **{"thread.name": "worker-1"})
        profile.add([profiles.MAIN, profiles.WORK, profiles.CRC], COUNTS["crc32"][i], **{"thread.name": "main"})
        paths.append(profile.write(tmp_path / f"part-{i}.pb.gz"))
    return paths


def interval(first, last=None):
    clock = "2023-11-14T22:13:{:02}.000Z".format
    return f"{clock(20 + 10 * first)}/{clock(30 + 10 * (first if last is None else last))}".replace(
        "13:60", "14:00")


def total(cprof, *arguments):
    done = cprof("top", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["total"] // 10**7


# --- merging ---

def test_merge_keeps_intervals_apart_when_asked(cprof, four, tmp_path):
    plain, kept = tmp_path / "plain.pb.gz", tmp_path / "kept.pb.gz"
    assert cprof("merge", *four, "-o", plain).returncode == 0
    assert cprof("merge", "--intervals", *four, "-o", kept).returncode == 0
    assert total(cprof, plain) == total(cprof, kept) == 107
    for i, count in enumerate((13, 18, 28, 48)):
        assert total(cprof, kept, "--label", f"cprof.interval={interval(i)}") == count
    assert total(cprof, plain, "--label", f"cprof.interval={interval(0)}") == 0
    # What has its interval keeps it through the next merge, and through other formats.
    again = tmp_path / "again.otlp"
    assert cprof("merge", "--intervals", kept, four[0], "-o", again).returncode == 0
    assert total(cprof, again, "--label", f"cprof.interval={interval(0)}") == 26
    assert total(cprof, again, "--label", f"cprof.interval={interval(3)}") == 48


def test_one_file_and_files_without_a_time_get_no_interval(cprof, four, tmp_path):
    timeless = profiles.ProfileFile(duration=0, start=0).add([profiles.MAIN], 3).write(tmp_path / "timeless.pb.gz")
    assert cprof("merge", "--intervals", four[0], "-o", tmp_path / "one.pb.gz").returncode == 0
    assert total(cprof, tmp_path / "one.pb.gz", "--label", f"cprof.interval={interval(0)}") == 0
    assert cprof("merge", "--intervals", four[0], timeless, "-o", tmp_path / "two.pb.gz").returncode == 0
    assert total(cprof, tmp_path / "two.pb.gz") == 16
    assert total(cprof, tmp_path / "two.pb.gz", "--label", f"cprof.interval={interval(0)}") == 13


def test_of_many_files_neighbours_share_an_interval(cprof, tmp_path):
    for i in range(1000):
        profile = profiles.ProfileFile(duration=1.0, start=START + i * 10**9)
        profile.add([profiles.MAIN], 1 + i % 3).write(tmp_path / f"{i:04}.pb.gz")
    done = cprof("merge", "--intervals", *sorted(tmp_path.glob("*.pb.gz")), "-o", tmp_path / "all.collapsed")
    assert done.returncode == 0, done.stderr
    # Of one stack there is one line, whatever its labels are.
    assert (tmp_path / "all.collapsed").read_text() == "main 1999\n"
    cprof("merge", "--intervals", *sorted(tmp_path.glob("*.pb.gz")), "-o", tmp_path / "all.otlp")
    found = subprocess.run(["grep", "-ao", "2023-11-14T22:[0-9:.]*Z/", tmp_path / "all.otlp"],
                           capture_output=True, text=True, timeout=60).stdout.split()
    assert 150 < len(set(found)) <= 240


def test_the_sum_does_not_depend_on_the_number_of_processors(cprof, tmp_path):
    paths = []
    for i in range(40):
        profile = profiles.ProfileFile(service="shop", start=START + i * 10**9)
        for k in range(30):
            profile.add([profiles.MAIN, profiles.python(f"f{(i * 7 + k) % 50}", "f.py", k + 1)], k + 1)
        paths.append(profile.write(tmp_path / f"{i:02}.pb.gz"))
    one, many = tmp_path / "one.pb.gz", tmp_path / "many.pb.gz"
    assert cprof("merge", *paths, "-o", many).returncode == 0
    assert cprof("merge", *paths, "-o", one,
                 preexec_fn=lambda: os.sched_setaffinity(0, {0})).returncode == 0
    assert one.read_bytes() == many.read_bytes()


# --- the page ---

@pytest.fixture(scope="module")
def browser():
    with Browser() as started:
        yield started


@pytest.fixture
def page(browser, cprof, four, tmp_path):
    done = cprof("flame", *four, "-o", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    browser.log()
    browser.open(tmp_path / "page.html")
    return browser


def drag(page, start, end):
    """Drags over the strip, from one part of its width to another."""
    place = page.run("const {x, y, width} = document.getElementById('timeline').getBoundingClientRect();"
                     "return {x, y, width}")
    page.drag(place["x"] + start * place["width"], place["y"] + 15, place["x"] + end * place["width"], place["y"] + 15)


def summary(page):
    return page.text("summary").split(" · ")[0]


def shares(page):
    """What the strip draws for each interval: all, and the search's."""
    return page.run("const {all, matched} = window.page.timeline.totals;"
                    "return [[...all], [...matched]].map((list) => list.map((each) => each / 1e7))")


@needs_browser
def test_the_strip_shows_what_each_interval_had(page):
    assert shares(page) == [[13, 18, 28, 48], [0, 0, 0, 0]]
    page.type("search", "parse")
    assert shares(page) == [[13, 18, 28, 48], COUNTS["parse"]]
    page.click("hide-native")  # crc32's time is work's now
    page.type("search", "work")
    assert shares(page)[1] == [13, 18, 28, 48]  # parse is in worker.py
    page.type("search", "/^work$/")
    assert shares(page)[1] == COUNTS["crc32"]
    drawn = page.run("""const canvas = document.querySelector('#timeline canvas');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const height = (x) => { let n = 0; for (let y = 0; y < canvas.height * 0.66; y++)
            n += pixels[4 * (y * canvas.width + x) + 3] > 200; return n; };
        return [1, 3, 5, 7].map((eighth) => height(Math.round(canvas.width * eighth / 8)));""")
    assert drawn == sorted(drawn) and drawn[3] > 3 * drawn[0] > 0
    assert page.log() == []


@needs_browser
def test_a_brush_narrows_the_page_to_its_intervals(page, cprof, four):
    drag(page, 0.30, 0.74)  # the middles of the second and the third are at 0.375 and 0.625
    assert summary(page) == "460 ms of 1.07 s (43.0%)"
    assert page.text("summary").split(" · ")[1] == "in 20.0 s"
    top = json.loads(cprof("top", "--json", four[1], four[2]).stdout)
    assert top["total"] == 460_000_000
    rows = page.run("""return [...document.querySelectorAll('#rows tr[data-key]')].map((row) => [
        row.querySelector('.name .kind').textContent, row.cells[0].firstChild.textContent])""")
    assert {name: amount for name, amount in rows} == {
        row["name"]: f"{row['self'] // 10**6} ms" if row["self"] else "0 s" for row in top["rows"]}
    # Filters tell what they have under the brush; the strip, what there is under the filters.
    page.click("filter")
    page.run("document.querySelector('#filters label input').click()")
    page.settle()
    assert summary(page) == "300 ms of 1.07 s (28.0%)"
    assert shares(page)[0] == COUNTS["parse"]
    chips = page.run("return [...document.querySelectorAll('#chips button')].map((each) => each.textContent)")
    assert chips[0] == "Thread: worker-1 ×" and chips[1].count(":") == 4
    page.run("document.querySelectorAll('#chips button')[1].click()")
    page.settle()
    assert summary(page) == "750 ms of 1.07 s (70.1%)"
    assert page.log() == []


@needs_browser
def test_the_brush_can_be_moved_resized_and_clicked_away(page):
    drag(page, 0.05, 0.24)
    assert summary(page).startswith("130 ms")
    drag(page, 0.10, 0.36)  # takes hold of it: one to the right
    assert summary(page).startswith("180 ms")
    drag(page, 0.50, 0.99)  # its end
    assert summary(page).startswith("940 ms")
    drag(page, 0.60, 0.60)  # a click inside
    assert summary(page) == "1.07 s"
    drag(page, 0.90, 0.90)  # a click on one interval
    assert summary(page).startswith("480 ms")


@needs_browser
def test_the_strip_works_with_the_keyboard_and_tells_what_it_holds(page):
    page.run("document.getElementById('timeline').focus()")
    value = "return document.getElementById('timeline').getAttribute('aria-valuetext')"
    assert page.run(value) == "the whole time"
    page.keys(RIGHT)
    assert summary(page).startswith("130 ms") and page.run(value).endswith(", 130 ms")
    page.keys(RIGHT)
    assert summary(page).startswith("180 ms")
    page.chord(SHIFT, RIGHT)
    assert summary(page).startswith("460 ms")
    page.keys(LEFT)
    assert summary(page).startswith("310 ms")
    page.keys(LEFT)  # the end of it
    assert summary(page).startswith("310 ms")
    page.keys(ESCAPE)
    assert summary(page) == "1.07 s"
    page.keys(LEFT)
    assert summary(page).startswith("480 ms")


@needs_browser
def test_one_interval_has_no_strip(browser, cprof, small, tmp_path):
    cprof("flame", small, "-o", tmp_path / "one.html")
    browser.open(tmp_path / "one.html")
    assert browser.run("return document.getElementById('timeline').hidden")


@needs_browser
def test_more_intervals_than_a_function_takes_arguments(browser, cprof, tmp_path):
    profile = profiles.ProfileFile()
    for i in range(150_000):
        minute, second = divmod(i // 100, 60)
        at = f"2023-11-14T{22 + minute // 60:02}:{minute % 60:02}:{second:02}.{i % 100:02}"
        profile.add([profiles.MAIN], 1, **{"cprof.interval": f"{at}0Z/{at}9Z"})
    cprof("flame", profile.write(tmp_path / "many.pb.gz"), "-o", tmp_path / "many.html")
    browser.log()
    browser.open(tmp_path / "many.html")
    assert summary(browser) == "1500 s" and not browser.run("return document.getElementById('timeline').hidden")
    drag(browser, 0.1, 0.9)
    taken = float(re.match(r"(\d+) s of 1500 s", summary(browser))[1])
    assert 1190 < taken < 1210
    assert browser.log() == []


@needs_browser
def test_labels_that_are_no_intervals_do_no_harm(browser, cprof, tmp_path):
    profile = profiles.ProfileFile()
    for text in ("", "yesterday", "2023-11-14T22:13:20Z/2023-11-14T22:13:10Z", "2023-11-14T22:13:20Z",
                 interval(0), interval(1), "<script>document.title='owned'</script>"):
        profile.add([profiles.MAIN], 5, **{"cprof.interval": text})
    cprof("flame", profile.write(tmp_path / "odd.pb.gz"), "-o", tmp_path / "odd.html")
    browser.log()
    browser.open(tmp_path / "odd.html")
    assert not browser.run("return document.getElementById('timeline').hidden")
    drag(browser, 0.05, 0.4)
    assert summary(browser) == "50.0 ms of 350 ms (14.3%)"
    assert browser.log() == [] and "owned" not in browser.run("return document.title")


@needs_browser
def test_a_heat_map_shows_what_comes_back_every_ten_seconds(browser, cprof, tmp_path):
    """60 seconds, of which each tenth is busy: one row of the map."""
    profile = profiles.ProfileFile(service="shop", duration=60.0)
    for i in range(60):
        label = {"cprof.interval": f"2023-11-14T22:13:{i:02}.000Z/2023-11-14T22:{13 + (i + 1) // 60}:{(i + 1) % 60:02}.000Z"}
        profile.add([profiles.RUN, profiles.PARSE], 50 if i % 10 == 3 else 1, **label)
    cprof("flame", profile.write(tmp_path / "heat.pb.gz"), "-o", tmp_path / "heat.html")
    browser.log()
    browser.open(tmp_path / "heat.html")
    assert browser.run("return document.getElementById('heat').hidden")
    browser.keys("e")
    cells = browser.run("const {rows, amounts} = window.page.heat; return [rows, [...amounts].map((each) => each / 1e7)]")
    assert cells == [10, [50 if i % 10 == 3 else 1 for i in range(60)]]
    place = browser.run("const {x, y, width, height} = document.getElementById('heat').getBoundingClientRect();"
                        "return {x, y, width, height}")

    def at(second):
        return (place["x"] + (second // 10 + 0.5) / 6 * place["width"],
                place["y"] + (second % 10 + 0.5) / 10 * place["height"])

    browser.pointer(*at(23), press=True)
    assert summary(browser).startswith("500 ms of 3.54 s")
    browser.drag(*at(10), *at(29))
    assert summary(browser).startswith("1.18 s of 3.54 s")
    browser.pointer(*at(10), press=True)
    assert summary(browser).startswith("10.0 ms")
    browser.pointer(*at(10), press=True)
    assert summary(browser) == "3.54 s"
    assert browser.log() == []


@needs_browser
def test_few_intervals_have_no_heat_map(page):
    assert page.run("return document.getElementById('heat-toggle').hidden")
