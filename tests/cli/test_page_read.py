"""A page is a profile too: what the flame graph shows can be read out of its file again."""

import base64
import gzip
import json
import re

import pytest

import profiles
from profiles import Frame, ProfileFile, native, python
from test_read import one_line

MARK = b'<script id="profile" type="text/plain">'


@pytest.fixture
def rich(tmp_path):
    """Every kind of frame, labels of text and number, a link, two columns, values below 0."""
    profile = ProfileFile(service="caf\u00e9 \"shop\"", metrics={"samples": 400, "timer_overruns": 300})
    profile.add([profiles.MAIN, profiles.WORK, profiles.CRC], 30, trace_id=profiles.TRACE, span_id=profiles.SPAN)
    profile.add([profiles.MAIN, profiles.WORK, profiles.WORK_AGAIN], 20, endpoint="/cart", **{"thread.name": "a;b"})
    profile.add([Frame("Shop#total", "/app/shop.rb", 3, 2, kind="ruby"), native("", "/usr/lib/libc.so.6")], 10)
    profile.add([Frame("render", "/app/shop.js", 7, 5, kind="v8js"), Frame("work\u2028\x01\u00e4", "", 0)], 5,
                number=-3, big=(1 << 62) + 1)
    profile.add([python("(anonymous)", "/app/a.js", 4, 4)], -7, **{"thread.id": 77})
    return profile.write(tmp_path / "rich.pb.gz")


def page_of(cprof, file, tmp_path, *options):
    page = tmp_path / "page.html"
    done = cprof("flame", *options, file, "-o", page)
    assert done.returncode == 0, done.stderr
    return page


def shown(cprof, *arguments):
    done = cprof(*arguments)
    assert done.returncode == 0 and all("no sample matches" in line for line in done.stderr.splitlines()), done.stderr
    return done.stdout


def test_every_table_of_a_page_is_that_of_its_profile(cprof, rich, small, tmp_path):
    for file in (rich, small):
        page = page_of(cprof, file, tmp_path)
        for view in (["--json"], ["--by", "line"], ["--by", "module"], ["--by", "type"], ["--by", "thread"],
                     ["--by", "stack"], ["--type", "samples"], ["--all-native"], ["--thread", "a;b"]):
            assert shown(cprof, "top", *view, page) == shown(cprof, "top", *view, file), view
        assert shown(cprof, "spans", page) == shown(cprof, "spans", file)
        assert shown(cprof, "top", "--label", "endpoint=/cart", page) == shown(
            cprof, "top", "--label", "endpoint=/cart", file)


def test_diff_sees_no_change_between_a_profile_and_its_page_and_weighs_both_alike(cprof, small, tmp_path):
    profile = ProfileFile(metrics={"samples": 400, "timer_overruns": 300}).add([profiles.MAIN], 400)
    file = profile.write(tmp_path / "fast.pb.gz")
    report = json.loads(shown(cprof, "diff", "--json", file, page_of(cprof, file, tmp_path)))
    assert [row["delta"] for row in report["rows"]] == [0]
    assert report["base"]["samples_per_observation"] == report["new"]["samples_per_observation"] == 4
    assert report["normalized"] == "per second"


@pytest.mark.parametrize("ending", [".pb.gz", ".otlp", ".collapsed", ".speedscope.json"])
def test_a_page_becomes_any_other_format(cprof, small, tmp_path, ending):
    page = page_of(cprof, small, tmp_path)
    assert cprof("convert", page, tmp_path / f"out{ending}").returncode == 0
    if ending != ".speedscope.json":
        assert shown(cprof, "top", "--by", "stack", tmp_path / f"out{ending}").splitlines()[1:] == shown(
            cprof, "top", "--by", "stack", small if ending != ".collapsed" else tmp_path / "out.collapsed"
        ).splitlines()[1:]


def test_pages_are_merged_and_known_by_what_they_hold(cprof, small, tmp_path):
    page = page_of(cprof, small, tmp_path)
    (tmp_path / "page").write_bytes(page.read_bytes())
    (tmp_path / "packed.html.gz").write_bytes(gzip.compress(page.read_bytes()))
    merged = json.loads(shown(cprof, "top", "--json", page, tmp_path / "page", tmp_path / "packed.html.gz", small))
    assert merged["total"] == 4 * 10**9 and merged["samples"] == 400
    with open(page, "rb") as file:
        done = cprof("top", "--json", "-", stdin=file)
    assert json.loads(done.stdout)["total"] == 10**9


