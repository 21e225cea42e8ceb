"""OTLP over gRPC to a real collector: clear text, TLS with client certificates, a unix socket."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import socketserver
import subprocess
import threading
import time

import pytest

import collector
import otlp_json

BUILD = pathlib.Path(os.environ.get("CPROF_BUILD", collector.ROOT / "build"))
SEND = BUILD / "tests/core/export/send_profile"
METHOD = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
STACKS = {("main", "serve", "parse"): 700, ("main", "серв", "λ"): 49, ("main",): 1}


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "profile.collapsed"
    path.write_text("".join(f"{';'.join(s)} {n}\n" for s, n in STACKS.items()))
    return path


def send(profile, url, name="checkout", **environment):
    return subprocess.run(
        [SEND, url, profile, f"service.name={name}"],
        env={"PATH": os.environ["PATH"], "PROTOCOL": "grpc",
             **{key: str(value) for key, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=60,
    )


def received(running, name):
    """What came of that service; the collector writes it down a moment after its answer."""
    found = []
    deadline = time.monotonic() + 15
    while not found and time.monotonic() < deadline:
        lines = [json.loads(line) for line in running.lines()]
        found = [r for r in lines if otlp_json.resource_attributes(r)["service.name"] == name]
    return found


def configured(folder, grpc):
    """A collector's configuration whose gRPC receiver has these settings."""
    text = collector.CONFIG.read_text()
    address = "endpoint: ${env:OTLP_GRPC_ADDRESS:-localhost:4317}"
    assert address in text
    path = folder / "profiles.yaml"
    path.write_text(text.replace(address, ("\n" + " " * 8).join(grpc)))
    return path


@pytest.mark.parametrize("packing", ["gzip", "zstd", "none"])
def test_the_collector_gets_every_sample_whatever_the_packing(real_collector, profile, packing):
    result = send(profile, f"http://{real_collector.grpc}{METHOD}", packing, PACKING=packing)
    assert result.returncode == 0, result.stderr
    assert "gRPC OK" in result.stderr
    [data] = received(real_collector, packing)
    assert otlp_json.stacks(data) == STACKS


def test_an_unknown_method_gets_advice(real_collector, profile):
    # The collector may reset the call in the same moment: then the next attempt tells.
    url = f"http://{real_collector.grpc}/no.such.Service/Export"
    result = send(profile, url)
    assert result.returncode == 1
    assert "gRPC UNIMPLEMENTED" in result.stderr
    assert "--feature-gates=service.profilesSupport" in result.stderr


def test_the_http_port_of_a_collector_is_not_taken_for_grpc(real_collector, profile):
    result = send(profile, f"http://{real_collector.http}{METHOD}", PATIENCE=2)
    assert result.returncode == 1
    assert "gRPC" in result.stderr.splitlines()[1]


class Tunnel(socketserver.StreamRequestHandler):
    """A proxy that knows CONNECT and nothing else."""

    def handle(self):
        method, target, _ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.seen.append((method, target))
        host, port = target.split(":")
        with socket.create_connection((host, int(port))) as beyond:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self.relay, args=(beyond, self.connection))
            back.start()
            self.relay(self.connection, beyond)
            back.join()

    @staticmethod
    def relay(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def test_a_proxy_is_asked_for_a_tunnel(real_collector, profile):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
        proxy.seen = []
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        url = f"http://{real_collector.grpc}{METHOD}"
        result = send(profile, url, "tunnel", http_proxy=address)
        assert result.returncode == 0, result.stderr
        assert proxy.seen == [("CONNECT", real_collector.grpc)]
        proxy.shutdown()
    [data] = received(real_collector, "tunnel")
    assert otlp_json.stacks(data) == STACKS


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_tls_with_own_authority_and_client_certificates(keys, profile, tmp_path):
    settings = ["endpoint: ${env:OTLP_GRPC_ADDRESS}", "tls:", f"  cert_file: {keys}/server.pem",
                f"  key_file: {keys}/server.key", f"  client_ca_file: {keys}/ca.pem"]
    own = {"CLIENT_KEY": keys / "client.key", "CLIENT_CERTIFICATE": keys / "client.pem"}
    authority = {"CERTIFICATE": keys / "ca.pem"}
    try:
        with collector.running_collector(tmp_path, configured(tmp_path, settings)) as running:
            url = f"https://localhost:{running.grpc.split(':')[1]}{METHOD}"
            good = send(profile, url, **own, **authority)
            assert good.returncode == 0, good.stderr
            assert send(profile, url, PATIENCE=2, **authority).returncode == 1
            assert "certificate" in send(profile, url, PATIENCE=2, **own).stderr
            [data] = received(running, "checkout")
            assert otlp_json.stacks(data) == STACKS
    except collector.Unavailable as reason:
        pytest.skip(str(reason))


def test_a_unix_socket(profile, tmp_path):
    path = tmp_path / "otlp.sock"
    settings = [f"endpoint: {path}", "transport: unix"]
    try:
        with collector.running_collector(tmp_path, configured(tmp_path, settings)) as running:
            result = send(profile, f"http://localhost{METHOD}", SOCKET=path)
            assert result.returncode == 0, result.stderr
            assert f"to unix:{path} in" in result.stderr
            [data] = received(running, "checkout")
            assert otlp_json.stacks(data) == STACKS
    except collector.Unavailable as reason:
        pytest.skip(str(reason))
