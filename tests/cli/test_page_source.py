"""Source in the page: the lines that were at hand, with what `cprof list` says of each."""

import base64
import gzip
import json
import re

import pytest

import profiles
from browser import Browser, why_not

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture
def program(tmp_path):
    """A profile of a file that is there: line 12 has 30 samples, 14 has 20 and calls helper()."""
    path = tmp_path / "shop" / "main.py"
    path.parent.mkdir()
    path.write_text("".join(f"\tline_{i} = '<b>{i}</b>'\n" for i in range(1, 200)))
    work = [profiles.python("work", str(path), line, 10) for line in (12, 14)]
    profile = profiles.ProfileFile(service="shop")
    profile.add([work[0]], 30).add([work[1], profiles.python("helper", str(path), 100, 98)], 5).add([work[1]], 20)
    profile.add([work[0], work[1]], 1).add([profiles.python("gone", "/nowhere/x.py", 3, 1)], 2)
    return profile.write(tmp_path / "shop.pb.gz")


def payload(path):
    text = re.search(r'type="text/plain">([^<]*)<', path.read_text())[1]
    return json.loads(gzip.decompress(base64.b64decode(text)))


def lines(path):
    """{file: {line: text}} of a page."""
    raw, found = payload(path), {}
    for file, first, *texts in raw.get("lines", []):
        found.setdefault(raw["strings"][file], {}).update(enumerate(texts, first))
    return found


def test_a_page_has_the_lines_around_its_frames(cprof, program, tmp_path):
    page = tmp_path / "p.html"
    assert cprof("flame", program, "-o", page).returncode == 0
    (found,) = lines(page).values()
    assert sorted(found) == [*range(8, 19), *range(96, 105)]
    assert found[12] == "\tline_12 = '<b>12</b>'"
    # The profile in it is what it was.
    assert cprof("top", "--json", page).stdout == cprof("top", "--json", program).stdout


def test_no_source_leaves_it_out_and_a_folder_can_be_named(cprof, program, tmp_path):
    page = tmp_path / "p.html"
    assert cprof("flame", "--no-source", program, "-o", page).returncode == 0
    assert "lines" not in payload(page)
    (tmp_path / "shop").rename(tmp_path / "moved")
    assert cprof("flame", program, "-o", page).returncode == 0
    assert lines(page) == {}
    (tmp_path / "root").mkdir()
    (tmp_path / "moved").rename(tmp_path / "root" / "shop")
    assert cprof("flame", "--source", tmp_path / "root", program, "-o", page).returncode == 0
    assert len(lines(page)) == 1


def test_a_profile_cannot_have_other_files_put_into_a_page(cprof, tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text("secret\n" * 50)
    (tmp_path / "link.pem").symlink_to(secret)
    profile = profiles.ProfileFile()
    for i, path in enumerate((secret, tmp_path / "link.pem", "/etc/passwd", tmp_path, "/dev/zero", "", "/proc/self/environ",
                              f"{tmp_path}/missing.py", "/dev/../dev/zero.py", "\x00.py", "a" * 5000 + ".py")):
        profile.add([profiles.python(f"f{i}", str(path), 1, 1)], 1)
    done = cprof("flame", profile.write(tmp_path / "evil.pb.gz"), "-o", tmp_path / "p.html")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "p.html") == {}


def test_the_source_in_a_page_is_bounded(cprof, tmp_path):
    profile = profiles.ProfileFile()
    for i in range(12):
        path = tmp_path / f"big{i}.py"
        path.write_text(("x" * 1000 + "\n") * 4000)
        for line in range(1, 4000, 8):
            profile.add([profiles.python(f"f{i}", str(path), line)], 1)
    profile.add([profiles.python("last", str(path), 2**62)], 1)
    assert cprof("flame", profile.write(tmp_path / "big.pb.gz"), "-o", tmp_path / "p.html").returncode == 0
    texts = [text for found in lines(tmp_path / "p.html").values() for text in found.values()]
    assert max(map(len, texts)) == 400 and 3_900_000 < sum(map(len, texts)) < 4.1 * 2**20


@needs_browser
def test_the_page_shows_each_line_with_what_cprof_list_says(cprof, program, tmp_path):
    assert cprof("flame", program, "-o", tmp_path / "p.html").returncode == 0
    (told,) = json.loads(cprof("list", "--json", "work", program).stdout)["functions"]
    expected = {line["line"]: (line["self"], line["total"]) for line in told["lines"] if line["self"] or line["total"]}
    with Browser() as page:
        page.open(tmp_path / "p.html")
        page.run("""const {graph, model} = window.page, {grouping} = model;
            graph.select(model.reveal([...Array(grouping.count).keys()].find((key) => grouping.name(key) === 'work')));""")
        page.keys("l")
        rows = page.run("""return [...document.querySelectorAll('#listing tbody tr')].map((row) =>
            [...row.cells].map((cell) => cell.textContent))""")
        shown = {int(row[2]): row for row in rows if len(row) == 4}
        assert expected == {12: (300_000_000, 310_000_000), 14: (210_000_000, 260_000_000)}
        assert {line: row[:2] for line, row in shown.items() if row[1]} == {12: ["300 ms", "310 ms"],
                                                                            14: ["210 ms", "260 ms"]}
        assert shown[13][3] == "    line_13 = '<b>13</b>'" and 100 not in shown
        assert page.run("return document.querySelector('#listing h2').textContent") == "work"
        heat = page.run("return [...document.querySelectorAll('#listing tr')].map((row) => row.style.getPropertyValue('--heat'))")
        assert {each for each in heat if each} == {"1.000", "0.839"}
        page.screenshot(tmp_path / "listing.png")
        page.keys("\ue00c")
        assert not page.run("return document.getElementById('listing').open")
        page.run("window.page.update({by: 'file'})")
        page.run("const {graph, model} = window.page; graph.select(model.children(model.root)[0])")
        page.keys("l")
        assert "100" in page.run("return [...document.querySelectorAll('#listing .number')].map((each) => each.textContent)")
        assert page.log() == []
