#!/usr/bin/env python3
"""What cprof's own threads take in programs like services: CPU time in the first ten seconds, and
later as a share of what is profiled.

    own_threads.py [--seconds S] [--rounds N] NAME=COMMAND …

Each COMMAND, a shell's, gets the seconds to run as its last argument; service.py, service.rb and
service.js are meant for it. All run at the same time, so that they meet the same machine, and send
what they sample to a server here. The kernel says what each thread took (/proc/PID/task/*/schedstat).
"""

import argparse
import http.server
import os
import statistics
import subprocess
import threading
import time

FIRST = 10  # seconds


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes everything."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # it has ended
        return ""


def cpu_of_threads(pid):
    """Nanoseconds by (tid, name)."""
    taken = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        name, times = (read(f"/proc/{pid}/task/{tid}/{file}") for file in ("comm", "schedstat"))
        if name and times:
            taken[tid, name.strip()] = int(times.split()[0])
    return taken


def own_and_rest(pid):
    """cprof's, by name, and the rest of the process's, ns."""
    taken = cpu_of_threads(pid)
    own = {}
    for (_, name), ns in taken.items():
        if name.startswith("cprof"):
            own[name] = own.get(name, 0) + ns
    return own, sum(taken.values()) - sum(own.values())


def start(command, seconds, port):
    environment = dict(os.environ, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
                       OTEL_SERVICE_NAME="bench")
    return subprocess.Popen(f"exec {command} {seconds + 5}", shell=True, env=environment)


def measure(commands, seconds, port):
    """By name: (ms of the first seconds, share of the later ones in %, that by thread)."""
    running = {name: start(command, seconds, port) for name, command in commands}
    time.sleep(FIRST)
    first = {name: own_and_rest(process.pid) for name, process in running.items()}
    time.sleep(seconds - FIRST)
    found = {}
    for name, process in running.items():
        own, rest = own_and_rest(process.pid)
        before, rest_before = first[name]
        rest -= rest_before
        shares = {thread: 100 * (ns - before.get(thread, 0)) / rest for thread, ns in own.items()}
        found[name] = (sum(before.values()) / 1e6, sum(shares.values()), shares, rest / 1e9)
    for process in running.values():
        process.wait()
    return found


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("commands", nargs="+", metavar="NAME=COMMAND")
    options = options.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    commands = [command.split("=", 1) for command in options.commands]
    rounds = [measure(commands, options.seconds, server.server_port) for _ in range(options.rounds)]
    print(f"load {os.getloadavg()[0]:.1f}")
    for name, _ in commands:
        first = [found[name][0] for found in rounds]
        later = [found[name][1] for found in rounds]
        threads = ", ".join(f"{thread} {share:.3f}" for thread, share in rounds[-1][name][2].items())
        print(f"{name}: {statistics.median(first):.1f} ms in the first {FIRST} s, "
              f"{statistics.median(later):.3f} % later (last round: {threads}; "
              f"of {rounds[-1][name][3]:.1f} s)")


if __name__ == "__main__":
    main()
