"""axe-core finds nothing to complain about, whatever is open, in light and dark, wide and narrow."""

import os
import pathlib

import pytest

import profiles
from browser import Browser, why_not
from test_serve import serving
from test_serve_history import add

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def find_axe():
    """packaging/test installs it beside the other tools."""
    tools = os.environ.get("CPROF_TEST_TOOLS")
    path = pathlib.Path(tools or ".").parent / "node_modules" / "axe-core" / "axe.min.js"
    return path if tools and path.is_file() else None


@pytest.fixture(scope="module")
def browser():
    if not find_axe():
        pytest.skip("no axe-core (npm install axe-core beside CPROF_TEST_TOOLS)")
    with Browser() as started:
        yield started


def violations(browser):
    browser.run(find_axe().read_text())
    return browser.run_async("""const done = arguments[0];
        axe.run(document, {resultTypes: ['violations']}).then(({violations}) => done(violations.map((each) =>
            [each.id, each.nodes.map((node) => node.html.slice(0, 120)).slice(0, 3)])), (error) => done([String(error)]));""")


STATES = {
    "filters and a rule": "window.page.update({rules: [['hide', 'zlib']]}); document.getElementById('filter').click();",
    "a frame's menu": """const {graph, model} = window.page; graph.select(model.children(model.root)[0]);
                         document.getElementById('menu-open').click();""",
    "callers and callees": "window.page.update({centre: 0});",
    "search": """const field = document.getElementById('search'); field.value = 'work';
                 field.dispatchEvent(new Event('input'));""",
    "help": "document.getElementById('help-open').click();",
}


@pytest.mark.parametrize("theme, width, height", [("light", 1500, 900), ("dark", 390, 800)])
def test_axe_finds_no_violation(browser, cprof, small, tmp_path, theme, width, height):
    assert cprof("flame", small, "--source-url", "https://example.com{file}", "-o", tmp_path / "p.html").returncode == 0
    browser.resize(width, height)
    for state, script in {"at first": "", **STATES}.items():
        browser.open(tmp_path / "p.html")
        browser.run("if (document.documentElement.style.colorScheme !== arguments[0]) "
                    "document.getElementById('theme').click();" + script, theme)
        browser.settle()
        assert violations(browser) == [], state


@pytest.mark.parametrize("scheme, width, height", [("light", 1500, 900), ("dark", 390, 800)])
def test_axe_finds_no_violation_in_lists_and_time_strips(browser, cprof, small, tmp_path, scheme, width, height):
    folder = tmp_path / "store"
    folder.mkdir()
    add(cprof, folder, "shop", 0, [profiles.MAIN], 5, 1)
    browser.resize(width, height)
    browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    with serving("--store", folder) as (history, _), serving(small) as (files, _):
        for url in (history, files, history + "history?s=shop"):
            browser._ask("POST", "/url", {"url": url})
            browser.settle()
            if "history?" in url:
                browser.click("day-before")
            assert violations(browser) == [], url
    browser.devtools("Emulation.setEmulatedMedia", features=[])


def test_axe_finds_no_violation_in_a_comparison(browser, cprof, small, tmp_path):
    grown = profiles.grown(tmp_path / "grown.pb.gz")
    assert cprof("diff", small, grown, "-o", tmp_path / "d.html").returncode == 0
    browser.resize(1500, 900)
    for theme in ("light", "dark"):
        browser.open(f"{tmp_path / 'd.html'}#beside=1")
        browser.run("if (document.documentElement.style.colorScheme !== arguments[0]) "
                    "document.getElementById('theme').click();", theme)
        browser.settle()
        assert violations(browser) == [], theme
