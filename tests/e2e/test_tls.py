"""OTLP over TLS: own authority, client certificates, proxies, and what is said when it fails."""

import contextlib
import http.server
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CPROF_BUILD", ROOT / "build"))
SEND = BUILD / "tests/core/export/send_profile"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.seen.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # a client that does not trust us hangs up: that is the test


def serving(context=None):
    server = Server(("127.0.0.1", 0), Handler)
    server.seen = []
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def tls(keys):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.pem", keys / "server.key")
    return context


@pytest.fixture
def server(keys):
    yield from serving(tls(keys))


@pytest.fixture
def strict_server(keys):
    context = tls(keys)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(keys / "ca.pem")
    yield from serving(context)


@pytest.fixture
def proxy():
    yield from serving()


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "profile.collapsed"
    path.write_text("main;work 5\n")
    return path


def send(profile, url, **environment):
    environment = {name: str(value) for name, value in environment.items()}
    return subprocess.run(
        [SEND, url, profile],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def check_counts(result, exported=0, failed=0, dropped=0):
    """Every profile is counted, as one of these."""
    assert f"exported {exported}, failed {failed}, dropped {dropped}\n" in result.stderr


def url_of(server, scheme="https"):
    return f"{scheme}://localhost:{server.server_port}/v1development/profiles"


def test_a_server_of_an_own_authority_is_trusted_when_told(server, keys, profile):
    result = send(profile, url_of(server), CERTIFICATE=keys / "ca.pem")
    assert result.returncode == 0, result.stderr
    assert len(server.seen) == 1
    check_counts(result, exported=1)


def test_an_unknown_authority_gets_no_profile_and_is_named_as_the_cause(server, profile):
    result = send(profile, url_of(server), PATIENCE=2)
    assert result.returncode == 1
    assert "certificate" in result.stderr and "profiles are kept" in result.stderr
    assert not server.seen
    check_counts(result, dropped=1)


def test_the_environments_authorities_are_trusted(server, keys, profile, tmp_path):
    """As by OpenSSL: a file, or a folder of them by their hashes. The operator's own word wins."""
    assert send(profile, url_of(server), SSL_CERT_FILE=keys / "ca.pem").returncode == 0
    shutil.copy(keys / "ca.pem", tmp_path)
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    assert send(profile, url_of(server), SSL_CERT_DIR=f"/nowhere:{tmp_path}").returncode == 0
    other = send(profile, url_of(server), SSL_CERT_FILE=keys / "ca.pem", CERTIFICATE=keys / "client.pem",
                 PATIENCE=2)
    assert other.returncode == 1
    assert len(server.seen) == 2


def test_an_authority_of_the_environment_that_is_not_there_is_one_line(server, profile):
    result = send(profile, url_of(server), SSL_CERT_FILE="/no/such.pem", PATIENCE=2)
    assert result.returncode == 1
    assert result.stderr.count("SSL_CERT_FILE: can't read /no/such.pem; the system's") == 1


@pytest.mark.parametrize("place", ["ssl/certs/ca-certificates.crt", "pki/tls/certs/ca-bundle.crt", "ssl/cert.pem"])
def test_the_systems_authorities_are_found_where_distributions_keep_them(place, server, keys, profile):
    """In a view of its own of the files, /etc holds nothing else."""
    script = f"""set -e
cp /etc/hosts {keys}/hosts; cp {keys}/ca.pem {keys}/found.pem
mount -t tmpfs none /etc; cp {keys}/hosts /etc
mkdir -p /etc/$(dirname {place}); cp {keys}/found.pem /etc/{place}"""
    if subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True).returncode != 0:
        pytest.skip("no file systems can be mounted here")
    done = subprocess.run(["unshare", "--mount", "sh", "-c", f'{script}; exec "$@"', "sh", SEND, url_of(server), profile],
                          env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(server.seen) == 1


def test_a_certificate_for_another_host_is_not_accepted(server, keys, profile):
    url = url_of(server).replace("localhost", "127.0.0.1")
    result = send(profile, url, CERTIFICATE=keys / "ca.pem", PATIENCE=2)
    assert result.returncode == 1
    assert not server.seen
    check_counts(result, dropped=1)


@pytest.mark.parametrize("fault", [
    b"", b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x03\x00\x10garbage garbage!", b"HTTP/1.1 400 No\r\n\r\n",
], ids=["hangs up", "alert", "garbage", "clear text"])
def test_a_broken_handshake_is_retried_and_counted_at_the_end(fault, keys, profile):
    tries = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    with connection:
                        tries.append(connection.recv(4096))
                        connection.sendall(fault)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}/v1development/profiles"
        result = send(profile, url, CERTIFICATE=keys / "ca.pem", PATIENCE=4)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert result.returncode == 1
    assert "profiles are kept" in result.stderr
    assert len(tries) >= 2, result.stderr
    check_counts(result, dropped=1)


def test_an_authority_that_is_no_certificate_fails_for_good(server, profile, tmp_path):
    (tmp_path / "ca.pem").write_text("nothing of the kind")
    result = send(profile, url_of(server), CERTIFICATE=tmp_path / "ca.pem")
    assert result.returncode == 1
    assert not server.seen
    check_counts(result, failed=1)


def test_the_client_shows_its_certificate(strict_server, keys, profile):
    own = {"CLIENT_KEY": keys / "client.key", "CLIENT_CERTIFICATE": keys / "client.pem"}
    result = send(profile, url_of(strict_server), CERTIFICATE=keys / "ca.pem", **own)
    assert result.returncode == 0, result.stderr
    without = send(profile, url_of(strict_server), CERTIFICATE=keys / "ca.pem", PATIENCE=2)
    assert without.returncode == 1
    assert len(strict_server.seen) == 1
    check_counts(without, dropped=1)


def test_a_missing_key_file_is_told_at_the_start(server, keys, profile):
    result = send(
        profile,
        url_of(server),
        CERTIFICATE=keys / "ca.pem",
        CLIENT_CERTIFICATE="/no/such/file.pem",
    )
    assert result.returncode == 1
    assert "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: can't read /no/such/file.pem" in result.stderr
    assert not server.seen


def test_a_proxy_is_used_unless_the_host_is_excepted(proxy, profile):
    address = f"http://localhost:{proxy.server_port}"
    url = "http://collector.invalid/v1development/profiles"
    assert send(profile, url, http_proxy=address).returncode == 0
    assert proxy.seen[0][0] == url
    excepted = {"http_proxy": address, "no_proxy": "collector.invalid"}
    assert send(profile, url, PATIENCE=2, **excepted).returncode == 1
    assert send(profile, url, PATIENCE=2, HTTP_PROXY=address).returncode == 1
    assert len(proxy.seen) == 1
