"""What cprof adds to the private memory of a Python that does little else, step by step, without an
exporter and with OTLP: tests/bench/python_memory.py (run by a Python with cprof)"""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

PROGRAM = """
import sys, time
def private():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private"))
def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: sum(range(100))
burn(0.1)
steps = [private()]
import cprof
steps.append(private())
options = {"exporter": "otlp", "endpoint": sys.argv[1]} if sys.argv[1:] else {"exporter": "none"}
cprof.start(**options)
steps.append(private())
burn(3)
cprof.flush()
steps.append(private())
print(*(f"{(step - steps[0]) / 1024:5.1f}" for step in steps[1:]))
"""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass


def main():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("MiB more after import, start and 3 s with a flush")
    for name, arguments in (("no exporter", []), ("otlp", [f"http://127.0.0.1:{server.server_port}"])):
        done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, text=True,
                              capture_output=True)
        print(f"{name:12}{done.stdout}", end="")


main()
