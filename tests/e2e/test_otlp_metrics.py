"""The figures of /metrics as OTLP metrics, at a real collector that has a pipeline for them, and at one that has none."""

import contextlib
import json
import os
import pathlib
import re
import subprocess

import pytest

import collector
import test_metrics
import traced

# Half a second of CPU time; then what the process says itself, by both its ways.
PROGRAM = """
import os, time, urllib.request
import cprof

def busy():
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        sum(range(1000))

busy()
cprof.flush()
if "CPROF_LISTEN" in os.environ:
    print(urllib.request.urlopen(f"http://{os.environ['CPROF_LISTEN']}/metrics").read().decode())
cprof.stop()
stats = cprof.stats()
print(stats["metrics_exported"], stats["metrics_failed"], stats["profiles_exported"], stats["profiles_failed"])
"""
PROTOCOLS = ("http/protobuf", "grpc")
ASKED = {"OTEL_METRICS_EXPORTER": "otlp"}
SENDING = {protocol: {**ASKED, "CPROF_LISTEN": f"127.0.0.1:{collector.free_port()}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
           for protocol in PROTOCOLS}
IGNORED = {f"{protocol}-ignored": {**ASKED, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol} for protocol in PROTOCOLS}
UNASKED = {"unset": {}, "none": {"OTEL_METRICS_EXPORTER": "none"}}
WRONG = {"wrong": {"OTEL_METRICS_EXPORTER": "console,otlp", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/json"}}


def start(python, program, running, name, environment):
    inherited = {key: text for key, text in os.environ.items() if not key.startswith("OTEL_")}
    address = running.grpc if environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" else running.http
    return subprocess.Popen(
        [python, program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**inherited, "CPROF_ENABLED": "1", "CPROF_INTERVAL": "0.1", "OTEL_SERVICE_NAME": name,
             "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}", "OTEL_METRIC_EXPORT_INTERVAL": "100", **environment})


@pytest.fixture(scope="module")
def runs(python, tmp_path_factory):
    """{name: (the program's output, its lines on standard error, the messages that arrived)}, of all at once."""
    folder = tmp_path_factory.mktemp("metrics")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    ended = {}
    try:
        with contextlib.ExitStack() as stack:
            collectors = []
            for name, config in (("with", traced.CONFIG), ("without", collector.CONFIG)):
                (folder / name).mkdir()
                collectors.append(stack.enter_context(collector.running_collector(folder / name, config)))
            processes = {name: start(python, program, running, name, environment)
                         for running, group in zip(collectors, ({**SENDING, **UNASKED, **WRONG}, IGNORED))
                         for name, environment in group.items()}
            for name, process in processes.items():
                ended[name] = process.communicate(timeout=120)
                assert process.returncode == 0, ended[name]
    except collector.Unavailable as reason:
        pytest.skip(str(reason))
    lines = pathlib.Path(f"{collectors[0].output}.metrics").read_text().splitlines()
    assert not pathlib.Path(f"{collectors[1].output}.metrics").exists()
    messages = [json.loads(line) for line in lines]
    return {name: (output, errors.splitlines(), [each for each in messages if resource_of(each)["service.name"] == name])
            for name, (output, errors) in ended.items()}


def resource_of(message):
    return {each["key"]: each["value"].get("stringValue")
            for each in message["resourceMetrics"][0]["resource"]["attributes"]}


def metrics_of(message):
    for resource in message["resourceMetrics"]:
        for scope in resource["scopeMetrics"]:
            yield from scope["metrics"]


def prometheus_name(metric):
    """As the specification of OpenTelemetry's compatibility with Prometheus makes it of name and unit."""
    unit = {"s": "_seconds", "By": "_bytes", "": ""}[metric.get("unit", "")]
    return re.sub(r"\W", "_", metric["name"]) + unit + ("_total" if metric.get("sum", {}).get("isMonotonic") else "")


def value(point):
    return float(point["asInt"]) if "asInt" in point else point["asDouble"]


def points(message):
    """{(name as Prometheus has it, function): value}"""
    found = {}
    for metric in metrics_of(message):
        for point in (metric.get("sum") or metric["gauge"])["dataPoints"]:
            labels = {each["key"]: each["value"]["stringValue"] for each in point.get("attributes", [])}
            found[prometheus_name(metric), labels.get("function")] = value(point)
    return found


@pytest.mark.parametrize("name", SENDING)
def test_the_collector_gets_what_the_page_shows(runs, name):
    output, errors, arrived = runs[name]
    page, _, last = output.rpartition("\n\n")
    sent, failed, profiles, refused = map(int, last.split())
    assert not errors and sent == len(arrived) >= 2 and failed == refused == 0 < profiles
    assert points(arrived[-1]).keys() == test_metrics.read(page).keys()
    attributes = resource_of(arrived[-1])
    assert attributes["service.instance.id"] and {resource_of(each)["service.instance.id"] for each in arrived} == {
        attributes["service.instance.id"]}


@pytest.mark.parametrize("name", SENDING)
def test_counts_are_cumulative_and_seconds_are_those_of_the_samples(runs, name):
    arrived = runs[name][2]
    seconds = [sum(number for (metric, _), number in points(message).items() if metric == "cprof_cpu_seconds_total")
               for message in arrived]
    samples = [points(message)["cprof_samples_total", None] for message in arrived]
    assert seconds == sorted(seconds) and seconds == pytest.approx([count * 0.01 for count in samples])
    assert seconds[-1] >= 0.4 and points(arrived[-1])["cprof_cpu_seconds_total", "busy"] > 0
    for metric in metrics_of(arrived[-1]):
        if "sum" in metric:
            assert metric["sum"]["aggregationTemporality"] == 2
            assert all(0 < int(point["startTimeUnixNano"]) < int(point["timeUnixNano"])
                       for point in metric["sum"]["dataPoints"])


@pytest.mark.parametrize("name", IGNORED)
def test_a_collector_without_metrics_is_one_line_and_has_all_profiles(runs, name):
    output, errors, _ = runs[name]
    sent, failed, profiles, refused = map(int, output.split())
    assert sent == 0 < failed and refused == 0 < profiles
    [line] = errors
    assert re.fullmatch(r"cprof: otlp metrics: (HTTP 404|gRPC UNIMPLEMENTED).* \(it takes no metrics: give it a metrics "
                        r"pipeline, or let OTEL_METRICS_EXPORTER be none\); only figures are missing there, profiles are not",
                        line), line


@pytest.mark.parametrize("name", UNASKED)
def test_nothing_is_sent_unasked(runs, name):
    output, errors, arrived = runs[name]
    assert not arrived and not errors and output.split()[:2] == ["0", "0"]


def test_a_variable_that_makes_no_sense_costs_the_figures_alone(runs):
    output, errors, arrived = runs["wrong"]
    assert not arrived and int(output.split()[2]) > 0
    assert errors == ["cprof: OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/json: must be http/protobuf or grpc; "
                      "cprof's figures are not sent"]
