"""The interpreter's own frames count to the method that called them, in every view, until somebody asks
for them; no file loses them."""

import json

import pytest

import profiles
from browser import Browser, why_not
from profiles import ProfileFile, native, python
from test_page import box, table

PYTHON, RUBY, NODE = "/usr/bin/python3.11", "/usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1", "/usr/bin/node"
MAIN = python("main", "/app/main.py", 12, 10)
WORK = python("work", "/app/main.py", 22, 20)
START = native("Py_BytesMain", PYTHON)
CALL, ALLOC = native("_PyObject_Call", PYTHON), native("python3.11+0x1234", PYTHON)
SORT = native("list.sort", PYTHON)
CRC = native("crc32", "/usr/lib/libz.so.1")
EXTENSION = native("encode", "/usr/lib/python3.11/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so")


def program(path, factor=1):
    profile = ProfileFile()
    profile.add([START, MAIN, ALLOC], 10 * factor)
    profile.add([START, MAIN, CALL, WORK, CALL, ALLOC], 20 * factor)
    profile.add([START, MAIN, CALL, WORK, CALL, CRC], 30 * factor)
    profile.add([START, MAIN, CALL, SORT, CALL, WORK], 5 * factor)
    profile.add([START, MAIN, CALL, EXTENSION, ALLOC], 7 * factor)
    profile.add([START, ALLOC], 3 * factor)
    return profile.write(path)


@pytest.fixture
def file(tmp_path):
    return program(tmp_path / "program.pb.gz")


