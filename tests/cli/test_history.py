"""History in the place of files: cprof query, and --store of top, flame and diff. The store is made by
hand, an interval a block, so that what each time holds is known."""

import json
import os
import time
import zlib

import pytest

from profiles import MAIN, PARSE, WORK, ProfileFile

# Wednesday, 2026-01-28, 12:00 UTC, is where the history begins; an interval a minute for two hours.
BEGIN = 1_769_601_600
MINUTES = 120


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")


def put(cprof, folder, profile, start, seconds, unique, key=7):
    """An interval as a file of the store."""
    source = profile.write(folder.parent / "interval.pb.gz")
    made = folder.parent / "interval.block"
    assert cprof("convert", source, made).returncode == 0
    content = made.read_bytes()
    name = (f"cprof-{key:016x}-{0:08x}-{int(start * 1e9):016x}-{int((start + seconds) * 1e9):016x}-{unique:016x}"
            f"-{1:08x}-{len(content):08x}-{zlib.crc32(content):08x}.block")
    (folder / name).write_bytes(content)
    return folder / name


def minute(number, service="shop"):
    """Number + 1 samples of work, ten of main; parse from the second hour on."""
    profile = ProfileFile(service=service, duration=60, start=int((BEGIN + 60 * number) * 1e9))
    profile.add([MAIN, WORK], number + 1, region="eu" if number % 2 else "us").add([MAIN], 10)
    if number >= 60:
        profile.add([MAIN, PARSE], 1000)
    return profile


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    import subprocess

    from conftest import COMMAND
    folder = tmp_path_factory.mktemp("history") / "store"
    folder.mkdir()

    def cprof(*arguments):
        return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True)

    for number in range(MINUTES):
        put(cprof, folder, minute(number), BEGIN + 60 * number, 60, number + 1)
    return folder


def totals(cprof, *arguments):
    done = cprof("top", "--json", "--value", "samples", *arguments)
    assert done.returncode == 0, done.stderr
    return {row["name"]: row["self"] for row in json.loads(done.stdout)["rows"]}


@pytest.mark.parametrize("arguments", [
    ("--from", "2026-01-28 12:30", "--to", "12:45"),
    ("--from", "2026-01-28 12:30", "--to", "+15m"),
    ("--to", "+15m", "--from", "2026-01-28 12:30"),
    ("--from", "2026-01-28 12:30..12:45"),
])
def test_an_end_is_seen_from_the_beginning(cprof, history, arguments):
    assert totals(cprof, "--store", history, *arguments)["work"] == work_of(range(30, 45))


@pytest.mark.parametrize("arguments, line", [
    (("--service", "shpo"), "holds no profiles of service shpo; it has those of shop"),
    (("--from", "2099-01-01"), "of that time, which is still to come; there are those from"),
    (("--to", "+15m"), "--to +15m is a time after --from, which is missing"),
    (("--from", "2026-01-28 12:30..12:45", "--to", "13:00"), "both say when it ends"),
])
def test_what_is_not_there_is_told_with_what_is(cprof, history, arguments, line):
    done = cprof("top", "--store", history, *arguments)
    assert done.returncode in (1, 2) and line in done.stderr and done.stderr.count("\n") == 1


