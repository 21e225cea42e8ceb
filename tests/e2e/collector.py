"""A real OpenTelemetry Collector, and profcheck, for tests: built once from their Go modules
and kept in a cache folder ($XDG_CACHE_HOME/cprof-test)."""

import contextlib
import functools
import hashlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

from gates import locked

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "packaging/collector/builder.yaml"
CONFIG = ROOT / "packaging/collector/profiles.yaml"
PROFCHECK = "github.com/open-telemetry/sig-profiling/profcheck/cmd/profcheck@latest"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
CACHE = CACHE / "cprof-test"


class Unavailable(Exception):
    """Why this machine can't have the tool; the test that wants it is skipped."""


def one_at_a_time(function):
    """Of what fills the cache: who comes second finds it."""
    @functools.wraps(function)
    def alone(*arguments):
        CACHE.mkdir(parents=True, exist_ok=True)
        with locked(CACHE):
            return function(*arguments)
    return alone


def go(*arguments, folder=None, check=True, **environment):
    """Runs the go command, with the toolchain that is installed."""
    result = subprocess.run(
        [find_go(), *arguments],
        cwd=folder,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if check and result.returncode != 0:
        last = result.stdout.strip().splitlines()[-1:] or ["no output"]
        raise Unavailable(f"go {arguments[0]} failed: {last[0]}")
    return result.stdout


def find_go():
    command = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if command is None:
        raise Unavailable("no Go on this machine (1.25 or newer is needed)")
    version = subprocess.run([command, "version"], capture_output=True, text=True).stdout
    found = re.search(r"go(\d+)\.(\d+)", version)
    if not found or (int(found[1]), int(found[2])) < (1, 25):
        raise Unavailable(f"Go 1.25 or newer is needed, this is {version.strip()}")
    return command


@one_at_a_time
def build_collector():
    """The path of the collector that builder.yaml describes."""
    manifest = MANIFEST.read_bytes()
    folder = CACHE / f"collector-{hashlib.sha256(manifest).hexdigest()[:12]}"
    binary = folder / "otelcol-profiles"
    if binary.exists():
        return binary
    version = re.search(r"cmd/builder@(v[\d.]+)", manifest.decode())[1]
    build = folder / f"build-{os.getpid()}"
    build.mkdir(parents=True, exist_ok=True)
    go("install", f"go.opentelemetry.io/collector/cmd/builder@{version}", GOBIN=str(build))
    # The builder's own "go mod tidy" also wants the modules of its components' tests, and ends
    # where a registry lacks one of these. What it wrote until then is enough for -e.
    subprocess.run(
        [build / "builder", "--config", MANIFEST, "--skip-compilation"],
        cwd=build,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:{pathlib.Path(find_go()).parent}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    sources = build / "otelcol-profiles"
    go("mod", "tidy", "-e", folder=sources)
    go("build", "-trimpath", "-ldflags", "-s -w", "-o", str(build / "done"), ".", folder=sources)
    os.replace(build / "done", binary)
    shutil.rmtree(build, ignore_errors=True)
    return binary


@one_at_a_time
def build_profcheck():
    """The path of profcheck: $CPROF_PROFCHECK, or built into the cache."""
    given = os.environ.get("CPROF_PROFCHECK")
    if given:
        return pathlib.Path(given)
    binary = CACHE / "profcheck"
    if not binary.exists():
        go("install", PROFCHECK, GOBIN=str(CACHE))
    return binary


@one_at_a_time
def prometheus(program):
    """The path of "prometheus" or "promtool": the machine's, or out of Debian's package, unpacked into the cache."""
    installed = shutil.which(program)
    if installed:
        return pathlib.Path(installed)
    folder = CACHE / "prometheus"
    if not (folder / "usr/bin" / program).exists():
        unpacked = CACHE / f"prometheus-{os.getpid()}"
        unpacked.mkdir(parents=True)
        try:
            subprocess.run(["apt-get", "download", "-q", "prometheus"], cwd=unpacked, check=True, capture_output=True, timeout=120)
            [package] = unpacked.glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True, capture_output=True)
            package.unlink()
            shutil.rmtree(folder, ignore_errors=True)
            unpacked.rename(folder)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise Unavailable(f"no {program}: Debian's package prometheus can't be had: {error}") from error
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    return folder / "usr/bin" / program


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Collector:
    def __init__(self, folder):
        self.output = folder / "profiles.json"
        self.log = folder / "collector.log"
        self.http = f"127.0.0.1:{free_port()}"
        self.grpc = f"127.0.0.1:{free_port()}"

    @property
    def url(self):
        return f"http://{self.http}/v1development/profiles"

    def written(self):
        """How many lines the file exporter has written so far."""
        return self.output.read_text().count("\n") if self.output.exists() else 0

    def lines(self, timeout=15):
        """What the file exporter has written, once it has written something."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.output.exists() and self.output.read_text().endswith("\n"):
                return self.output.read_text().splitlines()
            time.sleep(0.1)
        raise AssertionError(f"nothing arrived; the collector says:\n{self.log.read_text()}")


@contextlib.contextmanager
def running_collector(folder, config=CONFIG, **variables):
    binary = build_collector()
    collector = Collector(folder)
    environment = {
        **os.environ,
        "OTLP_HTTP_ADDRESS": collector.http,
        "OTLP_GRPC_ADDRESS": collector.grpc,
        "PROFILES_FILE": str(collector.output),
        **variables,
    }
    with open(collector.log, "w") as log:
        process = subprocess.Popen(
            [binary, "--config", config, "--feature-gates=service.profilesSupport"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_ready(process, collector)
        yield collector
    finally:
        process.terminate()
        process.wait(20)


def wait_until_ready(process, collector):
    deadline = time.monotonic() + 30
    while "Everything is ready" not in collector.log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the collector did not start:\n{collector.log.read_text()}")
        time.sleep(0.1)
