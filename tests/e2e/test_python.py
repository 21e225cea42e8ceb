"""A real Python program, started with nothing but environment variables, seen at the collector."""

import collections
import gzip
import json
import os
import resource
import subprocess

import pytest

import collector
import otlp_json

SHOP = collector.ROOT / "packaging/examples/shop.py"
RATE = 500


def used():
    """CPU time of what this process has started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture
def shop(python, recorder):
    """run(url): the shop under auto-start; its standard error and the bodies that it sent."""

    def run(url):
        recorder.target = url
        environment = {
            **os.environ,
            "CPROF_ENABLED": "1",
            "CPROF_INTERVAL": "2",
            "CPROF_RATE": str(RATE),
            "CPROF_LOG": "debug",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT": recorder.url,
        }
        done = subprocess.run(
            [python, SHOP], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert "carts priced" in done.stdout
        return done.stderr, [gzip.decompress(body) for _, body in recorder.bodies]

    return run


def test_a_real_program_arrives_at_the_collector_interval_by_interval(real_collector, shop):
    before = real_collector.written()  # by a try before this one
    used_before = used()
    log, bodies = shop(real_collector.url)
    seconds = used() - used_before
    assert len(bodies) >= 3, log
    received = [json.loads(line) for line in real_collector.lines()[before:]]
    received = [r for r in received if service(r) == "shop"]
    assert len(received) == len(bodies)
    totals = collections.Counter()
    for profiles in received:
        totals.update(otlp_json.stacks(profiles))
    # All of its CPU time, but for what Python's start and cprof's own threads take.
    assert 0.7 < sum(totals.values()) / (RATE * seconds) < 1.02
    below = collections.Counter()
    for stack, count in totals.items():
        for function in set(stack):
            below[function] += count
    # Of the interpreter's time the reports get one to three hundredths: 25 samples and more.
    for function in ("Cart.total", "archive_orders", "report_sales", "render_page", "deflate"):
        assert below[function] > 5, (function, below.most_common(40))
    inside = [s for s in totals if "deflate" in s and "archive_orders" in s]
    assert all(s.index("archive_orders") < s.index("deflate") for s in inside) and inside


def test_every_body_that_a_real_program_sends_conforms(
    real_collector, profcheck, shop, tmp_path
):
    _, bodies = shop(real_collector.url)
    for number, body in enumerate(bodies):
        path = tmp_path / f"{number}.otlp"
        path.write_bytes(body)
        check = subprocess.run(
            [profcheck, "-check-dupes", "-check-orphans", path], capture_output=True, text=True
        )
        assert check.returncode == 0, check.stdout + check.stderr


def service(received):
    return otlp_json.resource_attributes(received).get("service.name")