def test_a_sum_of_services_says_so_and_counts_threads_by_process(cprof, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    for number, (service, pid) in enumerate((("shop", 1), ("shop", 2), ("mail", 3))):
        profile = ProfileFile(service=service, duration=3600, start=int(BEGIN * 1e9))
        profile.add([MAIN], 1, **{"thread.id": 7, "process.pid": pid})
        put(cprof, folder, profile, BEGIN, 3600, number + 1, key=number // 2 + 1)
    assert cprof("top", "--store", folder).stdout.startswith(
        "2 services · 30.0 ms of CPU in 1.00 h · 3 samples at 100 Hz · 3 threads\n")
    assert " · 2 threads\n" in cprof("top", "--store", folder, "--label", "service.name=shop").stdout


def work_of(minutes):
    return sum(number + 1 for number in minutes)


@pytest.mark.parametrize("start, end, minutes", [
    ("2026-01-28T12:00", "2026-01-28T14:00", range(120)),
    ("2026-01-28 12:30", "2026-01-28 12:45:00", range(30, 45)),
    ("2026-01-28T12:30:00Z", "2026-01-28T14:45+02:00", range(30, 45)),
    ("2026-01-28T05:30:00-07:00", "@1769604300", range(30, 45)),
    ("@1769603400.25", "2026-01-28t12:45", range(30, 45)),
])
def test_a_time_is_found_however_it_is_written(cprof, history, tmp_path, start, end, minutes):
    out = tmp_path / "out.pb.gz"
    done = cprof("query", history, "--from", start, "--to", end, "-o", out)
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"work": work_of(minutes), "main": 10 * len(minutes),
                "parse": 1000 * len([each for each in minutes if each >= 60])}
    assert totals(cprof, out) == {name: count for name, count in expected.items() if count}
    assert totals(cprof, "--store", history, "--from", start, "--to", end) == totals(cprof, out)


def test_without_times_it_is_all_that_there_is(cprof, history, tmp_path):
    out = tmp_path / "out.otlp"
    assert cprof("query", history, "-o", out).returncode == 0
    assert totals(cprof, out)["work"] == work_of(range(MINUTES))


def test_of_live_memory_each_process_counts_with_its_last(cprof, tmp_path):
    folder = tmp_path / "memory"
    folder.mkdir()
    # MiB by the minute; the third process ends after the first minute.
    for unique, (pid, minute, live) in enumerate([(1, 0, 10), (1, 1, 20), (1, 4, 30), (2, 0, 5), (2, 4, 6), (3, 0, 7)]):
        profile = ProfileFile(service="shop", duration=60, start=int((BEGIN + 60 * minute) * 1e9),
                              types=(("inuse_space", "bytes", 1 << 20),))
        profile.comments.append(f"process.pid={pid}")
        put(cprof, folder, profile.add([MAIN], live), BEGIN + 60 * minute, 60, unique + 1)

    def live(*arguments):
        return json.loads(cprof("top", "--json", *arguments).stdout)["total"] >> 20

    assert live("--store", folder) == 30 + 6
    assert live("--store", folder, "--to", "2026-01-28T12:02") == 20 + 5 + 7
    assert live("--store", folder, "--label", "process.pid=1") == 30
    assert cprof("query", folder, "--intervals", "-o", tmp_path / "out.pb.gz").returncode == 0
    assert live(tmp_path / "out.pb.gz") == 30 + 6


def test_ranges_that_meet_add_up(cprof, history):
    for cut in ("12:31", "12:31:17", "12:31:59"):
        day = "2026-01-28 "
        first = totals(cprof, "--store", history, "--from", day + "12:00", "--to", day + cut)
        second = totals(cprof, "--store", history, "--from", day + cut, "--to", day + "14:00")
        assert first["work"] + second["work"] == work_of(range(MINUTES))


def test_labels_narrow_history_as_they_do_files(cprof, history, tmp_path):
    out = tmp_path / "out.pb.gz"
    assert cprof("query", history, "--label", "region=eu", "--to", "2026-01-28 13:00", "-o",
                 out).returncode == 0
    assert totals(cprof, out) == {"work": work_of(range(1, 60, 2)), "main": 0}


def test_times_count_from_now_and_by_days(cprof, tmp_path):
    now = time.time()
    folder = tmp_path / "store"
    folder.mkdir()
    midnight = now - now % 86400
    times = {"-2h..-1h": now - 5400, "-30 min..now": now - 600, "yesterday": midnight - 3600,
             "yesterday 12:00..13:00": midnight - 86400 + 12.5 * 3600,
             f"{time.strftime('%A', time.gmtime(now - 2 * 86400))} 9:00..10:00": midnight - 2 * 86400 + 9.5 * 3600}
    for number, start in enumerate(times.values()):
        profile = ProfileFile(duration=10, start=int(start * 1e9)).add([MAIN], number + 1)
        put(cprof, folder, profile, start, 10, number + 1)
    yesterday = [start for start in times.values() if midnight - 86400 <= start < midnight]
    for number, text in enumerate(times):
        done = cprof("diff", "--store", folder, "--base", text, "--new", text, "--json", "--value", "samples",
                     "--normalize", "none")
        assert done.returncode == 0, done.stderr
        row = json.loads(done.stdout)["rows"][0]
        counts = sum(list(times.values()).index(each) + 1 for each in yesterday) if text == "yesterday" else \
            number + 1
        assert row["base"] == counts, (text, row)


def test_two_times_are_compared(cprof, history, tmp_path):
    page = tmp_path / "diff.html"
    done = cprof("diff", "--store", history, "--base", "2026-01-28 12:00..13:00", "--new", "2026-01-28 13:00..14:00",
                 "-o", page)
    assert done.returncode == 0, done.stderr
    assert "parse" in done.stdout and "2026-01-28 12:00..13:00" in done.stdout
    assert page.stat().st_size > 10000
    same = cprof("diff", "--store", history, "--base", "2026-01-28 12:00..13:00", "--new",
                 "2026-01-28 12:00..13:00", "--fail-over", "1")
    assert same.returncode == 0
    grown = cprof("diff", "--store", history, "--base", "2026-01-28 12:00..13:00", "--new",
                  "2026-01-28 13:00..14:00", "--fail-over", "1")
    assert grown.returncode == 3


def test_a_flame_graph_of_history_has_its_time(cprof, history, tmp_path):
    page = tmp_path / "out.html"
    assert cprof("flame", "--store", history, "-o", page).returncode == 0
    again = tmp_path / "again.pb.gz"
    assert cprof("convert", page, again).returncode == 0
    first = totals(cprof, again, "--label", "cprof.interval=2026-01-28T12:00:00.000Z/2026-01-28T12:01:00.000Z")
    assert first == {"work": 1, "main": 10}


def test_a_damaged_block_is_one_line_and_the_rest_is_read(cprof, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    files = [put(cprof, folder, minute(number), BEGIN + 60 * number, 60, number + 1) for number in range(5)]
    content = bytearray(files[2].read_bytes())
    content[len(content) // 2] ^= 1
    files[2].write_bytes(content)
    (folder / "notes.txt").write_text("not ours")
    done = cprof("query", folder, "-o", tmp_path / "out.pb.gz")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1 and files[2].name in done.stderr and "is damaged" in done.stderr
    assert totals(cprof, tmp_path / "out.pb.gz")["work"] == 1 + 2 + 4 + 5
    assert files[2].exists()


def test_what_is_old_is_shown_with_what_it_covers(cprof, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    hour = ProfileFile(duration=3600, start=BEGIN * 10**9).add([MAIN], 5)
    put(cprof, folder, hour, BEGIN, 3600, 1)
    done = cprof("query", folder, "--from", "2026-01-28 12:10", "--to", "2026-01-28 12:20", "-o",
                 tmp_path / "out.pb.gz")
    assert done.returncode == 0
    assert "kept coarser: this is 2026-01-28 12:00:00 to 2026-01-28 13:00:00" in done.stderr


def test_a_time_without_profiles_says_which_there_are(cprof, history, tmp_path):
    done = cprof("query", history, "--from", "2026-01-27", "--to", "2026-01-28 11:00", "-o", tmp_path / "out.pb.gz")
    assert done.returncode == 1
    assert "there are those from 2026-01-28 12:00:00 to 2026-01-28 14:00:00" in done.stderr
    assert cprof("query", history, "--service", "other", "-o", tmp_path / "o.otlp").stderr.endswith(
        "holds no profiles of service other; it has those of shop\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no profiles" in cprof("top", "--store", empty).stderr
    assert "No such file" in cprof("top", "--store", tmp_path / "nowhere").stderr
    assert not os.listdir(empty)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "12:60", "2026-13-01", "-2", "-2x", "12:00 tomorrow",
                                  "2026-01-28T12:00+99:00", "@", "@-5", "monday tuesday", "-99999d", "now-1h",
                                  "1969-01-01", "12", "2h"])
def test_a_time_that_makes_no_sense_is_wrong_usage(cprof, history, text):
    done = cprof("top", "--store", history, f"--from={text}")
    assert done.returncode == 2 and "--from needs a time such as" in done.stderr
    done = cprof("diff", "--store", history, f"--base={text}..", "--new", "-1h")
    assert done.returncode == 2 and "--base needs a time such as" in done.stderr


def test_files_and_a_store_do_not_mix(cprof, history, small):
    for arguments in (("top", "--store", history, small), ("top", "--from", "-1h", small),
                      ("diff", "--store", history, small, small), ("diff", "--base", "-1h", small, small),
                      ("query",), ("query", history), ("query", history, history, "-o", "out.otlp")):
        assert cprof(*arguments).returncode == 2


def test_what_got_worse_is_an_exit_code_for_cron(cprof, history):
    base, new = "2026-01-28 12:00..13:00", "2026-01-28 13:00..14:00"
    done = cprof("watch", "--base", base, "--new", new, history)
    assert (done.returncode, done.stderr) == (3, "")
    head, *rows = done.stdout.splitlines()
    assert head.startswith("2026-01-28 13:00:00 to 2026-01-28 14:00:00, against 2026-01-28 12:00:00 to")
    assert [row.split()[1] for row in rows] == ["parse", "work"]
    quiet = cprof("watch", "--base", base, "--new", base, history)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert cprof("watch", "--base", base, "--new", new, "--over", "100000", history).returncode == 0
    # Nothing is younger than these hours: there is no last hour to watch.
    assert cprof("watch", history).returncode == 1
    for wrong in (("--over", "much"), ("--base", "soon"), (history,)):
        assert cprof("watch", *wrong, history).returncode == 2


def test_the_last_hour_is_compared_with_the_one_before(cprof, tmp_path):
    folder, now = tmp_path / "store", time.time()
    folder.mkdir()
    for number, (ago, count) in enumerate(((7000, 100), (5000, 100), (3000, 100), (1000, 400))):
        profile = ProfileFile(duration=600, start=int((now - ago) * 1e9))
        put(cprof, folder, profile.add([MAIN, WORK], count).add([MAIN], 1000), now - ago, 600, number + 1)
    done = cprof("watch", folder)
    assert done.returncode == 3 and "work" in done.stdout and len(done.stdout.splitlines()) == 2


def test_twice_the_load_is_worse_but_not_by_shares(cprof, tmp_path):
    folder, now = tmp_path / "store", time.time()
    folder.mkdir()
    for number, (ago, load) in enumerate(((7000, 1), (5000, 1), (3000, 2), (1000, 2))):
        profile = ProfileFile(duration=600, start=int((now - ago) * 1e9))
        put(cprof, folder, profile.add([MAIN, WORK], 300 * load).add([MAIN], 1000 * load), now - ago, 600, number + 1)
    assert cprof("watch", folder).returncode == 3
    for word in ("total", "second", "none", "auto"):
        done = cprof("watch", "--normalize", word, folder)
        assert (done.returncode, bool(done.stdout)) == {"total": (0, False), "auto": (2, False)}.get(word, (3, True)), word


def test_cron_gets_no_line_of_what_is_kept_by_the_hour(cprof, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    for hour, count in ((0, 1000), (24, 1000), (48, 3000)):
        profile = ProfileFile(duration=3600, start=(BEGIN + 3600 * hour) * 10**9)
        put(cprof, folder, profile.add([MAIN], count), BEGIN + 3600 * hour, 3600, hour + 1)
    new = ("--new", "2026-01-29 12:10..13:05", folder)
    done = cprof("watch", "--base", "2026-01-28 12:10..13:05", *new)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = cprof("watch", "--base", "2026-01-28 12:10..13:05", "--new", "2026-01-30 12:10..13:05", folder)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("2026-01-30 12:00:00 to 2026-01-30 13:00:00, against 2026-01-28 12:00:00 to 2026-01-28 13:00:00:")


def test_the_last_minutes_of_a_process_that_is_gone_are_found(cprof, tmp_path):
    folder, out = tmp_path / "store", tmp_path / "out.pb.gz"
    folder.mkdir()
    for number in range(20):  # one of 4711 that ended after ten minutes, days ago, and one of 4712 that did not
        profile = ProfileFile(duration=60, start=int((BEGIN + 60 * number) * 1e9))
        if number < 10:
            profile.add([MAIN, WORK], 1, **{"process.pid": 4711})
        put(cprof, folder, profile.add([MAIN, PARSE], 100, **{"process.pid": 4712}), BEGIN + 60 * number, 60, number + 1)
    for last, count in (("5m", 5), ("110 s", 2), ("30s", 1), ("2h", 10)):
        done = cprof("record", "--last", last, "--store", folder, "-o", out, 4711)
        assert (done.returncode, totals(cprof, out)) == (0, {"work": count, "main": 0}), done.stderr
    page = tmp_path / "out.html"
    assert cprof("record", "--last", "5m", "--store", folder, "-o", page, 4711).returncode == 0
    assert "cprof.interval" in cprof("tags", page).stdout
    done = cprof("record", "--last", "5m", "--store", folder, "-o", out, 4713)
    assert done.returncode == 1 and "holds nothing of process 4713" in done.stderr
    done = cprof("record", "--last", "5m", "--store", tmp_path / "nowhere", "-o", out, 4711)
    assert done.returncode == 1 and "No such file" in done.stderr
    for wrong in (("--last", "5"), ("--last", "soon"), ("--last", "0s"), ("--last", "5m", "--seconds", "2"),
                  ("--last", "5m", "--types", "cpu"), ("--last", "5m", "--service", "shop"), ("--seconds", "2")):
        assert cprof("record", *wrong, *(() if "--service" in wrong else ("--store", folder)), "-o", out,
                     4711).returncode == 2, wrong
