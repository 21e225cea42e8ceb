"""recording_server.py PORT FOLDER: takes OTLP profiles over HTTP and notes each in a file of the
folder, named by its profile_id and holding the sum of its samples, before it answers. Every
request is a line of FOLDER.log. If FOLDER/die exists it dies after the note."""

import gzip
import http.server
import os
import pathlib
import socketserver
import sys

PORT, FOLDER = int(sys.argv[1]), pathlib.Path(sys.argv[2])


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of each field of a protobuf message."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            size, at = (8, at) if kind == 1 else (4, at) if kind == 5 else varint(data, at)
            value, at = data[at : at + size], at + size
        yield tag >> 3, value


def every(data, *path):
    """The values under a path of field numbers."""
    if not path:
        yield data
        return
    for number, value in fields(data):
        if number == path[0]:
            yield from every(value, *path[1:])


def read(body):
    """(profile_id, the sum of its samples) of a ProfilesData with one profile."""
    [profile] = every(body, 1, 2, 2)
    [identity] = every(profile, 7)
    total = 0
    for packed in every(profile, 2, 4):
        at = 0
        while at < len(packed):
            value, at = varint(packed, at)
            total += value
    return identity.hex(), total


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        identity, total = read(body)
        with open(f"{FOLDER}.log", "a") as log:
            log.write(f"{identity}\n")
        half = FOLDER.with_name(f"half-{os.getpid()}-{id(self)}")
        half.write_text(str(total))
        half.rename(FOLDER / identity)
        if (FOLDER / "die").exists():
            (FOLDER / "die").unlink()
            os._exit(1)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_):
        pass  # a client that was killed hangs up in the middle


Server(("127.0.0.1", PORT), Handler).serve_forever()
