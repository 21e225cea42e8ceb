"""From a profile to a real OpenTelemetry Collector and back out of its file exporter."""

import gzip
import http.server
import json
import os
import subprocess
import threading
import urllib.request

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


@pytest.fixture(scope="module")
def real_collector(tmp_path_factory):
    try:
        with collector.running_collector(tmp_path_factory.mktemp("collector")) as running:
            yield running
    except collector.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "profile.collapsed"
    path.write_text("".join(f"{';'.join(s)} {n}\n" for s, n in STACKS.items()))
    return path


@pytest.fixture
def recorder():
    """Passes requests on to a server and keeps their bodies."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.bodies.append((dict(self.headers), body))
            request = urllib.request.Request(self.server.target, body, dict(self.headers))
            with urllib.request.urlopen(request) as answer:
                content = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.bodies = []
    server.url = f"http://127.0.0.1:{server.server_port}/v1development/profiles"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def send(url, path, attributes=ATTRIBUTES):
    pairs = [f"{key}={value}" for key, value in attributes.items()]
    return subprocess.run([SEND, url, path, *pairs], capture_output=True, text=True, timeout=60)


@pytest.fixture
def profcheck():
    try:
        return collector.build_profcheck()
    except collector.Unavailable as reason:
        pytest.skip(str(reason))


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
