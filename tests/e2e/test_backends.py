"""Profiles at Pyroscope and Parca: at servers that check every byte, and at the real ones."""

import gzip
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

import backends
from backends import pprof
from collector import ROOT, Unavailable, pathlib
from profiles import CRC, MAIN, PARSE, RUN, SPAN, TRACE, WORK, ProfileFile, block, number, python

BUILD = pathlib.Path(os.environ.get("CPROF_BUILD", ROOT / "build"))
SEND = BUILD / "tests/core/export/send_profile"
ATTRIBUTES = {
    "service.name": "check out/é",
    "service.version": "1.2,3}",
    "service.empty": "",
    "k8s.pod.name": "shop-0",
    "k8s_pod_name": "the later one wins",
    "__name__": "not ours",
    "9 lives": "x" * 3000,
    "region": "eu",
    "process.command_line": "never a label",
}


def send(backend, url, path, attributes=ATTRIBUTES, **environment):
    if backend == "parca":
        environment["PROTOCOL"] = "grpc"
    pairs = [f"{key}={value}" for key, value in attributes.items()]
    return subprocess.run([SEND, url, path, *pairs], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "EXPORTER": backend, "PACKING": "none",
                               **environment})


@pytest.fixture
def profile(tmp_path):
    main, worker = {"thread.id": 1, "thread.name": "Main"}, {"thread.id": 2, "thread.name": "w"}
    file = ProfileFile(start=int(time.time() * 1e9) - 10**10)
    file.add([MAIN, WORK, CRC], 30, **main)
    file.add([MAIN, WORK, CRC], 12, **worker)
    file.add([MAIN, WORK], 20, **{"endpoint.path": "/cart", "region": "us", **main})
    file.add([RUN, PARSE], 40, trace_id=TRACE, span_id=SPAN, **worker)
    return file.write(tmp_path / "profile.pb.gz")


@pytest.fixture
def pyroscope():
    with backends.checking_pyroscope() as server:
        yield server


@pytest.fixture
def parca():
    grpc = pytest.importorskip("grpc")
    with backends.checking_parca(grpc) as server:
        yield server


def labels_of(delivery):
    return {tuple(sorted(s.labels.items())): s.count for s in delivery.profile.samples}


@pytest.mark.parametrize("path", [backends.PUSH, "/ingest"])
def test_pyroscope_takes_a_profile_by_its_own_rules(pyroscope, profile, path):
    result = send("pyroscope", pyroscope.url + path, profile, TENANT="shops")
    assert (result.returncode, pyroscope.refusals) == (0, []), result.stderr
    [taken] = pyroscope.taken
    push = path == backends.PUSH
    expected = {
        "__name__": "process_cpu",
        "service_name": "check out/é" if push else "check_out___",
        "service_version": "1.2,3}" if push else "1.2_3_",
        "k8s_pod_name": "the later one wins",
        "_name__": "not ours",
        "_9_lives": "x" * 2000,
        "region": "eu",
    }
    if push:
        expected.update(__delta__="false", pyroscope_spy="cprof")
    assert taken.labels == expected
    assert taken.headers["X-Scope-OrgID"] == "shops"
    # Threads are added up, the span stays, the trace goes.
    assert labels_of(taken) == {
        (): 42,
        (("endpoint_path", "/cart"), ("sample_region", "us")): 20,
        (("span_id", SPAN),): 40,
    }
    assert taken.profile.total() == 102


def test_parca_takes_a_profile_with_its_threads_and_traces(parca, profile):
    result = send("parca", parca.url, profile)
    assert (result.returncode, parca.refusals) == (0, []), result.stderr
    [taken] = parca.taken
    assert taken.labels["__name__"] == "process_cpu"
    assert taken.labels["service_name"] == "check out/é"
    assert "process_command_line" not in taken.labels
    labels = labels_of(taken)
    assert len(labels) == 4 and sum(labels.values()) == 102
    assert any(dict(key).get("trace_id") == TRACE and dict(key).get("span_id") == SPAN
               and dict(key).get("thread_name") == "w" for key in labels)


@pytest.fixture
def two_sheets(profile, tmp_path):
    """CPU time and live heap in one profile."""
    heap = ProfileFile(start=int(time.time() * 1e9) - 10**10,
                       types=(("inuse_objects", "count", 1), ("inuse_space", "bytes", 1 << 20)))
    heap.add([MAIN, PARSE], 7)
    both = tmp_path / "both.otlp"
    subprocess.run([BUILD / "cli/cprof", "merge", profile, heap.write(tmp_path / "heap.pb.gz"),
                    "-o", both], check=True, timeout=60)
    return both


