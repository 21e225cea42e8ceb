"""pprof files made by hand, so that the expected numbers are known without cprof."""

import gzip
import random


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value) if value else b""


def block(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


class Frame:
    """A frame of a stack; `module` is a native frame's, `kind` an interpreted one's."""

    def __init__(self, name, file="", line=0, start=0, module=None, kind=None):
        self.name, self.file, self.line, self.start = name, file, line, start
        self.module = module or (f"[{kind}]" if kind else None)


def python(name, file="", line=0, start=0):
    return Frame(name, file, line, start, kind="cpython")


def native(name, module):
    return Frame(name, module=module)


class ProfileFile:
    """Stacks are root first. Values are in samples; one sample is 10 ms of CPU, or as `types` has
    it: (type, unit, amount) of each column. The period is that of the last one."""

    PERIOD = 10_000_000
    TYPES = (("samples", "count", 1), ("cpu", "nanoseconds", PERIOD))

    def __init__(self, service=None, duration=10.0, start=1_700_000_000_000_000_000, types=TYPES,
                 metrics=None):
        """`metrics` are cprof's own, without its name."""
        self.types, self.metrics = types, metrics or {}
        self.strings, self.comments = {b"": 0}, []
        self.functions, self.locations, self.mappings = {}, {}, {}
        self.function_blocks, self.location_blocks, self.mapping_blocks = [], [], []
        self.samples = []
        self.service, self.duration, self.start = service, duration, start

    def string(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        return self.strings.setdefault(data, len(self.strings))

    def _mapping(self, module):
        if module is None:
            return 0
        if module not in self.mappings:
            id = self.mappings[module] = len(self.mappings) + 1
            start = 0 if module.startswith("[") else 0x10000 * id
            self.mapping_blocks.append(
                number(1, id) + number(2, start) + number(3, start and start + 0xFFFF) +
                number(5, self.string(module)) + number(7, 1))
        return self.mappings[module]

    def _location(self, frame):
        key = (frame.name, frame.file, frame.line, frame.module)
        if key not in self.locations:
            function = (frame.name, frame.file)
            if function not in self.functions:
                self.functions[function] = len(self.functions) + 1
                self.function_blocks.append(
                    number(1, self.functions[function]) + number(2, self.string(frame.name)) +
                    number(4, self.string(frame.file)) + number(5, frame.start))
            id = self.locations[key] = len(self.locations) + 1
            mapping = self._mapping(frame.module)
            address = 0x10000 * mapping + 16 * id if frame.module and frame.module[0] != "[" else 0
            line = number(1, self.functions[function]) + number(2, frame.line)
            self.location_blocks.append(
                number(1, id) + number(2, mapping) + number(3, address) + block(4, line))
        return self.locations[key]

    def add(self, stack, count, **labels):
        ids = b"".join(varint(self._location(frame)) for frame in reversed(stack))
        values = b"".join(varint(count * amount) for _, _, amount in self.types)
        content = block(1, ids) + block(2, values)
        each = [(key, value) for key, values in labels.items()
                for value in (values if isinstance(values, list) else [values])]
        for key, value in each:
            if isinstance(value, int):
                content += block(3, number(1, self.string(key)) + number(3, value))
            else:
                content += block(3, number(1, self.string(key)) + number(2, self.string(value)))
        self.samples.append(block(2, content))
        return self

    def _type(self, type, unit):
        return number(1, self.string(type)) + number(2, self.string(unit))

    def write(self, path):
        types = b"".join(block(1, self._type(type, unit)) for type, unit, _ in self.types)
        period = block(11, self._type(*self.types[-1][:2])) + number(12, self.types[-1][2])
        times = number(9, self.start) + number(10, int(self.duration * 1e9))
        comment = number(13, self.string(f"service.name={self.service}")) if self.service else b""
        for text in self.comments:
            comment += number(13, self.string(text))
        for name, value in self.metrics.items():
            comment += number(13, self.string(f"profile:cprof.{name}={value}"))
        tables = b"".join(
            [block(3, each) for each in self.mapping_blocks] +
            [block(4, each) for each in self.location_blocks] +
            [block(5, each) for each in self.function_blocks] +
            [block(6, each) for each in self.strings])
        content = types + b"".join(self.samples) + tables + times + period + comment
        with open(path, "wb") as file:
            file.write(gzip.compress(content, 6))
        return str(path)


MAIN = python("main", "/app/shop/main.py", 12, 10)
WORK = python("work", "/app/shop/main.py", 22, 20)
WORK_AGAIN = python("work", "/app/shop/main.py", 24, 20)
RUN = python("Worker.run", "/app/shop/worker.py", 6, 5)
PARSE = python("parse", "/app/shop/worker.py", 31, 30)
CRC = native("crc32", "/usr/lib/libz.so.1")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def small(path):
    """100 samples: 1 s of CPU. Self: parse 40, crc32 30, work 20, main 10."""
    main = {"thread.id": 1, "thread.name": "MainThread"}
    worker = {"thread.id": 2, "thread.name": "worker-1"}
    profile = ProfileFile(service="shop")
    profile.add([MAIN, WORK, CRC], 30, **main)
    profile.add([MAIN, WORK, WORK_AGAIN], 20, endpoint="/cart", **main)
    profile.add([MAIN], 10, **main)
    profile.add([RUN, PARSE], 40, trace_id=TRACE, span_id=SPAN, **worker)
    return profile.write(path)


VALIDATE = python("validate", "/app/shop/worker.py", 52, 50)


def grown(path, duration=20.0):
    """What became of small() later: 250 samples in 20 s. Self: crc32 130, work 44, validate 38,
    parse 20, main 18."""
    main = {"thread.id": 1, "thread.name": "MainThread"}
    worker = {"thread.id": 2, "thread.name": "worker-1"}
    profile = ProfileFile(service="shop", duration=duration)
    profile.add([MAIN, WORK, CRC], 130, **main)
    profile.add([MAIN, WORK, WORK_AGAIN], 44, endpoint="/cart", **main)
    profile.add([MAIN], 18, **main)
    profile.add([RUN, PARSE], 20, trace_id=TRACE, span_id=SPAN, **worker)
    profile.add([RUN, VALIDATE], 38, **worker)
    return profile.write(path)


def large(path, stacks=200_000):
    """Unique stacks of 30 frames, that branch as a program's do."""
    chance = random.Random(7)
    frames = [python(f"Class{i % 97}.method_{i}", f"/app/package_{i % 50}/module_{i % 400}.py",
                     i % 900 + 1, i % 900) for i in range(6000)]
    profile = ProfileFile(service="large")
    ids = [varint(profile._location(frame)) for frame in frames]
    key = number(1, profile.string("thread.id"))
    seen, stack = set(), []
    while len(seen) < stacks:
        del stack[chance.choice((2, 4, 12, 20, 26, 28, 28, 29, 29, 29)):]
        while len(stack) < 30:
            level = len(stack)
            stack.append((level * 211 + chance.randrange(3 + 2 * level)) % 6000)
        if tuple(stack) not in seen:
            seen.add(tuple(stack))
            count = chance.choice((1, 1, 1, 2, 5))
            profile.samples.append(block(2, (
                block(1, b"".join([ids[i] for i in reversed(stack)])) +
                block(2, varint(count) + varint(count * profile.PERIOD)) +
                block(3, key + number(3, chance.randrange(8))))))
    return profile.write(path)
