"""What can be asked of a profile: samples and frames by expressions. The answers are those of Go's
pprof, on random profiles with functions inlined into each other, modules and nameless code."""

import csv
import io
import json
import os
import random
import subprocess

import pytest

import pprof
from test_files import SHOP, ran, shop  # noqa: F401 (a fixture)
from profiles import CRC, MAIN, PARSE, RUN, WORK, WORK_AGAIN, Frame, ProfileFile, block, number, varint


class Inlined(ProfileFile):
    """A frame of a stack may be a tuple: functions inlined into each other, outermost first, all of
    the module of the last."""

    def _location(self, frame):
        if not isinstance(frame, tuple):
            return super()._location(frame)
        key = tuple((each.name, each.file, each.line, each.module) for each in frame)
        if key not in self.locations:
            lines = b""
            for each in reversed(frame):
                super()._location(each)
                function = self.functions[each.name, each.file]
                lines += block(4, number(1, function) + number(2, each.line))
            id = self.locations[key] = len(self.locations) + 1
            self.location_blocks.append(number(1, id) + number(2, self._mapping(frame[-1].module)) +
                                        number(3, 0x900000 + 16 * id) + lines)
        return self.locations[key]


def rows(cprof, *arguments):
    done = cprof("top", "--json", "--all-native", "-n", 100000, *arguments)
    assert done.returncode == 0, done.stderr
    found = {row["name"]: (row["self"], row["total"]) for row in json.loads(done.stdout)["rows"]}
    assert len(found) == len(json.loads(done.stdout)["rows"]), "names are not unique"
    return found


SYLLABLES = ["al", "be", "ca", "do", "el"]
EXPRESSIONS = ["al", "^be", "do$", "ca.*el", "al|do", "(?i)BE", "lib1", r"lib[23]\.so", r"f[01]\.c", "alal",
               "^(ca|el)", "[^a]l", ".", "zzz", r"\(int", r"be\b", "(be){1,2}", "al.?be", "^$", "so"]
RULES = ["focus", "ignore", "hide", "show", "prune-from"]


def random_profile(path, seed, recursion=True):
    chance = random.Random(seed)
    names = [a + b for a in SYLLABLES for b in SYLLABLES] + ["al(int, do)", "ns::operator()(int)", ".belt"]
    frames = [Frame(name, f"f{i % 3}.c", i + 1, module=f"/opt/lib{i % 4}.so") for i, name in enumerate(names)]
    profile = Inlined(service="random")
    for _ in range(60):
        stack, left = [], chance.sample(frames, len(frames))
        for _ in range(chance.randrange(1, 9)):
            inlined = tuple(chance.sample(frames if recursion else left, chance.choice((1, 1, 2, 3))))
            left = [frame for frame in left if frame not in inlined]
            stack.append(inlined if len(inlined) > 1 else inlined[0])
        profile.add(stack, chance.randrange(1, 9))
    return profile.write(path)


def test_expressions_mean_what_they_mean_to_pprof(cprof, tmp_path):
    chance, differ = random.Random(5), 0
    for seed in range(4):
        path = random_profile(tmp_path / f"{seed}.pb.gz", seed)
        assert rows(cprof, path) == pprof.top(path)
        for _ in range(20):
            asked = {rule: chance.choice(EXPRESSIONS)
                     for rule in chance.sample(RULES, chance.choice((1, 1, 1, 2, 2, 3)))}
            own = [word for rule, expression in asked.items() for word in (f"--{rule}", expression)]
            theirs = [f"-{rule.replace('-', '_')}={expression}" for rule, expression in asked.items()]
            expected = pprof.top(*theirs, path)
            assert rows(cprof, *own, path) == expected, asked
            differ += expected != {}
    assert differ > 27


