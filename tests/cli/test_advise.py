"""cprof advise: every rule finds what it is about, says what it rests on, and is silent otherwise."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import profiles
from conftest import ROOT
from profiles import MAIN, PARSE, RUN, WORK, Frame, ProfileFile, native, python


def ruby(name, file="/app/shop.rb", line=1):
    return Frame(name, file, line, kind="ruby")


def js(name, file="/app/shop.js", line=1):
    return Frame(name, file, line, kind="v8js")


LIB = "/usr/lib/python3.11"
CALLER = python("Cart.total", "/app/shop/cart.py", 12, 10)
RUBY_CALLER, JS_CALLER = ruby("Cart#total"), js("total")
SERVE = python("Flask.wsgi_app", "/usr/lib/python3/dist-packages/flask/app.py", 100)
RACK = ruby("Rack::Runtime#call", "/gems/rack/lib/rack/runtime.rb")
HTTP = js("parserOnIncoming", "node:_http_server")

# What each rule is about: the caller, and the frames below it.
HABITS = {
    "regex-compiled": (CALLER, python("compile", f"{LIB}/re/__init__.py"), python("compile", f"{LIB}/re/_compiler.py")),
    "json-in-python": (CALLER, python("_make_iterencode.<locals>._iterencode", f"{LIB}/json/encoder.py")),
    "json": (CALLER, python("JSONDecoder.raw_decode", f"{LIB}/json/decoder.py"),
             native("scan_once_unicode", "/usr/bin/python3.11")),
    "pickle": (CALLER, native("_pickle_dumps_impl", "/usr/bin/python3.11")),
    "pickle-in-python": (CALLER, python("_Pickler.save", f"{LIB}/pickle.py")),
    "yaml-in-python": (CALLER, python("Scanner.fetch_more_tokens", "/venv/yaml/scanner.py")),
    "protobuf-in-python": (CALLER, python("InternalParse", "/venv/google/protobuf/internal/python_message.py")),
    "msgpack-in-python": (CALLER, python("Packer._pack", "/venv/msgpack/fallback.py")),
    "decimal-in-python": (CALLER, python("Decimal.__add__", f"{LIB}/_pydecimal.py")),
    "strptime": (CALLER, python("_strptime", f"{LIB}/_strptime.py")),
    "imports-in-request": (SERVE, CALLER, python("_find_and_load", "<frozen importlib._bootstrap>")),
    "deepcopy": (CALLER, python("deepcopy", f"{LIB}/copy.py")),
    "dataclass-asdict": (CALLER, python("asdict", f"{LIB}/dataclasses.py")),
    "tracebacks": (CALLER, python("format_exc", f"{LIB}/traceback.py")),
    "inspect-stack": (CALLER, python("stack", f"{LIB}/inspect.py")),
    "abc-isinstance": (CALLER, python("ABCMeta.__instancecheck__", "<frozen abc>")),
    "tracer": (CALLER, python("Collector._trace", "/venv/coverage/pytracer.py")),
    "logging": (CALLER, python("Logger._log", f"{LIB}/logging/__init__.py")),
    "python-gc": (CALLER, native("gc_collect_main", "/usr/bin/python3.11")),
    "ruby-regex-compiled": (RUBY_CALLER, ruby("Regexp#initialize", "")),
    "json-in-ruby": (RUBY_CALLER, ruby("JSON::Pure::Parser#parse", "/gems/json_pure/lib/json/pure/parser.rb")),
    "autoload-in-request": (RACK, RUBY_CALLER, ruby("Kernel#require", "/gems/zeitwerk/lib/zeitwerk/kernel.rb")),
    "ruby-backtraces": (RUBY_CALLER, ruby("Exception#backtrace", "")),
    "method-missing": (RUBY_CALLER, ruby("Proxy#method_missing", "/app/proxy.rb")),
    "methods-in-request": (RACK, RUBY_CALLER, ruby("Module#define_method", "")),
    "ruby-gc": (RUBY_CALLER, ruby("(garbage collector)", "")),
    "json-on-event-loop": (JS_CALLER, native("Builtins_JsonStringify", "/usr/bin/node")),
    "sync-on-event-loop": (JS_CALLER, js("readFileSync", "node:fs")),
    "require-in-request": (HTTP, JS_CALLER, js("Module._load", "node:internal/modules/cjs/loader")),
    "clone-deep": (JS_CALLER, js("cloneDeep", "/app/node_modules/lodash/cloneDeep.js")),
    "js-stack-traces": (JS_CALLER, native("ErrorCaptureStackTrace", "/usr/bin/node")),
    "intl-formatters": (JS_CALLER, native("DatePrototypeToLocaleString", "/usr/bin/node")),
    "node-gc": (JS_CALLER, js("(garbage collector)", "")),
    "tls-handshakes": (CALLER, python("SSLSocket.do_handshake", f"{LIB}/ssl.py"),
                       native("SSL_do_handshake", "/usr/lib/libssl.so.3")),
    "certificates-loaded": (CALLER, native("SSL_CTX_load_verify_locations", "/usr/lib/libssl.so.3")),
}
# What stands below these is no habit: it is how a program starts.
STARTS = {
    "regex-compiled": python("_find_and_load", "<frozen importlib._bootstrap>"),
    "yaml-in-python": python("_find_and_load", "<frozen importlib._bootstrap>"),
    "ruby-regex-compiled": ruby("Kernel#require", "/gems/bootsnap/lib/require.rb"),
    "json-on-event-loop": js("Module._compile", "node:internal/modules/cjs/loader"),
    "sync-on-event-loop": js("Module._load", "node:internal/modules/cjs/loader"),
}
OTHER_MEASURES = {"tls-handshake-per-request", "queries-n-plus-1", "gil-convoy", "gvl-convoy", "lock-contention",
                  "exceptions"}


def advise(cprof, *arguments):
    done = cprof("advise", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return {each["rule"]: each for each in json.loads(done.stdout)["advice"]}


def test_every_rule_has_a_test():
    names = set(re.findall(r'^    \{"([a-z0-9-]+)",', (ROOT / "cli" / "rules.c").read_text(), re.M))
    assert names == set(HABITS) | OTHER_MEASURES and len(names) > 30


@pytest.mark.parametrize("rule", HABITS)
def test_a_habit_is_found_with_its_numbers_and_stack(cprof, tmp_path, rule):
    habit = HABITS[rule]
    found = advise(cprof, ProfileFile().add([MAIN, *habit], 40).add([MAIN, WORK], 60).write(tmp_path / "x.pb.gz"))
    assert set(found) == {rule}
    advice = found[rule]
    assert (advice["value"], advice["samples"], advice["unit"]) == (400_000_000, 40, "nanoseconds")
    assert advice["measured"] == 0.4 > advice["threshold"] > 0
    assert [frame["name"] for frame in advice["stack"]] == [frame.name for frame in reversed([MAIN, *habit])]
    caller = habit[-2] if rule not in ("regex-compiled", "tls-handshakes", "json") else CALLER
    assert [(each["name"], each["value"]) for each in advice["callers"]] == [(caller.name, 400_000_000)]


@pytest.mark.parametrize("rule", HABITS)
def test_a_little_of_a_habit_is_none(cprof, tmp_path, rule):
    profile = ProfileFile().add([MAIN, *HABITS[rule]], 30).add([MAIN, WORK], 9970)
    assert advise(cprof, profile.write(tmp_path / "little.pb.gz")) == {}
    profile = ProfileFile().add([MAIN, *HABITS[rule]], 8).add([MAIN, WORK], 12)  # too few samples to say so
    assert advise(cprof, profile.write(tmp_path / "few.pb.gz")) == {}


@pytest.mark.parametrize("rule", [rule for rule in HABITS if "in-request" in rule])
def test_what_is_for_requests_is_for_requests_alone(cprof, tmp_path, rule):
    start = ProfileFile().add([MAIN, *HABITS[rule][1:]], 40).add([MAIN, WORK], 60)
    assert advise(cprof, start.write(tmp_path / "start.pb.gz")) == {}
    span = ProfileFile().add([MAIN, *HABITS[rule][1:]], 40, trace_id=profiles.TRACE, span_id=profiles.SPAN)
    assert set(advise(cprof, span.add([MAIN, WORK], 60).write(tmp_path / "span.pb.gz"))) == {rule}


@pytest.mark.parametrize("rule", STARTS)
def test_what_a_program_does_when_it_starts_is_fine(cprof, tmp_path, rule):
    profile = ProfileFile().add([MAIN, STARTS[rule], *HABITS[rule]], 40).add([MAIN, WORK], 60)
    assert advise(cprof, profile.write(tmp_path / "x.pb.gz")) == {}


def test_requests_with_a_handshake_each_are_counted_by_span(cprof, tmp_path):
    shake = native("SSL_do_handshake", "/usr/lib/libssl.so.3")

    def made(with_handshake, spans=40):
        profile = ProfileFile()
        for i in range(spans):
            ids = {"trace_id": f"{i + 1:032x}", "span_id": f"{i + 1:016x}"}
            profile.add([MAIN, SERVE, WORK], 30, **ids)
            if i < with_handshake:
                profile.add([MAIN, SERVE, CALLER, shake], 2, **ids)
        return advise(cprof, profile.write(tmp_path / "x.pb.gz"))

    found = made(20)["tls-handshake-per-request"]
    assert (found["spans"], found["measured"], found["samples"]) == (20, 0.5, 40)
    assert found["callers"][0]["name"] == "Cart.total"
    assert made(9) == {} and made(14, spans=15) == {}


def test_queries_of_one_trace_again_and_again_are_found(cprof, tmp_path):
    query = python("Cursor.execute", "/venv/psycopg/cursor.py")

    def made(queries, traces=3):
        profile = ProfileFile()
        for trace in range(traces):
            for i in range(queries):
                profile.add([MAIN, SERVE, CALLER, query], 2, trace_id=f"{trace + 1:032x}",
                            span_id=f"{trace * 1000 + i + 1:016x}")
            profile.add([MAIN, SERVE, WORK], 50, trace_id=f"{trace + 1:032x}", span_id=f"{trace + 9000:016x}")
        return advise(cprof, profile.write(tmp_path / "x.pb.gz"))

    found = made(12)["queries-n-plus-1"]
    assert found["spans"] == 12 == found["measured"] and found["callers"][0]["name"] == "Cart.total"
    assert made(4, traces=8) == {}


@pytest.mark.parametrize("lock", ["gil", "gvl"])
def test_waiting_for_the_interpreters_lock_is_held_against_cpu_time(cprof, tmp_path, lock):
    def made(name, reason, count):
        waits = ProfileFile(types=(("off_cpu", "nanoseconds", 10**7),))
        waits.add([RUN, PARSE], count, **{"wait.reason": reason}).add([RUN], 900, **{"wait.reason": "idle"})
        cpu = ProfileFile().add([RUN, PARSE], 100).write(tmp_path / "cpu.pb.gz")
        return advise(cprof, cpu, waits.write(tmp_path / f"{name}.pb.gz"))

    found = made("convoy", lock, 80)[f"{lock}-convoy"]
    assert found["measured"] == 0.8 and found["value"] == 800_000_000 and found["callers"][0]["name"] == "parse"
    assert made("little", lock, 20) == {} and made("other", "io", 500) == {}


def test_waiting_for_locks_and_raising_are_measured(cprof, tmp_path):
    cpu = ProfileFile().add([RUN, PARSE], 100).write(tmp_path / "cpu.pb.gz")

    def made(types, count, duration=10.0):
        other = ProfileFile(types=types, duration=duration).add([RUN, PARSE], count)
        return advise(cprof, cpu, other.write(tmp_path / "other.pb.gz"))

    locks = (("contentions", "count", 1), ("delay", "nanoseconds", 10**7))
    assert made(locks, 70)["lock-contention"]["measured"] == 0.7 and made(locks, 30) == {}
    raised = (("exceptions", "count", 1),)
    assert made(raised, 20_000)["exceptions"]["measured"] == 2000 and made(raised, 5_000) == {}


def test_healthy_programs_hear_nothing(cprof, small, tmp_path):
    """Of everything a little, as programs have it, and the profiles of other tests."""
    for path in (small, profiles.grown(tmp_path / "grown.pb.gz")):
        assert advise(cprof, path) == {}
    healthy = ProfileFile()
    for habit in HABITS.values():
        healthy.add([MAIN, *habit], 25)
    healthy.add([MAIN, WORK], 5000).add([RUN, PARSE], 20_000)
    seconds = round((25 * len(HABITS) + 25_000) / 100)
    assert advise(cprof, healthy.write(tmp_path / "healthy.pb.gz")) == {}
    done = cprof("advise", tmp_path / "healthy.pb.gz")
    assert done.returncode == 0 and done.stdout.startswith(f"Nothing stands out in {seconds} s of CPU time")
    heap = ProfileFile(types=(("inuse_space", "bytes", 512),)).add([MAIN, *HABITS["deepcopy"]], 40)
    assert "no CPU time" in cprof("advise", heap.write(tmp_path / "heap.pb.gz")).stdout


def test_programs_of_go_hear_nothing(cprof):
    files = list((ROOT / "tests/cli/data/go").rglob("*.out"))
    asked = 0
    for path in files:
        done = cprof("advise", "--json", path)
        if done.returncode == 0:
            asked += 1
            assert json.loads(done.stdout)["advice"] == [], path
    assert asked > 0


def test_people_see_what_it_is_what_to_do_and_what_it_rests_on(cprof, tmp_path):
    path = ProfileFile().add([MAIN, *HABITS["deepcopy"]], 40).add([MAIN, WORK], 60).write(tmp_path / "x.pb.gz")
    assert cprof("advise", path).stdout == (
        "\n"
        "Objects are copied deeply (deepcopy)\n"
        "   400 ms in 40 samples: 40.0% of CPU time\n"
        "   Copy what changes alone, or keep the data immutable.\n"
        "  called by\n"
        "   400 ms 100.0%   Cart.total  shop/cart.py:12\n"
        "  heaviest stack, innermost first\n"
        "      deepcopy    copy.py\n"
        "      Cart.total  shop/cart.py:12\n"
        "      main        shop/main.py:12\n")


def test_every_rule_can_be_listed(cprof):
    text = cprof("advise", "--rules").stdout
    for rule in set(HABITS) | OTHER_MEASURES:
        assert f"{rule}\n   " in text


REAL = {
    "regex-compiled": "import re\ndef hot(i):\n    re.purge()\n    re.compile(r'(a|b)+[0-9]{2,5}x(?P<n>\\d+)' + str(i % 9))\n",
    "json-in-python": "import json\nDATA = {str(i): list(range(50)) for i in range(50)}\n"
                      "def hot(i):\n    json.dumps(DATA, indent=2)\n",
    "json": "import json\nDATA = json.dumps({str(i): list(range(50)) for i in range(50)})\n"
            "def hot(i):\n    json.loads(DATA)\n",
    "deepcopy": "import copy\nDATA = {str(i): [i] * 20 for i in range(50)}\ndef hot(i):\n    copy.deepcopy(DATA)\n",
    None: "def hot(i):\n    sum(k * k for k in range(5000))\n",
}


@pytest.mark.parametrize("rule", REAL)
def test_habits_of_real_programs_are_found(cprof, tmp_path, rule):
    spy = shutil.which("py-spy", path=os.environ.get("CPROF_TEST_TOOLS", "") + os.pathsep + os.environ["PATH"])
    if not spy:
        pytest.skip("no py-spy on this machine (pip install py-spy)")
    program = tmp_path / "app.py"
    program.write_text(REAL[rule] + "def serve():\n    for i in range(10 ** 9):\n        hot(i)\nserve()\n")
    done = subprocess.run([spy, "record", "-r", "100", "-d", "1", "-f", "raw", "-o", tmp_path / "spy.txt", "--",
                           sys.executable, program], capture_output=True, text=True, timeout=120)
    if not (tmp_path / "spy.txt").exists():
        pytest.skip(f"py-spy may not look at processes here: {done.stderr[-200:]}")
    found = advise(cprof, tmp_path / "spy.txt")
    assert set(found) == ({rule} if rule else set())
    if rule:
        assert "hot" in {each["name"] for each in found[rule]["callers"]}
