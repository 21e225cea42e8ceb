"""A real tracer and cprof send to the same real collector: what links say, the tracer sent."""

import subprocess

import pytest

import otlp_json
import traced

# 60 requests of three kinds of work, 20 at a time; half of them with a child span.
PROGRAM = """
import asyncio, time
import cprof
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("shop")
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], views=[
    View(instrument_type=Histogram, exemplar_reservoir_factory=cprof.exemplar_reservoir)])
duration = meters.get_meter("shop").create_histogram("request.duration", unit="s")

def work(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))

async def request(n):
    began = time.monotonic()
    with tracer.start_as_current_span("request"):
        for _ in range(4):
            work(0.005 * (1 << n % 3))
            await asyncio.sleep(0)
        if n % 2:
            with tracer.start_as_current_span("child"):
                work(0.02)
        duration.record(time.monotonic() - began, {"kind": n % 3, "batch": n // 20})

async def main():
    for batch in range(3):
        await asyncio.gather(*(request(20 * batch + n) for n in range(20)))
    work(0.3)

asyncio.run(main())
provider.shutdown()
meters.shutdown()
"""


@pytest.fixture(scope="module")
def tracing_python(python):
    packages = ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"]
    done = subprocess.run([python, "-m", "pip", "install", "-q", *packages],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no {' or '.join(packages)}: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.fixture(scope="module")
def received(tracing_python, tmp_path_factory):
    """(spans, profiles) of one run of the program, as the collector wrote them down."""
    folder = tmp_path_factory.mktemp("spans")
    program = folder / "shop.py"
    program.write_text(PROGRAM)
    return traced.run(folder, [tracing_python, program], CPROF_SPAN_PROFILE_ID="on")


def each_sample(profiles):
    """(link or None, count) of every sample."""
    return [(link, count) for data in profiles for _, link, count in otlp_json.samples(data)]


def test_every_link_is_a_span_that_the_tracer_exported(received):
    spans, profiles, _ = received
    exported = {(span["traceId"], span["spanId"]) for span in spans}
    assert len(exported) == 90
    samples = list(each_sample(profiles))
    linked = {link for link, _ in samples if link}
    assert linked <= exported
    requests = {(s["traceId"], s["spanId"]) for s in spans if s["name"] == "request"}
    assert len(linked & requests) >= 0.9 * len(requests), "most requests were sampled"


def test_time_in_spans_is_what_they_burnt(received):
    _, profiles, _ = received
    samples = list(each_sample(profiles))
    linked = sum(count for link, count in samples if link)
    # 60 requests of 0.02, 0.04 and 0.08 s of CPU time, 30 children of 0.02 s; at 500 Hz.
    assert linked == pytest.approx(500 * (20 * 0.14 + 30 * 0.02), rel=0.25)


def test_root_spans_name_profiles_that_arrived(received):
    spans, profiles, _ = received
    arrived = {traced.profile_id(profile["profileId"]) for data in profiles
               for resource in data["resourceProfiles"] for scope in resource["scopeProfiles"]
               for profile in scope["profiles"]}
    named = {attribute["value"]["stringValue"] for span in spans if not span.get("parentSpanId")
             for attribute in span.get("attributes", []) if attribute["key"] == "profile.id"}
    assert named and named <= arrived
    assert not any(attribute["key"] == "profile.id" for span in spans if span.get("parentSpanId")
                   for attribute in span.get("attributes", []))


def test_exemplars_lead_from_histogram_to_trace_to_profile(received):
    traced.follow_exemplars(received, "request.duration", at_least=6)