@pytest.mark.parametrize("arguments, expected", [
    (("--focus", "crc"), {"main": (0, 30), "work": (0, 30), "crc32": (30, 30)}),
    (("--focus", "libz"), {"main": (0, 30), "work": (0, 30), "crc32": (30, 30)}),
    (("--focus", r"worker\.py"), {"Worker.run": (0, 40), "parse": (40, 40)}),
    (("--focus", "name:libz"), {}),
    (("--focus", "module:main"), {}),
    (("--focus", r"file:main\.py", "--ignore", "type:native"), {"main": (10, 30), "work": (20, 20)}),
    (("--ignore", "parse", "--ignore", "crc"), {"main": (10, 30), "work": (20, 20)}),
    (("--hide", "^work$"), {"main": (30, 60), "crc32": (30, 30), "Worker.run": (0, 40), "parse": (40, 40)}),
    (("--hide", "type:cpython"), {"crc32": (30, 30)}),
    (("--show", "module:libz"), {"crc32": (30, 30)}),
    (("--type", "native"), {"crc32": (30, 30)}),
    (("--show", "^work$", "--type", "native"), {"work": (20, 50), "crc32": (30, 30)}),
    (("--prune-from", "^work$"), {"main": (10, 60), "work": (50, 50), "Worker.run": (0, 40), "parse": (40, 40)}),
    (("--prune-from", "type:cpython"), {"main": (10, 60), "work": (50, 50), "Worker.run": (0, 40), "parse": (40, 40)}),
])
def test_samples_and_frames_are_asked_for_by_expressions(cprof, small, arguments, expected):
    found = rows(cprof, *arguments, small)
    assert found == {name: (own * 10**7, total * 10**7) for name, (own, total) in expected.items()}


def test_every_command_takes_the_expressions(cprof, small, grown_file, tmp_path):
    asked = ("--focus", "parse", "--hide", "Worker")
    for output in ("o.pb.gz", "o.otlp", "o.html"):
        assert cprof("convert", *asked, small, tmp_path / output).returncode == 0
        assert rows(cprof, tmp_path / output) == {"parse": (400_000_000, 400_000_000)}, output
    assert cprof("merge", *asked, small, small, "-o", tmp_path / "m.pb.gz").returncode == 0
    assert rows(cprof, tmp_path / "m.pb.gz") == {"parse": (800_000_000, 800_000_000)}
    assert cprof("flame", *asked, small, "-o", tmp_path / "f.html").returncode == 0
    assert rows(cprof, tmp_path / "f.html") == {"parse": (400_000_000, 400_000_000)}
    done = cprof("diff", "--json", *asked, small, grown_file)
    assert [row["name"] for row in json.loads(done.stdout)["rows"]] == ["parse"]
    assert "400 ms 100.0%" in cprof("spans", *asked, small).stdout


@pytest.fixture
def grown_file(tmp_path):
    import profiles
    return profiles.grown(tmp_path / "grown.pb.gz")


def test_an_expression_that_matches_nothing_is_told(cprof, small):
    done = cprof("top", "--hide", "nothing", "--hide", "main", small)
    assert done.returncode == 0
    assert done.stderr == "cprof: no frame matches --hide nothing\n"
    assert "parse" in done.stdout and "main " not in done.stdout


@pytest.mark.parametrize("expression", ["(", "a**b{2,1}", r"\pL", "[z-a]", "name:(", "type:["])
def test_what_is_no_expression_is_wrong_usage(cprof, small, expression):
    for rule in RULES:
        done = cprof("top", f"--{rule}", expression, small)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert f"--{rule} needs a regular expression" in done.stderr and not done.stdout


def test_a_type_of_frames_that_is_not_there_is_told_with_those_that_are(cprof, small):
    done = cprof("top", "--type", "ruby", small)
    assert done.returncode == 1 and not done.stdout
    assert "cpython" in done.stderr and "native" in done.stderr and "samples, cpu" in done.stderr


# --- one function ---

def test_callers_and_callees_are_those_of_pprof(cprof, tmp_path):
    for seed in range(2):
        path = random_profile(tmp_path / f"{seed}.pb.gz", seed)
        for name in ("^be", "al$", "do|el", "operator"):
            done = cprof("peek", "--json", "--all-native", "-n", 1000, name, path)
            assert done.returncode == 0, done.stderr
            found = {each["name"]: tuple({other["name"]: other["value"] for other in each[side]}
                                         for side in ("callers", "callees"))
                     for each in json.loads(done.stdout)["functions"]}
            expected = pprof.peek(name, path)
            assert len(expected) > 0 and found == expected, (seed, name)


def test_peek_prints_the_table_that_people_see(cprof, small):
    assert cprof("peek", "work", small).stdout == (
        "shop · 1.00 s of CPU in 10.0 s · 100 samples at 100 Hz · 2 threads\n"
        "\n"
        "            self           total   function\n"
        "   200 ms  20.0%   500 ms  50.0%   work  shop/main.py:20\n"
        "  callers\n"
        "      500 ms 100.0%   main  shop/main.py:10\n"
        "  callees\n"
        "      300 ms  60.0%   crc32  libz.so.1\n")
    assert "  no callers\n" in cprof("peek", "main", small).stdout
    assert "  no callees\n" in cprof("peek", "parse", small).stdout


