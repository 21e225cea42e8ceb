"""kill -9 of the client and of the server, at random moments, with a spool: every profile that
was written down arrives, and no sample is counted twice."""

import collections
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CPROF_BUILD", ROOT / "build"))
CLIENT = BUILD / "tests/core/export/spool_profiles"
ROUNDS = int(os.environ.get("CPROF_TEST_KILLS", "200"))
SEED = int(os.environ.get("CPROF_TEST_SEED", "0")) or random.randrange(1 << 32)

SERVER = pathlib.Path(__file__).with_name("recording_server.py")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Recorder:
    """The server process; it notes a profile before it answers, and may die in between."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, SERVER, str(self.port), self.folder])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1development/profiles"


def run_client(url, spool, first, lifetime):
    """The numbers that the client said are written down; it lives `lifetime` seconds."""
    client = subprocess.Popen(
        [CLIENT, url, spool, str(first), "40"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    timer = threading.Timer(lifetime, client.send_signal, [signal.SIGKILL])
    timer.start()
    output = client.communicate()[0].decode()
    timer.cancel()
    return [int(line) for line in output.split("\n")[:-1]]


def test_nothing_that_was_written_down_is_lost_or_doubled(tmp_path):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    spool, records = tmp_path / "spool", tmp_path / "records"
    records.mkdir()
    recorder = Recorder(records)
    written, first = [], 1
    for _ in range(ROUNDS):
        written += run_client(recorder.url, spool, first, chance.uniform(0, 0.25))
        first += 40
        if chance.random() < 0.5:
            recorder.kill()
            if chance.random() < 0.5:
                written += run_client(recorder.url, spool, first, chance.uniform(0, 0.1))
                first += 40
            recorder.start()
    last = subprocess.run([CLIENT, recorder.url, spool, str(first), "1"], timeout=120)
    written.append(first)
    recorder.kill()
    assert last.returncode == 0
    assert not list(spool.glob("cprof-*.otlp"))
    # A file a profile id, named by it, holding the samples: what came twice is there once.
    arrived = collections.Counter(int(path.read_text()) for path in records.iterdir())
    assert len(written) > ROUNDS, "the client lived too briefly for the test to mean anything"
    assert not set(written) - set(arrived)
    assert max(arrived.values()) == 1
    # Besides those: at most one a round, whose writer died before it could say so.
    assert len(arrived) - len(written) <= 2 * ROUNDS
    print(f"{len(written)} profiles, {sum(arrived.keys())} samples in {2 * ROUNDS} processes")


def test_the_recorder_itself_can_be_killed_between_note_and_answer(tmp_path):
    """The case that makes duplicates: they must be told apart by their profile_id."""
    spool, records = tmp_path / "spool", tmp_path / "records"
    records.mkdir()
    recorder = Recorder(records)
    (records / "die").touch()  # asks it to die after the next note
    client = subprocess.Popen([CLIENT, recorder.url, spool, "7", "1"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    recorder.process.wait(30)
    recorder.start()
    assert client.wait(60) == 0
    recorder.kill()
    assert [path.read_text() for path in records.iterdir()] == ["7"]
    log = (tmp_path / "records.log").read_text().split()
    assert len(log) == 2 and len(set(log)) == 1, "the profile came once, or with two ids"
