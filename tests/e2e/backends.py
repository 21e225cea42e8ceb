"""Servers that take profiles as Pyroscope and Parca do and refuse what these refuse, and the real
ones, built from their Go modules."""

import contextlib
import http.server
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from concurrent import futures

from collector import CACHE, ROOT, Unavailable, find_go, free_port, go

sys.path[:0] = [str(ROOT / "tests/python"), str(ROOT / "tests/cli")]
import pprof  # noqa: E402  (a decoder of protobuf that shares nothing with cprof)

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
WRITE_RAW = "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw"
PUSH = "/push.v1.PusherService/Push"


class Refused(Exception):
    """What the real server would say."""


def check(condition, reason):
    if not condition:
        raise Refused(reason)


def check_labels(pairs):
    """The rules of both; Pyroscope's limits."""
    names = [name for name, _ in pairs]
    check(len(set(names)) == len(names), f"duplicate label name in {names}")
    check(len(names) <= 30, f"{len(names)} label names")
    for name, value in pairs:
        check(LABEL_NAME.fullmatch(name), f"invalid label name {name!r}")
        check(value != "", f"{name} is empty")
        check(len(name) <= 1024 and len(value.encode()) <= 2048, f"{name} is too long")
    return dict(pairs)


def read_pprof(data):
    check(data[:2] == b"\x1f\x8b", "not gzipped")
    return pprof.Profile(io.BytesIO(data))


def raw_size(data):
    return int.from_bytes(data[-4:], "little")


class Delivery:
    def __init__(self, labels, profile, headers, size):
        self.labels, self.profile, self.headers, self.size = labels, profile, headers, size


def decode_push(body):
    request = pprof._message(body)
    check(set(request) == {1}, f"unknown fields {set(request)}")
    for series in map(pprof._message, request[1]):
        check(set(series) == {1, 2}, "a series is labels and samples")
        pairs = [tuple(part.decode() for part in (m[1][0], m[2][0]))
                 for m in map(pprof._message, series[1])]
        for sample in map(pprof._message, series[2]):
            yield pairs, sample[1][0]


def decode_write_raw(body):
    request = pprof._message(body)
    check(set(request) <= {2, 3}, f"unknown fields {set(request)}")
    for series in map(pprof._message, request[2]):
        pairs = [tuple(part.decode() for part in (m[1][0], m[2][0]))
                 for m in map(pprof._message, pprof._message(series[1][0])[1])]
        for sample in map(pprof._message, series[2]):
            yield pairs, sample[1][0]


def take_pyroscope(pairs, data):
    """As its distributor: limits, labels, and a series for each set of labels of samples."""
    check(raw_size(data) <= 4 << 20, "profile size limit exceeded")
    profile = read_pprof(data)
    check(len(profile.samples) <= 16000, "too many samples")
    labels = check_labels(pairs)
    check(re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", labels.get("__name__", "")), "metric name")
    check(labels.get("service_name"), "service name is not provided")
    for sample in profile.samples:
        own = [(key, str(value)) for key, value in sample.labels.items() if key != "span_id"]
        check_labels(pairs + own)
    return labels, profile


def parse_ingest(query):
    """name=app{key=value,key=value}, as the older API reads it."""
    values = dict(urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=True))
    check(values["format"] == "pprof", "format")
    check(int(values["from"]) <= int(values["until"]), "from and until")
    name = re.fullmatch(r"([-._a-zA-Z0-9]+)\{(.*)\}", values["name"])
    check(name, f"application name {values['name']!r}")
    pairs = [tuple(pair.split("=", 1)) for pair in name[2].split(",") if pair]
    return [("__name__", "process_cpu"), ("service_name", name[1])] + pairs


class PyroscopeHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        url = urllib.parse.urlsplit(self.path)
        try:
            if url.path == PUSH:
                check(self.headers["Content-Type"] == "application/proto", "content type")
                parts = list(decode_push(body))
            else:
                check(url.path == "/ingest", f"no such path {url.path}")
                parts = [(parse_ingest(url.query), body)]
            taken = [Delivery(*take_pyroscope(*part), dict(self.headers), raw_size(part[1]))
                     for part in parts]
        except Refused as reason:
            self.reply(400, str(reason).encode())
            self.server.refusals.append(str(reason))
            return
        self.server.taken += taken
        self.reply(200, b"")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/proto")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def checking_pyroscope(port=0):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), PyroscopeHandler)
    server.taken, server.refusals = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class CheckingParca:
    def __init__(self):
        self.taken, self.refusals = [], []


