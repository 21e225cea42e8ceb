"""Reads another process's OpenTelemetry context as the specifications tell readers to: the
process context (OTEP 4719) by its mapping's name, and a thread's context record (OTEP 4947) by
the thread-local symbol in the dynamic symbol tables. Knows nothing of cprof.

Needs no more than the permission to trace the process. 64-bit Linux, x86-64 and aarch64, glibc.
"""

import ctypes
import os
import platform
import struct
import time
from collections import namedtuple
from contextlib import contextmanager

SYMBOL = b"otel_thread_ctx_v1"
NAMES = ("[anon_shmem:OTEL_CTX]", "[anon:OTEL_CTX]", "/memfd:OTEL_CTX")
X86 = platform.machine() == "x86_64"
# Types of relocations: a TLS descriptor, a module number, an offset from the thread pointer.
TLSDESC, DTPMOD, TPOFF = (36, 16, 18) if X86 else (1031, 1028, 1030)

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
PTRACE_DETACH, PTRACE_GETREGSET, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4204, 0x4206, 0x4207
WALL = 0x40000000


class IOVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


Mapping = namedtuple("Mapping", "start end offset path")
ThreadContext = namedtuple("ThreadContext", "trace_id span_id flags attributes")


class Unreadable(Exception):
    """The kernel forbids reading the process."""


def read_memory(pid, address, size):
    """The bytes; fewer where the rest is not mapped."""
    data = ctypes.create_string_buffer(size)
    local, remote = IOVec(ctypes.addressof(data), size), IOVec(address, size)
    got = libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    if got < 0:
        error = ctypes.get_errno()
        raise Unreadable(f"process_vm_readv: {os.strerror(error)}")
    return data.raw[:got]


def read_u64(pid, address):
    return struct.unpack("Q", read_memory(pid, address, 8))[0]


def mappings(pid):
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(None, 5)
            start, end = (int(part, 16) for part in fields[0].split("-"))
            found.append(Mapping(start, end, int(fields[2], 16),
                                 fields[5] if len(fields) > 5 else ""))
    return found


# ---- protobuf, as much as is needed ----

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def fields(data):
    """(number, value) of each field of a message; only varints and bytes occur in ours."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
            assert at <= len(data), "truncated message"
        else:
            assert tag & 7 == 0, f"wire type {tag & 7}"
        yield tag >> 3, value


def any_value(data):
    for number, value in fields(data):
        if number == 1:
            return value.decode("utf-8")
        if number == 5:
            return [any_value(item) for field, item in fields(value) if field == 1]
        return value
    return None


def key_values(messages):
    pairs = {}
    for message in messages:
        entry = dict(fields(message))
        key = entry[1].decode("utf-8")
        assert key not in pairs, f"{key} stands twice"
        pairs[key] = any_value(entry[2])
    return pairs


# ---- the process context ----

def context_mappings(pid):
    return [m for m in mappings(pid) if m.path.startswith(NAMES)]


class ProcessContext(namedtuple("ProcessContext", "resource attributes published_at")):
    @property
    def keys(self):
        return self.attributes.get("threadlocal.attribute_key_map", [])


def process_context(pid):
    """None when the process publishes none."""
    found = context_mappings(pid)
    assert len(found) <= 1, "a process has one context"
    if not found:
        return None
    address = found[0].start
    for _ in range(1000):
        signature, version, size, published, payload = struct.unpack(
            "=8sIIQQ", read_memory(pid, address, 32))
        assert signature == b"OTEL_CTX" and version == 2, (signature, version)
        data = read_memory(pid, payload, size) if published else b""
        again = struct.unpack("=8sIIQQ", read_memory(pid, address, 32))[3]
        if published != 0 and again == published and len(data) == size:
            message = list(fields(data))
            resource = [value for number, value in fields(dict(message)[1]) if number == 1]
            return ProcessContext(key_values(resource),
                                  key_values(value for number, value in message if number == 2),
                                  published)
        time.sleep(0.001)
    raise AssertionError("the context is always being changed")


# ---- where the thread-local symbol lies ----

class Elf:
    """What of a 64-bit ELF file concerns its thread-local symbol."""

    def __init__(self, data):
        self.data = data
        self.type, = struct.unpack_from("<H", data, 16)
        programs, sections = struct.unpack_from("<QQ", data, 32)
        psize, pcount, ssize, scount = struct.unpack_from("<HHHH", data, 54)
        self.programs = [struct.unpack_from("<IIQQQQQQ", data, programs + i * psize)
                         for i in range(pcount)]
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", data, sections + i * ssize)
                         for i in range(scount)]

    def find_symbol(self):
        """(index, value) of the symbol in .dynsym, or None."""
        for section in self.sections:
            if section[1] != 11:  # SHT_DYNSYM
                continue
            names = self.sections[section[6]][4]
            for i in range(section[5] // 24):
                name, info, _, shndx, value, _ = struct.unpack_from(
                    "<IBBHQQ", self.data, section[4] + i * 24)
                start = names + name
                if (self.data[start:start + len(SYMBOL) + 1] == SYMBOL + b"\0" and
                        info & 15 == 6 and shndx != 0):  # STT_TLS, defined here
                    return i, value
        return None

    def relocation(self, symbol):
        """(type, address) of the relocation that names the symbol, or None."""
        for section in self.sections:
            if section[1] != 4:  # SHT_RELA
                continue
            for at in range(section[4], section[4] + section[5], 24):
                address, info, _ = struct.unpack_from("<QQq", self.data, at)
                if info >> 32 == symbol and info & 0xffffffff in (TLSDESC, DTPMOD, TPOFF):
                    return info & 0xffffffff, address
        return None

    def tls(self):
        """(memory size, alignment) of the thread-local segment."""
        return next((p[6], p[7] or 1) for p in self.programs if p[0] == 7)

    def bias_at(self, start, offset):
        """What is added to the file's addresses when `offset` is mapped at `start`."""
        for kind, _, poffset, address, _, _, _, _ in self.programs:
            if kind == 1 and poffset & ~4095 == offset & ~4095:
                return start - (address & ~4095)
        return None


