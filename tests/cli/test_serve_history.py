"""cprof serve --store: the time strip of a service, what is brushed of it, and two times compared."""

import json
import re
import time
import urllib.parse

import pytest

from browser import Browser, why_not
from profiles import MAIN, PARSE, WORK, ProfileFile
from test_history import BEGIN, put
from test_serve import get, samples, serving

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

HOURS = 48
DAY = "2026-01-28 "  # of BEGIN, which is at noon


def mix(x):
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD % 2**64
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 % 2**64
    return x ^ x >> 33


def key_of(service):
    """What stands for a service of fewer than eight letters in the names of a store's files."""
    seed = mix((len(service) + 0x9E3779B97F4A7C15) % 2**64)
    return mix(seed ^ int.from_bytes(service.encode(), "little"))


def add(cprof, folder, service, hour, stack, count, unique):
    profile = ProfileFile(service=service, duration=3600, start=(BEGIN + 3600 * hour) * 10**9).add(stack, count)
    put(cprof, folder, profile, BEGIN + 3600 * hour, 3600, unique, key_of(service))


@pytest.fixture
def store(cprof, tmp_path, monkeypatch):
    """Two days: 10 samples of work an hour, and in the hour from 20:00 also 100 of parse."""
    monkeypatch.setenv("TZ", "UTC")
    folder = tmp_path / "store"
    folder.mkdir()
    for hour in range(HOURS):
        add(cprof, folder, "shop", hour, [MAIN, WORK], 10, hour + 1)
    add(cprof, folder, "shop", 8, [MAIN, PARSE], 100, 1000)
    add(cprof, folder, "a<b>&", 3, [MAIN], 7, 1001)
    return folder


def link(page, **fields):
    return page + "?" + urllib.parse.urlencode({name.replace("_", "-"): value for name, value in fields.items()})


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page)[1])


def test_services_are_listed_and_each_has_its_time(store):
    with serving("--store", store) as (url, _):
        status, page = get(url)
        assert status == 200 and "a&lt;b&gt;&amp;" in page and "<b>" not in page
        links = re.findall(r'href="(history[^"]+)"', page)
        assert len(links) == 2 and "2026-01-28 12:00:00 to 2026-01-30 12:00:00" in page
        data = data_of(get(url + links[1])[1])
        assert (data["service"], data["type"], data["unit"], data["whole"]) == ("shop", "cpu", "nanoseconds", True)
        assert (data["from"], data["to"]) == (BEGIN * 1000, (BEGIN + 3600 * HOURS) * 1000)
        assert data["intervals"] == HOURS + 1
        bars = len(data["amounts"]) // HOURS
        hours = [round(sum(data["amounts"][i * bars:(i + 1) * bars]) / 1e7) for i in range(HOURS)]
        assert hours == [110 if hour == 8 else 10 for hour in range(HOURS)]
        part = data_of(get(link(url + "history", s="shop", **{"from": DAY + "20:00", "to": DAY + "21:00"}))[1])
        assert not part["whole"] and round(sum(part["amounts"]) / 1e7) == 110
        odd = data_of(get(url + links[0])[1])
        assert odd["service"] == "a<b>&" and round(sum(odd["amounts"]) / 1e7) == 7


def test_a_time_is_a_flame_graph_and_two_are_compared(cprof, store, tmp_path):
    with serving("--store", store) as (url, _):
        def page(name, **fields):
            status, content = get(link(url + name, s="shop", **fields))
            assert status == 200
            return content

        assert samples(cprof, page("view"), tmp_path) == 10 * HOURS + 100
        day = {"from": DAY + "19:00", "to": DAY + "21:00+00:00"}
        assert samples(cprof, page("view", **day), tmp_path) == 120
        assert page("diff", **day) != page("diff", base_from=DAY + "13:00", base_to=DAY + "14:00", **day)


def test_what_is_not_there_or_no_time_is_told(store):
    with serving("--store", store) as (url, process):
        page = get(link(url + "view", s="shop", **{"from": "2025-01-01", "to": "+1d"}))[1]
        assert "no profiles of service shop of that time; there are those from 2026-01-28 12:00:00" in page
        assert "it has those of a&lt;b&gt;&amp;, shop" in get(link(url + "view", s="none", **{"from": "-1h"}))[1]
        for fields in ({}, {"s": "none"}, {"s": "shop", "from": "soon"},
                       {"s": "shop", "from": DAY + "10:00", "to": DAY + "09:00"}):
            for name in ("history", "view", "diff"):
                assert get(link(url + name, **fields))[0] in (404, 500), (name, fields)
        assert get(link(url + "other", s="shop"))[0] == 404
        assert get(link(url + "view", s="shop", f="/etc/passwd"))[0] == 200  # f names nothing here
        assert process.poll() is None


def test_a_store_that_is_not_there_is_told(cprof, tmp_path, small):
    done = cprof("serve", "--store", tmp_path / "missing", timeout=20)
    assert done.returncode == 1 and "missing" in done.stderr
    assert cprof("serve", "--store", tmp_path, small, timeout=20).returncode == 2


def ready(browser):
    deadline = time.monotonic() + 60
    while browser.run("return document.body.dataset.ready") != "true":
        assert time.monotonic() < deadline, browser.log()
        time.sleep(0.02)
    browser.settle()


@needs_browser
def test_a_brush_is_opened_and_compared(store):
    def fields(browser):
        return browser.run("return ['from', 'to', 'base-from', 'base-to'].map((id) => $(id).value.slice(0, 16))")

    with serving("--store", store) as (url, _), Browser() as browser:
        browser._ask("POST", "/url", {"url": link(url + "history", s="shop")})
        ready(browser)
        left, top, width = browser.run("const r = $('strip').getBoundingClientRect(); return [r.left, r.top, r.width]")
        hour = width / HOURS
        browser.drag(left + 7.9 * hour, top + 50, left + 9.1 * hour, top + 50)
        assert "(1.2" in browser.text("new-amount")
        # What is written shows, and keys move it.
        browser.type("from", "2026-01-28 20:00:00+00:00")
        browser.type("to", "2026-01-28 21:00:00+00:00")
        assert "(1 h): 0.00031 CPUs" in browser.text("new-amount")
        browser.click("before")
        assert fields(browser) == ["2026-01-28 20:00", "2026-01-28 21:00", "2026-01-28 19:00", "2026-01-28 20:00"]
        browser.run("$('compare').click()")
        ready(browser)
        shown = browser.run("return document.body.innerText")
        assert "2026-01-28 19:00:00..20:00:00 → 2026-01-28 20:00:00..21:00:00 · 27.8 µs/s → 306 µs/s" in shown
        browser.back()
        ready(browser)
        assert fields(browser)[:2] == ["2026-01-28 20:00", "2026-01-28 21:00"]
        browser.run("$('view').click()")
        ready(browser)
        assert browser.run("return page.model.total") == 110 * 10**7
        browser.back()
        ready(browser)
        browser.run("$('zoom').click()")
        ready(browser)
        assert browser.run("return data.to - data.from") == 3600000
        assert browser.log() == []
