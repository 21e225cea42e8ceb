"""/metrics of a real program, and the alerts that are made from it, as Prometheus' own tool sees them."""

import json
import re
import os
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

import collector
from test_pull import program  # noqa: F401

ALERTS = Path(__file__).resolve().parents[2] / "packaging" / "alerts"
LINE = re.compile(r'(\w+)(?:\{function="((?:[^"\\]|\\.)*)",module="((?:[^"\\]|\\.)*)"\})? ([0-9.]+)$')


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch):
    monkeypatch.setenv("CPROF_INTERVAL", "0.5")


def prometheus_program(name):
    try:
        return collector.prometheus(name)
    except collector.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def promtool():
    found = prometheus_program("promtool")

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
            text = target["expr"].replace("$__rate_interval", "1m").replace("${histogram}", "request_duration_seconds")
            yield panel["title"], re.sub(r"\$(job|instance)", ".*", text)


def test_the_dashboard_asks_for_figures_that_there_are(program):  # noqa: F811
    there = set(re.findall(r"^# TYPE (\w+)", page_with_seconds(program)[0], re.M))
    for title, expression in expressions():
        asked = set(re.findall(r"\bcprof_\w+", expression))
        assert (asked or "$histogram" in title) and asked <= there and "$" not in expression, (title, asked - there)


def test_the_dashboard_is_whole():
    dashboard = json.loads((ALERTS / "cprof.grafana.json").read_text())
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "job", "instance", "histogram"]
    cells = [(x, y) for panel in dashboard["panels"] for place in [panel["gridPos"]]
             for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    # What Grafana's types require of a legend: without showLegend there is none.
    legends = [panel["options"]["legend"] for panel in dashboard["panels"] if panel["type"] == "timeseries"]
    assert all(each["showLegend"] and {"calcs", "displayMode", "placement"} <= set(each) for each in legends)


def opened(template, value):
    """What Grafana makes of a link: provisioning takes $$ for a $, the value of the field goes in, and Explore reads the
    panes from the URL."""
    url = template.strip("'").replace("$$", "$").replace("${__value.raw}", value)
    assert "$" not in url
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query, strict_parsing=True)
    assert query["schemaVersion"] == ["1"]
    [pane] = json.loads(query["panes"][0]).values()
    return pane


# The fields of a query of its Pyroscope data source (grafanapyroscope.Dataquery of grafana-foundation-sdk).
PYROSCOPE_QUERY = {"refId", "datasource", "queryType", "hide", "labelSelector", "spanSelector", "profileTypeId", "groupBy",
                   "limit", "maxNodes"}


def test_exemplars_lead_to_trace_and_profile():
    """By the labels that the collector makes of an exemplar's ids. A span's id is no label of a series in Pyroscope: its
    samples are found by spanSelector."""
    text = (ALERTS / "datasources.yml").read_text()
    links = dict(re.findall(r"- name: (\w+)\n\s+(?:datasourceUid|url): (.+)", text))
    assert links["trace_id"] == "tempo" and "uid: tempo\n" in text
    pane = opened(links["span_id"], "00f067aa0ba902b7")
    [query] = pane["queries"]
    assert set(query) <= PYROSCOPE_QUERY and query["queryType"] == "profile" and query["groupBy"] == []
    assert (query["labelSelector"], query["spanSelector"]) == ("{}", ["00f067aa0ba902b7"])
    assert query["profileTypeId"] == "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
    assert pane["datasource"] == query["datasource"]["uid"] and f"uid: {pane['datasource']}\n" in text
    assert f"type: {query['datasource']['type']}\n" in text and "span_id=" not in text
    dashboard = json.loads((ALERTS / "cprof.grafana.json").read_text())
    assert [each["title"] for each in dashboard["panels"] for target in each["targets"] if target.get("exemplar")] == [
        "Requests: $histogram, with exemplars"]


def test_prometheus_understands_what_the_dashboard_asks_for(promtool, tmp_path):
    rules = [{"record": f"panel:{number}", "expr": expression} for number, (_, expression) in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", tmp_path / "rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


# Ten functions that take turns, or one that takes all; or an event loop that is blocked, which costs no CPU.
SERVICE = """
import asyncio, sys, time

def working(name, rounds):
    space = {}
    exec(f"def {name}():\\n total = 0\\n for i in range({rounds}):\\n  total += i", space)
    return space[name]

parts = {"good": [working(f"part_{n}", 20000) for n in range(10)], "bad": [working("regex", 200000)],
         "slow": [lambda: time.sleep(0.5)]}[sys.argv[1]]

async def serve():
    while True:
        for part in parts:
            part()
            await asyncio.sleep(0)

asyncio.run(serve())
"""


def scaled_rules():
    """The rules in a clock that runs 300 times as fast, as 10 minutes are no time for a test."""
    def seconds(match):
        return f"{int(match[1]) * {'m': 60, 'h': 3600}[match[2]] // 300}s"
    return re.sub(r"\b(\d+)([mh])\b(?=[\]\s)])", seconds, (ALERTS / "cprof.rules.yml").read_text())


def ask(address, query):
    with urllib.request.urlopen(f"http://{address}/api/v1/{query}", timeout=10) as answer:
        return json.load(answer)["data"]


def firing(address):
    return {(alert["labels"]["alertname"], alert["labels"]["instance"], alert["labels"].get("function"))
            for alert in ask(address, "alerts")["alerts"] if alert["state"] == "firing"}


def test_prometheus_fires_on_the_bad_service_and_not_on_the_good_one(python, tmp_path):
    server = prometheus_program("prometheus")
    (tmp_path / "service.py").write_text(SERVICE)
    (tmp_path / "rules.yml").write_text(scaled_rules())
    places = {name: f"127.0.0.1:{collector.free_port()}" for name in ("good", "bad", "slow")}
    address = f"127.0.0.1:{collector.free_port()}"
    jobs = [{"job_name": name, "static_configs": [{"targets": [place], "labels": {"instance": name}}]}
            for name, place in places.items()]
    (tmp_path / "prometheus.yml").write_text(json.dumps(
        {"global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"},
         "rule_files": ["rules.yml"], "scrape_configs": jobs}))
    processes = [subprocess.Popen([python, tmp_path / "service.py", name],
                                  env={**os.environ, "CPROF_ENABLED": "1", "CPROF_EXPORTER": "none", "CPROF_LISTEN": place,
                                       "CPROF_INTERVAL": "0.25"}) for name, place in places.items()]
    with open(tmp_path / "log", "w") as log:
        processes.append(subprocess.Popen(
            [server, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
             f"--web.listen-address={address}"], stdout=log, stderr=log))
    wanted = {("CprofHotFunction", "bad", "regex"), ("CprofEventLoopDelay", "slow", None)}
    try:
        deadline, found, good = time.monotonic() + 60, set(), []
        while not (wanted <= found and good) and time.monotonic() < deadline:
            time.sleep(0.25)
            try:
                found = firing(address)
                good = ask(address, "query?query=cprof_cpu_seconds_total%7Binstance%3D%22good%22%2Cfunction%3D%22part_0%22%7D")["result"]
            except OSError:
                continue  # it starts
        assert wanted <= found, (found, (tmp_path / "log").read_text())
        assert good and not [alert for alert in found if alert[1] == "good"]
    finally:
        for process in processes:
            process.kill()
            process.wait()