def test_a_page_of_a_page_is_the_same_page(cprof, rich, tmp_path):
    page = page_of(cprof, rich, tmp_path)
    again = tmp_path / "again.html"
    assert cprof("flame", page, "-o", again).returncode == 0
    assert shown(cprof, "top", "--json", again) == shown(cprof, "top", "--json", rich)


def carried(page):
    """The JSON within a page."""
    text = page.read_bytes()
    return json.loads(gzip.decompress(base64.b64decode(re.search(MARK + rb"([^<]*)<", text)[1])))


def with_json(page, path, content):
    """The page with other JSON in it."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    packed = base64.b64encode(gzip.compress(content))
    path.write_bytes(re.sub(MARK + rb"[^<]*<", lambda _: MARK + packed + b"<", page.read_bytes()))
    return path


def test_a_page_of_an_older_version_is_read_as_far_as_it_tells(cprof, small, tmp_path):
    page = page_of(cprof, small, tmp_path)
    old = {key: value for key, value in carried(page).items()
           if key not in ("period", "resource", "attributes", "helpers", "allNative")}
    report = json.loads(shown(cprof, "top", "--json", with_json(page, tmp_path / "old.html", old)))
    assert report == json.loads(shown(cprof, "top", "--json", small))


def test_what_is_damaged_gets_one_line_and_exit_1(cprof, small, tmp_path):
    page = page_of(cprof, small, tmp_path)
    whole, path = carried(page), tmp_path / "bad.html"

    def damaged(change):
        content = json.loads(json.dumps(whole))
        change(content)
        return with_json(page, path, content)

    changes = [
        lambda it: it["samples"]["stack"].__setitem__(0, 99), lambda it: it["samples"]["stack"].__setitem__(0, -1),
        lambda it: it["samples"]["labels"].__setitem__(0, 99), lambda it: it["samples"]["link"].__setitem__(0, 9),
        lambda it: it["samples"]["values"][0].pop(), lambda it: it["samples"]["values"].pop(),
        lambda it: it["tree"].__setitem__(0, 5), lambda it: it["tree"].__setitem__(1, 10**9),
        lambda it: it["tree"].__setitem__(2, 10**6), lambda it: it["tree"].pop(),
        lambda it: it["frames"]["function"].__setitem__(0, 10**6), lambda it: it["frames"]["line"].pop(),
        lambda it: it["frames"]["module"].__setitem__(0, -1), lambda it: it["functions"]["name"].__setitem__(0, 10**6),
        lambda it: it["functions"]["type"].__setitem__(0, 99), lambda it: it["functions"]["file"].pop(),
        lambda it: it["links"].__setitem__(0, ["0", "1"]), lambda it: it["labels"].__setitem__(0, ["key"]),
        lambda it: it.__setitem__("values", [["cpu"]]), lambda it: it.__setitem__("values", [["a", "b"]] * 9),
        lambda it: it.__setitem__("tree", {}), lambda it: it["tree"].__setitem__(0, 1.5),
        lambda it: it["samples"]["stack"].__setitem__(0, 1 << 70), lambda it: it.__setitem__("info", 3),
    ]
    for change in changes:
        one_line(cprof("top", damaged(change)), 1, "bad.html")
    for content in (b"", b"{", b"[]", b'{"strings":["', b'{"tree":[1,', json.dumps(whole).encode()[:-40]):
        one_line(cprof("top", with_json(page, path, content)), 1, "bad.html")
    text = page.read_bytes()
    at = text.index(MARK) + len(MARK)
    for cut in (text[:at], text[:at] + b"AAAA</script>", text[:at + 100], b"<html>no profile</html>",
                text[:at] + b"&&&&" + text[at:]):
        path.write_bytes(cut)
        one_line(cprof("top", path), 1, "bad.html")


def test_a_page_that_unpacks_without_end_is_refused(cprof, small, tmp_path):
    page = page_of(cprof, small, tmp_path)
    one_line(cprof("top", with_json(page, tmp_path / "bomb.html", b" " * (80 << 20))), 1, "67108864 bytes")


def test_a_few_bytes_do_not_become_endless_stacks(cprof, small, tmp_path):
    """Each stack shares all but one frame of a very deep one."""
    page = page_of(cprof, small, tmp_path)
    content = carried(page)
    content["tree"] = [0, 200_000] + [0] * 200_000 + [1, 1, 0] * 5000
    one_line(cprof("top", with_json(page, tmp_path / "deep.html", content)), 1, "67108864 frames")


def test_a_comparison_is_no_profile(cprof, small, tmp_path):
    assert cprof("diff", small, small, "-o", tmp_path / "diff.html").returncode == 0
    one_line(cprof("top", tmp_path / "diff.html"), 1, "diff.html", "compares two profiles")