@contextlib.contextmanager
def checking_parca(grpc):
    """`grpc` is the module, from Debian's python3-grpcio."""
    state = CheckingParca()

    def write_raw(body, context):
        try:
            for pairs, data in decode_write_raw(body):
                labels = check_labels(pairs)
                check("__name__" in labels, "__name__ is missing")
                profile = read_pprof(data)
                for sample in profile.samples:
                    check(all(map(LABEL_NAME.fullmatch, sample.labels)), "label of a sample")
                state.taken.append(Delivery(labels, profile, dict(context.invocation_metadata()),
                                            raw_size(data)))
        except Refused as reason:
            state.refusals.append(str(reason))
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(reason))
        return b""

    class Service(grpc.GenericRpcHandler):
        def service(self, details):
            if details.method == WRITE_RAW:
                return grpc.unary_unary_rpc_method_handler(write_raw)

    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([Service()])
    state.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}{WRITE_RAW}"
    server.start()
    try:
        yield state
    finally:
        server.stop(None).wait()


# ---- the real ones ----

def built(name, module, version, package, *edits, stub=None):
    """The path of a server, built from its module into the cache. That takes ten minutes of two
    cores: it is done when $CPROF_TEST_BACKENDS says build, and used whenever it is there."""
    binary = CACHE / f"{name}-{version}"
    if binary.exists():
        return binary
    if os.environ.get("CPROF_TEST_BACKENDS") != "build":
        raise Unavailable(f"{name} is built in ten minutes when CPROF_TEST_BACKENDS=build")
    find_go()
    go("mod", "download", f"{module}@{version}")
    source = go("list", "-m", "-f", "{{.Dir}}", f"{module}@{version}", GOFLAGS="-mod=mod")
    build = CACHE / f"build-{name}-{os.getpid()}"
    shutil.copytree(source.strip().splitlines()[-1], build)
    subprocess.run(["chmod", "-R", "u+w", build], check=True)
    if stub:  # the web pages are not part of the module
        (build / stub).parent.mkdir(parents=True)
        (build / stub).write_text("<html></html>")
    options = {"GOWORK": "off", "GOFLAGS": "-buildvcs=false -mod=mod"}
    for edit in edits:
        go("mod", "edit", f"-replace={edit}", folder=build, **options)
    # Some of what they use reaches into the runtime, which newer linkers refuse.
    go("build", "-trimpath", "-ldflags=-s -w -checklinkname=0", "-o", f"{binary}.new", package,
       folder=build, **options)
    os.replace(f"{binary}.new", binary)
    shutil.rmtree(build)
    return binary


def build_pyroscope():
    api, delta = "github.com/grafana/pyroscope/api", "github.com/grafana/pyroscope-go/godeltaprof"
    return built("pyroscope", "github.com/grafana/pyroscope", "v1.2.0", "./cmd/pyroscope",
                 f"{api}={api}@v0.3.0", f"{delta}={delta}@v0.1.9")


def build_parca():
    return built("parca", "github.com/parca-dev/parca", "v0.21.0", "./cmd/parca",
                 stub="ui/packages/app/web/build/index.html")


@contextlib.contextmanager
def running(command, folder, port, ready):
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]}:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def has_ingester(port):
    """Pyroscope calls itself ready before it has a place to put profiles."""
    with contextlib.suppress(OSError):
        return b"ACTIVE" in urllib.request.urlopen(f"http://127.0.0.1:{port}/ring", timeout=2).read()
    return False


def connects(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def running_pyroscope(folder):
    port, grpc_port, gossip = free_port(), free_port(), free_port()
    here = "127.0.0.1"
    (folder / "config.yaml").write_text(f"""
server: {{http_listen_address: {here}, http_listen_port: {port},
         grpc_listen_address: {here}, grpc_listen_port: {grpc_port}}}
memberlist: {{bind_addr: [{here}], bind_port: {gossip}, advertise_addr: {here}}}
pyroscopedb: {{data_path: {folder}/data}}
self_profiling: {{disable_push: true}}
analytics: {{reporting_enabled: false}}
""")
    rings = ("ingester.lifecycler.addr", "query-scheduler.ring.instance-addr",
             "distributor.ring.instance-addr", "store-gateway.sharding-ring.instance-addr",
             "compactor.ring.instance-addr", "overrides-exporter.ring.instance-addr",
             "query-frontend.instance-addr")
    command = [build_pyroscope(), "-config.file", "config.yaml", *(f"-{r}={here}" for r in rings)]
    return running(command, folder, port, has_ingester)


def running_parca(folder):
    port = free_port()
    (folder / "parca.yaml").write_text(
        f"object_storage: {{bucket: {{type: FILESYSTEM, config: {{directory: {folder}/data}}}}}}\n"
        "scrape_configs: []\n")
    command = [build_parca(), "--config-path", "parca.yaml", "--http-address", f"127.0.0.1:{port}"]
    return running(command, folder, port, connects)