@pytest.mark.parametrize("backend", ["pyroscope", "parca"])
def test_each_sheet_is_a_series_by_the_name_that_readers_know(request, backend, two_sheets):
    server = request.getfixturevalue(backend)
    url = server.url + (backends.PUSH if backend == "pyroscope" else "")
    result = send(backend, url, two_sheets)
    assert (result.returncode, server.refusals) == (0, []), result.stderr
    cpu, heap = server.taken
    assert (cpu.labels["__name__"], heap.labels["__name__"]) == ("process_cpu", "memory")
    assert {**cpu.labels, "__name__": "memory"} == heap.labels
    assert cpu.profile.sample_types == ["samples", "cpu"] and cpu.profile.total() == 102
    assert heap.profile.sample_types == ["inuse_objects", "inuse_space"]
    assert len(heap.profile.samples) == 1 and heap.profile.period_type == "inuse_space"


def test_one_request_of_the_older_way_has_all_sheets(pyroscope, two_sheets):
    result = send("pyroscope", pyroscope.url + "/ingest", two_sheets)
    assert (result.returncode, pyroscope.refusals) == (0, []), result.stderr
    [taken] = pyroscope.taken
    assert taken.profile.sample_types == ["samples", "cpu", "inuse_objects", "inuse_space"]
    assert taken.profile.total() == 102


def many_stacks(path, count, depth):
    file = ProfileFile(start=int(time.time() * 1e9))
    tail = [python(f"recursive_function_{n}", "/app/deep.py", n + 1) for n in range(depth)]
    for n in range(count):
        file.add([python(f"handler_of_request_number_{n}", "/app/handlers.py", n + 1), *tail], 1)
    return file.write(path)


@pytest.mark.parametrize("count, depth", [(20000, 1), (9000, 300)])
def test_what_is_too_large_for_pyroscope_goes_in_pieces(pyroscope, tmp_path, count, depth):
    path = many_stacks(tmp_path / "large.pb.gz", count, depth)
    result = send("pyroscope", pyroscope.url + backends.PUSH, path)
    assert (result.returncode, pyroscope.refusals) == (0, []), result.stderr
    assert len(pyroscope.taken) >= 2
    assert sum(taken.profile.total() for taken in pyroscope.taken) == count


def test_a_refusal_says_what_to_check(pyroscope, profile):
    result = send("pyroscope", pyroscope.url + "/nowhere", profile)
    assert result.returncode == 1
    assert "HTTP 400: no such path /nowhere" in result.stderr


# ---- the real servers ----

@pytest.fixture(scope="module")
def real_pyroscope(tmp_path_factory):
    try:
        with backends.running_pyroscope(tmp_path_factory.mktemp("pyroscope")) as url:
            yield url
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def real_parca(tmp_path_factory):
    try:
        with backends.running_parca(tmp_path_factory.mktemp("parca")) as url:
            yield url
    except Unavailable as reason:
        pytest.skip(str(reason))


def eventually(question, expected):
    """A server that has just started refuses questions for a while."""
    def answer():
        try:
            return question()
        except urllib.error.HTTPError as error:
            return error.code, error.read()[:500]

    deadline = time.monotonic() + 20
    while (answered := answer()) != expected and time.monotonic() < deadline:
        time.sleep(0.5)
    assert answered == expected


@pytest.mark.parametrize("path, service", [(backends.PUSH, "pushed"), ("/ingest", "ingested")])
def test_the_real_pyroscope_has_every_sample(real_pyroscope, profile, path, service):
    result = send("pyroscope", real_pyroscope + path, profile,
                  {**ATTRIBUTES, "service.name": service})
    assert result.returncode == 0, result.stderr

    def total():
        query = urllib.parse.urlencode({
            "query": f'process_cpu:samples:count:cpu:nanoseconds{{service_name="{service}",'
                     'region="eu"}',
            "from": "now-1h", "until": "now", "format": "json"})
        answer = urllib.request.urlopen(f"{real_pyroscope}/pyroscope/render?{query}", timeout=15)
        flame = json.load(answer)["flamebearer"]
        return flame["numTicks"], sorted(flame["names"])

    names = ["total", *(f.name for f in (MAIN, WORK, CRC, RUN, PARSE))]
    eventually(total, (102, sorted(names)))


def test_the_real_parca_has_every_sample(real_parca, profile):
    grpc = pytest.importorskip("grpc")
    result = send("parca", real_parca + backends.WRITE_RAW, profile,
                  {**ATTRIBUTES, "service.name": "written"})
    assert result.returncode == 0, result.stderr
    now = int(time.time())
    kind = "process_cpu:samples:count:cpu:nanoseconds:delta"
    merge = (block(1, f'{kind}{{service_name="written"}}'.encode()) + block(2, number(1, now - 3600)) +
             block(3, number(1, now + 3600)))
    request = number(1, 2) + block(3, merge) + number(5, 1)  # merged, as pprof
    with grpc.insecure_channel(real_parca.removeprefix("http://")) as channel:
        query = channel.unary_unary("/parca.query.v1alpha1.QueryService/Query")

        def stored():
            try:
                data = pprof._message(query(request, timeout=15))[6][0]
            except grpc.RpcError as error:
                return error.details()
            top = pprof._message(gzip.decompress(data))
            return sum(list(pprof._numbers(pprof._message(sample)[2]))[0] for sample in top.get(2, []))

        eventually(stored, 102 * ProfileFile.PERIOD)  # Parca gives samples of a period as time