def test_a_name_is_a_function_before_it_is_an_expression(cprof, tmp_path):
    path = (tmp_path / "x.txt")
    path.write_text("a.b;f 1\naxb;f 2\nab(c) 4\n")

    def names(name, command="peek"):
        done = cprof(command, "--json", name, path)
        return [each["name"] for each in json.loads(done.stdout)["functions"]] if done.returncode == 0 else done.stderr

    for command in ("peek", "list"):
        assert names("a.b", command) == ["a.b"]
        assert names("a.?b", command) == ["ab(c)", "axb", "a.b"]
        assert names("ab(c)", command) == ["ab(c)"]
        assert names("nobody", command) == 'cprof: no function matches "nobody"\n'
        assert "nor is that a regular expression" in names("(", command)
        assert cprof(command).returncode == 2 and cprof(command, "a").returncode == 2


def test_lines_are_those_of_pprof(cprof, tmp_path):
    """Without recursion: of that pprof adds up the addresses of a line, over the whole."""
    for name in ("f0.c", "f1.c", "f2.c"):
        (tmp_path / name).write_text("".join(f"line {i} of {name}\n" for i in range(1, 41)))
    for seed in range(3):
        path = random_profile(tmp_path / f"{seed}.pb.gz", seed, recursion=False)
        for name in ("^be", "al|do"):
            done = cprof("list", "--json", "--all-native", "-n", 1000, "--source", tmp_path, name, path)
            assert done.returncode == 0, done.stderr
            report = json.loads(done.stdout)["functions"]
            for function in report:
                for line in function["lines"]:
                    assert line["text"] == f"line {line['line']} of {function['file']}"
            found = {each["name"]: {line["line"]: (line["self"], line["total"]) for line in each["lines"] if line["total"]}
                     for each in report}
            assert found == pprof.lines(name, "-source_path", tmp_path, path), (seed, name)


def test_list_prints_the_source_that_people_see(cprof, small, tmp_path):
    (tmp_path / "src/shop").mkdir(parents=True)
    source = tmp_path / "src/shop/main.py"
    source.write_text("".join(f"\tline {i}\n" for i in range(1, 31)))
    os.utime(source, (1_600_000_000, 1_600_000_000))
    assert cprof("list", "--source", "src", "work", small, cwd=tmp_path).stdout == (
        "shop · 1.00 s of CPU in 10.0 s · 100 samples at 100 Hz · 2 threads\n"
        "\n"
        "            self           total   function\n"
        "   200 ms  20.0%   500 ms  50.0%   work  shop/main.py:20\n"
        "  src/shop/main.py\n"
        "                                       20      line 20\n"
        "                                       21      line 21\n"
        "      0 s   0.0%   500 ms  50.0%       22      line 22\n"
        "                                       23      line 23\n"
        "   200 ms  20.0%   200 ms  20.0%       24      line 24\n"
        "                                       25      line 25\n"
        "                                       26      line 26\n"
        "                                       27      line 27\n")
    os.utime(source, (1_800_000_000, 1_800_000_000))
    assert "main.py has changed since" in cprof("list", "--source", "src", "work", small, cwd=tmp_path).stdout
    lost = cprof("list", "work", small, cwd=tmp_path)
    assert lost.returncode == 0 and "/app/shop/main.py is not here (--source DIR)\n" in lost.stdout
    assert "       24  \n" in lost.stdout
    assert "no line of it is known" in cprof("list", "crc32", small).stdout


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "large", "outside"])
def test_a_profile_cannot_make_list_wait_or_read_anything_but_a_file(cprof, tmp_path, kind):
    name = {"pipe": "pipe", "folder": "", "device": "/dev/zero", "large": "large", "outside": "../secret"}[kind]
    folder = tmp_path / "src"
    folder.mkdir()
    (tmp_path / "secret").write_text("nobody's business\n" * 9)
    if kind == "pipe":
        os.mkfifo(folder / "pipe")
    if kind == "large":
        with open(folder / "large", "wb") as file:
            file.truncate(17 << 20)
    profile = ProfileFile()
    profile.add([Frame("f", name or "/", 2**63 - 1, kind="cpython")], 3)
    profile.add([Frame("f", name or "/", 3, kind="cpython")], 2)
    path = profile.write(tmp_path / "x.pb.gz")
    done = cprof("list", "--source", folder, "f", path, timeout=20)
    assert done.returncode == 0 and "is not here" in done.stdout and "business" not in done.stdout
    assert "9223372036854775807" in done.stdout


