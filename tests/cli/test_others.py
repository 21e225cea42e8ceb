"""Files that other tools write: py-spy's, and what the OpenTelemetry eBPF profiler sends, made here
from the field numbers of the protocol."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from profiles import block, number, varint


def rows(cprof, *arguments):
    done = cprof("top", "--json", "-n", 1000, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["rows"]


# --- py-spy ---

PYSPY = """\
<module> (shop.py:90);main (shop.py:80);price (shop.py:24) 12
<module> (shop.py:90);main (shop.py:81);price (shop.py:26) 8
<module> (shop.py:90);main (shop.py:81);compress (zlibmodule.c:300);0x7efd602a3f16 (libz.so.1.2.13) 30
thread (0x7EFD5FBF7A26);run (threading.py:971) 1
"""


def test_a_function_of_py_spy_is_one_row_whatever_its_lines(cprof, tmp_path):
    path = tmp_path / "pyspy.txt"
    path.write_text(PYSPY)
    found = {(row["name"], row["file"], row["frame_type"]): (row["self"], row["total"]) for row in rows(cprof, path)}
    assert found == {
        ("<module>", "shop.py", "cpython"): (0, 50), ("main", "shop.py", "cpython"): (0, 50),
        ("price", "shop.py", "cpython"): (20, 20), ("compress", "zlibmodule.c", "native"): (0, 30),
        ("0x7efd602a3f16", "libz.so.1.2.13", "native"): (30, 30),
        ("thread (0x7EFD5FBF7A26)", "", ""): (0, 1), ("run", "threading.py", "cpython"): (1, 1)}
    lines = {(row["name"], row["line"]): row["self"] for row in rows(cprof, "--by", "line", path)}
    assert lines[("price", 24)] == 12 and lines[("price", 26)] == 8
    modules = {row["name"]: row["self"] for row in rows(cprof, "--by", "module", path)}
    assert modules["libz.so.1.2.13"] == 30


@pytest.mark.parametrize("format", ["raw", "speedscope"])
def test_what_py_spy_records_is_read(cprof, tmp_path, format):
    spy = shutil.which("py-spy", path=os.environ.get("CPROF_TEST_TOOLS", "") + os.pathsep + os.environ["PATH"])
    if not spy:
        pytest.skip("no py-spy on this machine (pip install py-spy)")
    program = tmp_path / "busy.py"
    program.write_text("def inner():\n    return sum(i * i for i in range(2000))\n"
                       "def outer():\n    for _ in range(10 ** 9):\n        inner()\nouter()\n")
    done = subprocess.run([spy, "record", "-r", "200", "-d", "1", "-f", format, "-o", tmp_path / "spy", "--",
                           sys.executable, program], capture_output=True, text=True, timeout=120)
    if not (tmp_path / "spy").exists():
        pytest.skip(f"py-spy may not look at processes here: {done.stderr[-200:]}")
    shown = json.loads(cprof("top", "--json", tmp_path / "spy").stdout)
    found = {row["name"]: row for row in shown["rows"]}
    assert found["outer"]["frame_type"] == "cpython" and found["outer"]["file"].endswith("busy.py")
    assert 0 < found["inner"]["total"] <= found["outer"]["total"]
    text = (tmp_path / "spy").read_text()
    if format == "raw":
        expected = sum(int(line.rsplit(" ", 1)[1]) for line in text.splitlines())
    else:
        expected = round(1e9 * sum(sum(each["weights"]) for each in json.loads(text)["profiles"]))
    # Samples of a thread that has not begun have no frames: they are in the sum alone.
    assert shown["total"] == pytest.approx(expected, abs=1000)
    assert cprof("flame", tmp_path / "spy", "-o", tmp_path / "spy.html").returncode == 0


# --- the OpenTelemetry eBPF profiler ---

class Ebpf:
    """ProfilesData as that agent makes it: a Profile per origin and process, dictionary rows 0 empty,
    the times of the samples in place of values, native frames with addresses and no names."""

    def __init__(self):
        self.strings = {"": 0}
        self.attributes, self.mappings, self.functions, self.locations, self.stacks = [b""], [b""], [b""], [b""], [b""]
        self.resources = []

    def text(self, text):
        return self.strings.setdefault(text, len(self.strings))

    def row(self, table, content):
        table.append(content)
        return len(table) - 1

    def attribute(self, key, value):
        content = block(1, value.encode()) if isinstance(value, str) else varint(3 << 3) + varint(value)
        return self.row(self.attributes, number(1, self.text(key)) + block(2, content))

    def mapping(self, file, build_id):
        attribute = self.attribute("process.executable.build_id.htlhash", build_id)
        return self.row(self.mappings, number(1, 0x400000) + number(2, 0x800000) + number(4, self.text(file)) +
                        block(5, varint(attribute)))

    def frame(self, kind, name=None, file="", line=0, mapping=0, address=0):
        lines = b""
        if name:
            function = self.row(self.functions, number(1, self.text(name)) + number(3, self.text(file)))
            lines = block(3, number(1, function) + number(2, line))
        return self.row(self.locations, number(1, mapping) + number(2, address) + lines +
                        block(4, varint(self.attribute("profile.frame.type", kind))))

    def stack(self, *leaf_first):
        return self.row(self.stacks, block(1, b"".join(varint(each) for each in leaf_first)))

    def sample(self, stack, times, *attributes):
        return block(2, number(1, stack) + block(2, b"".join(varint(each) for each in attributes)) +
                     block(5, b"".join(each.to_bytes(8, "little") for each in times)))

    def profile(self, samples, start):
        kind = block(1, number(1, self.text("samples")) + number(2, self.text("count")))
        period = block(5, number(1, self.text("cpu")) + number(2, self.text("nanoseconds")))
        time = varint(3 << 3 | 1) + start.to_bytes(8, "little")
        return block(2, kind + b"".join(samples) + time + number(4, 5 * 10**9) + period + number(6, 50_000_000))

    def resource(self, profiles, **attributes):
        content = b"".join(block(1, block(1, key.replace("_", ".").encode()) + block(2, block(1, value.encode())))
                           for key, value in attributes.items())
        scope = block(1, block(1, b"otelcol/ebpf-profiler") + block(2, b"0.0.2"))
        self.resources.append(block(1, block(1, content) + block(2, scope + b"".join(profiles))))

    def write(self, path):
        tables = ((1, self.mappings), (2, self.locations), (3, self.functions), (4, [b""]),
                  (5, [text.encode() for text in self.strings]), (6, self.attributes), (7, self.stacks))
        dictionary = b"".join(block(field, row) for field, table in tables for row in table)
        path.write_bytes(b"".join(self.resources) + block(2, dictionary))
        return path


@pytest.fixture
def ebpf(tmp_path):
    agent = Ebpf()
    start = 1_700_000_000_000_000_000
    libc = agent.mapping("libc.so.6", "0123456789abcdef0123456789abcdef")
    native = agent.frame("native", mapping=libc, address=0x1234)
    kernel = agent.frame("kernel", "do_syscall_64")
    work = agent.frame("cpython", "work", "/app/main.py", 12)
    goroutine = agent.frame("go", "main.serve", "/src/main.go", 40)
    python = agent.stack(native, work)
    thread = agent.attribute("thread.name", "worker-1"), agent.attribute("thread.id", 77)
    samples = [agent.sample(python, [start + i * 10**8 for i in range(7)], *thread),
               agent.sample(agent.stack(kernel, native, work), [start + 5, start + 9], *thread)]
    agent.resource([agent.profile(samples, start)], service_name="shop", container_id="c1", host_name="box")
    agent.resource([agent.profile([agent.sample(agent.stack(goroutine), [start + 3])], start)],
                   service_name="gate", container_id="c2", host_name="box")
    return agent.write(tmp_path / "ebpf.otlp")


def test_an_ebpf_profilers_samples_are_counted_by_their_times(cprof, ebpf):
    found = {(row["name"], row["frame_type"]): (row["self"] // 50_000_000, row["total"] // 50_000_000)
             for row in rows(cprof, ebpf)}
    assert found == {("libc.so.6+0x1234", "native"): (7, 9), ("work", "cpython"): (0, 9),
                     ("do_syscall_64", "kernel"): (2, 2), ("main.serve", "go"): (1, 1)}
    table = cprof("top", ebpf).stdout.splitlines()
    assert table[0] == "ebpf.otlp · 500 ms of CPU in 5.00 s · 10 samples at 20 Hz · 1 thread"
    assert len(rows(cprof, "--thread", "worker-1", ebpf)) == 3
    assert len(rows(cprof, "--label", "thread.id=77", ebpf)) == 3


@pytest.mark.parametrize("between", ["", "o.otlp", "o.pb.gz", "o.otlp.gz"])
def test_an_ebpf_profilers_samples_keep_their_resource_and_type(cprof, ebpf, tmp_path, between):
    """What all resources have is the profile's, what only some have each of their samples'."""
    path = ebpf
    if between:
        assert cprof("convert", ebpf, tmp_path / between).returncode == 0
        path = tmp_path / between
    for label, names in (("service.name=shop", {"libc.so.6+0x1234", "work", "do_syscall_64"}),
                         ("container.id=c2", {"main.serve"}), ("service.name=gate", {"main.serve"}),
                         ("host.name=box", {"libc.so.6+0x1234", "work", "do_syscall_64", "main.serve"}),
                         ("service.name=other", set())):
        assert {row["name"] for row in rows(cprof, "--label", label, path)} == names, label
    types = json.loads(cprof("top", "--json", "--by", "type", path).stdout)["rows"]
    assert {row["name"]: row["self"] // 50_000_000 for row in types} == {"native": 7, "kernel": 2, "go": 1, "cpython": 0}


def test_an_ebpf_profilers_file_goes_through_every_command(cprof, ebpf, tmp_path):
    for output in ("o.pb.gz", "o.otlp", "o.collapsed", "o.speedscope.json", "o.html"):
        assert cprof("convert", ebpf, tmp_path / output).returncode == 0, output
    assert "libc.so.6+0x1234" in (tmp_path / "o.collapsed").read_text()
    assert "libc.so.6+0x1234" in (tmp_path / "o.speedscope.json").read_text()
    native = [(row["name"], row["self"]) for row in rows(cprof, tmp_path / "o.pb.gz")]
    assert native == [(row["name"], row["self"]) for row in rows(cprof, ebpf)]
    assert cprof("diff", ebpf, tmp_path / "o.pb.gz", "--fail-over", "0").returncode == 0
    assert cprof("spans", ebpf).returncode == 0
