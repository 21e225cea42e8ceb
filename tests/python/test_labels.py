"""Labels follow the code that they were put on."""

from conftest import BURN

import pytest

cprof = pytest.importorskip("cprof")


def label_shares(profile, key):
    shares = {}
    for sample in profile.samples:
        value = sample.labels.get(key)
        shares[value] = shares.get(value, 0) + sample.count
    return shares


def test_a_block_and_a_function_carry_their_labels(execute):
    profile = execute(BURN + """
import cprof
@cprof.labels(job="decorated")
def job(): burn(0.5)
with cprof.labels(job="block", other=1):
    burn(0.5)
    with cprof.labels(job="inner"): burn(0.5)
job(); burn(0.5)
""").profile
    shares = label_shares(profile, "job")
    total = sum(shares.values())
    for value in ("decorated", "block", "inner", None):
        assert 0.15 < shares[value] / total < 0.35, shares
    inner = [s for s in profile.samples if s.labels.get("job") == "inner"]
    assert all(s.labels["other"] == "1" for s in inner)


def test_tasks_that_interleave_keep_their_own_labels(execute):
    profile = execute(BURN + """
import asyncio, cprof
async def alpha():
    for _ in range(20): burn(0.02); await asyncio.sleep(0)
async def beta():
    for _ in range(20): burn(0.02); await asyncio.sleep(0)
async def labelled(name, function):
    async with cprof.labels(task=name): await function()
async def main(): await asyncio.gather(labelled("a", alpha), labelled("b", beta))
asyncio.run(main())
""").profile
    for function, label in (("alpha", "a"), ("beta", "b")):
        samples = profile.stacks_with(function)
        right = sum(s.count for s in samples if s.labels.get("task") == label)
        assert right / sum(s.count for s in samples) > 0.98


def test_a_context_with_many_variables_still_gives_its_labels(execute):
    profile = execute(BURN + """
import contextvars, cprof
variables = [contextvars.ContextVar(f"v{i}") for i in range(500)]
for v in variables: v.set(1)
with cprof.labels(a="b"): burn(0.4)
""").profile
    samples = profile.stacks_with("burn")
    assert all(s.labels.get("a") == "b" for s in samples) and samples


def test_labels_for_every_request_are_right_when_there_are_many(execute):
    profile = execute(BURN + """
import cprof
def request(n): burn(0.001, looks=n % 10 == 0)
for n in range(1500):
    with cprof.labels(n=n, twice=2 * n): request(n)
""").profile
    labelled = [s for s in profile.samples if "n" in s.labels]
    assert len(labelled) > 100
    assert all(int(s.labels["twice"]) == 2 * int(s.labels["n"]) for s in labelled)


def test_a_block_that_is_left_in_another_context_is_left_without_a_word(execute):
    outcome = execute(BURN + """
import asyncio, contextvars, cprof
def dependency():  # as web frameworks run them: each step in a copy of the context
    with cprof.labels(of="dependency"): yield
steps = dependency()
for _ in range(2): contextvars.copy_context().run(next, steps, None)
async def stream():
    with cprof.labels(of="stream"):
        yield 1
        yield 2
async def main():
    async for _ in stream(): break  # the loop closes it, in a task of its own
asyncio.run(main())
burn(0.1)
""")
    # The table is the first that is said, and where the profile is the last.
    assert outcome.code == 0 and outcome.err.lstrip().startswith("unknown_service:"), outcome.err
    assert outcome.err.splitlines()[-1].startswith("cprof: profile written"), outcome.err
    assert outcome.profile.stacks_with("burn")
    assert all("of" not in s.labels for s in outcome.profile.stacks_with("burn"))


def test_labels_of_any_size_and_content_harm_nothing(execute):
    profile = execute(BURN + r"""
import cprof
class Mute:
    def __str__(self): raise RuntimeError("no")
with cprof.labels(big="é" * 1000000, nul="a\0b", half="\ud800", mute=Mute(), **{"k" * 1000: 1}):
    burn(0.3)
with cprof.labels(**{f"l{i}": i for i in range(500)}): burn(0.1)
burn(0.3)
""").profile
    labels = next(s.labels for s in profile.stacks_with("burn") if "big" in s.labels)
    assert labels["big"] == "é" * 127 and labels["nul"] == "a?b"
    assert labels["half"] == labels["mute"] == "?" and labels["k" * 255] == "1"
    many = next(s.labels for s in profile.stacks_with("burn") if "l0" in s.labels)
    assert len(many) <= 64
