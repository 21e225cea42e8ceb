"""The command among others: its output goes into pipes, files and whatever a shell puts there."""

import os
import stat
import subprocess
import threading

import pytest

import profiles
from conftest import COMMAND
from test_read import one_line

FORMATS = {"pprof": ".pb.gz", "otlp": ".otlp", "collapsed": ".collapsed", "speedscope": ".speedscope.json",
           "html": ".html"}


@pytest.fixture
def wide(tmp_path):
    """A profile whose table is longer than a pipe holds."""
    profile = profiles.ProfileFile()
    for i in range(4000):
        profile.add([profiles.python(f"function_{i}", f"/app/module_{i}.py", 2, 1)], 1)
    return profile.write(tmp_path / "wide.pb.gz")


@pytest.mark.parametrize("ignored", [False, True], ids=["default", "ignored"])
def test_a_reader_that_has_read_enough_is_no_failure(wide, tmp_path, ignored):
    for command in (["top", "-n", "4000", wide], ["top", "--json", "-n", "4000", wide],
                    ["diff", "-n", "4000", wide, wide, "-o", tmp_path / "page.html"],
                    ["convert", "--format", "collapsed", wide, "-"]):
        # Python ignores SIGPIPE itself, and hands that down or not.
        process = subprocess.Popen([COMMAND, *map(str, command)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, restore_signals=not ignored)
        process.stdout.read(20)
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=60)) == (b"", 0), command
    assert (tmp_path / "page.html").stat().st_size > 1000, "what else was to be written is"


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_profile_goes_to_standard_output_in_any_format(cprof, small, tmp_path, format, output):
    def written(*command):
        with open(tmp_path / "piped", "wb") as file:
            assert cprof(*command, capture_output=False, stdout=file).returncode == 0
        return (tmp_path / "piped").read_bytes()

    file = tmp_path / f"file{FORMATS[format]}"
    assert cprof("convert", small, file).returncode == 0
    assert written("convert", "--format", format, small, output) == file.read_bytes()
    assert written("merge", "--format", format, small, "-o", output) == file.read_bytes()


def test_the_page_goes_to_standard_output(cprof, small):
    done = cprof("flame", small, "-o", "-")
    assert done.returncode == 0 and done.stdout.startswith("<!doctype html>")


def test_standard_output_needs_a_format_and_a_format_a_name(cprof, small):
    for command in (["convert", small, "-"], ["merge", small, "-o", "-"]):
        done = cprof(*command)
        one_line(done, 2, "--format")
    done = cprof("convert", "--format", "svg", small, "-")
    one_line(done, 2, "speedscope")
    done = cprof("diff", "--json", small, small, "-o", "-")
    one_line(done, 2, "rows")


def test_the_format_goes_before_the_ending(cprof, small, tmp_path):
    assert cprof("convert", "--format", "collapsed", small, tmp_path / "stacks").returncode == 0
    assert "main;work;crc32 30" in (tmp_path / "stacks").read_text()


def test_a_pipe_is_written_to_and_stays_a_pipe(cprof, small, tmp_path):
    pipe, got = tmp_path / "pipe.collapsed", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    assert cprof("convert", small, pipe).returncode == 0
    reader.join(timeout=60)
    assert "main;work;crc32 30" in got[0] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_width_that_columns_asks_for_holds_in_a_pipe_too(cprof, wide, monkeypatch):
    def longest():
        return max(map(len, cprof("top", wide).stdout.splitlines()[3:]))

    assert longest() > 60
    monkeypatch.setenv("COLUMNS", "60")
    assert longest() <= 60
    for nonsense in ("", "0", "-5", "wide", "99999999999999999999"):
        monkeypatch.setenv("COLUMNS", nonsense)
        assert longest() > 60, nonsense


def test_help_of_a_command_is_asked_for_in_any_of_the_usual_ways(cprof, small):
    help = cprof("top", "--help").stdout
    assert help.startswith("Usage: cprof top")
    for command in (["help", "top"], ["--help", "top"], ["top", small, "--help"], ["top", "-n", "3", "-h"]):
        done = cprof(*command)
        assert (done.stdout, done.stderr, done.returncode) == (help, "", 0), command
    assert cprof("help").stdout == cprof("--help").stdout
    done = cprof("help", "nothing")
    one_line(done, 2, "nothing")


def test_help_after_the_program_is_for_the_program(cprof, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cprof("run", "--", "printf", "%s", "--help").stdout == "--help"
