"""The flame graph page in headless Chromium: what it shows is what `cprof top` says, and names
never become markup or code."""

import base64
import gzip
import json
import pathlib
import re

import pytest

import profiles
from browser import Browser, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

ESCAPE, ENTER, BACKSPACE, DOWN, RIGHT = "\ue00c", "\ue007", "\ue003", "\ue015", "\ue014"

# Where a box of the graph lies in the window, by the path of names that leads to it.
BOX = """
    const {graph, model} = window.page;
    let box = model.root;
    for (const name of arguments[0]) {
        box = model.children(box).find((each) => graph.label(each) === name);
        if (!box)
            return null;
    }
    const canvas = document.getElementById('canvas').getBoundingClientRect();
    const scale = graph.width / graph.span;
    const from = Math.max(0, (box.x - graph.left) * scale);
    const to = Math.min(graph.width, (box.x + box.size - graph.left) * scale);
    return {x: canvas.x + (from + to) / 2, y: canvas.y + 4 + box.depth * 20 + 10, width: to - from,
            total: box.total / 1e7, self: box.self / 1e7};
"""


@pytest.fixture(scope="module")
def browser():
    with Browser() as started:
        yield started


@pytest.fixture
def page(browser, cprof, tmp_path):
    """Opens a profile file's flame graph."""
    def show(path, *arguments, name="page.html"):
        done = cprof("flame", path, *arguments, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
        browser.log()  # what earlier pages wrote
        browser.open(tmp_path / name)
        return browser
    return show


def box(page, *path):
    return page.run(BOX, list(path))


def table(page):
    """The rows in sight: name → (self, total) as they are written."""
    return {row[0]: (row[1], row[2]) for row in page.run("""
        return [...document.querySelectorAll('#rows tr[data-key]')].map((row) => [
            row.querySelector('.name .kind').textContent, row.cells[0].textContent, row.cells[1].textContent]);
    """)}


def select(page, element_id, value):
    page.run("""const select = document.getElementById(arguments[0]); select.value = arguments[1];
                select.dispatchEvent(new Event('change'));""", element_id, value)
    page.settle()


def tooltip(page, *path):
    place = box(page, *path)
    page.pointer(place["x"], place["y"])
    return dict(page.run("""
        const terms = [...document.querySelectorAll('#tip dt')];
        return [['name', document.querySelector('#tip strong').textContent],
                ...terms.map((term) => [term.textContent, term.nextSibling.textContent])];
    """))


def quiet(page):
    """Nothing went wrong in the page."""
    assert page.alert() is None
    assert [entry for entry in page.log() if entry["level"] in ("SEVERE", "WARNING")] == []


# --- the numbers ---

def test_the_table_says_what_top_says(page, small, cprof):
    shown = table(page(small))
    assert shown == {"parse": ("400 ms40.0%", "400 ms40.0%"), "crc32": ("300 ms30.0%", "300 ms30.0%"),
                     "work": ("200 ms20.0%", "500 ms50.0%"), "main": ("100 ms10.0%", "600 ms60.0%"),
                     "Worker.run": ("0 s0.0%", "400 ms40.0%")}
    for line in cprof("top", small).stdout.splitlines()[3:]:
        cells = re.split(r"  +", line.strip())
        assert shown[cells[4]] == (cells[0] + cells[1], cells[2] + cells[3])


def test_the_head_says_what_the_profile_is(page, small):
    opened = page(small)
    assert opened.text("title") == "shop"
    assert opened.text("summary").startswith("1.00 s · in 10.0 s · 2 threads · ")
    assert opened.run("return document.title") == "shop – cprof"
    quiet(opened)


def test_the_tooltip_has_self_total_place_and_module(page, small):
    opened = page(small)
    assert tooltip(opened, "main", "work") == {
        "name": "work", "total": "500 ms · 50.0%", "self": "0 s · 0.0%",
        "everywhere": "500 ms · 50.0%, self 200 ms · 20.0%", "at": "/app/shop/main.py:20",
        "kind": "Python"}
    assert tooltip(opened, "main", "work", "crc32") == {
        "name": "crc32", "total": "300 ms · 30.0%", "self": "300 ms · 30.0%",
        "everywhere": "300 ms · 30.0%, self 300 ms · 30.0%", "module": "/usr/lib/libz.so.1",
        "kind": "native"}


def test_the_value_and_the_grouping_can_be_chosen(page, small, cprof):
    opened = page(small)
    opened.run("""const select = document.getElementById('column'); select.value = '0';
                  select.dispatchEvent(new Event('change'));""")
    assert table(opened)["parse"] == ("4040.0%", "4040.0%")
    for by in ("line", "file", "module"):
        opened.run("""const select = document.getElementById('grouping'); select.value = arguments[0];
                      select.dispatchEvent(new Event('change'));""", by)
        opened.settle()
        top = json.loads(cprof("top", "--json", "--type", "samples", "--by", by, small).stdout)
        shown = table(opened)
        assert len(shown) == len(top["rows"])
        for row in top["rows"]:
            name = f"{row['name']}:{row['line']}" if by == "line" else row["name"]
            assert shown[name] == (f"{row['self']}{row['self']:.1f}%", f"{row['total']}{row['total']:.1f}%")


def test_every_row_of_a_program_says_what_top_says(page, cprof):
    """Threads, native code and recursion, in all four groupings."""
    stacks = pathlib.Path(__file__).parent / "data" / "shop.collapsed"
    opened = page(stacks)
    for by in ("function", "line", "file", "module"):
        select(opened, "grouping", by)
        shown = opened.run("""
            const {model} = window.page, {grouping} = model, rows = [];
            for (let key = 0; key < grouping.count; key++)
                if (model.has(key))
                    rows.push([grouping.fullName(key), model.selfOf[key], model.totalOf[key]]);
            return rows;""")
        top = json.loads(cprof("top", "--json", "-n", 9999, "--by", by, stacks).stdout)
        name = (lambda row: f"{row['name']}:{row['line']}") if by == "line" else lambda row: row["name"]
        assert sorted(shown) == sorted([name(row), row["self"], row["total"]] for row in top["rows"])
        assert len(shown) > 3


# --- what people do with it ---

def test_search_marks_counts_and_walks_through_matches(page, small):
    opened = page(small)
    opened.type("search", "WORK")  # work, and everything in worker.py
    assert opened.text("matches") == "3 · 90.0%"
    opened.type("search", "/^work$/")
    assert opened.text("matches") == "1 · 50.0%"
    assert set(table(opened)) == {"work"}
    opened.click("next")
    assert opened.text("status") == "work · total 500 ms · 50.0% · self 0 s"
    opened.click("next")
    assert opened.text("status") == "work · total 200 ms · 20.0% · self 200 ms"
    opened.click("next")
    assert opened.text("status") == "work · total 500 ms · 50.0% · self 0 s"
    opened.click("previous")
    assert opened.text("status") == "work · total 200 ms · 20.0% · self 200 ms"
    opened.type("search", "nothing has this name")
    assert opened.text("matches") == "no match"
    opened.type("search", "/(/")
    assert opened.text("matches") == "no match"
    quiet(opened)


def test_a_click_zooms_and_breadcrumbs_lead_back(page, small):
    opened = page(small)
    full = opened.run("return window.page.graph.width")
    place = box(opened, "Worker.run")
    assert round(place["width"] / full, 2) == 0.40
    opened.pointer(place["x"], place["y"], press=True)
    assert box(opened, "Worker.run")["width"] == pytest.approx(full)
    assert opened.run("return [...document.querySelectorAll('#crumbs button')].map((b) => b.textContent)") == [
        "all", "Worker.run"]
    opened.run("document.querySelector('#crumbs button').click()")
    opened.settle()
    assert round(box(opened, "Worker.run")["width"] / full, 2) == 0.40


def test_callers_view_turns_the_stacks_over(page, small):
    opened = page(small)
    opened.click("inverted")
    assert {name: box(opened, name)["total"] for name in ("parse", "crc32", "work", "main")} == {
        "parse": 40, "crc32": 30, "work": 20, "main": 10}
    assert box(opened, "crc32", "work", "main")["total"] == 30
    assert box(opened, "work", "work", "main")["total"] == 20
    assert box(opened, "parse", "Worker.run")["total"] == 40
    assert box(opened, "Worker.run") is None
    assert table(opened)["work"] == ("200 ms20.0%", "500 ms50.0%")


def test_hidden_native_frames_give_their_time_to_the_caller(page, small):
    opened = page(small)
    opened.click("hide-native")
    assert box(opened, "main", "work", "crc32") is None
    assert (box(opened, "main", "work")["self"], box(opened, "main", "work")["total"]) == (30, 50)
    assert table(opened)["work"] == ("500 ms50.0%", "500 ms50.0%")
    assert "crc32" not in table(opened)
    opened.click("hide-native")
    assert box(opened, "main", "work", "crc32")["total"] == 30


def test_folded_recursion_is_one_box(page, small):
    opened = page(small)
    assert box(opened, "main", "work", "work")["total"] == 20
    opened.click("collapse")
    assert box(opened, "main", "work", "work") is None
    assert (box(opened, "main", "work")["self"], box(opened, "main", "work")["total"]) == (20, 50)
    assert table(opened)["work"] == ("200 ms20.0%", "500 ms50.0%")


def test_mutual_recursion_folds_back_to_the_first_call(page, tmp_path):
    a, b, c = (profiles.python(name, "f.py", 1) for name in "abc")
    path = profiles.ProfileFile().add([a, b, a, b, c], 6).add([a, b], 4).write(tmp_path / "r.pb.gz")
    opened = page(path)
    opened.click("collapse")
    assert (box(opened, "a")["total"], box(opened, "a", "b")["total"], box(opened, "a", "b", "c")["total"]) == (
        10, 10, 6)
    assert box(opened, "a", "b", "a") is None


def test_a_call_after_a_fold_hangs_under_what_called_it(page, tmp_path):
    """c is called by a at last: the way there leads back to a, and is whole again for the next stack."""
    a, b, c, d = (profiles.python(name, "f.py", 1) for name in "abcd")
    path = profiles.ProfileFile().add([a, b, c, a, c], 6).add([a, b, c, d], 4).add([a, b, b, c, d, c], 1)
    opened = page(path.write(tmp_path / "r.pb.gz"))
    opened.click("collapse")
    assert (box(opened, "a", "c")["total"], box(opened, "a", "b")["total"], box(opened, "a", "b", "c")["total"]) == (
        6, 5, 5)
    assert (box(opened, "a", "b", "c")["self"], box(opened, "a", "b", "c", "d")["self"]) == (1, 4)
    assert box(opened, "a", "b", "c", "d", "c") is None
    assert table(opened) == {"c": ("70.0 ms63.6%", "110 ms100.0%"), "d": ("40.0 ms36.4%", "50.0 ms45.5%"),
                             "a": ("0 s0.0%", "110 ms100.0%"), "b": ("0 s0.0%", "110 ms100.0%")}


def choose(page, facet, value):
    page.run("""
        const section = [...document.querySelectorAll('#filters details')].find(
            (each) => each.querySelector('h2').textContent === arguments[0]);
        [...section.querySelectorAll('label')].find(
            (each) => each.querySelector('.value').textContent === arguments[1]).querySelector('input').click();
    """, facet, value)
    page.settle()


def facet(page, name):
    return dict(page.run("""
        const section = [...document.querySelectorAll('#filters details')].find(
            (each) => each.querySelector('h2').textContent === arguments[0]);
        return [...section.querySelectorAll('label')].map((each) => [
            each.querySelector('.value').textContent, each.querySelector('.amount').textContent]);
    """, name))


def test_filters_by_thread_label_trace_and_span_with_live_totals(page, small, cprof):
    opened = page(small)
    opened.click("filter")
    assert facet(opened, "Thread") == {"MainThread": "600 ms", "worker-1": "400 ms"}
    assert facet(opened, "endpoint") == {"/cart": "200 ms"}
    assert facet(opened, "Span") == {profiles.SPAN: "400 ms"}
    assert facet(opened, "Trace") == {profiles.TRACE: "400 ms"}
    choose(opened, "Thread", "MainThread")
    assert opened.text("summary").startswith("600 ms of 1.00 s (60.0%) · ")
    assert facet(opened, "Thread") == {"MainThread": "600 ms", "worker-1": "400 ms"}
    assert facet(opened, "Span") == {profiles.SPAN: "0 s"}
    top = json.loads(cprof("top", "--json", "--thread", "MainThread", small).stdout)
    assert set(table(opened)) == {row["name"] for row in top["rows"]}
    assert table(opened)["work"] == ("200 ms33.3%", "500 ms83.3%")
    choose(opened, "endpoint", "/cart")
    assert opened.text("summary").startswith("200 ms of 1.00 s")
    choose(opened, "Thread", "MainThread")
    choose(opened, "endpoint", "/cart")
    choose(opened, "Span", profiles.SPAN)
    assert set(table(opened)) == {"parse", "Worker.run"}
    opened.run("document.querySelector('#chips button').click()")
    opened.settle()
    assert opened.text("summary").startswith("1.00 s · ")


def test_a_sample_passes_by_any_of_several_values_of_a_label(page, tmp_path):
    profile = profiles.ProfileFile()
    profile.add([profiles.MAIN], 1, tag=["a", "b", 7]).add([profiles.MAIN], 20, tag="b").add([profiles.MAIN], 300)
    opened = page(profile.write(tmp_path / "labels.pb.gz"))
    opened.click("filter")
    assert facet(opened, "tag") == {"a": "10.0 ms", "b": "210 ms", "7": "10.0 ms"}
    for value, left in (("7", "10.0 ms"), ("b", "210 ms")):
        choose(opened, "tag", value)
        assert opened.text("summary").startswith(f"{left} of 3.21 s")
    quiet(opened)


def test_labels_may_be_called_anything(page, tmp_path):
    """Not even "trace", which a label may be and a link is, or what every object of JavaScript has."""
    profile = profiles.ProfileFile()
    names = ["trace", "span", "constructor", "__proto__", "toString"]
    for i, name in enumerate(names):
        profile.add([profiles.MAIN], 1 + i, **{name: f"value {i}"})
    profile.add([profiles.MAIN], 40, trace_id=profiles.TRACE, span_id=profiles.SPAN, span="mine")
    opened = page(profile.write(tmp_path / "labels.pb.gz"))
    opened.click("filter")
    assert opened.run("return [...document.querySelectorAll('#filters h2')].map((each) => each.textContent)") == [
        "Frames", *names, "Trace", "Span"]
    for i, name in enumerate(names):
        assert facet(opened, name)[f"value {i}"] == f"{10 * (1 + i)}.0 ms"
    assert facet(opened, "Trace") == {profiles.TRACE: "400 ms"}
    assert facet(opened, "span") == {"mine": "400 ms", "value 1": "20.0 ms"}
    choose(opened, "span", "value 1")
    assert opened.text("summary").startswith("20.0 ms of 550 ms")
    assert facet(opened, "Span") == {profiles.SPAN: "0 s"}
    quiet(opened)


def test_the_table_sorts_and_leads_to_the_graph(page, small):
    opened = page(small)
    names = "return [...document.querySelectorAll('#rows .name .kind')].map((each) => each.textContent)"
    assert opened.run(names) == ["parse", "crc32", "work", "main", "Worker.run"]
    opened.run("document.querySelector('[data-sort=total]').click()")
    assert opened.run(names) == ["main", "work", "parse", "Worker.run", "crc32"]
    opened.run("document.querySelector('[data-sort=name]').click()")
    assert opened.run(names) == ["crc32", "main", "parse", "work", "Worker.run"]
    opened.run("[...document.querySelectorAll('#rows tr')].find((r) => r.textContent.includes('crc32')).click()")
    opened.settle()
    assert opened.text("status").startswith("crc32 · total 300 ms")
    assert opened.run("return document.querySelector('#rows [aria-selected=true] .name .kind').textContent") == "crc32"


def test_everything_can_be_done_with_the_keyboard(page, small):
    opened = page(small)
    opened.run("document.getElementById('canvas').focus()")
    opened.keys(DOWN)
    opened.keys(DOWN)
    assert opened.text("announce") == "main, total 600 ms, 60.0%, self 100 ms"
    opened.keys(RIGHT)
    assert opened.text("announce") == "Worker.run, total 400 ms, 40.0%, self 0 s"
    opened.keys(ENTER)
    assert opened.text("crumbs") == "allWorker.run"
    opened.keys(BACKSPACE)
    assert opened.run("return document.getElementById('crumbs').hidden")
    opened.keys("i")
    assert opened.run("return document.getElementById('inverted').getAttribute('aria-pressed')") == "true"
    opened.keys("i", "/")
    assert opened.run("return document.activeElement.id") == "search"
    opened.keys(*"parse")
    assert opened.text("matches") == "1 · 40.0%"
    opened.keys(ENTER)
    assert opened.text("status").startswith("parse · total 400 ms")
    opened.keys(ESCAPE)
    assert opened.text("matches") == ""
    opened.run("document.activeElement.blur()")
    opened.keys("?")
    assert opened.run("return document.getElementById('help').open")
    opened.keys(ESCAPE)
    assert not opened.run("return document.getElementById('help').open")
    quiet(opened)


def pressed(page, element_id):
    return page.run("return document.getElementById(arguments[0]).getAttribute('aria-pressed')", element_id) == "true"


def test_every_key_of_the_help_does_what_it_says(page, small):
    opened = page(small, "--source-url", "https://example.com{file}#{line}")
    told = set(opened.run("return [...document.querySelectorAll('#help dt kbd')].map((each) => each.textContent)"))
    assert told == set("IHAROUDFTCSMPBLE/←→↑↓") | {"Enter"}
    for key, button in (("i", "inverted"), ("h", "hide-native"), ("r", "collapse"), ("u", "flame"),
                        ("t", "table-toggle")):
        before = pressed(opened, button)
        opened.keys(key)
        assert pressed(opened, button) != before, key
        opened.keys(key)
        assert pressed(opened, button) == before, key
    scheme = "return document.documentElement.style.colorScheme"
    before = opened.run(scheme)
    opened.keys("d")
    assert {before, opened.run(scheme)} == {"light", "dark"}
    opened.keys("f")
    assert not opened.run("return document.getElementById('filters').hidden")
    opened.keys(ESCAPE)
    assert opened.run("return document.getElementById('filters').hidden")
    opened.type("search", "/^work$/")
    opened.keys("n")
    first = opened.text("status")
    opened.keys("n")
    assert opened.text("status") != first
    opened.keys("N")
    assert opened.text("status") == first
    opened.run("window.opened = []; document.getElementById('source').addEventListener('click', (event) => {"
               "event.preventDefault(); window.opened.push(event.currentTarget.href); })")
    opened.keys("s")
    assert opened.run("return window.opened") == ["https://example.com/app/shop/main.py#20"]
    opened.keys(ESCAPE)
    assert opened.text("matches") == ""
    opened.keys(ESCAPE)
    assert opened.text("status").startswith("Click a frame")
    quiet(opened)


def test_the_name_of_a_frame_is_copied_whole(page, tmp_path):
    name = "Very.long_name_of_a_method<locals>." * 40
    opened = page(profiles.ProfileFile().add([profiles.python(name, "f.py", 1)], 5).write(tmp_path / "long.pb.gz"))
    opened.allow_clipboard()
    assert opened.run("return document.getElementById('copy').hidden")
    opened.run("const {graph, model} = window.page; graph.select(model.children(model.root)[0])")
    for copy in (lambda: opened.click("copy"), lambda: opened.keys("c")):
        opened.run_async("navigator.clipboard.writeText('').then(arguments[0])")
        copy()
        assert opened.text("status") == "Copied"
        assert opened.run_async("navigator.clipboard.readText().then(arguments[0])") == name


def test_every_kind_of_frame_has_its_colour_and_stands_in_the_legend(page, tmp_path):
    kinds = {"cpython": "Python", "ruby": "Ruby", "v8js": "JavaScript", "native": "native", "kernel": "kernel",
             "gc": "garbage collector", "unknown": "other"}
    profile = profiles.ProfileFile()
    for kind in ("cpython", "ruby", "v8js"):
        profile.add([profiles.Frame(kind, "f", 1, kind=kind)], 10)
    profile.add([profiles.native("native", "/lib/x.so")], 10).add([profiles.native("kernel", "[kernel.kallsyms]")], 10)
    profile.add([profiles.Frame("(garbage collector)", kind="v8js")], 10).add([profiles.Frame("unknown")], 10)
    opened = page(profile.write(tmp_path / "kinds.pb.gz"))
    assert opened.run("return [...document.querySelectorAll('#legend li')].map((each) => each.textContent)") == list(
        kinds.values())
    for theme in ("light", "dark"):
        if opened.run("return document.documentElement.style.colorScheme") != theme:
            opened.click("theme")
        for kind, label in kinds.items():
            place = box(opened, "(garbage collector)" if kind == "gc" else kind)
            hue, seen = opened.run("""
                const canvas = document.getElementById('canvas'), {x, y} = canvas.getBoundingClientRect();
                const [r, g, b] = canvas.getContext('2d').getImageData(Math.round((arguments[0] - x) * devicePixelRatio),
                    Math.round((arguments[1] - y - 8) * devicePixelRatio), 1, 1).data;
                const most = Math.max(r, g, b), span = most - Math.min(r, g, b);
                const sixth = most === r ? (g - b) / span : most === g ? 2 + (b - r) / span : 4 + (r - g) / span;
                const wanted = Object.values(KINDS).find(({label}) => label === arguments[2])[arguments[3]][0];
                return [wanted, (60 * sixth + 360) % 360];""", place["x"], place["y"], label, theme)
            assert abs((hue - seen + 180) % 360 - 180) <= 12, (kind, theme, hue, seen)


def test_the_wheel_zooms_freely_and_a_drag_pans(page, small):
    opened = page(small)
    place = box(opened, "main", "work")
    opened.wheel(place["x"], place["y"], -200)
    wider = box(opened, "main", "work")
    assert wider["width"] > 1.5 * place["width"]
    opened.drag(place["x"], place["y"], place["x"] - 150, place["y"])
    left = opened.run("return window.page.graph.left")
    assert 0 < left < opened.run("return window.page.graph.model.root.total")
    assert opened.run("return document.getElementById('crumbs').hidden")  # nothing has been clicked
    opened.keys(ESCAPE)
    assert box(opened, "main", "work")["width"] == pytest.approx(place["width"])
    quiet(opened)


def test_every_control_has_a_name_and_stands_in_a_landmark(page, small):
    opened = page(small)
    opened.click("filter")
    lacking = opened.run("""
        const named = (each) => each.getAttribute('aria-label') || each.textContent.trim() || each.title ||
            each.labels?.length;
        return [...document.querySelectorAll('button, select, input, canvas[tabindex], [role=slider], [role=separator]')]
            .filter((each) => each.checkVisibility() && (!named(each) ||
                !each.closest('header, section[aria-label], main, nav, footer, dialog')))
            .map((each) => each.outerHTML.slice(0, 100));""")
    assert lacking == []
    opened.run("document.getElementById('splitter').focus()")
    before = int(opened.run("return document.getElementById('splitter').getAttribute('aria-valuenow')"))
    opened.keys("\ue012", "\ue012", "\ue012")
    assert int(opened.run("return document.getElementById('splitter').getAttribute('aria-valuenow')")) > before


def source(page, *path):
    """Where the link leads when that box is selected; None without one."""
    return page.run("""
        const {graph, model} = window.page;
        let box = model.root;
        for (const name of arguments[0])
            box = model.children(box).find((each) => graph.label(each) === name);
        graph.select(box);
        const link = document.getElementById('source');
        return link.hidden ? null : link.getAttribute('href');""", list(path))


def test_frames_link_to_their_source(page, small):
    opened = page(small, "--source-url", "https://example.com/blob/main/{file}#L{line}",
                  "--source-root", "/app")
    assert source(opened, "main", "work") == "https://example.com/blob/main/shop/main.py#L20"
    assert source(opened, "main", "work", "crc32") is None
    assert source(opened) is None
    opened.run("""const select = document.getElementById('grouping'); select.value = 'line';
                  select.dispatchEvent(new Event('change'));""")
    assert source(opened, "main:12", "work:22", "work:24") == "https://example.com/blob/main/shop/main.py#L24"
    opened = page(small, "--source-url", "vscode://file{file}:{line}", "--source-root", "/elsewhere")
    assert source(opened, "main") is None
    opened = page(small, "--source-url", "vscode://file{file}:{line}")
    assert source(opened, "main") == "vscode://file/app/shop/main.py:10"
    assert source(page(small), "main") is None
    quiet(opened)


def test_a_file_name_cannot_lead_a_link_elsewhere(page, tmp_path):
    evil = '/x/"><script>?a=b#c{line}\\..%2f é\ud800.py'.encode(errors="replace")
    path = profiles.ProfileFile().add([profiles.python("f", evil, 3, 3)], 5).write(tmp_path / "evil.pb.gz")
    href = source(page(path, "--source-url", "https://example.com{file}?line={line}"), "f")
    assert re.fullmatch(r"https://example\.com/x/[A-Za-z0-9%.()!~*'_-]+/?[A-Za-z0-9%.()!~*'_-]*\?line=3", href)


def test_both_themes_and_both_directions_draw(page, small):
    opened = page(small)
    colour = "return [...document.getElementById('canvas').getContext('2d').getImageData(3, 12, 1, 1).data]"
    light = opened.run(colour)
    opened.click("theme")
    assert opened.run(colour) != light
    opened.click("flame")
    assert opened.run(colour)[:3] == [0x15, 0x18, 0x1D]  # the roots are at the bottom now


def test_paper_gets_the_whole_graph_and_the_first_rows_in_light_colours(page, tmp_path):
    profile = profiles.ProfileFile()
    for i in range(60):
        profile.add([profiles.python(f"f{k}", "f.py", k + 1) for k in range(90)] +
                    [profiles.python(f"leaf{i}", "f.py", i + 1)], 5)
    opened = page(profile.write(tmp_path / "tall.pb.gz"))
    opened.click("theme")
    if opened.run("return document.documentElement.style.colorScheme") == "light":
        opened.click("theme")
    sizes = """const canvas = document.getElementById('canvas');
               return [canvas.width / devicePixelRatio, canvas.height / devicePixelRatio,
                       document.querySelectorAll('#rows tr[data-key]').length,
                       document.documentElement.style.colorScheme]"""
    before = opened.run(sizes)
    assert before[1] < 900 and before[3] == "dark"
    opened.run("dispatchEvent(new Event('beforeprint'))")
    assert opened.run(sizes) == [1100, 92 * 20 + 8, 40, "light"]
    corner = "return [...document.getElementById('canvas').getContext('2d').getImageData(1090, 1846, 1, 1).data]"
    assert opened.run(corner)[:3] == [255, 255, 255]
    opened.run("dispatchEvent(new Event('afterprint'))")
    opened.settle()
    assert opened.run(sizes)[:2] == before[:2] and opened.run(sizes)[3] == "dark"
    quiet(opened)


# --- names are data ---

EVIL = ["<script>document.title='owned'</script>", "</script><script>document.title='owned'</script>",
        "<img src=x onerror=\"document.title='owned'\">", "<!--", "]]>", "${document.title='owned'}",
        "javascript:document.title='owned'", "\"'`\\", "@PROFILE@", "\u202egnp.exe", "a\x1b[31mb", "tab\there"]


def test_names_never_become_markup_or_code(page, tmp_path):
    profile = profiles.ProfileFile(service="</title><script>document.title='owned'</script>")
    for name in EVIL:
        profile.add([profiles.python(name, f"/x/{name}.py", 1)], 10, **{"thread.name": name, name or "k": name})
    opened = page(profile.write(tmp_path / "evil.pb.gz"))
    scripts = opened.run("return document.scripts.length")
    opened.click("filter")
    for name in EVIL:
        opened.type("search", name)
        opened.click("next")
    opened.type("search", "")
    opened.click("filter")
    shown = "".join(table(opened))
    for name in EVIL[:9]:
        assert name in shown
    assert "\u202e" not in shown and "\x1b" not in shown
    for name in EVIL[:3]:
        tooltip(opened, name)
    assert opened.run("return document.scripts.length") == scripts
    assert opened.run("return document.querySelectorAll('img, iframe, object, a:not(#source), [onerror]').length") == 0
    assert "owned" not in opened.run("return document.title").replace("document.title='owned'", "")
    assert opened.text("title").startswith("</title><script>")
    quiet(opened)


def test_the_page_itself_forbids_markup_from_strings_and_every_request(page, small):
    opened = page(small)
    assert opened.run("""try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); return 'made'; }
                         catch (error) { return error.name; }""") == "TypeError"
    assert opened.run("""return performance.getEntriesByType('resource').length""") == 0
    policy = opened.run("return document.querySelector('meta[http-equiv]').content")
    assert "default-src 'none'" in policy


def test_the_profile_is_inert_text_in_the_file(cprof, tmp_path):
    path = profiles.ProfileFile().add([profiles.Frame("</script><script>alert(1)//")], 1).write(tmp_path / "p.pb.gz")
    cprof("flame", path, "-o", tmp_path / "p.html")
    source = (tmp_path / "p.html").read_text()
    assert "alert(1)" not in source
    payload = re.search(r'<script id="profile" type="text/plain">([A-Za-z0-9+/=]*)</script>', source)[1]
    assert "</script><script>alert(1)//" in json.loads(gzip.decompress(base64.b64decode(payload)))["strings"]


def test_strange_names_are_shown_and_cost_nothing(page, tmp_path):
    million = "x" * 1_000_000
    profile = profiles.ProfileFile()
    profile.add([profiles.Frame(b"nul\x00inside")], 10).add([profiles.Frame(b"\xff\xfe\xc3bad")], 9)
    profile.add([profiles.Frame(million)], 8).add([profiles.Frame("")], 7).add([profiles.Frame("名前🔥")], 6)
    opened = page(profile.write(tmp_path / "strange.pb.gz"))
    shown = list(table(opened))
    assert shown[0].startswith("nul") and shown[1].endswith("bad") and shown[4] == "名前🔥"
    assert shown[2] == "x" * 300 and shown[3].startswith("[")
    assert len(tooltip(opened, "x" * 2000 + "…")["name"]) <= 500
    quiet(opened)


def test_nameless_code_is_told_apart_in_a_narrow_table(page, tmp_path):
    profile = profiles.ProfileFile()
    for offset, value in (("0x1098e1", 3), ("0x88ef0", 2)):
        profile.add([profiles.native(f"libruby-3.1.so.3.1+{offset}", "/usr/lib/libruby-3.1.so.3.1")], value)
    profile.add([profiles.native("operator+0x1", "/usr/lib/libother.so")], 1)
    opened = page(profile.write(tmp_path / "stripped.pb.gz"))
    assert list(table(opened)) == ["+0x1098e1", "+0x88ef0", "operator+0x1"]
    assert opened.run("return document.querySelector('#rows tr[data-key] small').textContent") == "libruby-3.1.so.3.1"
    quiet(opened)


def test_an_empty_profile_opens(page, tmp_path):
    opened = page(profiles.ProfileFile().write(tmp_path / "empty.pb.gz"))
    opened.click("inverted")
    opened.type("search", "x")
    opened.keys(ESCAPE)
    assert table(opened) == {}
    quiet(opened)


def test_the_end_of_a_deep_stack_has_breadcrumbs(page, tmp_path):
    frames = [profiles.python(f"f{i}", "deep.py", i) for i in range(1000)]
    opened = page(profiles.ProfileFile().add(frames, 1).write(tmp_path / "deep.pb.gz"))
    opened.run("const {graph, model} = window.page; "
               "graph.zoom(model.follow(Array.from({length: 1000}, (_, i) => model.shape.key(i + 1))), false)")
    crumbs = opened.run("return [...document.querySelectorAll('#crumbs button')].map((each) => each.textContent)")
    assert crumbs[0] == "all" and crumbs[1].startswith("… f") and crumbs[-1] == "f999"
    assert len(crumbs) == 100
    opened.run("document.querySelector('#crumbs button').click()")
    opened.settle()
    assert opened.run("return document.getElementById('crumbs').hidden")
    quiet(opened)


def test_deep_stacks_are_drawn_and_scroll(page, tmp_path):
    frames = [profiles.python(f"f{i}", "deep.py", i) for i in range(5000)]
    opened = page(profiles.ProfileFile().add(frames, 1).write(tmp_path / "deep.pb.gz"))
    assert opened.run("return window.page.graph.rows.length") == 5001
    opened.run("document.getElementById('scroller').scrollTop = 1e9")
    opened.click("inverted")
    assert opened.run("return window.page.graph.rows.length") == 5001
    quiet(opened)


# --- size and speed ---

@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return profiles.large(tmp_path_factory.mktemp("large") / "large.pb.gz")


def test_200000_stacks_open_and_every_view_of_them_draws_only_what_is_wide_enough(page, large):
    """How long that takes is for tests/bench/formats.py to say; that it is little work, for this."""
    opened = page(large)
    shown = opened.run("return performance.getEntriesByName('profile shown')[0].startTime")
    print(f"opened in {shown:.0f} ms")
    assert opened.run("return window.page.model.profile.stackEnd.length") == 200_000
    boxes = "return window.page.graph.rows.reduce((sum, row) => sum + row.length, 0)"
    widths = """const {graph} = window.page; const scale = graph.width / graph.span;
                return Math.min(...graph.rows.flat().map((box) => box.total * scale))"""
    for view in (None, "inverted", "collapse", "flame"):
        if view:
            opened.click(view)
        rows = opened.run("return window.page.graph.rows.length")
        assert 30 < opened.run(boxes) <= rows * 2 * opened.run("return window.page.graph.width")
        assert opened.run(widths) >= 0.5
        assert opened.run("return document.querySelectorAll('#rows tr').length") < 60
    quiet(opened)


def test_the_page_is_no_larger_than_the_pprof_file_times_1_3(cprof, large, tmp_path):
    cprof("flame", large, "-o", tmp_path / "large.html")
    page_size = (tmp_path / "large.html").stat().st_size
    pprof_size = pathlib.Path(large).stat().st_size
    print(f"page {page_size:,} bytes, pprof {pprof_size:,} bytes: {page_size / pprof_size:.2f}")
    assert page_size < 1.3 * pprof_size


def test_code_without_symbols_goes_by_its_address_as_in_top(page, cprof, tmp_path):
    profile = profiles.ProfileFile()
    for i, module in enumerate(("/usr/lib/libx.so", "/usr/lib/liby.so", "/usr/lib/libx.so")):
        profile.add([profiles.MAIN, profiles.Frame("", line=i, module=module)], i + 1)
    path = profile.write(tmp_path / "nameless.pb.gz")
    rows = json.loads(cprof("top", "--json", path).stdout)["rows"]
    shown = page(path).run("""
        const {model} = window.page;
        return window.page.table.keys.map((key) => [model.grouping.name(key), model.selfOf[key]]);""")
    assert sorted(shown) == sorted([row["name"], row["self"]] for row in rows)
    assert sum("+0x" in name for name, _ in shown) == 3


def test_values_of_every_unit_are_written_as_in_the_table_of_top(page, cprof, tmp_path):
    values = [("microseconds", 1500, "1.50 ms"), ("seconds", 90, "90.0 s"), ("kB", 2048, "2.00 MiB"),
              ("bytes", 1 << 60, "1.00 EiB"), ("count", 12_345_678, "12.3 M"), ("count", 9_999_999, "9,999,999"),
              ("cycles", 123_456_789_012, "123 G"), ("nanoseconds", 12, "12 ns")]
    profile = profiles.ProfileFile(types=[(f"type{i}", unit, amount) for i, (unit, amount, _) in enumerate(values)])
    path = profile.add([profiles.MAIN], 1).write(tmp_path / "units.pb.gz")
    opened = page(path)
    for i, (_, _, shown) in enumerate(values):
        select(opened, "column", str(i))
        assert table(opened)["main"] == (f"{shown}100.0%",) * 2
        assert shown in cprof("top", "--type", f"type{i}", path).stdout


def test_values_below_0_have_boxes_as_wide_as_they_are_large(page, cprof, tmp_path):
    profile = profiles.ProfileFile()
    profile.add([profiles.MAIN, profiles.WORK], 20).add([profiles.MAIN, profiles.PARSE], -70)
    profile.add([profiles.MAIN], -10)
    path = profile.write(tmp_path / "difference.pb.gz")
    page = page(path)
    whole = box(page, "main")
    assert whole["total"] == -60
    for inverted in (False, True):
        names = [["work"], ["parse"]] if inverted else [["main", "work"], ["main", "parse"]]
        work, parse = (box(page, *path) for path in names)
        assert (work["total"], parse["total"]) == (20, -70)
        assert work["width"] == pytest.approx(0.2 * whole["width"], abs=1)
        assert parse["width"] == pytest.approx(0.7 * whole["width"], abs=1)
        page.click("inverted")
    assert table(page) == {"parse": ("-700 ms-70.0%", "-700 ms-70.0%"), "work": ("200 ms20.0%", "200 ms20.0%"),
                           "main": ("-100 ms-10.0%", "-600 ms-60.0%")}
    assert list(table(page)) == ["parse", "work", "main"], "the largest come first"
    page.type("search", "parse")
    assert page.text("matches") == "1 · 70.0%"
    assert tooltip(page, "main", "parse")["total"] == "-700 ms · -70.0%"
