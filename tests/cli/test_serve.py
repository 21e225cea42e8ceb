"""cprof serve: pages for one person on this machine, and nothing for anybody else."""

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import profiles
from conftest import COMMAND


@contextlib.contextmanager
def serving(*arguments, **options):
    """The address of the first page."""
    process = subprocess.Popen([COMMAND, "serve", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, **options)
    try:
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[0-9a-f]{32}/", url), process.stderr.read()
        yield url, process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(cprof, page, tmp_path):
    """How many a page has, which is a profile itself."""
    (tmp_path / "page.html").write_text(page)
    done = cprof("top", "--json", "--value", "samples", tmp_path / "page.html")
    return json.loads(done.stdout)["total"]


def query(page, *files):
    return page + "?" + urllib.parse.urlencode([("f", str(file)) for file in files])


def test_profiles_are_listed_opened_added_up_and_compared(cprof, small, tmp_path):
    folder = tmp_path / "profiles & <more>"
    folder.mkdir()
    shutil.copy(small, folder / "a.pb.gz")
    profiles.grown(folder / "b.pb.gz")
    (folder / "notes.md").write_text("no profile")
    with serving(folder) as (url, _):
        status, page = get(url)
        assert status == 200 and "notes.md" not in page and "<more>" not in page.replace("&lt;more&gt;", "")
        links = re.findall(r'href="(view[^"]+)"', page)
        assert len(links) == 2
        status, page = get(url + links[0])
        assert status == 200 and samples(cprof, page, tmp_path) == 100
        status, page = get(url + query("view", folder / "a.pb.gz", folder / "b.pb.gz"))
        assert status == 200 and samples(cprof, page, tmp_path) == 350
        status, page = get(url + query("diff", folder / "a.pb.gz", folder / "b.pb.gz"))
        assert status == 200 and page.startswith("<!doctype html>")
        shutil.copy(small, folder / "later.pb.gz")
        assert "later.pb.gz" in get(url)[1]
        assert get(url + query("diff", folder / "a.pb.gz"))[0] == 404


def test_nobody_else_is_answered(small, tmp_path):
    (tmp_path / "secret.pb.gz").write_bytes(open(small, "rb").read())
    with serving(small) as (url, process):
        port = urllib.parse.urlsplit(url).port
        root = f"http://127.0.0.1:{port}/"
        for wrong in (root, root + "0" * 32 + "/", url.rstrip("/") + "x/", root + "favicon.ico"):
            assert get(wrong)[0] == 404, wrong
        assert get(url, Host="evil.example:80")[0] == 403 and get(url, Host=f"localhost:{port}")[0] == 200
        for path in (tmp_path / "secret.pb.gz", "/etc/passwd", "../secret.pb.gz"):
            assert get(url + query("view", path))[0] == 404
        assert get(url + "view?g=1")[0] == 404 and get(url + "view")[0] == 404 and get(url + "nothing")[0] == 404
        token = urllib.parse.urlsplit(url).path
        for request in (b"", b"POST " + token.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\0" * 100,
                        b"GET " + b"x" * 40_000, b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client, contextlib.suppress(OSError):
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(100)
                assert not answer.startswith(b"HTTP/1.1 200")
        assert get(url)[0] == 200 and process.poll() is None


def test_a_broken_file_is_told_and_the_others_go_on(small, tmp_path):
    broken = tmp_path / "broken.pb.gz"
    broken.write_bytes(b"\x1f\x8b\x08\x00nothing")
    with serving(broken, small) as (url, _):
        assert get(url + query("view", broken))[0] == 500
        assert get(url + query("diff", broken, small))[0] == 500
        assert get(url + query("view", small))[0] == 200


def test_wrong_words_are_told(cprof, tmp_path):
    done = cprof("serve", tmp_path / "missing", timeout=20)
    assert done.returncode == 1 and "missing" in done.stderr
    assert cprof("serve", "--port", "70000", timeout=20).returncode == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = cprof("serve", "--port", taken.getsockname()[1], cwd=tmp_path, timeout=20)
        assert done.returncode == 1 and "cannot listen" in done.stderr
