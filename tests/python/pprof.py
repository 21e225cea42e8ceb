"""Reads pprof files: just enough of protobuf and of profile.proto for the tests."""

import gzip
from collections import Counter, namedtuple

Frame = namedtuple("Frame", "name file line start_line")
# stack: innermost first; values: all columns by their type.
Sample = namedtuple("Sample", "stack count nanoseconds labels values")


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _fields(data):
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
        elif key & 7 == 1:
            value, at = data[at:at + 8], at + 8
        else:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, value


def _message(data):
    fields = {}
    for number, value in _fields(data):
        fields.setdefault(number, []).append(value)
    return fields


def _numbers(values):
    """Packed or not."""
    for value in values:
        if isinstance(value, int):
            yield value
        else:
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                yield number


class Profile:
    def __init__(self, path):
        with gzip.open(path) as file:
            top = _message(file.read())
        self.strings = [text.decode() for text in top[6]]
        self.sample_types = [self.strings[_message(v).get(1, [0])[0]] for v in top[1]]
        self.period_type = self._string(_message(top[11][0]), 1) if 11 in top else None
        functions = {m[1][0]: m for m in map(_message, top.get(5, []))}
        locations = {m[1][0]: self._frames(m, functions)
                     for m in map(_message, top.get(4, []))}
        self.comments = [self.strings[number].removeprefix("#") for number in _numbers(top.get(13, []))]
        self.samples = [self._sample(_message(v), locations) for v in top.get(2, [])]

    def _string(self, message, field):
        return self.strings[message.get(field, [0])[0]]

    def _frames(self, location, functions):
        frames = []
        for line in map(_message, location.get(4, [])):
            function = functions[line[1][0]]
            frames.append(Frame(self._string(function, 2), self._string(function, 4),
                                line.get(2, [0])[0], function.get(5, [0])[0]))
        return frames or [Frame("?", "", 0, 0)]

    def _sample(self, message, locations):
        values = dict(zip(self.sample_types, _numbers(message[2])))
        stack = [frame for number in _numbers(message.get(1, []))
                 for frame in locations[number]]
        labels = {}
        for label in map(_message, message.get(3, [])):
            text = self._string(label, 2)
            labels[self._string(label, 1)] = text if text else label.get(3, [0])[0]
        return Sample(stack, values.get("samples", 0), values.get("cpu", 0), labels, values)

    def total(self):
        return sum(sample.count for sample in self.samples)

    def share(self, match):
        """The part of all samples whose stack (a list of names, innermost first) matches."""
        hits = sum(s.count for s in self.samples if match([f.name for f in s.stack]))
        return hits / max(1, self.total())

    def names(self):
        return {frame.name for sample in self.samples for frame in sample.stack}

    def stacks_with(self, name):
        return [s for s in self.samples if any(f.name == name for f in s.stack)]

    def lines(self, name):
        """Line → samples in which function `name` stood there."""
        lines = Counter()
        for sample in self.samples:
            for line in {f.line for f in sample.stack if f.name == name}:
                lines[line] += sample.count
        return lines

    def metric(self, name):
        """One of cprof's own figures, as comments tell them."""
        return next(int(line.split("=")[1]) for line in self.comments
                    if line.startswith(f"profile:{name}="))