def test_lines_of_c_are_known_by_dwarf(cprof, shop, tmp_path):
    """An address of a program alone: its file has the name and the line, and the source is beside it."""
    program, address = shop
    path = ran(tmp_path / "x.pb", address, program)
    done = cprof("list", "--json", "price", path)
    function = json.loads(done.stdout)["functions"][0]
    assert function["total"] == 10**7 and function["source"].endswith("/bin/shop.c")
    assert [(line["line"], line["total"], line["text"]) for line in function["lines"] if line["total"]] == [
        (2, 10**7, SHOP.splitlines()[1])]


# --- what there is ---

def labelled(path, seed):
    chance = random.Random(seed)
    profile = ProfileFile(service="shop")
    for _ in range(200):
        labels = {key: f"{key[0]}{chance.randrange(5)}" for key in ("endpoint", "user", "region")
                  if chance.random() < 0.7}
        profile.add([MAIN, WORK] if chance.random() < 0.5 else [RUN, PARSE], chance.randrange(1, 9), **labels)
    return profile.write(path)


def test_labels_are_those_of_pprof(cprof, tmp_path):
    for seed in range(2):
        path = labelled(tmp_path / f"{seed}.pb.gz", seed)
        done = cprof("tags", "--json", path)
        found = {key: {each["name"]: each["value"] for each in values if each["name"] != "[none]"}
                 for key, values in json.loads(done.stdout)["labels"].items()}
        assert found.pop("service.name") == {"shop": sum(pprof.top(path)["work"][:1]) + pprof.top(path)["parse"][0]}
        assert found == pprof.tags(path) and len(found) == 3
        for key, values in found.items():
            by = json.loads(cprof("top", "--json", "--by", f"label:{key}", path).stdout)["rows"]
            assert {row["name"]: row["self"] for row in by if row["name"] != "[none]"} == values


def test_tags_prints_what_people_see(cprof, small):
    assert cprof("tags", small).stdout == (
        "shop · 1.00 s of CPU in 10.0 s · 100 samples at 100 Hz · 2 threads\n"
        "\nvalues\n"
        "             100   samples\n"
        "          1.00 s   cpu\n"
        "\nframe types, by what each took itself\n"
        "   700 ms  70.0%   cpython\n"
        "   300 ms  30.0%   native\n"
        "\nendpoint\n"
        "   800 ms  80.0%   [none]\n"
        "   200 ms  20.0%   /cart\n"
        "\nservice.name\n"
        "   1.00 s 100.0%   shop\n"
        "\nthread.id\n"
        "   600 ms  60.0%   1\n"
        "   400 ms  40.0%   2\n"
        "\nthread.name\n"
        "   600 ms  60.0%   MainThread\n"
        "   400 ms  40.0%   worker-1\n")
    assert cprof("tags", "-n", 1, "--value", "samples", "--thread", "worker-1", small).stdout.endswith(
        "\nthread.name\n       40 100.0%   worker-1\n")


