"""diff: exact numbers, the statistics recomputed here, go tool pprof's opinion, and the page."""

import json
import math
import re
import shutil
import subprocess

import pytest

import profiles
from browser import Browser, why_not
from test_read import on_terminal, one_line


@pytest.fixture
def grown(tmp_path):
    return profiles.grown(tmp_path / "grown.pb.gz")


def diff(cprof, *arguments, code=0):
    done = cprof("diff", "--json", *arguments)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def by_name(report):
    return {row["name"]: row for row in report["rows"]}


def percent(z):
    return math.erf(abs(z) / math.sqrt(2))


def rate_z(base, new, ratio):
    return 2 * (math.sqrt(new + 3 / 8) - math.sqrt(ratio * (base + 3 / 8))) / math.sqrt(1 + ratio)


def share_z(base, base_all, new, new_all):
    angle = lambda count, of: math.asin(math.sqrt((count + 3 / 8) / (of + 3 / 4)))
    return (angle(new, new_all) - angle(base, base_all)) / math.sqrt(
        1 / (4 * new_all + 2) + 1 / (4 * base_all + 2))


# --- the numbers ---

def test_diff_prints_the_table_that_people_see(cprof, small, grown):
    done = cprof("diff", "small.pb.gz", "grown.pb.gz", cwd=small.rsplit("/", 1)[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "base  small.pb.gz · shop · 1.00 s of CPU in 10.0 s · 100 samples at 100 Hz · 2 threads\n"
        "new   grown.pb.gz · shop · 2.50 s of CPU in 20.0 s · 250 samples at 100 Hz · 2 threads\n"
        "self CPU time per second of wall time; ~ is within sampling noise\n"
        "\n"
        "       base       new     delta  of base  confidence   function\n"
        "~    100 ms    125 ms  +25.0 ms   +25.0%       94.3%   everything\n"
        "    30.0 ms   65.0 ms  +35.0 ms   +35.0%      >99.9%   crc32       libz.so.1\n"
        "    40.0 ms   10.0 ms  -30.0 ms   -30.0%      >99.9%   parse       shop/worker.py:30\n"
        "        0 s   19.0 ms  +19.0 ms   +19.0%      >99.9%   validate    shop/worker.py:50\n"
        "~   20.0 ms   22.0 ms  +2.00 ms    +2.0%       25.1%   work        shop/main.py:20\n"
        "~   10.0 ms   9.00 ms  -1.00 ms    -1.0%       24.3%   main        shop/main.py:10\n")


def test_per_second_both_sides_are_divided_by_their_wall_time(cprof, small, grown):
    report = diff(cprof, small, grown)
    assert report["normalized"] == "per second" and report["value"] == "self"
    assert (report["base"]["duration_ns"], report["new"]["duration_ns"]) == (10 * 10**9, 20 * 10**9)
    counts = {"crc32": (30, 130), "parse": (40, 20), "validate": (0, 38), "work": (20, 44), "main": (10, 18)}
    rows = by_name(report)
    assert set(rows) == set(counts)
    for name, (base, new) in counts.items():
        row = rows[name]
        assert (row["base_samples"], row["new_samples"]) == (base, new)
        assert (row["base"], row["new"]) == (base * 10**7, new * 10**7)
        assert row["base_normalized"] == base * 10**6 and row["new_normalized"] == new * 5 * 10**5
        assert row["delta"] == new * 5 * 10**5 - base * 10**6
        assert row["delta_of_base_total"] == pytest.approx(row["delta"] / 10**8)
        assert row["z"] == pytest.approx(rate_z(base, new, 2), rel=1e-6)
        assert row["confidence"] == pytest.approx(percent(row["z"]), rel=1e-6)
        assert row["stands_out"] == (row["confidence"] >= 0.999)
    weights = [abs(row["delta"]) * row["confidence"] for row in report["rows"]]
    assert weights == sorted(weights, reverse=True)
    assert report["total"]["z"] == pytest.approx(rate_z(100, 250, 2), rel=1e-6)


def test_without_a_duration_shares_of_the_totals_are_compared(cprof, small, tmp_path):
    grown = profiles.grown(tmp_path / "timeless.pb.gz", duration=0)
    report = diff(cprof, small, grown)
    assert report == {**diff(cprof, small, grown, "--normalize", "total")}
    assert report["normalized"] == "by total"
    counts = {"crc32": (30, 130), "parse": (40, 20), "validate": (0, 38), "work": (20, 44), "main": (10, 18)}
    for name, (base, new) in counts.items():
        row = by_name(report)[name]
        assert row["delta"] == pytest.approx(new / 250 - base / 100)
        assert row["z"] == pytest.approx(share_z(base, 100, new, 250), rel=1e-6)
    lines = cprof("diff", small, grown).stdout.splitlines()
    assert lines[2] == "self CPU time as a share of each side's total; ~ is within sampling noise"
    assert [re.split(r"  +", line.strip()) for line in lines[4:7]] == [
        ["base", "new", "delta", "confidence", "function"],
        ["40.0%", "8.0%", "-32.0%", ">99.9%", "parse", "shop/worker.py:30"],
        ["30.0%", "52.0%", "+22.0%", ">99.9%", "crc32", "libz.so.1"]]


def test_a_profile_does_not_differ_from_itself(cprof, small):
    report = diff(cprof, "--fail-over", "0", small, small)
    assert {(row["delta"], row["z"], row["stands_out"]) for row in report["rows"]} == {(0, 0, False)}


def test_sampling_more_often_is_no_change(cprof, tmp_path):
    """The same program at 100 and at 1000 samples a second."""
    slow = profiles.ProfileFile().add([profiles.MAIN], 60).add([profiles.PARSE], 40).write(tmp_path / "slow.pb.gz")
    fast = profiles.ProfileFile(types=(("samples", "count", 1), ("cpu", "nanoseconds", 1_000_000)))
    fast = fast.add([profiles.MAIN], 604).add([profiles.PARSE], 396).write(tmp_path / "fast.pb.gz")
    report = diff(cprof, slow, fast)
    for row in report["rows"]:
        assert abs(row["delta_of_base_total"]) < 0.01 and row["confidence"] < 0.2 and not row["stands_out"]


def test_equal_programs_rarely_stand_out_and_real_changes_do(cprof, tmp_path):
    """1,000 functions drawn twice from the same distribution, and one that really grew."""
    import random
    random.seed(11)

    def draw(path, extra):
        profile = profiles.ProfileFile()
        for i in range(1000):
            mean = 2 + i % 40
            count = sum(random.random() < 1 / 50 for _ in range(50 * mean))
            if count:
                profile.add([profiles.python(f"f{i}", "f.py", 1)], count)
        return profile.add([profiles.python("grew", "f.py", 1)], extra).write(path)

    report = diff(cprof, "-n", "9999", draw(tmp_path / "a.pb.gz", 100), draw(tmp_path / "b.pb.gz", 200))
    standing = [row["name"] for row in report["rows"] if row["stands_out"]]
    assert "grew" in standing and len(standing) <= 6  # 1 in 1,000 by chance is expected


FAST = (("samples", "count", 1), ("cpu", "nanoseconds", 1_000_000))


def drawn(path, random, weight, grown=1):
    """60 functions as a timer of 1,000 a second sees them where the kernel looks at it less often: each
    signal stands for `weight` samples."""
    counts = []
    for i in range(60):
        mean = 3 + i * i / 6
        signals = sum(random.random() < mean / 2000 for _ in range(2000))
        counts.append(weight * (round(signals * grown) if i == 50 else signals))
    overruns = sum(counts) * (weight - 1) // weight
    profile = profiles.ProfileFile(types=FAST, metrics={"samples": sum(counts), "timer_overruns": overruns})
    for i, count in enumerate(counts):
        if count:
            profile.add([profiles.python(f"f{i}", "f.py", 1)], count)
    return profile.write(path)


@pytest.mark.parametrize("how", ["second", "total"])
def test_samples_of_one_signal_are_one_observation(cprof, tmp_path, how):
    """Of two equal runs nothing stands out, whatever a sample weighs, and what really grew does."""
    import random
    random.seed(5)
    for weight in (1, 4, 10):
        standing, grew = 0, 0
        for _ in range(12):
            files = [drawn(tmp_path / f"{i}.pb.gz", random, weight) for i in (0, 1)]
            report = diff(cprof, "-n", "99", "--normalize", how, *files)
            standing += sum(row["stands_out"] for row in report["rows"])
            assert report["base"]["samples_per_observation"] == pytest.approx(weight, rel=0.001)
            files[1] = drawn(tmp_path / "2.pb.gz", random, weight, grown=1.5)
            grew += by_name(diff(cprof, "-n", "99", "--normalize", how, *files))["f50"]["stands_out"]
        assert standing <= 4, f"{standing} of 720 rows without a change, with a weight of {weight}"
        assert grew >= 11, weight


def test_what_clocks_tell_of_threads_without_signals_makes_no_signal_lighter(cprof, tmp_path):
    metrics = {"samples": 1000, "samples_blocked": 600, "samples_dropped": 100, "timer_overruns": 375}
    file = profiles.ProfileFile(metrics=metrics).add([profiles.MAIN], 1000).write(tmp_path / "blocked.pb.gz")
    assert diff(cprof, file, file)["base"]["samples_per_observation"] == 4


def test_runs_of_unlike_weights_are_compared_each_by_its_own(cprof, tmp_path):
    import random
    random.seed(6)
    standing = 0
    for _ in range(12):
        files = [drawn(tmp_path / f"{weight}.pb.gz", random, weight) for weight in (1, 4)]
        report = diff(cprof, "-n", "99", "--normalize", "total", *files)
        standing += sum(row["stands_out"] for row in report["rows"])
        row = by_name(report)["f40"]
        base, new = row["base_samples"], row["new_samples"] / 4
        assert row["z"] == 0 or row["z"] == pytest.approx(share_z(
            base, report["total"]["base_samples"], new, report["total"]["new_samples"] / 4), rel=1e-6)
    assert standing <= 4


HEAP = (("inuse_objects", "count", 512), ("inuse_space", "bytes", 524288))


def test_levels_are_compared_as_they_stand(cprof, tmp_path):
    """Memory in use is what it is, however long was looked."""
    def heap(path, duration, *counts):
        profile = profiles.ProfileFile(types=HEAP, duration=duration)
        for name, count in zip(("cache", "index", "leak"), counts):
            profile.add([profiles.python(name, "a.py", 1)], count)
        return profile.write(path)

    for durations in ((10, 30), (0, 0), (0, 5)):
        files = [heap(tmp_path / "old.pb.gz", durations[0], 100, 40, 4),
                 heap(tmp_path / "new.pb.gz", durations[1], 100, 41, 84)]
        report = diff(cprof, *files)
        rows = by_name(report)
        assert report["normalized"] == "no" and "cache" in rows
        assert [rows[name]["delta"] for name in ("cache", "index", "leak")] == [0, 524288, 80 * 524288]
        assert [row["name"] for row in report["rows"] if row["stands_out"]] == ["leak"]
        objects = by_name(diff(cprof, "--type", "inuse_objects", *files))
        for name, row in rows.items():
            assert row["new_samples"] == objects[name]["new_samples"] == row["new"] // 524288
            assert objects[name]["z"] == pytest.approx(row["z"])
        table = cprof("diff", *files).stdout
        assert "self inuse_space as it stands" in table and "+40.0 MiB" in table


def test_counts_that_tell_no_time_are_compared_as_they_stand_and_time_by_its_shares(cprof, tmp_path):
    def made(type, unit, path, *counts):
        profile = profiles.ProfileFile(types=((type, unit, 1),), duration=0)
        for name, count in zip("ab", counts):
            profile.add([profiles.python(name, "a.py", 1)], count)
        return profile.write(path)

    for type, unit, how in (("alloc_space", "bytes", "no"), ("contentions", "count", "no"),
                            ("cpu", "nanoseconds", "by total"), ("samples", "count", "by total")):
        files = made(type, unit, tmp_path / "a.pb.gz", 100, 50), made(type, unit, tmp_path / "b.pb.gz", 100, 90)
        assert diff(cprof, *files)["normalized"] == how
        assert diff(cprof, "--normalize", "none", *files)["normalized"] == "no"


def test_a_fifth_more_of_a_hot_function_is_found_and_that_of_a_rare_one_is_noise(cprof, tmp_path):
    import random
    random.seed(3)

    def draw(path, growth):
        profile = profiles.ProfileFile(duration=300)
        for i in range(40):
            mean = 1500 if i == 7 else 10 if i == 8 else 30 * i
            grown = mean * (growth if i in (7, 8) else 1)
            count = round(random.gauss(grown, grown ** 0.5)) if grown else 0
            if count > 0:
                profile.add([profiles.python(f"f{i}", "f.py", 1)], count)
        return profile.write(path)

    found = {7: 0, 8: 0, "others": 0}
    for i in range(20):
        rows = by_name(diff(cprof, "-n", "99", draw(tmp_path / f"{i}a.pb.gz", 1), draw(tmp_path / f"{i}b.pb.gz", 1.2)))
        found[7] += rows["f7"]["stands_out"]
        found[8] += rows["f8"]["stands_out"]
        found["others"] += sum(row["stands_out"] for row in rows.values()) - rows["f7"]["stands_out"] - rows["f8"]["stands_out"]
    # √2 standard deviations of 1,500 are 55, and 300 more than five of them; 20 times 37 rows without a
    # change have 0.7 above the limit on average.
    assert found[7] == 20 and found[8] <= 1 and found["others"] <= 4


def test_total_counts_callees_and_recursion_once(cprof, small, grown):
    rows = by_name(diff(cprof, "--cum", small, grown))
    assert {name: (row["base_samples"], row["new_samples"]) for name, row in rows.items()} == {
        "main": (60, 192), "work": (50, 174), "crc32": (30, 130), "Worker.run": (40, 58), "parse": (40, 20),
        "validate": (0, 38)}


@pytest.mark.parametrize("by, expected", [
    ("line", {("parse", 31): (40, 20), ("crc32", 0): (30, 130), ("work", 24): (20, 44), ("main", 12): (10, 18),
              ("validate", 52): (0, 38)}),
    ("file", {"/app/shop/worker.py": (40, 58), "[no file]": (30, 130), "/app/shop/main.py": (30, 62)}),
    ("module", {"/app/shop/worker.py": (40, 58), "/usr/lib/libz.so.1": (30, 130), "/app/shop/main.py": (30, 62)}),
    ("type", {"cpython": (70, 120), "native": (30, 130)}),
    ("thread", {"MainThread": (60, 192), "worker-1": (40, 58)}),
    ("stack", {"main;work;crc32": (30, 130), "main;work;work": (20, 44), "main": (10, 18),
               "Worker.run;parse": (40, 20), "Worker.run;validate": (0, 38)}),
])
def test_diff_by_line_file_module_type_thread_and_stack(cprof, small, grown, by, expected):
    report = diff(cprof, "--by", by, small, grown)
    name = (lambda row: (row["name"], row["line"])) if by == "line" else (lambda row: row["name"])
    assert {name(row): (row["base_samples"], row["new_samples"]) for row in report["rows"]} == expected


@pytest.mark.parametrize("arguments, expected", [
    (["--thread", "worker-1"], (40, 58)), (["--label", "endpoint=/cart"], (20, 44)),
    (["--span", profiles.SPAN], (40, 20)), (["--trace", profiles.TRACE], (40, 20)),
    (["--base-label", "thread.name=worker-1"], (40, 250)),
    (["--new-label", "endpoint=/cart", "--thread", "MainThread"], (60, 44)),
    (["--label", "thread.name=MainThread", "--new-label", "thread.name=worker-1"], (60, 58)),
])
def test_selections_narrow_both_sides_or_one(cprof, small, grown, arguments, expected):
    total = diff(cprof, *arguments, small, grown)["total"]
    assert (total["base_samples"], total["new_samples"]) == expected


def test_the_type_is_the_new_sides_default_or_chosen(cprof, small, grown):
    report = diff(cprof, "--type", "samples", small, grown)
    assert (report["type"], report["unit"]) == ("samples", "count")
    assert by_name(report)["parse"]["new_normalized"] == 1.0
    line = next(line for line in cprof("diff", "--type", "samples", small, grown).stdout.splitlines()
                if " crc32 " in line)
    assert line.split()[:4] == ["3.00", "6.50", "+3.50", "+35.0%"]


def test_other_formats_and_standard_input_are_compared(cprof, small, grown, tmp_path):
    folded = {}
    for path in (small, grown):
        folded[path] = path.replace(".pb.gz", ".collapsed")
        assert cprof("convert", path, folded[path]).returncode == 0
    report = diff(cprof, folded[small], folded[grown])
    assert report["normalized"] == "by total"
    assert by_name(report)["crc32"]["z"] == pytest.approx(share_z(30, 100, 130, 250), rel=1e-6)
    with open(small, "rb") as file:
        done = cprof("diff", "--json", "-", grown, stdin=file)
    assert json.loads(done.stdout)["rows"] == diff(cprof, small, grown)["rows"]


def test_a_value_without_a_number_of_samples_counts_its_periods(cprof, small, grown, tmp_path):
    """OTLP has one value per profile."""
    otlp = {}
    for path in (small, grown):
        otlp[path] = path.replace(".pb.gz", ".otlp")
        assert cprof("convert", path, otlp[path]).returncode == 0
    rows = by_name(diff(cprof, otlp[small], otlp[grown]))
    assert (rows["crc32"]["base_samples"], rows["crc32"]["new_samples"]) == (30, 130)


# --- for scripts ---

@pytest.mark.parametrize("arguments, code", [
    (["--fail-over", "34.9"], 3), (["--fail-over", "35.1"], 0),   # crc32: +35 % of 100 ms/s
    (["--fail-over", "0", "--thread", "worker-1"], 3),             # validate
    (["--fail-over", "21.9", "--normalize", "total"], 3), (["--fail-over", "22.1", "--normalize", "total"], 0),
    (["--fail-over", "37.1", "--cum"], 0), (["--fail-over", "36.9", "--cum"], 3),  # work: +37 %
    (["--fail-over", "0", "--label", "endpoint=/cart"], 0),        # noise
])
def test_fail_over_tells_what_grew(cprof, small, grown, arguments, code):
    done = cprof("diff", *arguments, small, grown)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (1 if code else 0)
    if code:
        assert re.fullmatch(r"cprof: \S+ grew by [0-9.]+% of BASE's total, more than [0-9.]+%\n", done.stderr)


def test_fail_over_sees_rows_that_are_not_printed(cprof, small, grown):
    done = cprof("diff", "--fail-over", "18", "--thread", "worker-1", "-n", "1", small, grown)
    assert done.returncode == 3 and "validate grew by 47.5%" in done.stderr


def test_a_shrunk_function_never_fails(cprof, small, grown):
    assert cprof("diff", "--fail-over", "0", "--span", profiles.SPAN, small, grown).returncode == 0


def test_a_table_fits_the_terminal_and_is_grey_where_noise_is(small, grown):
    for columns in (76, 80, 120):
        shown = on_terminal(["diff", small, grown], columns)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert max(map(len, plain.splitlines()[4:])) <= columns
    lines = shown.splitlines()
    assert any(line.startswith("\x1b[31m ") and "crc32" in line for line in lines)
    assert any(line.startswith("\x1b[32m ") and "parse" in line for line in lines)
    assert any(line.startswith("\x1b[2m~") and "\x1b[2mmain" in line for line in lines)
    assert "\x1b" not in on_terminal(["diff", small, grown], 80, NO_COLOR="1")


def test_names_cannot_talk_to_the_terminal(cprof, small, tmp_path):
    path = profiles.ProfileFile().add([profiles.Frame("\x1b[2Jevil")], 500).write(tmp_path / "evil.pb.gz")
    done = cprof("diff", "--fail-over", "1", small, path)
    assert done.returncode == 3 and "\x1b" not in done.stdout + done.stderr and "[2Jevil grew" in done.stderr


# --- what goes wrong ---

def test_what_cannot_be_compared_gets_one_line_and_exit_1(cprof, small, grown, tmp_path):
    empty = profiles.ProfileFile().write(tmp_path / "empty.pb.gz")
    timeless = profiles.grown(tmp_path / "timeless.pb.gz", duration=0)
    one_line(cprof("diff", small, tmp_path / "missing.pb.gz"), 1, "missing.pb.gz", "No such file")
    one_line(cprof("diff", empty, small), 1, "empty.pb.gz", "no samples that match")
    one_line(cprof("diff", small, empty), 1, "empty.pb.gz", "no samples that match")
    done = cprof("diff", "--new-label", "k=v", small, grown)
    told = done.stderr.splitlines()
    assert done.returncode == 1 and len(told) == 2 and "no sample has a label k, only: " in told[0]
    assert "grown.pb.gz: no samples that match" in told[1]
    one_line(cprof("diff", "--normalize", "second", small, timeless), 1, "timeless.pb.gz", "how long")
    one_line(cprof("diff", "--type", "heap", small, grown), 1, "heap", "samples, cpu")
    (tmp_path / "other.collapsed").write_text("a;b 5\n")
    one_line(cprof("diff", tmp_path / "other.collapsed", small), 1, "other.collapsed", "cpu")
    (tmp_path / "noise.pb.gz").write_bytes(b"\x1f\x8b\x08noise" * 9)
    one_line(cprof("diff", small, tmp_path / "noise.pb.gz"), 1, "noise.pb.gz")
    zero = profiles.ProfileFile().add([profiles.MAIN], 0).write(tmp_path / "zero.pb.gz")
    one_line(cprof("diff", zero, small), 1, "total is 0")


def test_numbers_at_the_ends_stay_numbers(cprof, small, tmp_path):
    huge = profiles.ProfileFile(types=(("samples", "count", 1), ("cpu", "nanoseconds", 2 ** 60)))
    huge.add([profiles.MAIN], 7).add([profiles.PARSE], 1)
    negative = profiles.ProfileFile().add([profiles.MAIN], -5).add([profiles.PARSE], 50)
    for other in (huge.write(tmp_path / "huge.pb.gz"), negative.write(tmp_path / "negative.pb.gz")):
        for files in ((small, other), (other, small)):
            for how in ("second", "total"):
                report = diff(cprof, "--normalize", how, *files)
                for row in report["rows"]:
                    assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))
                assert cprof("diff", "--normalize", how, *files).returncode == 0


