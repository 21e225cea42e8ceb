"""top, flame, convert and merge: exact numbers, and one clear line for everything bad."""

import gzip
import json
import os
import pty
import re
import shutil
import subprocess

import pytest

import profiles
from conftest import COMMAND


def rows(cprof, *arguments):
    done = cprof("top", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def by_name(report):
    return {row["name"]: (row["self"] // 10**7, row["total"] // 10**7) for row in report["rows"]}


def on_terminal(arguments, columns, **environment):
    """What the command prints on a terminal of that width."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", str(columns)], stdin=slave, check=True)
    child = subprocess.Popen([COMMAND, *arguments], stdout=slave, stderr=slave,
                             env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment})
    os.close(slave)
    output = b""
    try:
        while chunk := os.read(master, 4096):
            output += chunk
    except OSError:
        pass  # how Linux says that the other end has been closed
    os.close(master)
    assert child.wait(30) == 0
    return output.decode().replace("\r\n", "\n")


# --- top ---

def test_top_counts_self_and_total_and_recursion_once(cprof, small):
    assert by_name(rows(cprof, small)) == {
        "parse": (40, 40), "crc32": (30, 30), "work": (20, 50), "main": (10, 60),
        "Worker.run": (0, 40)}


def test_top_prints_the_table_that_people_see(cprof, small):
    assert cprof("top", small).stdout == (
        "shop · 1.00 s of CPU in 10.0 s · 100 samples at 100 Hz · 2 threads\n"
        "\n"
        "            self           total   function\n"
        "   400 ms  40.0%   400 ms  40.0%   parse       shop/worker.py:30\n"
        "   300 ms  30.0%   300 ms  30.0%   crc32       libz.so.1\n"
        "   200 ms  20.0%   500 ms  50.0%   work        shop/main.py:20\n"
        "   100 ms  10.0%   600 ms  60.0%   main        shop/main.py:10\n"
        "      0 s   0.0%   400 ms  40.0%   Worker.run  shop/worker.py:5\n")


def test_top_sorts_by_total_and_sums_up_what_it_leaves_out(cprof, small):
    lines = cprof("top", "--cum", "-n", "2", small).stdout.splitlines()[3:]
    assert [re.split(r"  +", line.strip())[4] for line in lines[:2]] == ["main", "work"]
    assert lines[2] == "   700 ms  70.0%                   3 more"
    assert len(lines) == 3


@pytest.mark.parametrize("by, expected", [
    ("line", {("parse", 31): 40, ("crc32", 0): 30, ("work", 24): 20, ("main", 12): 10,
              ("work", 22): 0, ("Worker.run", 6): 0}),
    ("file", {"/app/shop/worker.py": 40, "[no file]": 30, "/app/shop/main.py": 30}),
    ("module", {"/app/shop/worker.py": 40, "/usr/lib/libz.so.1": 30, "/app/shop/main.py": 30}),
    ("type", {"cpython": 70, "native": 30}),
    ("thread", {"MainThread": 60, "worker-1": 40}),
    ("stack", {"main;work;crc32": 30, "main;work;work": 20, "main": 10, "Worker.run;parse": 40}),
])
def test_top_by_line_file_module_type_thread_and_stack(cprof, small, by, expected):
    report = rows(cprof, "--by", by, small)
    name = (lambda row: (row["name"], row["line"])) if by == "line" else (lambda row: row["name"])
    assert {name(row): row["self"] // 10**7 for row in report["rows"]} == expected


def test_stacks_differ_by_functions_and_long_ones_lose_their_root(cprof, tmp_path):
    main, again, leaf = (profiles.python(name, "f.py", line) for name, line in (("m", 1), ("m", 2), ("x", 3)))
    deep = [profiles.python(f"f{i:05}", "f.py", 1) for i in range(2000)]
    path = profiles.ProfileFile().add([main, leaf], 1).add([again, leaf], 2).add(deep, 4).add(
        [profiles.python("n" * 9000, "f.py", 1)], 5).add([], 6).write(tmp_path / "stacks.pb.gz")
    shown = {row["name"]: row["self"] // 10**7 for row in rows(cprof, "--by", "stack", path)["rows"]}
    cut = next(name for name in shown if name.startswith("…"))
    assert shown == {"m;x": 3, cut: 4, "n" * 4096: 5, "[no stack]": 6}
    assert cut.endswith(";f01998;f01999") and 4090 <= len(cut) <= 4098
    assert "…" in on_terminal(["top", "--by", "stack", path], 80) and "f01999" in on_terminal(
        ["top", "--by", "stack", path], 80)


@pytest.mark.parametrize("arguments, expected", [
    (["--thread", "worker-1"], 40), (["--label", "endpoint=/cart"], 20), (["--span", profiles.SPAN], 40),
    (["--trace", profiles.TRACE.upper()], 40), (["--thread", "MainThread", "--label", "endpoint=/cart"], 20),
    (["--thread", "nobody"], 0),
])
def test_selections_narrow_the_total(cprof, small, arguments, expected):
    assert rows(cprof, *arguments, small)["total"] == expected * 10**7


def test_a_label_may_be_the_whole_processs(cprof, tmp_path):
    """Each file's own, also of several that differ, and which the sum cannot tell any more."""
    files = []
    for version, count in (("1.0", 5), ("1.1", 7)):
        profile = profiles.ProfileFile(service=f"shop {version}").add([profiles.MAIN], count)
        profile.add([profiles.PARSE], 1, **{"service.name": "its own"})
        files.append(profile.write(tmp_path / f"{version}.pb.gz"))
    for service, expected in (("shop 1.0", 5), ("shop 1.1", 7), ("its own", 2), ("shop", 0)):
        assert rows(cprof, "--label", f"service.name={service}", *files)["total"] == expected * 10**7
    for old, new in (files, files[::-1]):
        done = cprof("diff", "--base-label", "service.name=shop 1.0", "--new-label", "service.name=shop 1.1", old, new)
        assert done.returncode == (0 if old == files[0] else 1)


def heap_of(path, pid, minute, cpu, live):
    """CPU time in samples, and live MiB, as cprof writes both into one pprof file; pid None: nothing says whose."""
    both = (("cpu", "nanoseconds", 10**7), ("inuse_space", "bytes", 1 << 20))
    profile = profiles.ProfileFile(service="shop", start=(1_700_000_000 + 60 * minute) * 10**9, types=both)
    if pid is not None:
        profile.comments.append(f"process.pid={pid}")
    # Each sample has a value in one of the two.
    profile.types = (both[0], ("inuse_space", "bytes", 0))
    profile.add([profiles.MAIN, profiles.WORK], cpu)
    profile.types = (("cpu", "nanoseconds", 0), both[1])
    profile.add([profiles.MAIN, profiles.RUN], live)
    profile.types = both
    return profile.write(path)


@pytest.mark.parametrize("pids, live", [((1, 1, 1), 9), ((1, 2, 1), 9 + 7), ((1, 2, 3), 5 + 7 + 9), ((None,) * 3, 5 + 7 + 9)])
def test_what_lives_is_of_each_process_s_last_file(cprof, tmp_path, pids, live):
    files = [heap_of(tmp_path / f"{i}.pb.gz", pid, i, cpu, mib)
             for i, (pid, cpu, mib) in enumerate(zip(pids, (10, 20, 30), (5, 7, 9)))]
    for order in (files, files[::-1]):
        assert rows(cprof, "--value", "cpu", *order)["total"] == 60 * 10**7
        assert rows(cprof, "--value", "inuse_space", *order)["total"] == live << 20
    assert cprof("merge", "--intervals", *files, "-o", tmp_path / "all.pb.gz").returncode == 0
    assert rows(cprof, "--value", "inuse_space", tmp_path / "all.pb.gz")["total"] == live << 20
    # The first has none yet, and many are read side by side.
    bare = profiles.small(tmp_path / "bare.pb.gz")
    assert rows(cprof, "--value", "inuse_space", bare, *files)["total"] == live << 20
    assert rows(cprof, "--value", "cpu", *[bare] * 20, *files)["total"] == (20 * 100 + 60) * 10**7


def test_type_picks_the_value(cprof, small):
    report = rows(cprof, "--type", "samples", small)
    assert (report["unit"], report["total"]) == ("count", 100)
    assert "100 samples" in cprof("top", "--type", "samples", small).stdout.splitlines()[0]


def test_several_files_are_merged_and_standard_input_is_read(cprof, small):
    with open(small, "rb") as file:
        done = cprof("top", "--json", small, "-", stdin=file)
    assert json.loads(done.stdout)["total"] == 2 * 10**9


def test_a_profile_without_matching_samples_says_so(cprof, small):
    done = cprof("top", "--thread", "nobody", small)
    assert (done.returncode, done.stdout) == (0, "The profile has no samples that match.\n")


def test_names_cannot_talk_to_the_terminal(cprof, tmp_path):
    evil = b"\x1b[2J\x07\xffname\xc3\xa9"
    path = profiles.ProfileFile().add([profiles.Frame(evil)], 5).write(tmp_path / "evil.pb.gz")
    done = subprocess.run([COMMAND, "top", path], capture_output=True, timeout=60)
    assert b"\x1b" not in done.stdout and b"\x07" not in done.stdout and b"\xff" not in done.stdout
    assert "\ufffd[2J\ufffd\ufffdnameé".encode() in done.stdout


def test_messages_cannot_talk_to_the_terminal(cprof, tmp_path):
    profile = profiles.ProfileFile().add([profiles.MAIN], 5)
    profile._type = lambda type, unit: profiles.number(1, profile.string(b"\x1b[2J\n" + type.encode() + b"\xff"))
    path = tmp_path / "evil\x1b[2J\nname.pb.gz"
    profile.write(path)
    one_line(cprof("top", "--type", "cpu", path), 1, "\ufffd[2J\ufffdcpu\ufffd")
    one_line(cprof("top", path.with_name("gone\x1b\n.pb.gz")), 1, "gone\ufffd\ufffd.pb.gz")
    one_line(cprof("top", "--by", "\x1b\n", path), 2, "\ufffd\ufffd")


def test_a_table_fits_the_terminal_and_is_coloured_only_there(cprof, tmp_path):
    profile = profiles.ProfileFile()
    profile.add([profiles.python("Very.long_name_" * 20, "/some/where/deep/in/a/tree.py", 12, 3)], 5)
    path = profile.write(tmp_path / "wide.pb.gz")
    for columns in (60, 80, 132):
        shown = on_terminal(["top", path], columns)
        assert "\x1b[" in shown
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        table = plain.splitlines()[2:]
        assert max(map(len, table)) <= columns and "…" in plain
    assert "\x1b" not in on_terminal(["top", path], 80, NO_COLOR="1")
    assert "\x1b" not in on_terminal(["top", path], 80, TERM="dumb")
    assert "\x1b" not in cprof("top", path).stdout


def test_go_tool_pprof_agrees_with_top(cprof, small):
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not go:
        pytest.skip("no go on this machine")
    done = subprocess.run([go, "tool", "pprof", "-top", "-filefunctions", "-unit=ns", small],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    theirs = {}
    for line in done.stdout.splitlines():
        found = re.match(r"\s*(\d+)(?:ns)?\s+\S+%\s+\S+%\s+(\d+)(?:ns)?\s+\S+%\s+(\S+)", line)
        if found:
            theirs[found[3]] = (int(found[1]) // 10**7, int(found[2]) // 10**7)
    assert theirs == by_name(rows(cprof, small))


def test_spans_tells_which_request_the_time_went_to(cprof, small):
    lines = cprof("spans", small).stdout.splitlines()
    assert lines[0] == "shop · 1.00 s of CPU in 10.0 s · 100 samples at 100 Hz · 2 threads"
    assert lines[2:] == ["             cpu   span", "   600 ms  60.0%   [no span]",
                         f"   400 ms  40.0%   {profiles.SPAN}  {profiles.TRACE}"]
    assert cprof("spans", "--traces", small).stdout.splitlines()[4] == f"   400 ms  40.0%   {profiles.TRACE}"
    done = cprof("spans", "--json", "--thread", "worker-1", small)
    assert [(row["name"], row["file"], row["self"]) for row in json.loads(done.stdout)["rows"]] == [
        (profiles.SPAN, profiles.TRACE, 400_000_000)]


# --- flame, convert, merge ---

@pytest.mark.parametrize("ending", ["pb.gz", "pprof", "otlp"])
def test_convert_keeps_every_number(cprof, small, tmp_path, ending):
    out = tmp_path / f"out.{ending}"
    assert cprof("convert", small, out).returncode == 0
    for by in ("function", "line", "type", "thread"):
        assert rows(cprof, "--by", by, out)["rows"] == rows(cprof, "--by", by, small)["rows"]
    assert rows(cprof, "--span", profiles.SPAN, out)["total"] == 40 * 10**7


@pytest.mark.parametrize("ending", ["collapsed", "folded", "txt"])
def test_convert_to_collapsed_and_back(cprof, small, tmp_path, ending):
    out = tmp_path / f"out.{ending}"
    assert cprof("convert", small, out).returncode == 0
    assert sorted(out.read_text().splitlines()) == [
        "Worker.run;parse 40", "main 10", "main;work;crc32 30", "main;work;work 20"]
    assert rows(cprof, out)["total"] == 100


def test_convert_to_speedscope(cprof, small, tmp_path):
    out = tmp_path / "out.speedscope.json"
    assert cprof("convert", small, out).returncode == 0
    content = json.loads(out.read_text())
    names = [frame["name"] for frame in content["shared"]["frames"]]
    weights = {}
    for profile in content["profiles"]:
        for stack, weight in zip(profile["samples"], profile["weights"]):
            path = ";".join(names[frame] for frame in stack)
            weights[path] = weights.get(path, 0) + weight
    total = sum(weights.values())
    assert {path: round(100 * weight / total) for path, weight in weights.items()} == {
        "main;work;crc32": 30, "main;work;work": 20, "main": 10, "Worker.run;parse": 40}


def test_merge_adds_up(cprof, small, tmp_path):
    out = tmp_path / "all.pb.gz"
    assert cprof("merge", small, small, small, "-o", out).returncode == 0
    report = rows(cprof, out)
    assert report["total"] == 3 * 10**9 and report["service"] == "shop"
    assert by_name(report)["work"] == (60, 150)


@pytest.mark.parametrize("ending", [".pb.gz", ".otlp", ".html"])
@pytest.mark.parametrize("intervals", [False, True])
def test_services_are_told_apart_in_what_is_merged(cprof, tmp_path, ending, intervals):
    """What processes do not share is a label of each one's samples; what they share, and what a
    sample says itself, stays. Of many files (threads read them), of sums, and from a pipe."""
    files = []
    for i in range(9):
        profile = profiles.ProfileFile(service=f"shop{i % 3}", start=10 ** 18 + i * 10 ** 10)
        profile.comments = ["host.name=box", f"process.pid={100 + i}"] + (["only.one=yes"] if i == 4 else [])
        profile.add([profiles.MAIN], 10 ** (i % 3)).add([profiles.PARSE], 1, **{"service.name": "its own"})
        files.append(profile.write(tmp_path / f"{i}.pb.gz"))
    more = ["--intervals"] if intervals else []
    merged = tmp_path / f"all{ending}"
    with open(files[0], "rb") as first:
        assert cprof("merge", *more, files[1], files[2], "-", *files[3:6], "-o", tmp_path / f"some{ending}",
                     stdin=first).returncode == 0
    assert cprof("merge", *more, tmp_path / f"some{ending}", *files[6:], "-o", merged).returncode == 0
    for sources in ([merged], files):
        for label, expected in (("service.name=shop0", 3), ("service.name=shop1", 30), ("service.name=shop2", 300),
                                ("service.name=its own", 9), ("host.name=box", 342), ("process.pid=104", 11),
                                ("only.one=yes", 11), ("service.name=shop3", 0)):
            assert rows(cprof, "--label", label, *sources)["total"] == expected * 10**7, (label, sources)
    assert not rows(cprof, merged)["service"]


def test_a_process_of_too_many_attributes_is_told_apart_from_none(cprof, tmp_path):
    files = []
    for name, count in (("many", 300), ("few", 200)):
        profile = profiles.ProfileFile().add([profiles.MAIN], 1)
        profile.comments = [f"{name}.{i}=x" for i in range(count)]
        files.append(profile.write(tmp_path / f"{name}.pb.gz"))
    for order in (files, files[::-1]):
        done = cprof("merge", *order, "-o", tmp_path / "o.pb.gz")
        assert done.returncode == 1
        assert done.stderr == f"cprof: {order[1]}: more than 256 attributes of its process that others lack\n"


def test_types_that_are_too_many_are_told_of_any_number_of_files(cprof, tmp_path):
    def with_types(name, types):
        numbers = range(1, len(types) + 1)
        content = b"".join(profiles.block(1, profiles.number(1, i)) for i in numbers)
        content += b"".join(profiles.block(6, text.encode()) for text in ["", *types])
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    some = [with_types(f"some{i}.pb", list("abcdefghi")) for i in range(4)]
    others = [with_types(f"others{i}.pb", list("rstuvwxyz")) for i in range(4)]
    for files in [*some[:1], *others[:1]], [*some, *others]:  # in one thread, and in two
        done = cprof("merge", *files, "-o", tmp_path / "all.pb.gz")
        assert done.returncode == 1
        assert re.fullmatch("cprof: .*/others0.pb: too many value types: at most 16 can be merged\n",
                            done.stderr)


def test_files_are_written_for_their_owner_only(cprof, small, tmp_path):
    out = tmp_path / "out.html"
    assert cprof("flame", small, "-o", out).returncode == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.read_bytes().startswith(b"<!doctype html>")


# --- what goes wrong ---

def one_line(done, code, *words):
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stdout == "", done
    for word in words:
        assert word in done.stderr


def test_bad_files_get_one_line_and_exit_1(cprof, small, tmp_path):
    whole = open(small, "rb").read()
    bad = {"cut.pb.gz": whole[:60], "noise.pb.gz": b"\x00\x01noise" * 50, "empty.pb.gz": b"",
           "noise.xyz": b"\xff\xfe\x00noise" * 50}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        one_line(cprof("top", tmp_path / name), 1, name)
    one_line(cprof("top", tmp_path / "missing.pb.gz"), 1, "missing.pb.gz", "No such file")
    one_line(cprof("top", tmp_path), 1, "irectory")
    one_line(cprof("top", small, tmp_path / "missing.pb.gz"), 1, "missing.pb.gz")
    one_line(cprof("top", "--type", "heap", small), 1, "heap", "samples, cpu")


def test_a_small_file_that_unpacks_to_a_great_deal_is_refused(cprof, tmp_path):
    path = tmp_path / "bomb.pb.gz"
    path.write_bytes(gzip.compress(bytes(80 << 20), 9))
    one_line(cprof("top", path), 1, "unpacks to more than 67108864 bytes")


def test_unwritable_outputs_get_one_line_and_exit_1(cprof, small, tmp_path):
    one_line(cprof("convert", small, tmp_path / "no" / "out.html"), 1, "No such file")
    (tmp_path / "folder.html").mkdir()
    one_line(cprof("flame", small, "-o", tmp_path / "folder.html"), 1, "folder.html")
    with open("/dev/full", "w") as full:
        done = cprof("top", small, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 1 and "standard output" in done.stderr


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["top"], ["top", "--nonsense", "x"], ["top", "-n", "0", "x"], ["top", "-n", "-1", "x"],
    ["top", "-n", "1x", "x"], ["top", "--by", "colour", "x"], ["top", "--span", "12", "x"],
    ["top", "--trace", "z" * 32, "x"], ["top", "--label", "novalue", "x"], ["top", "--label", "=v", "x"],
    ["flame", "x"], ["flame", "x", "-o", "x.txt"], ["flame", "-o", "x.html"],
    ["flame", "x", "-o", "x.html", "--source-url", "javascript:alert(1)//{file}"],
    ["flame", "x", "-o", "x.html", "--source-url", "https://example.com/"],
    ["convert", "x"], ["convert", "x", "y", "z"], ["convert", "x", "x.unknown"],
    ["spans"], ["spans", "-n", "0", "x"], ["top", "--by", "span", "x"], ["merge", "x"], ["merge", "-o", "x.otlp"], ["merge", "x", "-o", "x.unknown"],
    ["run"], ["run", "--rate", "0", "true"], ["run", "--rate", "1001", "true"], ["run", "--types", "cpu,no", "true"],
    ["run", "--types", "", "true"], ["run", "-o", "x.unknown", "true"],
])
def test_wrong_usage_gets_one_line_and_exit_2(cprof, arguments):
    one_line(cprof(*arguments), 2)


@pytest.mark.parametrize("command", ["run", "top", "flame", "convert", "merge", "diff", "spans", "completion"])
def test_help_has_an_example(cprof, command):
    done = cprof(command, "--help")
    assert done.returncode == 0 and f"Example:\n  cprof {command} " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 96
    assert f"  {command} " in cprof("--help").stdout
    assert re.fullmatch(r"cprof \d+\.\d+\.\d+\n", cprof("--version").stdout)
