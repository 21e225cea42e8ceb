"""Values of every unit and size are written as people read them, and stand in columns."""

import re

import pytest

import profiles
from profiles import ProfileFile, python

A, B, C = (python(name, "/app/a.py", 2, 1) for name in ("a", "b", "c"))


def made(path, type, unit, amount, *counts):
    """One column of values: `counts` times the amount in a, b and c."""
    profile = ProfileFile(types=((type, unit, amount),))
    for frame, count in zip((A, B, C), counts):
        profile.add([frame], count)
    return profile.write(path)


def rows(done):
    """name → its cells, as they are parted by at least one blank."""
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[3:]
    return {line.split()[-2]: line.split()[:-2] for line in lines}


@pytest.mark.parametrize("unit, amount, shown", [
    ("nanoseconds", 1_500_000, "1.50 ms"), ("ns", 12, "12 ns"), ("microseconds", 1500, "1.50 ms"),
    ("us", 20_000_000, "20.0 s"), ("µs", 3, "3.00 µs"), ("milliseconds", 1500, "1.50 s"), ("ms", 7, "7.00 ms"),
    ("seconds", 90, "90.0 s"), ("s", 1, "1.00 s"), ("minutes", 2, "120 s"), ("bytes", 3 << 20, "3.00 MiB"),
    ("B", 17, "17 B"), ("kB", 2048, "2.00 MiB"), ("KiB", 1, "1.00 KiB"), ("megabytes", 5120, "5.00 GiB"),
    ("MB", 3, "3.00 MiB"), ("GiB", 2048, "2.00 TiB"), ("bytes", 1 << 60, "1.00 EiB"), ("count", 1234, "1,234"),
    ("count", 9_999_999, "9,999,999"), ("count", 12_345_678, "12.3 M"), ("count", 2_500_000_000, "2.50 G"),
    ("cycles", 123_456_789_012, "123 G"), ("objects", 5_000_000_000_000_000, "5.00 P"), ("", 42, "42"),
])
def test_a_value_is_scaled_whatever_its_unit_is_called(cprof, tmp_path, unit, amount, shown):
    cells = rows(cprof("top", made(tmp_path / "one.pb.gz", "work", unit, amount, 1)))["a"]
    self, total = " ".join(cells[:len(cells) // 2]), " ".join(cells[len(cells) // 2:])
    assert self == total == f"{shown} 100.0%"


def test_negative_values_stand_apart_and_the_largest_come_first(cprof, tmp_path):
    """As pprof's own differences have them. Shares are of what there is, more or less."""
    done = cprof("top", made(tmp_path / "difference.pb.gz", "cpu", "nanoseconds", 10 ** 7, 20, -70, -10))
    assert list(rows(done).items()) == [
        ("b", ["-700", "ms", "-70.0%", "-700", "ms", "-70.0%"]),
        ("a", ["200", "ms", "20.0%", "200", "ms", "20.0%"]),
        ("c", ["-100", "ms", "-10.0%", "-100", "ms", "-10.0%"])]
    assert done.stdout.startswith("difference.pb.gz · -600 ms of CPU in 10.0 s")


def test_columns_hold_the_longest_of_any_values(cprof, tmp_path):
    for unit in ("count", "nanoseconds", "hours", "gigabytes"):
        for most in (1, 1_234_567, 123_456_789, (1 << 63) - 1):
            file = made(tmp_path / "any.pb.gz", "work", unit, 1, most, -most, 3)
            lines = cprof("top", file).stdout.splitlines()[2:]
            assert len({re.search(r"\b(function|a|b|c)\b", line).start() for line in lines}) == 1, lines
            assert not any(re.search(r"[%\w]-|%\d", line) for line in lines), lines
            both = [made(tmp_path / f"{i}.pb.gz", "work", unit, 1, most // 2 + i, 3, 7) for i in (1, 2)]
            lines = cprof("diff", *both).stdout.splitlines()[4:]
            assert len({re.search(r"\b(function|everything|a|b|c)\b", line).start() for line in lines}) == 1, lines


@pytest.mark.parametrize("type, unit, amount, count, head", [
    ("samples", "count", 1, 1, "1 sample in 10.0 s"),
    ("samples", "count", 1, 2, "2 samples in 10.0 s"),
    ("alloc_objects", "count", 1, 1234, "1,234 alloc_objects in 10.0 s · 1 sample"),
    ("cycles", "cycles", 1, 1234, "1,234 cycles in 10.0 s · 1 sample"),
    ("work", "cycles", 1, 1234, "1,234 cycles of work in 10.0 s · 1 sample"),
    ("inuse_space", "bytes", 524288, 2, "1.00 MiB of inuse_space in 10.0 s · 1 sample every 512 KiB"),
    ("cpu", "nanoseconds", 10_000_000, 1, "10.0 ms of CPU in 10.0 s · 1 sample at 100 Hz"),
    ("cpu", "microseconds", 10_000, 1, "10.0 ms of CPU in 10.0 s · 1 sample at 100 Hz"),
    ("cpu", "nanoseconds", 1_000_000, 1, "1.00 ms of CPU in 10.0 s · 1 sample at 1000 Hz"),
    ("cpu", "nanoseconds", 50_000, 1, "50.0 µs of CPU in 10.0 s · 1 sample at 20 kHz"),
    ("cpu", "nanoseconds", 1, 1_000_000, "1.00 ms of CPU in 10.0 s · 1 sample"),
])
def test_the_line_above_says_what_there_is_and_how_often_one_looked(cprof, tmp_path, type, unit, amount, count,
                                                                  head):
    done = cprof("top", made(tmp_path / "one.pb.gz", type, unit, amount, count))
    assert done.stdout.splitlines()[0].split(" · ", 1)[1] == head


def test_types_and_units_of_a_hostile_file_do_not_talk_to_the_terminal(cprof, tmp_path):
    file = made(tmp_path / "hostile.pb.gz", "w\x1b[2Jork", "cyc\x1b]0;les\a", 1, 5)
    for command in (["top", file], ["top", "--by", "thread", file], ["diff", file, file]):
        done = cprof(*command)
        assert done.returncode == 0 and not set("\x1b\a") & set(done.stdout), done.stdout


def test_equal_totals_of_a_large_and_a_small_unit_read_the_same(cprof, tmp_path):
    tables = {cprof("top", made(tmp_path / "same.pb.gz", "cpu", unit, amount, 3, 2, 1)).stdout
              for unit, amount in (("nanoseconds", 10 ** 7), ("microseconds", 10 ** 4), ("milliseconds", 10))}
    assert len(tables) == 1


@pytest.mark.parametrize("type, coarse, fine, shown", [
    ("cpu", ("microseconds", 10_000), ("nanoseconds", 10_000_000), "120 ms of CPU in 10.0 s · 2 samples at 100 Hz"),
    ("cpu", ("seconds", 1), ("ms", 1000), "12.0 s of CPU in 10.0 s · 2 samples at 1 Hz"),
    ("alloc_space", ("kilobytes", 512), ("bytes", 524288), "6.00 MiB of alloc_space in 10.0 s · 2 samples every 512 KiB"),
    ("alloc_space", ("MiB", 1), ("kB", 1024), "12.0 MiB of alloc_space in 10.0 s · 2 samples every 1.00 MiB"),
])
@pytest.mark.parametrize("ending", [".pb.gz", ".otlp"])
def test_units_of_one_kind_add_up_when_merged(cprof, tmp_path, type, coarse, fine, shown, ending):
    """Whatever the order and the format, also of several files that one command reads."""
    files = []
    for i, (unit, amount) in enumerate((coarse, fine)):
        file = made(tmp_path / f"{i}.pb.gz", type, unit, amount, 4 + i, 1 - i, 1)
        files.append(str(tmp_path / f"{i}{ending}"))
        assert cprof("convert", file, files[i]).returncode == 0
    for order in (files, files[::-1]):
        merged = cprof("merge", *order, "-o", tmp_path / f"sum{ending}")
        assert merged.returncode == 0, merged.stderr
        for done in (cprof("top", tmp_path / f"sum{ending}"), cprof("top", *order)):
            head = done.stdout.splitlines()[0].removeprefix(f"sum{ending} · ")
            # pprof and OTLP merge samples of one stack; two files have each its own.
            assert re.sub(r"\d samples? ", "2 samples ", head) == shown
            assert "75.0%" in " ".join(rows(done)["a"])


def test_diff_compares_units_of_one_kind(cprof, tmp_path):
    base = made(tmp_path / "base.pb.gz", "cpu", "microseconds", 10_000, 20, 5)
    for unit, amount in (("milliseconds", 10), ("nanoseconds", 10_000_000)):
        new = made(tmp_path / "new.pb.gz", "cpu", unit, amount, 20, 50)
        lines = {line.split()[-2]: line for line in cprof("diff", base, new).stdout.splitlines()[5:]}
        assert "5.00 ms   50.0 ms  +45.0 ms" in lines["b"] and lines["a"].startswith("~")
        assert ">99.9%" in lines["b"], "samples are counted by the period, whatever its unit"
    done = cprof("diff", base, made(tmp_path / "new.pb.gz", "cpu", "bytes", 1, 20))
    assert done.returncode == 1 and "has cpu in microseconds, not in bytes" in done.stderr
