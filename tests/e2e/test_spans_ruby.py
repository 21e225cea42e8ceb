"""A Ruby service under load whose tracer and cprof send to the same real collector: hundreds of interleaved
requests of known work, each of whose samples has to carry the span that the tracer exported for it."""

import collections
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest
from gates import locked

import collector
import otlp_json
import traced

HERE = pathlib.Path(__file__).resolve().parent
BINDING = collector.ROOT / "bindings/ruby"
REQUESTS = 300
AT_ONCE = 8
OTEL_PARTS = ("api", "sdk", "common", "registry", "semantic_conventions", "metrics_api", "metrics_sdk")


@pytest.fixture(scope="module")
def ruby_paths():
    """Where a Ruby finds cprof, built from this clone; and OpenTelemetry, where a checkout is named."""
    if not all(shutil.which(tool) for tool in ("ruby", "puma")):
        pytest.skip("there is no ruby with puma")
    built = collector.ROOT / "build/ruby-extension"
    headers = subprocess.run(
        ["ruby", "-e", 'print RbConfig::CONFIG.values_at("rubyhdrdir", "rubyarchhdrdir").join(";")'],
        capture_output=True, text=True, check=True).stdout
    configure = ["cmake", "-S", BINDING / "ext/cprof", "-B", built / "tree", "-G", "Ninja",
                 "-DCMAKE_BUILD_TYPE=RelWithDebInfo", f"-DCPROF_RUBY_INCLUDE={headers}",
                 f"-DCPROF_RUBY_OUTPUT={built / 'lib/cprof'}"]
    with locked(BINDING):
        for command in (configure, ["cmake", "--build", built / "tree", "--target", "cprof_ruby"]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, done.stdout
    otel = os.environ.get("CPROF_TEST_OTEL")
    checkout = [pathlib.Path(otel) / part / "lib" for part in OTEL_PARTS] if otel else []
    return ":".join(map(str, [BINDING / "lib", built / "lib", *checkout]))


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def wait_for(url, log):
    for _ in range(300):
        try:
            return get(url)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"puma does not answer: {log.read_text()}")


def load(url):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda n: get(f"{url}/{n}"), range(REQUESTS))
        assert list(answers) == [f"done {n}" for n in range(REQUESTS)]


def serve(folder, environment):
    """Puma with the shop, from its start to its end."""
    url = f"127.0.0.1:{collector.free_port()}"
    log = folder / "puma.log"
    command = ["puma", "-e", "production", "-t", f"{AT_ONCE}:{AT_ONCE}", "-b", f"tcp://{url}", HERE / "shop.ru"]
    with open(log, "w") as output:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=output)
    try:
        wait_for(f"http://{url}/ready", log)
        load(f"http://{url}")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def collected(ruby_paths, tmp_path_factory):
    """(spans, profiles, metrics), as the collector wrote them down."""
    folder = tmp_path_factory.mktemp("spans")
    return traced.collected(
        folder, lambda environment: serve(folder, environment), RUBYLIB=ruby_paths,
        RUBYOPT="-rcprof/auto", REQUESTS=str(REQUESTS), OTEL_TRACES_EXPORTER="none")


@pytest.fixture(scope="module")
def received(collected):
    """({name: link} of the spans, samples)"""
    spans, profiles, _ = collected
    return ({span["name"]: (span["traceId"], span["spanId"]) for span in spans},
            [sample for data in profiles for sample in otlp_json.samples(data)])


def request_of(names):
    """The request whose own method is in the stack."""
    for name in names:
        if found := re.search(r"[#.](request_\d+)$", name):
            return found[1]
    return None


def test_every_link_is_a_span_that_the_tracer_exported(received):
    spans, samples = received
    assert len(spans) == REQUESTS
    linked = {link for _, link, _ in samples if link}
    assert linked <= set(spans.values())
    assert len(linked) > 0.9 * REQUESTS


def test_samples_inside_a_span_carry_exactly_that_span(received):
    spans, samples = received
    right = collections.Counter()
    for names, link, count in samples:
        if request := request_of(names):
            right[link == spans[request]] += count
    assert right[True] > 2000
    assert right[False] <= 0.001 * right.total()


def test_exemplars_lead_from_histogram_to_trace_to_profile(collected):
    if not os.environ.get("CPROF_TEST_OTEL"):
        pytest.skip("CPROF_TEST_OTEL names no checkout of OpenTelemetry, whose metrics SDK this needs")
    traced.follow_exemplars(collected, "request.duration", at_least=6)


def test_samples_outside_of_spans_carry_none(received):
    # What is at the edge of a span may be on either side of it.
    outside = [(names, link, count) for names, link, count in received[1]
               if not request_of(names) and not any("in_span" in name for name in names)]
    assert sum(count for names, _, count in outside if any(name.endswith("outside") for name in names)) > 100
    assert not [names for names, link, _ in outside if link]


def test_requests_of_work_1_2_4_have_shares_of_1_2_4(received):
    spans, samples = received
    kinds = {link: 2 ** (int(name.rpartition("_")[2]) * 3 // REQUESTS) for name, link in spans.items()}
    shares = collections.Counter()
    for _, link, count in samples:
        if link:
            shares[kinds[link]] += count
    assert {kind: shares[kind] / shares.total() for kind in (1, 2, 4)} == pytest.approx(
        {1: 1 / 7, 2: 2 / 7, 4: 4 / 7}, abs=0.03)
