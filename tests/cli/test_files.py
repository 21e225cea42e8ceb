"""Files of other tools: known by what they hold, whatever they are called; refused in one line."""

import gzip
import hashlib
import json
import pathlib
import re
import shutil
import struct
import subprocess

import pytest

import profiles
from profiles import block, number, varint
from test_others import Ebpf
from test_read import one_line, rows

GO = pathlib.Path(__file__).parent / "data" / "go"  # made by Go 1.26: runtime/pprof, go test -trimpath


def fields(message):
    """The fields of a message: number, value of a varint or content, and the bytes of it all."""
    at = 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        start, tag = at, take()
        if tag & 7 == 0:
            value = take()
        else:
            size = {1: 8, 5: 4}.get(tag & 7) or take()
            value, at = message[at:at + size], at + size
        yield tag >> 3, value, message[start:at]


def raw(path):
    content = pathlib.Path(path).read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def found(cprof, *arguments):
    return [(row["name"], row["file"], row["self"], row["total"]) for row in rows(cprof, *arguments)["rows"]]


# --- Go ---

@pytest.mark.parametrize("name, type, total, first", [  # as go tool pprof -top has them
    ("cpu", "cpu", 180_000_000, "example.com/cart.price"),
    ("heap", "inuse_space", 2_407_572, "strings.(*Builder).WriteString"),
    ("mutex", "delay", 76_539_689, "sync.(*Mutex).Unlock"),
    ("block", "delay", 76_627_110, "sync.(*Mutex).Lock"),
    ("goroutine", "goroutine", 3, "runtime.gopark"),
])
def test_gos_own_profiles_are_known_whatever_they_are_called(cprof, tmp_path, name, type, total, first):
    content = (GO / f"{name}.out").read_bytes()
    for other in (f"{name}.out", "x", "x.txt", "x.otlp", "x.pb.gz"):
        (tmp_path / other).write_bytes(content)
        report = rows(cprof, tmp_path / other)
        assert (report["type"], report["total"], report["rows"][0]["name"]) == (type, total, first), other
    (tmp_path / "unpacked").write_bytes(gzip.decompress(content))
    for path in (tmp_path / "x", tmp_path / "unpacked"):
        with open(path, "rb") as file:
            assert json.loads(cprof("top", "--json", "-", stdin=file).stdout)["total"] == total


def test_a_pprof_file_is_known_by_its_fields_in_any_order(cprof, small, tmp_path):
    whole = list(fields(raw(small)))
    for last_first in (False, True):
        for first in range(1, 16):
            order = sorted(whole, key=lambda field: (field[0] != first, field[0]), reverse=last_first)
            strings = iter([field for field in whole if field[0] == 6])
            content = b"".join(next(strings)[2] if field[0] == 6 else field[2] for field in order)
            (tmp_path / "x").write_bytes(content)
            assert found(cprof, tmp_path / "x") == found(cprof, small)


# --- OTLP ---

@pytest.fixture
def otlp(cprof, small, tmp_path):
    path = tmp_path / "small.otlp"
    assert cprof("convert", small, path).returncode == 0
    return path


def test_an_otlp_file_is_known_by_its_fields_in_any_order_and_packed(cprof, otlp, tmp_path):
    expected = found(cprof, otlp)
    parts = [part for _, _, part in fields(otlp.read_bytes())]
    for name, content in (("dictionary-first", b"".join(parts[::-1])), ("x.otlp", b"".join(parts[::-1])),
                          ("x.otlp.gz", gzip.compress(b"".join(parts))), ("x.pb", b"".join(parts))):
        (tmp_path / name).write_bytes(content)
        assert found(cprof, tmp_path / name) == expected, name
    assert cprof("convert", otlp, tmp_path / "made.otlp.gz").returncode == 0
    assert raw(tmp_path / "made.otlp.gz") == raw(otlp) != (tmp_path / "made.otlp.gz").read_bytes()
    assert found(cprof, tmp_path / "made.otlp.gz") == expected


VALUE = {1: ("stringValue", "text"), 2: ("boolValue", "bool"), 3: ("intValue", "long"), 4: ("doubleValue", "double")}
ATTRIBUTE = {1: ("key", "text"), 2: ("value", VALUE)}
TYPE = {1: ("typeStrindex", "int"), 2: ("unitStrindex", "int")}
SAMPLE = {1: ("stackIndex", "int"), 2: ("attributeIndices", ["int"]), 3: ("linkIndex", "int"),
          4: ("values", ["long"]), 5: ("timestampsUnixNano", ["fixed"])}
PROFILE = {1: ("sampleType", TYPE), 2: ("samples", [SAMPLE]), 3: ("timeUnixNano", "fixed"),
           4: ("durationNano", "long"), 5: ("periodType", TYPE), 6: ("period", "long"), 7: ("profileId", "hex"),
           11: ("attributeIndices", ["int"])}
SCOPE = {1: ("scope", {1: ("name", "text"), 2: ("version", "text")}), 2: ("profiles", [PROFILE])}
RESOURCE = {1: ("resource", {1: ("attributes", [ATTRIBUTE])}), 2: ("scopeProfiles", [SCOPE])}
MAPPING = {1: ("memoryStart", "long"), 2: ("memoryLimit", "long"), 3: ("fileOffset", "long"),
           4: ("filenameStrindex", "int"), 5: ("attributeIndices", ["int"])}
