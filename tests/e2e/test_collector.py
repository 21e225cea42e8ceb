"""From a profile to a real OpenTelemetry Collector and back out of its file exporter."""

import gzip
import json
import os
import subprocess

import pytest

import collector
import otlp_json

BUILD = collector.pathlib.Path(os.environ.get("CPROF_BUILD", collector.ROOT / "build"))
SEND = BUILD / "tests/core/export/send_profile"
STACKS = {
    ("main", "serve", "parse"): 700,
    ("main", "serve", "render", "zlib compress"): 250,
    ("main", "серв", "λ"): 49,
    ("main",): 1,
}
ATTRIBUTES = {"service.name": "checkout", "deployment.environment.name": "test"}


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "profile.collapsed"
    path.write_text("".join(f"{';'.join(s)} {n}\n" for s, n in STACKS.items()))
    return path


def send(url, path, attributes=ATTRIBUTES):
    pairs = [f"{key}={value}" for key, value in attributes.items()]
    return subprocess.run([SEND, url, path, *pairs], capture_output=True, text=True, timeout=60)


def test_the_collector_gets_every_sample_under_its_names(real_collector, profile):
    result = send(real_collector.url, profile)
    assert result.returncode == 0, result.stderr
    assert "HTTP 200" in result.stderr
    received = json.loads(real_collector.lines()[-1])
    assert otlp_json.stacks(received) == STACKS
    assert otlp_json.value_type(received) == ("samples", "count")
    assert ATTRIBUTES.items() <= otlp_json.resource_attributes(received).items()


def test_the_bytes_that_the_collector_takes_conform(
    real_collector, recorder, profcheck, profile, tmp_path
):
    recorder.target = real_collector.url
    result = send(recorder.url, profile)
    assert result.returncode == 0, result.stderr
    [(headers, body)] = recorder.bodies
    assert headers["Content-Encoding"] == "gzip"
    sent = tmp_path / "sent.otlp"
    sent.write_bytes(gzip.decompress(body))
    check = subprocess.run(
        [profcheck, "-check-dupes", "-check-orphans", sent], capture_output=True, text=True
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_a_path_that_the_collector_does_not_know_gets_advice(real_collector, profile):
    result = send(f"http://{real_collector.http}/v1/profiles", profile)
    assert result.returncode == 1
    assert "HTTP 404" in result.stderr
    assert "--feature-gates=service.profilesSupport" in result.stderr


def test_the_example_for_pyroscope_forwards_every_sample(recorder, real_collector, profile,
                                                         tmp_path):
    recorder.target = real_collector.url  # stands for Pyroscope 2: it takes OTLP
    config = collector.ROOT / "packaging/collector/pyroscope.yaml"
    pyroscope = recorder.url.removesuffix("/v1development/profiles")
    with collector.running_collector(tmp_path, config, PYROSCOPE_URL=pyroscope,
                                     PYROSCOPE_TENANT="shops") as forwarder:
        result = send(forwarder.url, profile)
        assert result.returncode == 0, result.stderr
        received = json.loads(real_collector.lines()[-1])
    assert otlp_json.stacks(received) == STACKS
    assert recorder.bodies[-1][0]["X-Scope-Orgid"] == "shops"
