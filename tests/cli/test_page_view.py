"""What can be asked of the page: rules about frames have the answers of the command, which has
those of pprof; the view stands in the address."""

import csv
import io
import json
import random
from xml.etree import ElementTree

import pytest

import profiles
from browser import Browser, why_not
from test_questions import EXPRESSIONS, random_profile

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

ESCAPE, ENTER, UP, DOWN, RIGHT = "\ue00c", "\ue007", "\ue013", "\ue015", "\ue014"


@pytest.fixture(scope="module")
def browser():
    with Browser() as started:
        yield started


@pytest.fixture
def page(browser, cprof, tmp_path):
    def show(path, *arguments, name="page.html", view=""):
        done = cprof("flame", path, *arguments, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
        browser.log()
        browser.open(f"{tmp_path / name}{view}")
        return browser
    return show


def rows(page):
    """Of everything that the table holds: name → (self, total)."""
    return {name: tuple(values) for name, *values in page.run("""
        const {model, table} = window.page;
        return table.keys.map((key) => [model.grouping.fullName(key), model.selfOf[key], model.totalOf[key]]);""")}


def top(cprof, *arguments):
    done = cprof("top", "--json", "-n", 10000, *arguments)
    assert done.returncode == 0, done.stderr
    return {row["name"]: (row["self"], row["total"]) for row in json.loads(done.stdout)["rows"]}


def ask(page, *rules):
    page.run("window.page.update({rules: arguments[0]})", [list(rule) for rule in rules])


def chips(page):
    return page.run("return [...document.querySelectorAll('#chips button')].map((each) => each.textContent)")


def address(page):
    page.settle()
    return page.run("return decodeURIComponent(location.hash.replaceAll('+', ' '))")


def quiet(page):
    assert [entry for entry in page.log() if entry["level"] in ("SEVERE", "WARNING")] == []


# --- rules ---

def test_rules_have_the_answers_of_the_command(page, cprof, tmp_path):
    """On random profiles with functions inlined into each other. Pruning goes by locations there,
    of which a page has only frames: it has its own test."""
    chance, differ = random.Random(11), 0
    expressions = [each for each in EXPRESSIONS if each != "^$"]  # code without a name has one in the page
    for seed in range(2):
        path = random_profile(tmp_path / f"{seed}.pb.gz", seed)
        opened = page(path, "--all-native")
        for _ in range(15):
            asked = [(rule, chance.choice(expressions)) for rule in chance.sample(
                ["focus", "ignore", "hide", "show"], chance.choice((1, 1, 2, 3)))]
            ask(opened, *asked)
            words = [word for rule, expression in asked for word in (f"--{rule}", expression)]
            expected = top(cprof, "--all-native", *words, path)
            assert rows(opened) == expected, asked
            differ += expected != {}
    assert differ > 15
    quiet(opened)


@pytest.mark.parametrize("rules", [
    [("focus", "crc")], [("focus", "module:libz")], [("focus", "name:libz")], [("ignore", "parse"), ("ignore", "crc")],
    [("hide", "^work$")], [("hide", "type:cpython")], [("show", "module:libz")], [("show", r"file:main\.py")],
    [("prune-from", "^work$")], [("prune-from", "type:cpython")], [("prune-from", "work"), ("hide", "name:^work$")],
    [("prune-from", "main"), ("focus", "crc")], [("focus", "(?i)CRC"), ("focus", "parse")],
])
def test_samples_and_frames_are_asked_for_by_rules(browser, page, cprof, small, rules):
    if "small" not in getattr(browser, "shown", ""):
        page(small)
        browser.shown = "small"
    ask(browser, *rules)
    words = [word for rule, expression in rules for word in (f"--{rule}", expression)]
    assert rows(browser) == top(cprof, *words, small)
    ask(browser)
    assert rows(browser) == top(cprof, small)


def test_a_name_is_pruned_without_its_arguments(page, tmp_path):
    frames = [profiles.native(name, "/lib/x.so") for name in
              ("ns::operator()(int)", ".run(std::string)", "(anonymous namespace)::go(int)", "leaf")]
    opened = page(profiles.ProfileFile().add(frames, 3).write(tmp_path / "names.pb.gz"))
    for expression, depth in ((r"^ns::operator\(\)$", 1), ("^run$", 2), (r"^\(anonymous namespace\)::go$", 3),
                              ("int", 4), ("string", 4)):
        ask(opened, ("prune-from", expression))
        assert len(rows(opened)) == depth, expression


def test_a_rule_is_added_in_the_panel_and_taken_back_by_its_chip(page, small):
    opened = page(small)
    opened.click("filter")
    fill = """
        const form = document.querySelector('#filters form'), [rule, field] = form.querySelectorAll('select');
        rule.value = arguments[0]; field.value = arguments[1]; field.dispatchEvent(new Event('change'));
        form.querySelector('input').value = arguments[2]; form.requestSubmit();
        return [form.querySelector('input').value, form.querySelector('p').textContent,
                [...form.querySelectorAll('datalist option')].map((each) => each.value)];"""
    assert opened.run(fill, "hide", "", "(") == ["(", "That is no regular expression.", []]
    assert set(rows(opened)) == {"main", "work", "crc32", "Worker.run", "parse"}
    assert opened.run(fill, "hide", "module", "libz") == ["", "", ["/usr/lib/libz.so.1"]]
    assert "crc32" not in rows(opened) and rows(opened)["work"] == (500_000_000, 500_000_000)
    assert chips(opened) == ["Hide module:libz ×"]
    opened.run("document.querySelector('#chips button').click()")
    opened.settle()
    assert "crc32" in rows(opened) and chips(opened) == []
    quiet(opened)


def test_the_menu_of_a_frame_asks_about_it(page, small):
    opened = page(small)
    opened.run("const {graph, model} = window.page; graph.select(model.reveal("
               "[...Array(model.grouping.count).keys()].find((key) => model.grouping.name(key) === 'crc32')));"
               "document.getElementById('canvas').focus()")
    opened.keys("m")
    items = opened.run("return [...document.querySelectorAll('#menu [role=menuitem]')].map((each) => each.textContent)")
    assert "Focus this function" in items and "Hide its module" in items
    assert opened.run("return document.activeElement.textContent") == items[0]
    opened.keys(*[DOWN] * items.index("Hide its module"), ENTER)
    assert chips(opened) == [r"Hide module:^/usr/lib/libz\.so\.1$ ×"]
    assert "crc32" not in rows(opened)
    assert opened.run("return document.getElementById('menu').hidden")
    opened.run("document.querySelector('#rows tr[data-key]').dispatchEvent(new MouseEvent('contextmenu', "
               "{bubbles: true, clientX: 1490, clientY: 890}))")
    assert not opened.run("return document.getElementById('menu').hidden")
    fits = opened.run("const {right, bottom} = document.getElementById('menu').getBoundingClientRect();"
                      "return right <= innerWidth && bottom <= innerHeight")
    assert fits
    opened.keys(ESCAPE)
    assert opened.run("return document.getElementById('menu').hidden")
    quiet(opened)


# --- the address ---

def test_the_view_stands_in_the_address_and_back_leads_to_the_one_before(page, small):
    opened = page(small)
    assert address(opened) == ""
    opened.click("inverted")
    assert address(opened) == "#callers=1"
    ask(opened, ("focus", "crc"))
    assert address(opened) == "#callers=1&focus=crc"
    opened.type("search", "wo")
    opened.type("search", "work")
    assert address(opened) == "#callers=1&search=work&focus=crc"
    opened.back()
    assert address(opened) == "#callers=1&focus=crc" and opened.text("matches") == ""
    opened.back()
    assert address(opened) == "#callers=1" and set(rows(opened)) == {"main", "work", "crc32", "Worker.run", "parse"}
    opened.back()
    assert opened.run("return document.getElementById('inverted').getAttribute('aria-pressed')") == "false"
    assert not opened.run("return window.page.model.options.inverted")
    quiet(opened)


def test_an_address_that_was_sent_shows_the_same_view(page, small):
    opened = page(small)
    opened.run("""
        const {page} = window, {model, graph, filters} = page;
        page.update({by: 'line', column: 0, collapse: true, rules: [['hide', 'module:libz'], ['focus', 'a|b & c=d#']]});
        filters.toggle(model.profile.facets.find((each) => each.name === 'thread.name'), 0);
        document.querySelector('[data-sort=total]').click();
        graph.zoom(model.children(model.root)[0], false);""")
    sent, state = address(opened), opened.run("return location.hash")
    assert "by=line" in sent and "label.thread.name=MainThread" in sent and "zoom=" in sent and "sort=total" in sent
    shown = """return [document.getElementById('crumbs').textContent, document.getElementById('chips').textContent,
                       document.getElementById('summary').textContent, document.getElementById('rows').textContent,
                       document.getElementById('grouping').value, document.getElementById('column').value,
                       document.querySelector('[aria-sort]').textContent]"""
    before = opened.run(shown)
    opened = page(small, name="again.html", view=state)
    assert opened.run(shown) == before
    assert address(opened) == sent
    quiet(opened)


@pytest.mark.parametrize("view", [
    "value=99&by=nothing&callers=yes&zoom=zz.-1.%00&sort=x&time=b/a", "focus=(&hide=", "__proto__=1&constructor=2",
    "label.thread.name=nobody&trace=0&label.=&=", "%", "search=%2F(%2F", "focus=" + "a" * 20000,
    "zoom=" + "1." * 5000, "<script>document.title='owned'</script>"])
def test_an_address_that_makes_no_sense_does_no_harm(page, small, view):
    opened = page(small, view=f"#{view}")
    assert opened.text("title") == "shop" and "owned" not in opened.run("return document.title")
    opened.click("inverted")
    opened.click("inverted")
    ask(opened)
    assert len(rows(opened)) == 5 or "search" in view
    quiet(opened)


# --- one function between its callers and callees ---

@pytest.fixture
def family(tmp_path):
    """`f` is called by a and b, by itself and under a a second time; it calls g and h."""
    a, b, f, g, h = (profiles.python(name, "f.py", 1) for name in "abfgh")
    profile = profiles.ProfileFile()
    profile.add([a, f, g], 5).add([a, f], 2).add([b, f, h], 3).add([a, b, f, f, g], 4).add([a, f, h, f], 1)
    return profile.add([b, h], 9).write(tmp_path / "family.pb.gz")


SANDWICH = """
    const {model, graph} = window.page;
    const tell = (box) => Object.fromEntries(model.children(box).map((child) =>
        [graph.label(child), [child.total / 1e7, tell(child)]]));
    return [graph.label(model.root), model.root.total / 1e7, model.root.self / 1e7, tell(model.callers), tell(model.root)];"""

SELECT = """const {graph, model} = window.page, {grouping} = model;
    graph.select(model.reveal([...Array(grouping.count).keys()].find((key) => grouping.name(key) === arguments[0])));"""


def test_a_function_stands_between_its_callers_and_callees(page, family):
    opened = page(family)
    opened.run(SELECT, "f")
    opened.keys("p")
    assert opened.run(SANDWICH) == [
        "f", 15, 2, {"a": [8, {}], "b": [7, {"a": [4, {}]}]},
        {"g": [5, {}], "f": [4, {"g": [4, {}]}], "h": [4, {"f": [1, {}]}]}]
    assert chips(opened) == ["Callers and callees of f ×"]
    assert opened.run("return window.page.graph.rows.map((row) => row.map((box) => window.page.graph.label(box))"
                      ".sort())") == [["a"], ["a", "b"], ["f"], ["f", "g", "h"], ["f", "g"]]
    # A row of the table, or a click, puts another function there.
    opened.run("[...document.querySelectorAll('#rows tr')].find((row) => row.title.startsWith('h\\n')).click()")
    opened.settle()
    assert opened.run(SANDWICH) == ["h", 13, 12, {"b": [9, {}], "f": [4, {"b": [3, {}], "a": [1, {}]}]},
                                    {"f": [1, {}]}]
    opened.back()
    assert opened.run(SANDWICH)[0] == "f"
    opened.keys(ESCAPE)
    assert opened.run("return window.page.model.callers") is None and chips(opened) == []
    quiet(opened)


def test_the_sandwich_is_walked_with_the_keyboard_and_stands_in_the_address(page, family):
    opened = page(family)
    opened.run(SELECT, "f")
    opened.keys("p")
    view = opened.run("return location.hash")
    assert view.startswith("#centre=")
    opened = page(family, view=view)
    opened.run("document.getElementById('canvas').focus()")
    opened.keys(DOWN, UP, UP)
    assert opened.text("announce").startswith("a, total 80.0 ms")
    opened.keys(RIGHT, UP)
    assert opened.text("announce").startswith("a, total 40.0 ms")
    opened.keys(DOWN, DOWN)
    assert opened.text("announce").startswith("f, total 150 ms")
    opened.keys(DOWN, ENTER)
    assert opened.run(SANDWICH)[0] == "g"
    opened.click("flame")
    quiet(opened)


# --- what is told of values and labels ---

def test_idle_waits_are_left_out_and_said_how_much(page, tmp_path):
    profile = profiles.ProfileFile(service="shop", types=(("off_cpu", "nanoseconds", 10_000_000),))
    waiting = {"thread.state": "waiting"}
    profile.add([profiles.MAIN, profiles.WORK], 30, **waiting, **{"wait.reason": "io"})
    profile.add([profiles.MAIN], 500, **waiting, **{"wait.reason": "idle"}).add([profiles.RUN], 7)
    opened = page(profile.write(tmp_path / "off.pb.gz"))
    assert opened.text("summary").startswith("370 ms · ")
    assert chips(opened) == ["Idle waits left out: 5.00 s ×"]
    assert rows(opened)["main"] == (0, 300_000_000)
    assert opened.run("return document.getElementById('column').selectedOptions[0].textContent") == "Time off the CPU"
    # They come back by their chip, and alone by the filter.
    opened.run("document.querySelector('#chips button').click()")
    assert rows(opened)["main"] == (5_000_000_000, 5_300_000_000) and chips(opened) == []
    assert address(opened) == "#idle=1"
    opened.back()
    assert chips(opened) == ["Idle waits left out: 5.00 s ×"]
    opened.run("""const {page} = window, facet = page.model.profile.idle.facet;
                  page.filters.toggle(facet, facet.index.get('idle'))""")
    assert rows(opened) == {"main": (5_000_000_000, 5_000_000_000)}
    assert opened.text("summary").startswith("5.00 s of 5.37 s")
    quiet(opened)


def test_without_a_service_the_file_names_the_page(page, small, cprof, tmp_path):
    nameless = profiles.ProfileFile().add([profiles.MAIN], 1).write(tmp_path / "nightly <b>.pb.gz")
    assert page(nameless).text("title") == "nightly <b>.pb.gz"
    assert page(small).text("title") == "shop"
    with open(nameless, "rb") as file:
        assert cprof("flame", "-", "-o", tmp_path / "stdin.html", stdin=file).returncode == 0
    opened = page(small)
    opened.open(tmp_path / "stdin.html")
    assert opened.run("return document.title") == "cprof"


def test_no_number_of_the_table_is_ever_cut(page, tmp_path):
    """Not the longest ones, of the narrowest table, nor in a comparison."""
    profile = profiles.ProfileFile(types=(("objects", "count", 1), ("space", "bytes", 1 << 20)))
    for i in range(30):
        profile.add([profiles.python("f" * 200 + str(i), "f.py", i + 1)], -9_876_543 + 1_111 * i)
    opened = page(profile.write(tmp_path / "wide.pb.gz"))
    cut = """return [...document.querySelectorAll('#rows tr[data-key] td:not(.name), thead th')].filter((cell) =>
        cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent)"""
    opened.run("document.documentElement.style.setProperty('--table', '260px')")
    for column in ("0", "1"):
        opened.run("window.page.update({column: Number(arguments[0])})", column)
        opened.settle()
        assert opened.run("return document.querySelectorAll('#rows tr[data-key]').length") > 10
        assert opened.run(cut) == []


def test_any_label_can_be_filtered_by(page, tmp_path):
    profile = profiles.ProfileFile()
    for i in range(100):
        profile.add([profiles.python(f"f{i}", "f.py", i + 1)], 1, **{f"label-{i:03}": f"value {i}"})
    opened = page(profile.write(tmp_path / "labels.pb.gz"))
    opened.click("filter")
    find = """const details = [...document.querySelectorAll('#filters details')].find((each) =>
                  each.querySelector('h2').textContent === 'label-099');"""
    assert opened.run(find + "return details.open") is False
    opened.run(find + "details.querySelector('summary').focus(); details.querySelector('summary').click()")
    opened.settle()
    assert opened.run(find + "return document.activeElement === details.querySelector('summary')")
    opened.run(find + "details.querySelector('input').click()")
    assert rows(opened) == {"f99": (10_000_000, 10_000_000)}
    quiet(opened)


# --- names, colours and files ---

GO = "github.com/shop/cart/v2.(*Cart).Total"
CPP = "(anonymous namespace)::shop::Cart::total(std::vector<int> const&)"
JAVA = "com.example.shop.cart.Cart.total"


def test_names_are_cut_where_they_tell_least_and_whole_on_hover(page, tmp_path):
    profile = profiles.ProfileFile()
    for i, name in enumerate((GO, CPP, JAVA, "Cart.total.<locals>.<genexpr>.deeper_and_deeper")):
        profile.add([profiles.native(name, "/lib/x.so")], 10 - i)
    opened = page(profile.write(tmp_path / "names.pb.gz"))
    opened.run("document.documentElement.style.setProperty('--table', '420px')")
    opened.resize(700, 600)  # each box is 170 px or less
    opened.run("window.page.graph.relayout()")
    drawn = opened.run("const {graph, model} = window.page; return model.children(model.root).map((box) => graph.look(box).text)")
    opened.resize(1500, 900)
    assert drawn[0].startswith("…") and drawn[0].endswith("(*Cart).Total")
    assert "Cart::total" in drawn[1] or drawn[1].startswith("total(")
    assert drawn[2].startswith("…") and drawn[2].endswith("Cart.total")
    assert drawn[3].startswith("Cart.total") and drawn[3].endswith("…")
    assert set(table_names(opened)) == {GO, CPP, JAVA, "Cart.total.<locals>.<genexpr>.deeper_and_deeper"}
    assert GO in opened.run("return document.querySelector('#rows tr[data-key]').title")


def table_names(page):
    return page.run("return [...document.querySelectorAll('#rows .name .kind')].map((each) => each.textContent)")


def test_one_kind_of_frame_is_coloured_by_package(page, tmp_path):
    paths = ["/usr/lib/python3/site-packages/django/core/x.py", "/usr/lib/python3/site-packages/django/y.py",
             "/app/services/checkout/shop/cart.py", "/app/node_modules/@scope/pkg/index.js"]
    profile = profiles.ProfileFile()
    for i, path in enumerate(paths):
        profile.add([profiles.python(f"f{i}", path, 1)], 10 - i)
    opened = page(profile.write(tmp_path / "packages.pb.gz"))
    legend = "return [...document.querySelectorAll('#legend li')].map((each) => each.textContent)"
    assert opened.run(legend) == ["django", "…/services/checkout/shop", "@scope/pkg"]
    assert opened.run("return document.querySelectorAll('#legend li')[1].title") == "/app/services/checkout/shop"
    hues = opened.run("""const {graph, model} = window.page;
        return model.children(model.root).map((box) => /hsl\\((\\d+)/.exec(graph.look(box).fill)[1] | 0)""")
    assert abs(hues[0] - hues[1]) <= 18
    assert all(abs(a - b) > 30 for a, b in ((hues[0], hues[2]), (hues[0], hues[3]), (hues[2], hues[3])))
    swatches = opened.run("""return [...document.querySelectorAll('#rows td .kind')].map((each) =>
        [getComputedStyle(each, '::before').backgroundColor, each.textContent])""")
    shown = opened.run("""return [...document.querySelectorAll('#legend li')].map((each) =>
        getComputedStyle(each, '::before').backgroundColor)""")
    assert [colour for colour, _ in sorted(swatches, key=lambda each: each[1])] == [shown[i] for i in (0, 0, 1, 2)]
    quiet(opened)


SAVED = """
    const done = arguments[0], select = document.getElementById('save');
    URL.createObjectURL = (blob) => { saved = blob; return 'blob:none'; };
    let saved = null, name = null;
    HTMLAnchorElement.prototype.click = function () {
        name = this.download;
        const reader = new FileReader();
        reader.onload = () => done([name, saved.type, reader.result]);
        reader['%s'](saved);
    };
    select.value = '%s'; select.dispatchEvent(new Event('change'));"""


def test_the_graph_and_the_table_can_be_saved(page, tmp_path):
    profile = profiles.ProfileFile(service="my shop/x")
    profile.add([profiles.python("=cmd|'/c calc'!A1", "a,b.py", 3, 3)], 2)
    profile.add([profiles.python('<b> & "quoted"', "x.py", 5, 5), profiles.python("leaf", "x.py", 6, 6)], 3)
    opened = page(profile.write(tmp_path / "save.pb.gz"))
    name, kind, text = opened.run_async(SAVED % ("readAsText", "csv"))
    assert (name, kind) == ("my-shop-x.csv", "text/csv")
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert lines == [["self (nanoseconds)", "total (nanoseconds)", "function", "place", "module"],
                     ["30000000", "30000000", "leaf", "x.py:6", ""],
                     ["20000000", "20000000", "'=cmd|'/c calc'!A1", "a,b.py:3", ""],
                     ["0", "30000000", '<b> & "quoted"', "x.py:5", ""]]
    name, kind, text = opened.run_async(SAVED % ("readAsText", "svg"))
    assert (name, kind) == ("my-shop-x.svg", "image/svg+xml")
    root = ElementTree.fromstring(text)
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 4 and '<b> & "quoted" · total 30.0 ms · 60.0% · self 0 s' in titles
    assert {"all", "leaf"} < {each.text for each in root.iter("{http://www.w3.org/2000/svg}text")}
    name, kind, data = opened.run_async(SAVED % ("readAsDataURL", "png"))
    assert (name, kind) == ("my-shop-x.png", "image/png") and data.startswith("data:image/png;base64,iVBOR")
    assert opened.run("return document.getElementById('save').value") == ""
    quiet(opened)