LINE = {1: ("functionIndex", "int"), 2: ("line", "long"), 3: ("column", "long")}
LOCATION = {1: ("mappingIndex", "int"), 2: ("address", "long"), 3: ("lines", [LINE]), 4: ("attributeIndices", ["int"])}
FUNCTION = {1: ("nameStrindex", "int"), 2: ("systemNameStrindex", "int"), 3: ("filenameStrindex", "int"),
            4: ("startLine", "long")}
DICTIONARY = {1: ("mappingTable", [MAPPING]), 2: ("locationTable", [LOCATION]), 3: ("functionTable", [FUNCTION]),
              4: ("linkTable", [{1: ("traceId", "hex"), 2: ("spanId", "hex")}]), 5: ("stringTable", ["text"]),
              6: ("attributeTable", [{1: ("keyStrindex", "int"), 2: ("value", VALUE), 3: ("unitStrindex", "int")}]),
              7: ("stackTable", [{1: ("locationIndices", ["int"])}])}
DATA = {1: ("resourceProfiles", [RESOURCE]), 2: ("dictionary", DICTIONARY)}


def as_json(message, schema=None):
    """What the Collector writes for it: camelCase names, 64-bit integers as strings, ids in hex."""
    result = {}
    for field, value, _ in fields(message):
        name, kind = (schema or DATA)[field]
        several, kind = isinstance(kind, list), kind[0] if isinstance(kind, list) else kind
        values = [value]
        if several and kind in ("int", "long"):
            values = [each for _, each, _ in fields(b"".join(b"\x08" + part for part in split(value)))]
        elif several and kind == "fixed":
            values = [value[at:at + 8] for at in range(0, len(value), 8)]
        made = [as_json(each, kind) if isinstance(kind, dict) else SCALARS[kind](each) for each in values]
        result[name] = result.get(name, []) + made if several else made[0]
    return result


def split(packed):
    parts, start = [], 0
    for at, byte in enumerate(packed):
        if byte < 0x80:
            parts.append(packed[start:at + 1])
            start = at + 1
    return parts


SCALARS = {"text": bytes.decode, "hex": bytes.hex, "int": int, "long": str, "bool": bool,
           "fixed": lambda content: str(struct.unpack("<Q", content)[0]),
           "double": lambda content: struct.unpack("<d", content)[0]}


def test_the_collectors_file_exporter_is_read_in_all_its_ways(cprof, otlp, small, tmp_path):
    """A message after its length, and a line of JSON a message; several of them add up."""
    message = otlp.read_bytes()
    line = json.dumps(as_json(message), separators=(",", ":")).encode()
    pretty = json.dumps(as_json(message), indent=2).encode()
    frame = struct.pack(">I", len(message)) + message
    once, thrice = found(cprof, small), found(cprof, small, small, small)
    for name, content, expected in (
            ("one.json", line + b"\n", once), ("pretty", pretty, once), ("x.otlp", b"\xef\xbb\xbf" + line, once),
            ("lines.jsonl", 3 * (line + b"\n"), thrice), ("x.txt", gzip.compress(3 * (line + b"\n")), thrice),
            ("frame", frame, once), ("frames.otlp", 3 * frame, thrice), ("frames.pb.gz", gzip.compress(3 * frame), thrice)):
        (tmp_path / name).write_bytes(content)
        assert found(cprof, tmp_path / name) == expected, name
        for by in ("type", "thread"):
            assert rows(cprof, "--by", by, tmp_path / name)["rows"] == rows(
                cprof, "--by", by, *[small] * (3 if expected == thrice else 1))["rows"]
    assert rows(cprof, "--span", profiles.SPAN, tmp_path / "lines.jsonl")["total"] == 120 * 10**7
    (tmp_path / "cut").write_bytes(3 * frame[:-1])
    one_line(cprof("top", tmp_path / "cut"), 1)
    (tmp_path / "cut").write_bytes(frame + frame[:-5])
    one_line(cprof("top", tmp_path / "cut"), 1, f"cut short: {len(frame) - 5} bytes")