def rows(cprof, *arguments):
    done = cprof("top", "--json", "-n", "999", *arguments)
    assert done.returncode == 0, done.stderr
    return {row["name"]: (row["self"] // 10**7, row["total"] // 10**7) for row in json.loads(done.stdout)["rows"]}


SHOWN = {"main": (10, 72), "work": (25, 55), "crc32": (30, 30), "list.sort": (0, 5), "encode": (7, 7),
         "Py_BytesMain": (0, 75), "python3.11+0x1234": (3, 3)}
ALL = {"main": (0, 72), "work": (5, 55), "crc32": (30, 30), "list.sort": (0, 5), "encode": (0, 7),
       "Py_BytesMain": (0, 75), "python3.11+0x1234": (40, 40), "_PyObject_Call": (0, 62)}


def test_what_the_interpreter_does_for_a_method_counts_to_the_method(cprof, file):
    assert rows(cprof, file) == SHOWN
    assert rows(cprof, "--all-native", file) == ALL


def test_stacks_stay_connected_where_a_helper_called_on(cprof, file):
    stacks = rows(cprof, "--by", "stack", file)
    assert stacks == {
        "Py_BytesMain;main": (10, 10), "Py_BytesMain;main;work": (20, 20), "Py_BytesMain;main;work;crc32": (30, 30),
        "Py_BytesMain;main;list.sort;work": (5, 5), "Py_BytesMain;main;encode": (7, 7),
        "Py_BytesMain;python3.11+0x1234": (3, 3)}
    assert sum(own for own, _ in stacks.values()) == 75


def test_every_interpreter_is_known_by_its_library_or_executable_and_nothing_else_is(cprof, tmp_path):
    theirs = [PYTHON, RUBY, NODE, "/usr/bin/python3", "/usr/bin/python", "/opt/py/bin/python3.13t",
              "/usr/bin/python3.11-dbg", "/usr/lib/libpython3.11.so.1.0", "/x/libpython3.14t.so.1.0", "/usr/bin/ruby",
              "/usr/bin/ruby3.4", "/x/libruby.so.3.3", "/usr/bin/nodejs", "/x/libnode.so.108", "python3.11",
              "/usr/bin/python3.11 (deleted)"]
    others = ["/usr/bin/pythonista", "/usr/lib/libz.so.1", "/usr/lib/libc.so.6", "/usr/bin/rubyist", "/usr/bin/nodemon",
              "/usr/lib/python3.11/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so", "/app/node_modules/x.node",
              "/usr/lib/ruby/3.1.0/json/ext/parser.so", "/usr/lib/python3/dist-packages/numpy/core.so", "[vdso]"]
    profile = ProfileFile()
    for i, module in enumerate(theirs + others):
        profile.add([MAIN, native(f"function_{i}", module)], 1)
    kept = set(rows(cprof, profile.write(tmp_path / "modules.pb.gz")))
    assert kept == {"main"} | {f"function_{i}" for i in range(len(theirs), len(theirs + others))}


def test_a_name_of_the_language_is_kept_and_a_compilers_is_not(cprof, tmp_path):
    kept = ["list.sort", "zlib.compress", "dict_keys.__iter__", "sqlite3.Cursor.execute", "a.b.c"]
    folded = ["list_sort", "take.cold", "take.isra.0", "take.constprop.0.isra.1", "take.part.0.cold", "python3.11+0x12",
              "libruby-3.1.so.3.1+0x12", "v8::internal::Heap::Scavenge()", "take.llvm.123", "", ".", "x.", ".x"]
    profile = ProfileFile()
    for name in kept + folded:
        profile.add([MAIN, native(name, PYTHON)], 1)
    assert set(rows(cprof, profile.write(tmp_path / "names.pb.gz"))) == {"main", *kept}


def test_interpreted_frames_without_a_source_are_no_helpers(cprof, tmp_path):
    """Such as the collector's, and methods in C that have frames of their own."""
    collector = profiles.Frame("(garbage collector)", kind="ruby")
    each = profiles.Frame("Array#each", kind="ruby")
    block = profiles.Frame("block in Shop#total", "/app/shop.rb", 3, 2, kind="ruby")
    mark = native("libruby-3.1.so.3.1+0x77", RUBY)
    profile = ProfileFile().add([each, mark, block, mark, collector, mark, mark], 5)
    assert rows(cprof, profile.write(tmp_path / "ruby.pb.gz")) == {
        "(garbage collector)": (5, 5), "block in Shop#total": (0, 5), "Array#each": (0, 5)}


def test_no_file_loses_a_frame(cprof, file, tmp_path):
    for command in (["convert", file, tmp_path / "out.otlp"], ["merge", file, "-o", tmp_path / "out.otlp"]):
        assert cprof(*command).returncode == 0
        assert rows(cprof, "--all-native", tmp_path / "out.otlp") == ALL
    assert "Py_BytesMain;main;_PyObject_Call;work;_PyObject_Call;crc32 30" in cprof(
        "convert", "--format", "collapsed", file, "-").stdout


def test_diff_compares_what_top_shows(cprof, file, tmp_path):
    other = program(tmp_path / "other.pb.gz", factor=2)

    def compared(*arguments):
        report = json.loads(cprof("diff", "--json", *arguments, file, other).stdout)
        return {row["name"]: (row["base"] // 10**7, row["new"] // 10**7) for row in report["rows"]}

    assert compared() == {name: (own, 2 * own) for name, (own, _) in SHOWN.items() if own}
    assert compared("--all-native") == {name: (own, 2 * own) for name, (own, _) in ALL.items() if own}


# --- the page ---

@pytest.fixture(scope="module")
def browser():
    if why_not():
        pytest.skip(why_not())
    with Browser() as started:
        yield started


@pytest.fixture
def page(browser, cprof, file, tmp_path):
    def show(*command):
        assert cprof(*command, "-o", tmp_path / "page.html").returncode == 0
        browser.log()
        browser.open(tmp_path / "page.html")
        return browser
    return show


def amounts(page):
    """The table cuts the module off a nameless function's name."""
    return {name if name[0] != "+" else f"python3.11{name}": tuple(float(cell.split()[0]) / 10 for cell in cells)
            for name, cells in table(page).items()}


def test_the_page_has_a_switch_for_them(page, file):
    opened = page("flame", file)
    for _ in range(2):
        assert amounts(opened) == SHOWN
        assert box(opened, "Py_BytesMain", "main", "work", "crc32")["total"] == 30
        opened.click("all-native")
        assert amounts(opened) == ALL
        assert box(opened, "Py_BytesMain", "main", "_PyObject_Call", "work", "_PyObject_Call", "crc32")["total"] == 30
        opened.keys("a")
    opened.click("inverted")
    assert box(opened, "python3.11+0x1234", "Py_BytesMain")["total"] == 3
    assert opened.log() == []


def test_the_page_begins_with_them_when_asked_for_and_without_the_switch_where_there_are_none(page, file, small):
    opened = page("flame", "--all-native", file)
    assert amounts(opened) == ALL
    opened.click("all-native")
    assert amounts(opened) == SHOWN
    opened = page("flame", small)
    assert opened.run("return document.getElementById('all-native').offsetParent === null")


def test_the_page_of_a_comparison_has_the_switch_too(page, file, tmp_path):
    other = program(tmp_path / "other.pb.gz", factor=2)
    opened = page("diff", file, other)
    # The table's first two columns are the self of both sides, per second.
    assert amounts(opened) == {name: (own / 10, 2 * own / 10) for name, (own, _) in SHOWN.items()}
    opened.click("all-native")
    assert set(amounts(opened)) == set(ALL)
