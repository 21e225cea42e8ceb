"""Runs a program whose tracer and whose cprof export to the same real collector."""

import json
import os
import pathlib
import subprocess

import pytest

import collector

CONFIG = pathlib.Path(__file__).resolve().parent / "traces.yaml"


def run(folder, command, **environment):
    """(spans, profiles) as the collector wrote them down; skips where there is no collector."""

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
            traces = pathlib.Path(f"{running.output}.traces").read_text().splitlines()
    except collector.Unavailable as reason:
        pytest.skip(str(reason))
    spans = [span for line in traces for resource in json.loads(line)["resourceSpans"]
             for scope in resource["scopeSpans"] for span in scope["spans"]]
    return spans, profiles
