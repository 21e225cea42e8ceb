"""The pull endpoint of a real program, with Go's own tool as the client."""

import json
import os
import platform
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from collector import free_port

PROGRAM = """
import threading, time
def busy():
    while True: sum(range(1000))
threading.Thread(target=busy, daemon=True).start()
time.sleep(60)
"""


@pytest.fixture
def program(python, tmp_path):
    port = free_port()
    environment = {**os.environ, "CPROF_ENABLED": "1", "CPROF_EXPORTER": "none",
                   "CPROF_LISTEN": f"127.0.0.1:{port}"}
    process = subprocess.Popen([python, "-c", PROGRAM], env=environment, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}/debug/pprof/"
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    yield url
    process.kill()
    process.wait()


def test_go_tool_pprof_takes_a_profile_of_the_time_that_it_asks_for(program, tmp_path):
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if go is None:
        pytest.skip("no Go on this machine")
    result = subprocess.run(
        [go, "tool", "pprof", "-top", "-sample_index=cpu", f"{program}profile?seconds=2"],
        env={**os.environ, "PPROF_TMPDIR": str(tmp_path)}, capture_output=True, text=True,
        timeout=60)
    assert result.returncode == 0, result.stderr
    assert re.search(r"\bbusy$", result.stdout, re.M), result.stdout
    duration = float(re.search(r"Duration: ([\d.]+)s", result.stdout)[1])
    assert 2 <= duration < 10  # at least what was asked for, and what a busy machine adds


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks are x86-64's so far")
def test_all_threads_now_are_a_page_for_people_for_programs_and_for_go(program, tmp_path):
    def page(query=""):
        with urllib.request.urlopen(program + "threads" + query, timeout=30) as answer:
            return answer.headers["Content-Type"], answer.read()
    deadline = time.monotonic() + 30
    while b"      busy  <string>:" not in page()[1]:
        assert time.monotonic() < deadline, page()[1]
    kind, text = page()
    assert kind.startswith("text/plain") and b"  MainThread (" in text, text
    kind, text = page("?format=json")
    assert kind == "application/json" and len(json.loads(text)["threads"]) == 2
    with pytest.raises(urllib.error.HTTPError) as error:
        page("?format=xml")
    assert error.value.code == 400 and b"text, json or pprof" in error.value.read()
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if go is not None:
        result = subprocess.run([go, "tool", "pprof", "-top", f"{program}threads?format=pprof"],
                                env={**os.environ, "PPROF_TMPDIR": str(tmp_path)}, capture_output=True, text=True,
                                timeout=60)
        assert re.search(r"Type: threads.*\bbusy$", result.stdout, re.M | re.S), (result.stdout, result.stderr)


def test_what_is_not_there_is_an_error_and_not_a_profile(program):
    for path, status in (("goroutine", 404), ("heap", 503), ("block", 503), ("profile?seconds=0", 400), ("profile?seconds=1e9", 400)):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(program + path, timeout=10)
        assert error.value.code == status
    request = urllib.request.Request(program, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    assert error.value.code == 403
