"""/metrics of a real program, and the alerts that are made from it, as Prometheus' own tool sees them."""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from test_pull import program  # noqa: F401

ALERTS = Path(__file__).resolve().parents[2] / "packaging" / "alerts"
LINE = re.compile(r'(\w+)(?:\{function="((?:[^"\\]|\\.)*)",module="((?:[^"\\]|\\.)*)"\})? ([0-9.]+)$')


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    monkeypatch.setenv("CPROF_INTERVAL", "0.5")


@pytest.fixture
def promtool():
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on this machine (Debian's package prometheus)")

    def run(*arguments, **options):
        return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, cwd=ALERTS, **options)

    return run


def scrape(program):
    with urllib.request.urlopen(program.replace("/debug/pprof/", "/metrics"), timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.read().decode()


def read(page):
    found = [LINE.match(line) for line in page.splitlines() if not line.startswith("#")]
    assert all(found), page
    return {(match[1], match[2]): float(match[4]) for match in found}


def page_with_seconds(program):  # noqa: F811
    deadline = time.monotonic() + 120
    while True:
        page = scrape(program)
        seconds = {function: value for (name, function), value in read(page).items()
                   if name == "cprof_cpu_seconds_total"}
        if seconds.get("busy", 0) > 0:
            return page, seconds
        assert time.monotonic() < deadline, page
        time.sleep(0.2)


def test_cpu_seconds_stand_by_function(program):  # noqa: F811
    page, seconds = page_with_seconds(program)
    assert "other" in seconds and len(seconds) <= 20
    figures = read(page)
    assert sum(seconds.values()) <= figures["cprof_samples_total", None] * 0.01 + 0.1
    assert figures["cprof_threads", None] >= 2


def test_prometheus_finds_nothing_to_say_about_the_page(program, promtool):  # noqa: F811
    checked = promtool("check", "metrics", input=page_with_seconds(program)[0])
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alerts_fire_on_the_bad_program_and_not_on_the_good_one(promtool):
    for arguments in (("check", "rules", "cprof.rules.yml"), ("test", "rules", "cprof.test.yml")):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def expressions():
    """What the dashboard's panels ask for, with its variables as Grafana would fill them in."""
    dashboard = json.loads((ALERTS / "cprof.grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "1m")
            yield panel["title"], re.sub(r"\$(job|instance)", ".*", text)


def test_the_dashboard_asks_for_figures_that_there_are(program):  # noqa: F811
    there = {name for name, _ in read(page_with_seconds(program)[0])}
    for title, expression in expressions():
        asked = set(re.findall(r"\bcprof_\w+", expression))
        assert asked and asked <= there and "$" not in expression, (title, asked - there)


def test_the_dashboard_is_whole():
    dashboard = json.loads((ALERTS / "cprof.grafana.json").read_text())
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "job", "instance"]
    cells = [(x, y) for panel in dashboard["panels"] for place in [panel["gridPos"]]
             for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_prometheus_understands_what_the_dashboard_asks_for(promtool, tmp_path):
    rules = [{"record": f"panel:{number}", "expr": expression} for number, (_, expression) in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", tmp_path / "rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