def candidates(pid):
    """(Elf, bias) of each mapped file that defines the symbol."""
    seen = set()
    for mapping in mappings(pid):
        if not mapping.path.startswith("/") or mapping.path in seen:
            continue
        seen.add(mapping.path)
        try:
            with open(f"/proc/{pid}/root{mapping.path}", "rb") as file:
                data = file.read()
        except OSError:
            continue
        if data[:5] == b"\x7fELF\x02" and SYMBOL in data:
            elf = Elf(data)
            if elf.find_symbol() is not None:
                yield elf, elf.bias_at(mapping.start, mapping.offset)


class Variable:
    """How to find the variable of any thread of the process."""

    def __init__(self, pid):
        self.pid = pid
        found = list(candidates(pid))
        assert len(found) == 1, f"{len(found)} files define the symbol"
        elf, bias = found[0]
        index, self.value = elf.find_symbol()
        relocation = elf.relocation(index)
        self.module = self.offset = None
        if relocation is None:
            size, alignment = elf.tls()
            self.model = "local-exec"
            self.offset = (self.value - (size + alignment - 1 & -alignment) if X86 else
                           (16 + alignment - 1 & -alignment) + self.value)
            return
        kind, address = relocation
        word = read_u64(pid, bias + address)
        if kind == TPOFF:
            self.model, self.offset = "initial-exec", signed(word)
        elif kind == DTPMOD:
            self.model, self.module = "global-dynamic", word
            self.value = read_u64(pid, bias + address + 8)
        else:
            self.model = "tlsdesc"
            argument = read_u64(pid, bias + address + 8)
            if signed(argument) < 0 or argument < 1 << 20:
                self.offset = signed(argument)  # in the static block
            else:
                self.module, self.value = struct.unpack("QQ", read_memory(pid, argument, 16))

    def address(self, thread_pointer):
        """The thread's variable; None where the thread has not touched it yet."""
        if self.offset is not None:
            return thread_pointer + self.offset
        vector = read_u64(self.pid, thread_pointer + (8 if X86 else 0))
        block = read_u64(self.pid, vector + 16 * self.module)
        return None if block in (0, 2 ** 64 - 1) else block + self.value


def signed(word):
    return word - (1 << 64) if word >> 63 else word


# ---- a thread, stopped ----

def ptrace(request, tid, address=0, data=0):
    if libc.ptrace(request, tid, address, data) < 0:
        raise Unreadable(f"ptrace: {os.strerror(ctypes.get_errno())}")


@contextmanager
def stopped(tid):
    """The thread is stopped meanwhile; gives its thread pointer."""
    ptrace(PTRACE_SEIZE, tid)
    try:
        ptrace(PTRACE_INTERRUPT, tid)
        os.waitpid(tid, WALL)
        registers = (ctypes.c_uint64 * 64)()
        vector = IOVec(ctypes.addressof(registers), ctypes.sizeof(registers))
        ptrace(PTRACE_GETREGSET, tid, 1 if X86 else 0x401, ctypes.addressof(vector))
        yield registers[21] if X86 else registers[0]  # fs_base, tpidr
    finally:
        ptrace(PTRACE_DETACH, tid)


def parse_record(pid, record, keys):
    head = read_memory(pid, record, 28)
    trace_id, span_id, valid, flags, size = struct.unpack("=16s8sBBH", head)
    if valid != 1:
        return None
    assert record % 2 == 0
    data = read_memory(pid, record + 28, size) if size else b""
    attributes, at = {}, 0
    while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
        key, length = data[at], data[at + 1]
        if key < len(keys):
            attributes[keys[key]] = data[at + 2:at + 2 + length].decode("utf-8", "replace")
        at += 2 + length
    return ThreadContext(trace_id.hex(), span_id.hex(), flags, attributes)


def thread_context(pid, tid=None):
    """The thread's context, or None. As the specification has it: the process context first,
    without whose keys there is nothing to look for."""
    context = process_context(pid)
    if context is None or context.attributes.get(
            "threadlocal.schema_version") != "tlsdesc_v1_dev":
        return None
    variable = Variable(pid)
    with stopped(tid or pid) as thread_pointer:
        address = variable.address(thread_pointer)
        record = read_u64(pid, address) if address is not None else 0
        return parse_record(pid, record, context.keys) if record else None
