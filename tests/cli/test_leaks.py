"""cprof leaks: heaps made by hand, whose leaks are known, as a sampler would see them."""

import json
import math
import random

import pytest

from profiles import MAIN, ProfileFile, python
from test_history import put

PERIOD = 1 << 19
BEGIN = 1_769_601_600
MINUTES = 10  # from one look to the next
RATE = 40 << 20  # bytes that the leak adds in an hour
LEAK = python("remember", "/app/shop/cache.py", 7, 5)
SEEDS = range(12)


def poisson(source, mean):
    count, left = 0, source.expovariate(1)
    while left < mean:
        count, left = count + 1, left + source.expovariate(1)
    return count


def heap(number):
    return ProfileFile(start=(BEGIN + 60 * MINUTES * number) * 10**9, duration=60 * MINUTES, service="shop",
                       types=(("inuse_objects", "count", 1), ("inuse_space", "bytes", PERIOD)))


def simulate(seed, looks=12, leak=RATE):
    """The looks: of each the samples by function. What churns keeps its level, with blocks that live for a moment
    or for hours; what is filled stands still from the third look on; `batch` goes up and down."""
    source = random.Random(seed)
    mean = {f"churn_{i}": source.choice((0.5, 2, 10, 60, 400)) for i in range(60)}
    stays = {name: source.choice((0, 0.3, 0.7, 0.95)) for name in mean}
    now = {name: poisson(source, mean[name]) for name in mean}
    now |= {"filled": 0, "remember": 0}
    for look in range(looks):
        for name in mean:
            kept = sum(source.random() < stays[name] for _ in range(now[name]))
            now[name] = kept + poisson(source, mean[name] * (1 - stays[name]))
        now["filled"] += poisson(source, 200) if look < 3 else 0
        now["batch"] = poisson(source, (300, 900, 500)[look % 3])
        now["remember"] += poisson(source, leak * MINUTES / 60 / PERIOD)
        yield dict(now)


@pytest.fixture
def files(tmp_path):
    def write(**options):
        paths = []
        for number, look in enumerate(simulate(**options)):
            file = heap(number)
            for name, count in look.items():
                if count > 0:
                    file.add([MAIN, LEAK if name == "remember" else python(name, "/app/shop/x.py")], count)
            paths.append(file.write(tmp_path / f"{options['seed']}-{number}.pb.gz"))
        return paths
    return write


def found(cprof, *arguments):
    done = cprof("leaks", "--json", *arguments)
    result = json.loads(done.stdout)
    assert done.returncode == (3 if result["leaks"] else 0)
    return result


@pytest.mark.parametrize("seed", SEEDS)
def test_a_leak_among_churn_is_found_with_its_rate_and_nothing_else(cprof, files, seed):
    paths = files(seed=seed)
    random.Random(seed).shuffle(paths)  # they are put in order by their times
    result = found(cprof, *paths)
    assert [row["stack"] for row in result["leaks"]] == ["main;remember"]
    leak, = result["leaks"]
    assert abs(leak["bytes_per_hour"] - RATE) < 4 * leak["deviation"]
    # 147 samples of 512 KiB in 110 minutes: a count's own deviation.
    assert leak["deviation"] == pytest.approx(math.sqrt(147) * PERIOD / (110 / 60), rel=0.3)
    assert leak["confidence"] > 0.999


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_leak_it_is_silent(cprof, files, seed):
    assert found(cprof, *files(seed=seed, leak=0))["leaks"] == []


def test_four_looks_are_enough_and_three_are_not(cprof, files):
    paths = files(seed=1, looks=4, leak=3 * RATE)
    assert [row["stack"] for row in found(cprof, *paths)["leaks"]] == ["main;remember"]
    done = cprof("leaks", *paths[:3])
    assert done.returncode == 1
    assert done.stderr == "cprof: 3 profiles with bytes in use are too few: growth shows in 4 or more\n"


def test_the_table_says_how_fast_and_how_sure(cprof, files):
    done = cprof("leaks", *files(seed=3))
    head, _, keys, row = done.stdout.splitlines()
    assert head.startswith("shop · 12 profiles in 110 min · ")
    assert keys.split() == ["growth/h", "first", "last", "oldest", "confidence", "stack"]
    assert row.split()[1] == "MiB" and row.split()[-2:] == [">99.9%", "main;remember"]
    done = cprof("leaks", *files(seed=3, leak=0))
    assert done.stdout.endswith("\nNo stack grows by more than sampling noise.\n")
    done = cprof("leaks", "--csv", *files(seed=3))
    assert done.stdout.splitlines()[0] == "stack,bytes_per_hour,deviation,first,last,confidence,oldest"


def test_the_oldest_blocks_tell_their_age(cprof, tmp_path):
    """Of the last profile: what was older before has been freed since. Blocks of one stack count together."""
    paths = []
    for number in range(8):
        file = heap(number)
        file.add([MAIN, LEAK], 100)
        file.add([MAIN, LEAK], 100 * number, **{"heap.age": "1h" if number < 7 else "10m"})
        file.add([MAIN, LEAK], 10, **{"heap.age": "1m"})
        paths.append(file.write(tmp_path / f"{number}.pb.gz"))
    leak, = found(cprof, *paths)["leaks"]
    assert (leak["stack"], leak["oldest"]) == ("main;remember", "10m")
    assert leak["last"] == pytest.approx(760 * PERIOD)
    assert cprof("leaks", *paths).stdout.splitlines()[3].split()[-3:] == ["10m", ">99.9%", "main;remember"]
    by_age = cprof("top", "--by", "label:heap.age", "--csv", paths[7]).stdout
    assert "10m" in by_age and "1m" in by_age


def test_history_has_them_too(cprof, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    for number, look in enumerate(simulate(5)):
        file = heap(number)
        for name, count in look.items():
            if count > 0:
                file.add([MAIN, python(name)], count)
        put(cprof, folder, file, BEGIN + 60 * MINUTES * number, 60 * MINUTES, number + 1)
    assert [row["stack"] for row in found(cprof, "--store", folder)["leaks"]] == ["main;remember"]
    end = f"@{BEGIN + 60 * MINUTES * 3}"
    done = cprof("leaks", "--store", folder, "--to", end)
    assert done.returncode == 1 and "3 profiles with bytes in use are too few" in done.stderr


def write_of(path, number, *comments, types=None):
    file = heap(number) if types is None else ProfileFile(types=types)
    file.comments.extend(comments)
    return file.add([MAIN, LEAK], number + 1).write(path / f"{number}{len(comments)}.pb.gz")


def test_what_can_not_be_compared_is_one_line(cprof, tmp_path):
    several = [write_of(tmp_path, number, f"service.version={number % 2}") for number in range(4)]
    done = cprof("leaks", *several)
    assert done.returncode == 1
    assert done.stderr == ("cprof: the profiles are of several processes, that differ in service.version: choose one "
                           "by --label service.version=VALUE\n")
    twice = [write_of(tmp_path, number) for number in (0, 1, 2)]
    done = cprof("leaks", *twice, twice[0])
    assert (done.returncode, done.stderr) == (1, "cprof: two of the profiles are of the same moment\n")
    cpu = write_of(tmp_path, 9, "a", types=ProfileFile.TYPES)
    done = cprof("leaks", cpu)
    assert done.returncode == 1
    assert done.stderr == f"cprof: {cpu}: there are no bytes in use in it (CPROF_TYPES=heap)\n"
    assert cprof("leaks").returncode == 2