def test_json_is_read_with_its_escapes_and_refused_where_it_breaks(cprof, tmp_path):
    def write(name):
        text = json.dumps({"resourceProfiles": [{"unknown": [{"a": [None, 1.5e3, {}]}], "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}}]},
            "scopeProfiles": [{"profiles": [{"sampleType": {"typeStrindex": 1, "unitStrindex": 2}, "samples": [
                {"stackIndex": 1, "values": [3, "4", 5e0], "attributeIndices": [0]}]}]}]}],
            "dictionary": {"stringTable": ["", "samples", "count", "NAME", "tag"], "stackTable": [{}, {"locationIndices": [1]}],
                           "locationTable": [{}, {"lines": [{"functionIndex": 1}]}], "mappingTable": [{}],
                           "functionTable": [{}, {"nameStrindex": 3}], "attributeTable": [None], "linkTable": [{}]}})
        path = tmp_path / "x.json"
        values = [{"stringValue": "a"}, {"arrayValue": {"values": [{"stringValue": "in it"}]}}, {"intValue": "7"}]
        tag = {"keyStrindex": 4, "value": {"arrayValue": {"values": values}}}
        path.write_text(text.replace('"attributeTable": [null]', f'"attributeTable": [{json.dumps(tag)}]')
                        .replace("NAME", name))
        return path
    report = rows(cprof, write(r"\u00e9\ud83d\ude00\/\"\ud800x"))
    assert report["service"] == "shop"
    assert [(row["name"], row["self"]) for row in report["rows"]] == [('é😀/"\ufffdx', 12)]
    for value, total in (("a", 12), ("7", 12), ("in it", 0)):
        assert rows(cprof, "--label", f"tag={value}", write("name"))["total"] == total
    for name in ("\\x", "\\u12", "", "\\"):
        text = write("name").read_text()
        broken = text.replace('"name"', f'"{name}"') if name else text[:-20]
        (tmp_path / "x.json").write_text(broken)
        one_line(cprof("top", tmp_path / "x.json"), 1, "not valid JSON", "byte")
    (tmp_path / "x.json").write_text('{"resourceProfiles":' + "[" * 100_000)
    one_line(cprof("top", tmp_path / "x.json"), 1, "not valid JSON")
    (tmp_path / "x.json").write_text('{"resourceProfiles":[],"x":' + "[" * 100_000)
    one_line(cprof("top", tmp_path / "x.json"), 1, "not valid JSON")
    (tmp_path / "x.json").write_text('{"nodes": []}')
    one_line(cprof("top", tmp_path / "x.json"), 1, "JSON, but of no format that cprof knows")
    (tmp_path / "x.gz").write_bytes(gzip.compress(gzip.compress(b"a;b 5\n")))
    one_line(cprof("top", tmp_path / "x.gz"), 1, "packed more than once")
    (tmp_path / "x.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    one_line(cprof("top", tmp_path / "x.zst"), 1, "zstd")


def older(version):
    """A file of an older OTLP: a profile of one sample, its fields where that version has them."""
    kind = number(1, 1) + number(2, 2)
    resource = block(1, block(1, block(1, b"service.name") + block(2, block(1, b"shop"))))
    time = varint(4 << 3 | 1) + bytes(7) + b"\x01"
    strings = ["", "samples", "count"]

    def data(profile, *tables):
        return block(1, resource + block(2, block(2, profile))) + b"".join(tables)

    def dictionary(*tables):
        return block(2, b"".join(tables) + b"".join(block(5, text.encode()) for text in strings))

    if version == "1.3 or older":
        inner = block(1, kind) + b"".join(block(6, text.encode()) for text in strings)
        return data(block(1, bytes(range(16))) + varint(2 << 3 | 1) + bytes(8) + varint(3 << 3 | 1) + bytes(8) + block(8, inner))
    if version == "1.4 or 1.5":
        return data(block(1, kind) + block(2, block(3, b"\x01")) + block(4, b"") +
                    b"".join(block(10, text.encode()) for text in strings) + number(11, 5))
    if version in ("1.6", "1.7"):
        profile = block(1, kind) + block(2, number(2, 1) + block(3, b"\x01")) + block(3, b"\x00") + number(4, 5) + number(5, 6)
        if version == "1.7":
            return data(profile, dictionary(block(1, b"")))
        return data(profile, block(2, b""), *[block(6, text.encode()) for text in strings])
    sample = number(1, 1) + block(2, b"\x05") + block(3, b"\x01")
    profile = block(1, kind) + block(2, sample) + varint(3 << 3 | 1) + bytes(8) + number(4, 9) + block(5, kind) + number(6, 1)
    if version == "1.8":
        return data(profile + block(8, bytes(range(16))), dictionary(block(7, b"")))
    return data(profile + block(7, bytes(range(16))), dictionary(block(7, b"")))


@pytest.mark.parametrize("version", ["1.3 or older", "1.4 or 1.5", "1.6", "1.7", "1.8", "1.9 or 1.8"])
def test_an_older_otlp_is_refused_by_its_version(cprof, tmp_path, version):
    for name, content in (("x", older(version)), ("x.otlp", older(version)), ("x.gz", gzip.compress(older(version)))):
        (tmp_path / name).write_bytes(content)
        one_line(cprof("top", tmp_path / name), 1, f"written by OTLP profiles {version}; cprof reads 1.10 and newer")


@pytest.mark.parametrize("version, message", [
    ("1.3 or older", {"resourceProfiles": [{"scopeProfiles": [{"profiles": [{"profile": {}}]}]}]}),
    ("1.4 or 1.5", {"resourceProfiles": [{"scopeProfiles": [{"profiles": [{"stringTable": []}]}]}]}),
    ("1.6", {"stringTable": [], "resourceProfiles": []}),
    ("1.7", {"resourceProfiles": [{"scopeProfiles": [{"profiles": [{"locationIndices": []}]}]}]}),
    ("1.8", {"resourceProfiles": [{"scopeProfiles": [{"profiles": [{"sample": []}]}]}]}),
])
def test_json_of_an_older_otlp_is_refused_by_its_version(cprof, tmp_path, version, message):
    (tmp_path / "x.json").write_text(json.dumps(message))
    one_line(cprof("top", tmp_path / "x.json"), 1, f"written by OTLP profiles {version};")


# --- what others read of ours ---

def with_program(path, program, *files):
    """A profile of functions in these files, of a process whose executable is `program`."""
    profile = profiles.ProfileFile(service="shop").add([profiles.native(f"f{i}", file) for i, file in enumerate(files)], 5)
    write, strings = profile.write(path), profile.strings
    content = raw(write)
    for text in (f"process.executable.path={program}", "host.name=box", "profile:cprof.samples=5"):
        content += block(6, text.encode()) + number(13, len(strings))
        strings[text.encode()] = len(strings)
    pathlib.Path(path).write_bytes(content)
    return path


@pytest.mark.parametrize("program, files, expected", [
    ("/usr/bin/shop", ["/lib/b.so", "/opt/addon.node", "/usr/bin/shop"], ["/usr/bin/shop", "/lib/b.so", "/opt/addon.node"]),
    ("/usr/bin/shop", ["/opt/addon.node"], ["/usr/bin/shop", "/opt/addon.node"]),
    ("", ["/opt/second", "/opt/first"], ["/opt/first", "/opt/second"]),  # as it was: that of the leaf
])
def test_the_first_mapping_is_the_programs(cprof, tmp_path, program, files, expected):
    path = with_program(tmp_path / "x.pb.gz", program, *files)
    for out, arguments in ((tmp_path / "out.pb.gz", []), (tmp_path / "again.pb.gz", ["--label", "service.name=shop"])):
        assert cprof("convert", *arguments, path, out).returncode == 0
        assert list(mappings(out))[0] == expected[0] and sorted(mappings(out)) == sorted(expected)
        path = out


def test_pprofs_tools_show_only_the_services_name_above_their_table(cprof, tmp_path):
    path = with_program(tmp_path / "x.pb.gz", "/usr/bin/shop", "/lib/b.so", "/usr/bin/shop")
    assert cprof("convert", path, tmp_path / "out.pb.gz").returncode == 0
    message = list(fields(raw(tmp_path / "out.pb.gz")))
    strings = [value for field, value, _ in message if field == 6]
    comments = [strings[value].decode() for field, value, _ in message if field == 13]
    assert sorted(comments) == ["#host.name=box", "#process.executable.path=/usr/bin/shop", "#profile:cprof.samples=5",
                                "service.name=shop"]
    assert rows(cprof, "--label", "host.name=box", tmp_path / "out.pb.gz")["total"] == 50_000_000
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go:
        done = subprocess.run([go, "tool", "pprof", "-top", "-symbolize=none", tmp_path / "out.pb.gz"],
                              capture_output=True, text=True, timeout=120)
        head = done.stdout.splitlines()[:done.stdout.splitlines().index("      flat  flat%   sum%        cum   cum%")]
        assert head[0] == "File: shop" and "service.name=shop" in head and len(head) <= 6


# --- what pprof's files may say ---

def attribute_keys(otlp):
    """The keys of each sample's attributes."""
    def inner(data, *path):
        return [data] if not path else [
            found for field, content, _ in fields(data) if field == path[0] for found in inner(content, *path[1:])]

    def numbers(packed):
        while packed:
            value, packed = packed[0], packed[1:]
            assert value < 128, "a table this small"
            yield value

    strings = inner(otlp, 2, 5)
    keys = [strings[dict((f, c) for f, c, _ in fields(row)).get(1, 0)].decode() for row in inner(otlp, 2, 6)]
    profile = inner(otlp, 1, 2, 2)[0]
    return [[keys[index] for part in inner(sample, 2) for index in numbers(part)] for sample in inner(profile, 2)]


def test_all_values_of_a_label_are_kept(cprof, tmp_path):
    profile = profiles.ProfileFile()
    profile.add([profiles.MAIN], 5, tag=["a", "c", "b", "a", 7])
    profile.add([profiles.WORK], 3, tag="b")
    path = profile.write(tmp_path / "x.pb.gz")
    assert cprof("convert", path, tmp_path / "o.pb.gz").returncode == 0
    assert cprof("convert", path, tmp_path / "o.otlp").returncode == 0
    assert cprof("merge", path, tmp_path / "o.pb.gz", "-o", tmp_path / "twice.pb.gz").returncode == 0
    assert cprof("convert", tmp_path / "o.otlp", tmp_path / "back.pb.gz").returncode == 0
    assert cprof("convert", path, tmp_path / "o.html").returncode == 0
    for file, times in ((path, 1), (tmp_path / "o.pb.gz", 1), (tmp_path / "twice.pb.gz", 2), (tmp_path / "o.otlp", 1),
                        (tmp_path / "back.pb.gz", 1), (tmp_path / "o.html", 1)):
        for value, count in (("a", 5), ("b", 8), ("c", 5), ("7", 5), ("d", 0)):
            assert rows(cprof, "--label", f"tag={value}", file)["total"] == count * times * 10**7, (file, value)
    assert len([1 for field, _, _ in fields(raw(tmp_path / "twice.pb.gz")) if field == 2]) == 2
    assert attribute_keys(raw(tmp_path / "o.otlp")) == [["tag"], ["tag"]], "OTLP's keys are unique"


def with_rules(path, drop, keep, *stacks):
    profile = profiles.ProfileFile()
    for stack in stacks:
        profile.add([profiles.native(name, "/bin/shop") for name in stack], 1)
    content = number(7, profile.string(drop)) + (number(8, profile.string(keep)) if keep else b"")
    content += raw(profile.write(path))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("drop, keep, expected", [  # as go tool pprof -traces has them, root first
    ("malloc|operator new", "", ["main;load", "main;load;parse", "malloc;grow", "main;std::sort"]),
    ("(?:mal|c)loc.*|load", "", ["main", "main", "malloc;grow", "main;std::sort;operator new"]),
    (".*", "main|load", ["main;load", "main;load", "malloc;grow", "main"]),
    ("std::sort|grow", "", ["main;load;malloc", "main;load;parse", "malloc", "main"]),
    ("nothing", "", ["main;load;malloc;grow", "main;load;parse", "malloc;grow", "main;std::sort;operator new"]),
])
def test_frames_that_a_profile_drops_are_left_out_as_pprof_does(cprof, tmp_path, drop, keep, expected):
    path = with_rules(tmp_path / "x.pb", drop, keep, ["main", "load", "malloc(unsigned long)", "grow"],
                      ["main", "load", "parse"], ["malloc(unsigned long)", "grow"],
                      ["main", "std::sort(int*)", "operator new(unsigned long)"])
    for _ in range(2):
        found = [row["name"] for row in rows(cprof, "--by", "stack", path)["rows"] for _ in range(row["self"] // 10**7)]
        assert sorted(found) == sorted(re.sub(r"(malloc|operator new)(?=;|$)", r"\1(unsigned long)", each).replace("sort", "sort(int*)")
                                       for each in expected)
        go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
        if go:
            done = subprocess.run([go, "tool", "pprof", "-traces", "-symbolize=none", "-sample_index=samples", path],
                                  capture_output=True, text=True, timeout=120)
            theirs, stack = [], []
            for line in [*done.stdout.splitlines(), "---"]:
                if line.startswith("---") and stack:
                    theirs, stack = [*theirs, ";".join(reversed(stack))], []
                elif re.match(r" +(\d+ +)?\S", line) and not line.startswith("---"):
                    stack.append(re.sub(r"^ +(\d+ +)?", "", line))
            assert set(theirs) == set(found), done.stdout
        path = tmp_path / "again.pb.gz"
        assert cprof("convert", tmp_path / "x.pb", path).returncode == 0


def test_rules_that_are_no_patterns_leave_all_in(cprof, tmp_path):
    path = with_rules(tmp_path / "x.pb", "(malloc", "", ["main", "malloc"])
    assert [row["name"] for row in rows(cprof, "--by", "stack", path)["rows"]] == ["main;malloc"]


# --- what others have not named ---

def text_of(strings, index):
    return strings[index].decode()


def mappings(path):
    """File → its has_functions, has_filenames, has_line_numbers, has_inline_frames; in the file's order."""
    message = list(fields(raw(path)))
    strings = [value for field, value, _ in message if field == 6]
    result = {}
    for field, value, _ in message:
        if field == 3:
            mapping = {inner: content for inner, content, _ in fields(value)}
            result[text_of(strings, mapping.get(5, 0))] = tuple(mapping.get(flag, 0) for flag in (7, 8, 9, 10))
    return result


def unsymbolized(path, flags=(), locations=(), strings=("samples", "count", "cpu", "nanoseconds", "/opt/shop/shop", "main")):
    """One mapping from 0x400000 on, with file offset 0x1000; each location is a sample of one."""
    content = block(1, number(1, 1) + number(2, 2)) + block(1, number(1, 3) + number(2, 4))
    content += block(3, number(1, 1) + number(2, 0x400000) + number(3, 0x402000) + number(4, 0x1000) + number(5, 5) +
                     b"".join(number(7 + i, flag) for i, flag in enumerate(flags)))
    for id, location in enumerate(locations, 1):
        content += block(4, number(1, id) + location)
        content += block(2, block(1, varint(id)) + block(2, varint(1) + varint(10_000_000)))
    content += block(5, number(1, 1) + number(2, 6))
    content += b"".join(block(6, text.encode()) for text in ("", *strings))
    path.write_bytes(content)
    return path


AT = [number(2, 1) + number(3, address) for address in (0x400010, 0x400020, 0x400020, 0x401000)]


@pytest.mark.parametrize("flags", [(0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 1, 0), (1, 1, 1, 1)])
def test_what_a_mapping_says_of_its_symbols_is_kept(cprof, tmp_path, flags):
    """Or no tool can name its code any more."""
    path = unsymbolized(tmp_path / "x.pb", flags, AT)
    assert cprof("convert", path, tmp_path / "out.pb.gz").returncode == 0
    assert mappings(tmp_path / "out.pb.gz") == {"/opt/shop/shop": flags}
    assert cprof("merge", path, path, "-o", tmp_path / "out.pb.gz").returncode == 0
    assert mappings(tmp_path / "out.pb.gz") == {"/opt/shop/shop": flags}
    # OTLP has no such flags: what has no name is left for others to name
    assert cprof("convert", path, tmp_path / "x.otlp").returncode == 0
    assert cprof("convert", tmp_path / "x.otlp", tmp_path / "out.pb.gz").returncode == 0
    assert mappings(tmp_path / "out.pb.gz") == {"/opt/shop/shop": (0, 0, 0, 0)}


def test_a_line_of_no_function_is_none(cprof, small, tmp_path):
    """google/pprof refuses a file that has one."""
    nothing, named = block(4, number(2, 7)), block(4, number(1, 1) + number(2, 7))
    path = unsymbolized(tmp_path / "x.pb", (), [AT[0] + nothing, AT[1] + named + nothing])
    assert [row["name"] for row in rows(cprof, path)["rows"]] == ["main", "shop+0x1010"]
    for between in ("x.otlp", "y.pb.gz"):
        assert cprof("convert", path, tmp_path / between).returncode == 0
        assert cprof("convert", tmp_path / between, tmp_path / "out.pb.gz").returncode == 0
        lines = [list(fields(line)) for field, location, _ in fields(raw(tmp_path / "out.pb.gz")) if field == 4
                 for inner, line, _ in fields(location) if inner == 4]
        assert len(lines) == 1 and lines[0][0][:2] == (1, 1)
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go:
        done = subprocess.run([go, "tool", "pprof", "-top", "-symbolize=none", tmp_path / "out.pb.gz"],
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and " main" in done.stdout, done.stderr


def test_addresses_without_names_are_rows_of_their_own(cprof, tmp_path):
    nowhere = [number(3, 0xABC), number(3, 0xDEF0), number(2, 1)]
    path = unsymbolized(tmp_path / "x.pb", (), [*AT, *nowhere])
    expected = {"shop+0x1010": 1, "shop+0x1020": 2, "shop+0x2000": 1, "0xabc": 1, "0xdef0": 1, "[shop]": 1}
    assert {row["name"]: row["self"] // 10_000_000 for row in rows(cprof, path)["rows"]} == expected
    for ending in ("collapsed", "otlp", "pb.gz"):
        assert cprof("convert", path, tmp_path / f"out.{ending}").returncode == 0
        scale = 1 if ending == "collapsed" else 10_000_000
        found = rows(cprof, tmp_path / f"out.{ending}")["rows"]
        assert {row["name"]: row["self"] // scale for row in found} == expected, ending
    # of two versions addresses say nothing
    other = unsymbolized(tmp_path / "y.pb", (), [number(2, 1) + number(3, 0x400111 + i) for i in range(50)])
    compared = json.loads(cprof("diff", "--json", path, other).stdout)["rows"]
    assert {row["name"] for row in compared} == {"[shop]", "[unknown]"}


# --- names from files ---

SHOP = """static inline __attribute__((always_inline)) int tiny(int x) { return x * 31 + 7; }
__attribute__((noinline)) int price(int x) { for (int i = 0; i < 100; i++) x = tiny(x); return x; }
int main(void) { return price(3) & 1; }
"""
BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
BASE = 0x555500000000


@pytest.fixture
def shop(tmp_path):
    """A program with symbols and lines; the address of its function price in the file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "shop.c").write_text(SHOP)
    subprocess.run(["cc", "-g", "-O1", f"-Wl,--build-id=0x{BUILD_ID}", "-o", "shop", "shop.c"], cwd=folder, check=True)
    symbols = subprocess.run(["nm", folder / "shop"], capture_output=True, text=True, check=True).stdout
    address = next(int(line.split()[0], 16) for line in symbols.splitlines() if line.endswith(" T price"))
    return folder / "shop", address


def ran(path, address, file, build_id=BUILD_ID, place=None):
    """A profile of a program that lay at BASE, with one sample in its function price, which has no
    name or one that says the place."""
    strings = ["", "samples", "count", "cpu", "nanoseconds", str(file), build_id, place or ""]
    content = block(1, number(1, 1) + number(2, 2)) + block(1, number(1, 3) + number(2, 4))
    content += block(2, block(1, varint(1)) + block(2, varint(1) + varint(10_000_000)))
    content += block(3, number(1, 1) + number(2, BASE) + number(3, BASE + 0x8000) + number(5, 5) + number(6, 6))
    line = block(4, number(1, 1)) if place else b""
    content += block(4, number(1, 1) + number(2, 1) + number(3, BASE + address + 4) + line)
    content += block(5, number(1, 1) + number(2, 7)) if place else b""
    path.write_bytes(content + b"".join(block(6, text.encode()) for text in strings))
    return path


def names(cprof, *arguments):
    return [row["name"] for row in rows(cprof, *arguments)["rows"]]


def test_code_without_names_gets_them_from_a_file_of_its_build_id(cprof, shop, tmp_path):
    program, address = shop
    path = ran(tmp_path / "x.pb", address, "/opt/gone/shop")
    assert names(cprof, path) == [f"shop+0x{address + 4:x}"]
    report = rows(cprof, "--binary", program, path)["rows"]
    assert report[-1]["name"] == "price" and report[-1]["file"].endswith("shop.c") and report[-1]["line"] == 2
    assert names(cprof, ran(tmp_path / "y.pb", address, program))[-1] == "price"  # where the mapping says it is
    out = tmp_path / "out.pb.gz"
    assert cprof("convert", "--binary", program, path, out).returncode == 0
    assert names(cprof, out)[-1] == "price" and mappings(out) == {"/opt/gone/shop": (1, 1, 1, 1)}


def test_code_that_cprof_named_by_its_place_gets_names_as_well(cprof, shop, tmp_path):
    """So it names what was stripped where it ran, "shop+0x1139": a whole function is one row."""
    program, address = shop
    for place, gets in ((f"shop+0x{address:x}", True), ("shop+0x", False), ("shop+0x12 x", False),
                        (f"shop2+0x{address:x}", False), ("tax", False)):
        path = ran(tmp_path / "x.pb", address, "/opt/gone/shop", place=place)
        assert names(cprof, path) == [place]
        done = cprof("top", "--json", "--binary", program, path)
        assert json.loads(done.stdout)["rows"][-1]["name"] == ("price" if gets else place), place
        assert (done.stderr == "") == gets
    path = ran(tmp_path / "x.pb", address, "/opt/gone/shop", BUILD_ID.replace("0", "f"), place=f"shop+0x{address:x}")
    assert names(cprof, "--binary", program, path) == [f"shop+0x{address:x}"]  # of another build


def test_a_debug_file_is_found_by_build_id(cprof, shop, tmp_path):
    program, address = shop
    folder = tmp_path / "debug" / ".build-id" / BUILD_ID[:2]
    folder.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", program, folder / f"{BUILD_ID[2:]}.debug"], check=True)
    path = ran(tmp_path / "x.pb", address, "/opt/gone/shop")
    for given in (tmp_path / "debug", folder / f"{BUILD_ID[2:]}.debug"):
        assert names(cprof, "--binary", given, path)[-1] == "price"


def test_a_file_of_another_build_names_nothing(cprof, shop, tmp_path):
    program, address = shop
    path = ran(tmp_path / "x.pb", address, program, BUILD_ID.replace("0", "f"))
    done = cprof("top", "--json", "--binary", program, path)
    assert [row["name"] for row in json.loads(done.stdout)["rows"]] == [f"shop+0x{address + 4:x}"]
    assert done.stderr == f"cprof: {program}: is of no code without a name in the profile\n"
    path = ran(tmp_path / "x.pb", address, "/opt/gone/other", "")  # nobody says whose it is: the program's
    assert names(cprof, "--binary", program, path)[-1] == "price"


def test_files_of_others_are_named_by_their_path_and_by_htlhash(cprof, shop, tmp_path):
    program, address = shop
    maps = f"{BASE:x}-{BASE + 0x8000:x} r-xp 00000000 08:01 1   {program}\n".encode()
    (tmp_path / "prof").write_bytes(gperftools([(3, [BASE + address + 4])], maps=maps))
    assert names(cprof, tmp_path / "prof")[-1] == "price"
    content = program.read_bytes()
    htlhash = hashlib.sha256(content[:4096] + content[-4096:] + struct.pack(">Q", len(content))).hexdigest()[:32]
    agent = Ebpf()
    frame = agent.frame("native", mapping=agent.mapping("shop", htlhash), address=address + 4)
    agent.resource([agent.profile([agent.sample(agent.stack(frame), [5])], 5)], service_name="shop")
    assert names(cprof, "--binary", program, agent.write(tmp_path / "x.otlp"))[-1] == "price"


def test_a_damaged_file_names_nothing(cprof, shop, tmp_path):
    program, address = shop
    content = program.read_bytes()
    for size in (0, 10, 100, len(content) // 2, len(content) - 1000):
        program.write_bytes(content[:size])
        done = cprof("top", "--binary", program, ran(tmp_path / "x.pb", address, "/opt/gone/shop", ""))
        assert done.returncode == 0 and len(done.stderr.splitlines()) <= 1


# --- collapsed stacks ---

def test_a_text_that_is_no_stacks_is_refused_by_its_line(cprof, tmp_path):
    readme = pathlib.Path(__file__).parents[2] / "README.md"
    one_line(cprof("top", readme), 1, "README.md: line 3 is no stack with a count behind it: \"cprof is an always-on")
    (tmp_path / "x.folded").write_text("a;b 5\n\x1b[2Jevil\n")
    one_line(cprof("top", tmp_path / "x.folded"), 1, "line 2", "\ufffd[2Jevil")
    (tmp_path / "x.html").write_text("<!doctype html>\n")
    one_line(cprof("top", tmp_path / "x.html"), 1)


@pytest.mark.parametrize("text, expected", [
    (b"a;b 5\na;c 3\n", {"a": (0, 8), "b": (5, 5), "c": (3, 3)}), (b"a;b\t5\r\na;c  3\r\n", {"a": (0, 8), "b": (5, 5), "c": (3, 3)}),
    (b"\xef\xbb\xbfa;b 5\na;c 3\n", {"a": (0, 8), "b": (5, 5), "c": (3, 3)}), (b"a;b 2 5\na;c 9 3\n", {"a": (0, 8), "b": (5, 5), "c": (3, 3)}),
    (b"{main};b 5\n", {"{main}": (0, 5), "b": (5, 5)}),
    (b"a;b 0.4\na;c 0.2\n", {"a": (0, 600000), "b": (400000, 400000), "c": (200000, 200000)}),
])
def test_collapsed_stacks_are_read_as_others_write_them(cprof, tmp_path, text, expected):
    for name, content in (("x.txt", text), ("x", text), ("x.collapsed.gz", gzip.compress(text)), ("y", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        assert {row["name"]: (row["self"], row["total"]) for row in rows(cprof, tmp_path / name)["rows"]} == expected
    if b"0.4" in text:
        head, _, _, row = cprof("top", tmp_path / "x").stdout.splitlines()[:4]
        assert row.split()[:2] == ["0.40", "66.7%"]
        assert " · 0.60 weight · " in head
    if b"2 5" in text:
        assert rows(cprof, "--type", "before", tmp_path / "x")["total"] == 11


def test_the_resources_of_a_file_of_many_messages_are_kept(cprof, tmp_path):
    """Each line is of another service; each line of the Collector's file may be."""
    lines = b""
    for i, service in enumerate(("shop", "gate", "shop")):
        agent = Ebpf()
        name = agent.frame("php", f"main{i}")
        agent.resource([agent.profile([agent.sample(agent.stack(name), [5, 6])], 5)], service_name=service, host_name="box")
        message = agent.write(tmp_path / "one").read_bytes()
        lines += json.dumps(as_json(message)).encode() + b"\n"
    (tmp_path / "x.jsonl").write_bytes(lines)
    for label, names in (("service.name=shop", {"main0", "main2"}), ("service.name=gate", {"main1"}),
                         ("host.name=box", {"main0", "main1", "main2"})):
        assert {row["name"] for row in rows(cprof, "--label", label, tmp_path / "x.jsonl")["rows"]} == names
    assert {row["frame_type"] for row in rows(cprof, tmp_path / "x.jsonl")["rows"]} == {"php"}


# --- gperftools ---

MAPS = (b"00400000-00402000 r-xp 00001000 08:01 1234   /opt/shop/shop\n"
        b"00602000-00603000 rw-p 00002000 08:01 1234   /opt/shop/shop\n"
        b"7f0000-7f8000 r-xp 00000000 08:01 99   /lib/libshop.so.1\nnonsense\n")


def gperftools(records, word="<Q", maps=MAPS):
    words = [0, 3, 0, 4000, 0]  # a sample each 4 ms
    for count, addresses in records:
        words += [count, len(addresses), *addresses]
    return b"".join(struct.pack(word, each) for each in [*words, 0, 1, 0]) + maps


@pytest.mark.parametrize("word", ["<Q", ">Q", "<I", ">I"])
def test_gperftools_cpu_profiles_are_read(cprof, tmp_path, word):
    """Return addresses count to the call; a leaf that stands twice, once."""
    records = [(3, [0x400100, 0x400201]), (2, [0x7F0010, 0x7F0010, 0x400201]), (1, [0x9000])]
    for name in ("prof", "x.prof", "x.pprof", "x.txt"):
        (tmp_path / name).write_bytes(gperftools(records, word))
        report = rows(cprof, "--by", "module", tmp_path / name)
        assert (report["type"], report["total"]) == ("cpu", 6 * 4_000_000)
        assert {row["name"]: (row["self"] // 4_000_000, row["total"] // 4_000_000) for row in report["rows"]} == {
            "/opt/shop/shop": (3, 5), "/lib/libshop.so.1": (2, 2), "[no module]": (1, 1)}
    assert cprof("convert", tmp_path / "prof", tmp_path / "out.pb.gz").returncode == 0
    assert cprof("top", tmp_path / "prof").stdout.splitlines()[0] == "prof · 24.0 ms of CPU · 6 samples at 250 Hz"


def test_gperftools_signal_trampoline_is_no_part_of_the_program(cprof, tmp_path):
    records = [(1, [0x400100 + i, 0x7F0020, 0x400500]) for i in range(100)]
    (tmp_path / "prof").write_bytes(gperftools(records))
    assert [row["name"] for row in rows(cprof, "--by", "module", tmp_path / "prof")["rows"]] == ["/opt/shop/shop"]


def test_damaged_gperftools_files_are_refused(cprof, tmp_path):
    whole = gperftools([(3, [0x400100, 0x400201])], maps=b"")
    for content in (whole[:-8], whole[:60], gperftools([(1, [])], maps=b""), whole[:40] + b"\xff" * 32):
        (tmp_path / "prof").write_bytes(content)
        one_line(cprof("top", tmp_path / "prof"), 1, "damaged or cut short in the record at byte")