def test_rows_are_values_of_a_label_or_of_the_process(cprof, small, grown_file):
    def by(label, *files):
        done = cprof("top", "--json", "--by", f"label:{label}", *files)
        return {row["name"]: row["self"] // 10**7 for row in json.loads(done.stdout)["rows"]}

    assert by("endpoint", small) == {"[none]": 80, "/cart": 20}
    assert by("thread.id", small) == {"1": 60, "2": 40}
    assert by("service.name", small) == {"shop": 100} and by("nothing", small) == {"[none]": 100}
    assert "endpoint\n" in cprof("top", "--by", "label:endpoint", small).stdout.splitlines(True)[2]
    done = cprof("diff", "--json", "--by", "label:endpoint", small, grown_file)
    assert {row["name"]: row["new"] // 10**7 for row in json.loads(done.stdout)["rows"]} == {"[none]": 206, "/cart": 44}
    done = cprof("top", "--by", "label:nothing", small)
    assert (done.returncode, done.stderr) == (
        0, "cprof: no sample has a label nothing, only: thread.id, thread.name, endpoint, service.name\n")
    assert cprof("top", "--by", "label:", small).returncode == 2
    assert cprof("top", "--by", "label", small).returncode == 2


@pytest.mark.parametrize("filters, told", [
    (("--label", "endpoint=/carr"), "no sample matches --label endpoint=/carr; there is: /cart"),
    (("--label", "thread.id=9"), "no sample matches --label thread.id=9; there is: 1, 2"),
    (("--label", "service.name=x"), "no sample matches --label service.name=x; there is: shop"),
    (("--label", "nope=1"), "no sample has a label nope, only: thread.id, thread.name, endpoint, service.name"),
    (("--thread", "x"), "no sample matches --thread x; there is: MainThread, worker-1"),
    (("--span", "0" * 15 + "1"), "no sample is of that trace and span; cprof spans lists the 1 that are"),
    (("--thread", "worker-1", "--label", "endpoint=/cart"), "no sample matches all of these filters"),
])
def test_a_filter_that_matches_nothing_says_what_there_is(cprof, small, filters, told):
    for command in (("top",), ("spans",), ("tags",), ("top", small)):
        done = cprof(*command, *filters, small)
        assert (done.returncode, done.stderr) == (0, f"cprof: {told}\n")
    with open(small, "rb") as file:  # what came through a pipe can't be asked again
        done = cprof("top", *filters, "/dev/stdin", stdin=subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE).stdout)
    assert (done.returncode, done.stderr) == (0, "")


def waits(tmp_path):
    """300 ms of I/O and 200 ms of a lock in two threads, 5 s of idling, 70 ms of CPU."""
    profile = ProfileFile(service="shop", types=(("wall", "nanoseconds", 10_000_000),))
    profile.add([MAIN, WORK], 30, **{"thread.state": "waiting", "wait.reason": "io", "thread.name": "a"})
    profile.add([MAIN, PARSE], 20, **{"thread.state": "waiting", "wait.reason": "lock", "thread.name": "b"})
    profile.add([MAIN], 500, **{"thread.state": "waiting", "wait.reason": "idle", "thread.name": "a"})
    return profile.add([RUN], 7, **{"thread.state": "running", "thread.name": "b"}).write(tmp_path / "wall.pb.gz")


@pytest.mark.parametrize("filters, total, idle", [
    ((), 57, 500), (("--idle",), 557, None), (("--state", "waiting"), 50, 500), (("--state", "running"), 7, None),
    (("--state", "waiting", "--idle"), 550, None), (("--reason", "io"), 30, None), (("--reason", "idle"), 500, None),
    (("--label", "thread.name=a"), 30, 500), (("--label", "thread.name=b", "--state", "waiting"), 20, None),
    (("--label", "thread.name=a", "--label", "wait.reason=idle"), 500, None),
])
def test_what_threads_waited_for_can_be_asked(cprof, tmp_path, filters, total, idle):
    report = json.loads(cprof("top", "--json", *filters, waits(tmp_path)).stdout)
    assert (report["total"], report.get("idle")) == (total * 10**7, idle and idle * 10**7)


def test_idle_is_said_and_other_commands_have_all(cprof, tmp_path):
    file = waits(tmp_path)
    assert cprof("top", file).stdout.splitlines()[0].endswith(" · 5.00 s idle left out")
    assert "idle" not in cprof("top", "--idle", file).stdout.splitlines()[0]
    done = cprof("top", "--reason", "disk", file)
    assert done.stderr == "cprof: no sample matches --label wait.reason=disk; there is: io, lock, idle\n"
    assert "5.57 s" in cprof("tags", file).stdout.splitlines()[0]
    idle = ProfileFile(types=(("wall", "nanoseconds", 10_000_000),)).add([MAIN], 5, **{"wait.reason": "idle"})
    assert json.loads(cprof("top", "--json", idle.write(tmp_path / "idle.pb.gz")).stdout)["total"] == 50_000_000
    assert cprof("top", *["--label", "a=b"] * 17, file).returncode == 2


def test_of_very_many_values_some_are_listed(cprof, tmp_path):
    profile = ProfileFile()
    for i in range(500):
        profile.add([MAIN], 1, user=f"user-{i:03}")
    done = cprof("top", "--label", "user=nobody", profile.write(tmp_path / "x.pb.gz"))
    assert done.stderr.startswith("cprof: no sample matches --label user=nobody; there is: user-000, user-001, ")
    assert done.stderr.endswith(", …\n") and len(done.stderr) < 700


# --- out ---

def test_csv_has_what_json_has(cprof, small, grown_file):
    for command, files in ((("top",), (small,)), (("top", "--by", "thread"), (small,)), (("spans",), (small,)),
                           (("diff",), (small, grown_file))):
        done = cprof(*command, "--csv", *files)
        assert done.returncode == 0, done.stderr
        expected = json.loads(cprof(*command, "--json", *files).stdout)["rows"]
        found = list(csv.DictReader(io.StringIO(done.stdout)))
        texts = [{key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in row.items()}
                 for row in expected]
        for row in texts + found:  # numbers of a fraction have one way to be written, but not in Python
            for key in set(row) & {"base_normalized", "new_normalized", "delta", "delta_of_base_total", "z", "confidence"}:
                row[key] = float(row[key])
        assert found == texts and len(found) > 1
    assert len(cprof("top", "--csv", "-n", 2, small).stdout.splitlines()) == 3


def test_csv_quotes_what_it_must(cprof, tmp_path):
    names = ['a,"b"', "line\nbreak", "plain", "'=1+1'", "std::map<int, long>::at"]
    profile = ProfileFile()
    for i, name in enumerate(names):
        profile.add([Frame(name, "f,g.c", i, kind="cpython")], 5 - i)
    text = cprof("top", "--csv", profile.write(tmp_path / "x.pb.gz")).stdout
    assert [row["name"] for row in csv.DictReader(io.StringIO(text, newline=""))] == names
    assert "\nplain," in text


def test_differences_are_those_of_pprof(cprof, tmp_path):
    for seed in range(2):
        base, new = (random_profile(tmp_path / f"{seed + i}.pb.gz", seed + i) for i in (0, 50))
        done = cprof("diff", "--json", "--all-native", "--normalize", "none", "-n", 10000, base, new)
        found = {row["name"]: row["new"] - row["base"] for row in json.loads(done.stdout)["rows"]}
        theirs = {name: own for name, (own, _) in pprof.top("-diff_base", base, new).items()}
        assert found and {name: found.get(name, 0) for name in theirs} == theirs
        assert all(name in theirs or delta == 0 for name, delta in found.items())


def test_a_page_of_two_can_go_to_standard_output(cprof, small, grown_file):
    done = cprof("diff", small, grown_file, "-o", "-")
    assert done.returncode == 0 and done.stdout.startswith("<!doctype html>") and "sampling noise\n\n" not in done.stdout
    assert cprof("diff", "--json", small, grown_file, "-o", "-").returncode == 2


def test_a_name_that_is_too_long_keeps_the_end_that_tells_more(cprof, tmp_path):
    go = "github.com/grafana/pyroscope/pkg/distributor.(*Distributor).PushBatchOfManySeries"
    java = "com.example.billing.invoices.service.impl.InvoiceServiceImpl.computeTotals"
    cpp = "ns::detail::Map<int, std::pair<int const, long>>::insert(std::basic_string<char, std::allocator<char>> const&)"
    plain = "a_function_without_any_package_but_with_a_very_long_name_all_the_same"
    (tmp_path / "x.txt").write_text("".join(f"{name} 1\n" for name in (go, java, cpp, plain)))
    done = cprof("top", "x.txt", cwd=tmp_path, env={**os.environ, "COLUMNS": "80"})
    names = [line.rsplit("%   ", 1)[1] for line in done.stdout.splitlines()[3:]]
    assert all(len(name) <= 45 for name in names)
    assert any(name.startswith("…") and name.endswith("(*Distributor).PushBatchOfManySeries") for name in names)
    assert any(name.startswith("…") and name.endswith("InvoiceServiceImpl.computeTotals") for name in names)
    assert any(name.startswith("insert(std::basic_string<") and name.endswith("…") for name in names)
    assert any(name.startswith("a_function_without") and name.endswith("…") for name in names)


def test_a_profile_without_a_service_goes_by_its_files_name(cprof, tmp_path):
    (tmp_path / "x.txt").write_text("a 3\n")
    for command in (("top",), ("tags",), ("peek", "a"), ("list", "a")):
        assert cprof(*command, tmp_path / "x.txt").stdout.startswith("x.txt · 3 samples\n"), command
    assert cprof("top", tmp_path / "x.txt", tmp_path / "x.txt").stdout.startswith("6 samples\n")
    with open(tmp_path / "x.txt") as file:
        assert cprof("top", "-", stdin=file).stdout.startswith("3 samples\n")
