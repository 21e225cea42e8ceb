"""A real collector, a recorder in front of it, and a Python that has cprof."""

import http.server
import os
import pathlib
import subprocess
import sys
import threading
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import beside  # noqa: E402
import collector  # noqa: E402
from gates import locked  # noqa: E402


@pytest.fixture(scope="module")
def real_collector(tmp_path_factory):
    try:
        with collector.running_collector(tmp_path_factory.mktemp("collector")) as running:
            yield running
    except collector.Unavailable as reason:
        pytest.skip(str(reason))


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


@pytest.fixture
def profcheck():
    try:
        return collector.build_profcheck()
    except collector.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """A Python with cprof installed from this clone; $CPROF_PYTHON names one that is there."""
    given = os.environ.get("CPROF_PYTHON")
    if given:
        return pathlib.Path(given)
    folder = beside.shared(lambda: tmp_path_factory.mktemp("python")) / "venv"
    with locked(collector.ROOT / "bindings/python"):
        if not (folder / "complete").exists():
            script = collector.ROOT / "tests/python/venv.sh"
            subprocess.run(["sh", script, sys.executable, folder], check=True, capture_output=True)
            (folder / "complete").touch()
    return folder / "bin/python"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def issue(folder, name, subject, extension, authority=None):
    """A key and a certificate, signed by the authority or by itself."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    signer = ["-CA", authority / "ca.pem", "-CAkey", authority / "ca.key"] if authority else []
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-keyout", key, "-out", certificate, "-subj", f"/CN={subject}",
            "-addext", extension, *signer)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    issue(folder, "ca", "cprof test authority", "keyUsage=keyCertSign")
    issue(folder, "server", "localhost", "subjectAltName=DNS:localhost", folder)
    issue(folder, "client", "profiled program", "extendedKeyUsage=clientAuth", folder)
    return folder