@pytest.mark.parametrize("arguments", [
    [], ["x"], ["x", "y", "z"], ["-", "-"], ["--fail-over", "x", "x", "y"], ["--fail-over", "-1", "x", "y"],
    ["--fail-over", "nan", "x", "y"], ["--fail-over", "5%", "x", "y"], ["--normalize", "x", "x", "y"],
    ["--by", "span", "x", "y"], ["--base-label", "x", "x", "y"], ["-n", "0", "x", "y"], ["-o", "x.txt", "x", "y"],
    ["--nonsense", "x", "y"],
])
def test_wrong_usage_gets_one_line_and_exit_2(cprof, arguments):
    one_line(cprof("diff", *arguments), 2)


# --- others ---

def pprof_flat(*arguments):
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not go:
        pytest.skip("no go on this machine")
    done = subprocess.run([go, "tool", "pprof", "-top", "-filefunctions", "-unit=ns", "-nodefraction=0", *arguments],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^\s*(-?\d+)(?:ns)?\s+\S+%\s+\S+%\s+(-?\d+)(?:ns)?\s+\S+%\s+(\S+)", done.stdout, re.M)
    return {name: (int(flat), int(cum)) for flat, cum, name in found}


def test_go_tool_pprof_agrees_about_the_differences(cprof, small, tmp_path):
    """Of profiles that took equally long, -diff_base has the same differences times that."""
    grown = profiles.grown(tmp_path / "same.pb.gz", duration=10)
    theirs = pprof_flat(f"-diff_base={small}", grown)
    flat, cum = by_name(diff(cprof, small, grown)), by_name(diff(cprof, "--cum", small, grown))
    assert set(theirs) == set(cum)
    for name, (their_flat, their_cum) in theirs.items():
        assert round(10 * flat[name]["delta"] if name in flat else 0) == their_flat
        assert round(10 * cum[name]["delta"]) == their_cum


def test_go_tool_pprof_agrees_about_normalised_differences(cprof, small, grown):
    """-normalize scales the new profile to the base's total."""
    theirs = pprof_flat("-normalize", f"-diff_base={small}", grown)
    ours = by_name(diff(cprof, "--normalize", "total", small, grown))
    for name, (flat, _) in theirs.items():
        assert flat == pytest.approx(ours[name]["delta"] * 10**9 if name in ours else 0, abs=2)


# --- the page ---

@pytest.fixture(scope="module")
def browser():
    if why_not():
        pytest.skip(why_not())
    with Browser() as started:
        yield started


@pytest.fixture
def page(browser, cprof, small, grown, tmp_path):
    def show(*arguments):
        assert cprof("diff", *arguments, small, grown, "-o", tmp_path / "diff.html").returncode == 0
        browser.log()
        browser.open(tmp_path / "diff.html")
        return browser
    return show


CHANGE = """
    const {graph, model} = window.page;
    let box = model.root;
    for (const name of arguments[0])
        box = model.children(box).find((each) => graph.label(each) === name);
    const canvas = document.getElementById('canvas').getBoundingClientRect();
    const scale = graph.width / graph.span;
    const at = (box.x + box.size / 2 - graph.left) * scale, row = 4 + box.depth * 20;
    const ratio = devicePixelRatio;
    const [red, green, blue] = document.getElementById('canvas').getContext('2d').getImageData(
        Math.round(((box.x + box.size - graph.left) * scale - 4) * ratio), Math.round((row + 3) * ratio), 1, 1).data;
    return {...model.changeOf(box), width: box.size * scale / graph.width, x: canvas.x + at, y: canvas.y + row + 10,
            tint: red - blue > 25 ? 'orange' : blue - red > 25 ? 'blue' : 'grey'};
"""


def change(page, *path):
    return page.run(CHANGE, list(path))


def quiet(page):
    assert page.alert() is None
    assert [entry for entry in page.log() if entry["level"] in ("SEVERE", "WARNING")
            and "getImageData" not in entry["message"]] == []  # this test's own way to see colours


def test_widths_are_both_sides_together_and_colours_the_changes(page):
    opened = page()
    seen = {path: change(opened, *path) for path in [
        ("main",), ("main", "work", "crc32"), ("main", "work", "work"), ("Worker.run",), ("Worker.run", "parse"),
        ("Worker.run", "validate")]}
    assert {path[-1]: (round(box["width"], 3), box["tint"]) for path, box in seen.items()} == {
        "main": (0.693, "orange"), "crc32": (0.422, "orange"), "work": (0.187, "grey"), "Worker.run": (0.307, "grey"),
        "parse": (0.222, "blue"), "validate": (0.084, "orange")}
    assert opened.run("return [...document.querySelectorAll('#legend li')].map((each) => each.textContent)") == [
        "grew", "shrank", "within sampling noise"]
    quiet(opened)


def test_the_tooltip_has_base_new_delta_and_confidence(page):
    opened = page()
    place = change(opened, "main", "work", "crc32")
    opened.pointer(place["x"], place["y"])
    tip = """const terms = [...document.querySelectorAll('#tip dt')];
             return terms.map((term) => [term.textContent, term.nextSibling.textContent]);"""
    assert dict(opened.run(tip)) == {
        "base": "30.0 ms/s", "new": "65.0 ms/s", "delta": "+35.0 ms · +35.0%", "confidence": ">99.9%",
        "module": "/usr/lib/libz.so.1", "kind": "native"}
    place = change(opened, "main", "work", "work")
    opened.pointer(place["x"], place["y"])
    assert dict(opened.run(tip))["confidence"] == "25.1%, within sampling noise"


@pytest.mark.parametrize("how", ["second", "total", "none"])
def test_the_page_knows_observations_from_samples_as_the_command_does(browser, cprof, tmp_path, how):
    import random
    random.seed(8)
    files = [drawn(tmp_path / f"{weight}.pb.gz", random, weight) for weight in (1, 4)]
    rows = diff(cprof, "-n", "99", "--normalize", how, *files, "-o", tmp_path / "diff.html")["rows"]
    browser.open(tmp_path / "diff.html")
    theirs = dict(browser.run("""
        const {model} = window.page, {grouping} = model;
        return window.page.table.keys.map((key) => [grouping.name(key), model.changeOfKey(key)]);"""))
    for row in rows:
        assert theirs[row["name"]]["confidence"] == pytest.approx(row["confidence"], abs=1e-6)
        assert theirs[row["name"]]["delta"] == pytest.approx(row["delta"])


@pytest.mark.parametrize("arguments", [[], ["--normalize", "total"]])
def test_the_pages_table_has_the_commands_numbers(page, cprof, small, grown, arguments):
    opened = page(*arguments)
    for inverted in (False, True):
        shown = opened.run("""
            const {model} = window.page, {grouping} = model;
            return window.page.table.keys.map((key) => ({name: grouping.name(key), ...model.changeOfKey(key)}));""")
        rows = diff(cprof, *arguments, small, grown)["rows"]
        assert [row["name"] for row in shown][:len(rows)] == [row["name"] for row in rows]
        for theirs, ours in zip(shown, rows):
            assert theirs["delta"] == pytest.approx(ours["delta"])
            assert theirs["share"] == pytest.approx(ours["delta_of_base_total"])
            assert theirs["confidence"] == pytest.approx(ours["confidence"], abs=1e-6)
            assert (theirs["direction"] != "noise") == ours["stands_out"]
        opened.click("inverted")
    assert opened.text("title") == "shop"
    assert opened.text("summary") == (
        "small.pb.gz → grown.pb.gz · CPU time as a share of each side's total" if arguments else
        "small.pb.gz → grown.pb.gz · 100 ms/s → 125 ms/s (+25.0%) · CPU time per second of wall time")


def test_the_table_has_a_column_of_the_base_and_sorts_by_any(page):
    opened = page()
    rows = """return [...document.querySelectorAll('#rows tr[data-key]')].map((row) =>
        [row.querySelector('.kind').textContent, ...[0, 1, 2].map((i) => row.cells[i].textContent)])"""
    assert opened.run("return [...document.querySelectorAll('thead button')].map((each) => each.textContent)") == [
        "Base", "New", "Change", "Function"]
    assert opened.run(rows)[:3] == [["crc32", "30.0 ms/s", "65.0 ms/s", "+35.0 ms+35.0%"],
                                    ["parse", "40.0 ms/s", "10.0 ms/s", "-30.0 ms-30.0%"],
                                    ["validate", "0 s/s", "19.0 ms/s", "+19.0 ms+19.0%"]]
    for column, first in (("base", "parse"), ("new", "crc32")):
        opened.run("document.querySelector(`[data-sort=${arguments[0]}]`).click()", column)
        assert opened.run(rows)[0][0] == first
    quiet(opened)


def test_functions_are_seen_beside_their_numbers_on_a_phone(page):
    opened = page()
    opened.devtools("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    opened.run("$('table-toggle').getAttribute('aria-pressed') === 'true' || $('table-toggle').click()")
    opened.settle()
    left = opened.run("return document.querySelector('#rows td.name').getBoundingClientRect().left")
    opened.devtools("Emulation.clearDeviceMetricsOverride")
    assert left + 80 <= 390


def test_base_and_new_stand_side_by_side(page):
    opened = page()
    opened.click("beside")
    told = """const {page: {graph, beside}} = window;
        return [graph, beside.graph].map((each) => [each.label(each.model.root),
            ...each.rows.slice(1).map((row) => row.map((box) => [each.label(box), each.look(box).width / each.width]))])"""
    base, new = opened.run(told)
    assert (base[0], new[0]) == ("base: small.pb.gz", "new: grown.pb.gz")
    widths = [{name: round(width, 3) for row in side[1:] for name, width in row} for side in (base, new)]
    assert widths[0] == {"main": 0.6, "Worker.run": 0.4, "work": 0.2, "parse": 0.4, "crc32": 0.3}
    assert widths[1] == {"main": 0.768, "Worker.run": 0.232, "work": 0.176, "parse": 0.08, "crc32": 0.52,
                         "validate": 0.152}
    assert opened.run("return location.hash") == "#beside=1"
    # What is asked of one is asked of both, and both zoom to the same function.
    opened.run("const {graph, model} = window.page; graph.zoom(model.children(model.root)[0])")
    opened.type("search", "crc32")
    assert opened.run("""const {page: {graph, beside}} = window;
        return [graph, beside.graph].map((each) => [each.label(each.focus), each.matches().length])""") == [
        ["main", 1], ["main", 1]]
    opened.type("search", "")
    opened.keys("b")
    assert opened.run("return [window.page.beside.isOpen, window.page.graph.label(window.page.model.root)]") == [
        False, "all"]
    quiet(opened)


def test_widths_can_be_the_bases_and_callers_are_compared_too(page):
    opened = page()
    opened.run("""const select = document.getElementById('column'); select.value = '1';
                  select.dispatchEvent(new Event('change'));""")
    opened.settle()
    assert round(change(opened, "Worker.run", "parse")["width"], 3) == 0.4
    assert change(opened, "Worker.run", "validate")["width"] == 0
    opened.click("inverted")
    crc = change(opened, "crc32", "work")
    assert (crc["base"], crc["now"]) == (pytest.approx(30e6), pytest.approx(65e6))
    assert change(opened, "validate", "Worker.run")["now"] == pytest.approx(19e6)
    quiet(opened)


def test_filters_and_search_work_on_comparisons(page, cprof, small, grown):
    opened = page()
    opened.click("filter")
    opened.run("""[...document.querySelectorAll('#filters label')].find(
        (each) => each.textContent.startsWith('worker-1')).querySelector('input').click();""")
    opened.settle()
    narrowed = by_name(diff(cprof, "--thread", "worker-1", small, grown))
    for name in ("parse", "validate"):
        shown = change(opened, "Worker.run", name)
        assert shown["delta"] == pytest.approx(narrowed[name]["delta"])
        assert shown["share"] == pytest.approx(narrowed[name]["delta_of_base_total"])
    opened.type("search", "validate")
    assert opened.text("matches").startswith("1 · ")
    quiet(opened)


def test_names_never_become_markup_or_code(browser, cprof, tmp_path):
    evil = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>"
    sides = []
    for i, count in enumerate((10, 90)):
        profile = profiles.ProfileFile(service=evil).add([profiles.python(evil, evil, 1)], count)
        sides.append(profile.write(tmp_path / f"<script>alert({i})<.pb.gz"))
    assert cprof("diff", *sides, "-o", tmp_path / "evil.html").returncode == 0
    browser.log()
    browser.open(tmp_path / "evil.html")
    place = change(browser, evil)
    browser.pointer(place["x"], place["y"])
    assert browser.run("return document.querySelectorAll('img, [onerror]').length") == 0
    assert browser.run("return document.title") == f"{evil[:80]}… – cprof"
    quiet(browser)
