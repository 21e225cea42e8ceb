"""Profiles by URL: of running programs that answer, and of servers that should not be trusted."""

import contextlib
import http.server
import json
import os
import socketserver
import threading

import pytest

import profiles


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["User-Agent"], self.headers.get("Authorization")))
        status, body = self.server.answers.get(self.path.partition("?")[0], (404, b"no such page\n"))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/debug/pprof/profile")
        if body is None:  # for ever
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 65536)
            return
        self.send_header("Content-Length", len(body) + self.server.missing)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(small):
    servers = []

    def start(kind=http.server.ThreadingHTTPServer, address=("127.0.0.1", 0), **answers):
        server = kind(address, Handler)
        with open(small, "rb") as file:
            content = file.read()
        server.asked, server.missing = [], 0
        server.answers = {"/debug/pprof/profile": (200, content), **answers}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_address[1]}" if kind is http.server.ThreadingHTTPServer else ""

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def environment():
    return {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}


def total(done):
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)["total"]


def test_a_server_is_asked_for_the_cpu_profile_of_the_next_seconds(cprof, serve):
    server, url = serve()
    for given in ("", "/", "/debug/pprof", "/debug/pprof/"):
        assert total(cprof("top", "--json", url + given, env=environment())) == 10**9
    assert {path for path, _, _ in server.asked} == {"/debug/pprof/profile?seconds=10"}
    assert all(agent.startswith("cprof/") for _, agent, _ in server.asked)
    assert cprof("top", url, env=environment()).stdout.startswith("shop · 1.00 s of CPU")


def test_a_url_is_asked_as_it_stands_by_every_command(cprof, serve, small, tmp_path):
    server, url = serve()
    server.answers["/x/heap"] = server.answers["/debug/pprof/profile"]
    for command in (("top",), ("peek", "work"), ("tags",), ("spans",), ("advise",)):
        assert cprof(*command, url + "/x/heap?gc=1", env=environment()).returncode == 0
    assert cprof("diff", small, url + "/x/heap?gc=1", env=environment()).returncode == 0
    out = tmp_path / "o.pb.gz"
    assert cprof("merge", url + "/x/heap?gc=1", small, "-o", out, env=environment()).returncode == 0
    assert total(cprof("top", "--json", out)) == 2 * 10**9
    assert {path for path, _, _ in server.asked} == {"/x/heap?gc=1"}


def test_a_unix_socket_is_a_server_too(cprof, serve, tmp_path):
    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    path = f"/tmp/cprof-test-{os.getpid()}.sock"  # short enough for an address
    try:
        server, _ = serve(Server, path)
        server.answers["/heap"] = server.answers["/debug/pprof/profile"]
        assert total(cprof("top", "--json", f"unix:{path}", env=environment())) == 10**9
        assert total(cprof("top", "--json", f"unix:{path}:/heap", env=environment())) == 10**9
        assert [each[0] for each in server.asked] == ["/debug/pprof/profile?seconds=10", "/heap"]
    finally:
        os.unlink(path)


def test_what_is_no_profile_is_told_in_one_line(cprof, serve):
    server, url = serve(**{"/gone": (404, b"it is\x1b[2J gone\nfor good\n"), "/page": (200, b"<html>hello</html>"),
                           "/moved": (302, b""), "/empty": (200, b""), "/torn": (200, b"\x1f\x8b\x08\x00torn"),
                           "/endless": (200, None)})
    told = {}
    for path in ("/gone", "/page", "/moved", "/empty", "/torn", "/endless"):
        done = cprof("top", url + path, env=environment())
        assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done
        assert path in done.stderr and "\x1b" not in done.stderr
        told[path] = done.stderr
    assert "answered 404: it is" in told["/gone"] and "for good" not in told["/gone"]
    assert "answered 302" in told["/moved"] and "more than 64 MiB" in told["/endless"]
    server.missing = 1000
    assert cprof("top", url, env=environment()).returncode == 1


def test_a_server_that_is_not_there_is_told_without_its_password(cprof, serve):
    server, url = serve()
    assert total(cprof("top", "--json", url.replace("://", "://me:secret@"), env=environment())) == 10**9
    assert server.asked[0][2].startswith("Basic ")
    for given in ("http://me:secret@127.0.0.1:1/", "http://me:secret@/", "unix:", "unix:/nobody/is/here",
                  "http://" + "x" * 5000):
        done = cprof("top", given, env=environment())
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "secret" not in done.stderr, done


def test_a_running_program_is_watched_against_a_file_another_and_itself(cprof, serve, small, tmp_path):
    old, old_url = serve()
    new, new_url = serve()
    grown, kept = profiles.grown(tmp_path / "grown.pb.gz"), tmp_path / "kept.pb.gz"

    def watch(*arguments):
        return cprof("watch", *arguments, env=environment())

    assert watch("--base", old_url, new_url).returncode == 0
    first = watch("--keep", kept, new_url)
    assert (first.returncode, first.stdout) == (0, "") and "compares with it" in first.stderr
    again = watch("--keep", kept, new_url)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    new.answers["/debug/pprof/profile"] = (200, open(grown, "rb").read())
    for base in (("--base", old_url), ("--base", small), ("--keep", kept)):
        done = watch(*base, new_url)
        head, *rows = done.stdout.splitlines()
        assert (done.returncode, done.stderr) == (3, "") and head.startswith(f"{new_url}, against {base[1]}: more cpu")
        assert [row.split()[1] for row in rows] == ["crc32", "validate"]
    assert watch("--keep", kept, new_url).returncode == 0  # what is new is told once
    del new.answers["/debug/pprof/profile"]
    before = kept.read_bytes()
    assert watch("--keep", kept, new_url).returncode == 1 and kept.read_bytes() == before
    for wrong in ((new_url,), ("--base", small, "--keep", kept, new_url), ("--new", "-1h", "--base", small, new_url),
                  ("--keep", kept, tmp_path), ("--keep", tmp_path / "kept", new_url), ("--service", "shop", "--keep", kept, new_url)):
        assert watch(*wrong).returncode == 2, wrong
