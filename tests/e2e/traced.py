"""Runs a program whose tracer and whose cprof export to the same real collector."""

import base64
import json
import os
import pathlib
import subprocess

import pytest

import collector
import otlp_json

CONFIG = pathlib.Path(__file__).resolve().parent / "traces.yaml"


def run(folder, command, **environment):
    """(spans, profiles, metrics) as the collector wrote them down; skips where there is no collector."""

    def execute(environment):
        done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=240)
        assert done.returncode == 0, done.stderr

    return collected(folder, execute, **environment)


def collected(folder, execute, **environment):
    """The same of whatever execute() runs with the environment that it is given."""
    try:
        with collector.running_collector(folder, CONFIG) as running:
            execute({**os.environ, "CPROF_ENABLED": "1", "CPROF_RATE": "500",
                     "CPROF_INTERVAL": "1", "OTEL_SERVICE_NAME": "shop",
                     "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{running.http}", **environment})
            profiles = [json.loads(line) for line in running.lines()]
            traces, metrics = (pathlib.Path(f"{running.output}.{signal}") for signal in ("traces", "metrics"))
            traces = traces.read_text().splitlines()
            metrics = metrics.read_text().splitlines() if metrics.exists() else []
    except collector.Unavailable as reason:
        pytest.skip(str(reason))
    spans = [span for line in traces for resource in json.loads(line)["resourceSpans"]
             for scope in resource["scopeSpans"] for span in scope["spans"]]
    return spans, profiles, [json.loads(line) for line in metrics]


def exemplars(metrics, name):
    """What the exemplars of a histogram say: (trace and span id, profile id, value)."""
    points = [point for message in metrics for resource in message["resourceMetrics"] for scope in resource["scopeMetrics"]
              for metric in scope["metrics"] if metric["name"] == name for point in metric["histogram"]["dataPoints"]]
    for exemplar in [each for point in points for each in point.get("exemplars", [])]:
        attributes = {each["key"]: each["value"].get("stringValue") for each in exemplar.get("filteredAttributes", [])}
        value = exemplar.get("asDouble", exemplar.get("asInt"))
        yield (exemplar.get("traceId"), exemplar.get("spanId")), attributes.get("profile.id"), float(value)


def profile_id(text):
    """The collector writes bytes in hex, as ids of spans, or in base64 as protobuf's JSON does."""
    return text if len(text) == 32 else base64.b64decode(text).hex()


def links_of_profiles(profiles):
    """[(profile id, its end in ns, links of its samples)], in the order of time."""
    found = []
    for data in profiles:
        links = {link for _, link, _ in otlp_json.samples(data) if link}
        [profile] = [profile for resource in data["resourceProfiles"] for scope in resource["scopeProfiles"]
                     for profile in scope["profiles"]]
        found.append((profile_id(profile["profileId"]), int(profile["timeUnixNano"]) + int(profile["durationNano"]), links))
    return sorted(found, key=lambda each: each[1])


def follow_exemplars(received, name, at_least):
    """From a histogram to its traces to their profiles: each exemplar's span was exported, its profile arrived and has the
    span's samples; or one before it, in which the span began: a value is recorded when its work is done."""
    spans, profiles, metrics = received
    began = {(span["traceId"], span["spanId"]): int(span["startTimeUnixNano"]) for span in spans}
    links = links_of_profiles(profiles)
    at = {identity: number for number, (identity, _, _) in enumerate(links)}
    found = list(exemplars(metrics, name))
    assert len(found) >= at_least, found
    assert {link for link, _, _ in found} <= began.keys()
    assert {identity for _, identity, _ in found} <= at.keys()
    sampled = [any(link in inside for _, ended, inside in links[:at[identity] + 1] if ended >= began[link])
               for link, identity, _ in found]
    assert sum(sampled) >= 0.9 * len(sampled), sampled
