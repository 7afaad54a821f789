# SPDX-License-Identifier: Apache-2.0
"""Layouts are read from BTF as btf.rst describes it, here from a small one made by hand."""

from __future__ import annotations

import ctypes as C
import struct
import subprocess
import sys

import pytest

from containeragent.errors import Refused
from containeragent.host import btf as module
from containeragent.host.btf import Btf
from containeragent.libbpf import library

INT, STRUCT, UNION, ENUM, TYPEDEF = 1, 4, 5, 6, 8


class Builder:
    """Types by number, from 1, in the order in which they are added."""

    def __init__(self) -> None:
        self.strings, self.types = b"\0", b""

    def _name(self, name: str) -> int:
        if not name:
            return 0
        at = len(self.strings)
        self.strings += name.encode() + b"\0"
        return at

    def add(
        self, kind: int, name: str, size_or_type: int, entries: bytes = b"", *, count: int = 0, flag: int = 0
    ) -> None:
        """A type and what follows it."""
        self.types += struct.pack("<III", self._name(name), flag << 31 | kind << 24 | count, size_or_type) + entries

    def integer(self) -> None:
        """unsigned int, 4 bytes."""
        self.add(INT, "unsigned int", 4, struct.pack("<I", 32))

    def composite(self, kind: int, name: str, size: int, *members: tuple[str, int, int], flag: int = 0) -> None:
        """Members are name, type and offset in bits."""
        entries = b"".join(struct.pack("<III", self._name(member), number, bits) for member, number, bits in members)
        self.add(kind, name, size, entries, count=len(members), flag=flag)

    def enum(self, name: str, **values: int) -> None:
        """An enum of 4 bytes."""
        entries = b"".join(struct.pack("<Ii", self._name(key), value) for key, value in values.items())
        self.add(ENUM, name, 4, entries, count=len(values))

    def data(self) -> bytes:
        """With the header."""
        sizes = struct.pack("<IIII", 0, len(self.types), len(self.types), len(self.strings))
        return struct.pack("<HBBI", 0xEB9F, 1, 0, 24) + sizes + self.types + self.strings


def _sample() -> bytes:
    builder = Builder()
    builder.integer()  # 1
    builder.composite(UNION, "", 8, ("mapping", 1, 0), ("other", 1, 32))  # 2
    builder.composite(STRUCT, "", 16, ("flags", 1, 0), ("", 2, 64))  # 3
    builder.composite(STRUCT, "page", 24, ("first", 1, 0), ("", 3, 64))  # 4
    bit_field = 5 << 24
    builder.composite(STRUCT, "bits", 8, ("low", 1, bit_field), ("high", 1, bit_field | 40), flag=1)  # 5
    builder.enum("pageflags", PG_locked=0, PG_head=6)  # 6
    builder.enum("", ___GFP_ZERO_BIT=8)  # 7
    builder.enum("", ___GFP_MOVABLE_BIT=3, ___GFP_LAST_BIT=27)  # 8
    builder.enum("scan_result", SCAN_SUCCEED=1)  # 9
    builder.add(TYPEDEF, "btf_trace_mm_page_alloc", 1)  # 10
    return builder.data()


@pytest.fixture
def btf() -> Btf:
    """The sample."""
    lib, data = library(), _sample()
    lib.btf__new.restype = C.c_void_p
    lib.btf__new.argtypes = [C.c_char_p, C.c_uint32]
    found = object.__new__(Btf)
    found._lib, found._btf = lib, lib.btf__new(data, len(data))
    assert found._btf, "libbpf refused the sample"
    return found


@pytest.mark.parametrize(
    ("struct_name", "member", "offset"),
    [
        ("page", "first", 0),
        ("page", "flags", 8),
        ("page", "mapping", 16),
        ("page", "other", 20),
        ("bits", "high", 5),
        ("page", "missing", None),
        ("missing", "first", None),
        ("pageflags", "PG_head", None),
    ],
)
def test_offsets(btf: Btf, struct_name: str, member: str, offset: int | None) -> None:
    """Bytes, through unnamed structs and unions; None for what is not there."""
    assert btf.offset(struct_name, member) == offset


def test_sizes(btf: Btf) -> None:
    """Bytes of a struct."""
    assert (btf.size("page"), btf.size("bits"), btf.size("missing")) == (24, 8, None)


def test_enumerators(btf: Btf) -> None:
    """Of named enums by their name, of others by any."""
    assert btf.enumerator("pageflags", "PG_head") == 6
    assert btf.enumerator("pageflags", "PG_missing") is None
    assert btf.enumerator("missing", "PG_head") is None
    assert btf.anonymous_enumerator("___GFP_MOVABLE_BIT") == 3
    assert btf.anonymous_enumerator("___GFP_ZERO_BIT") == 8
    assert btf.anonymous_enumerator("PG_head") is None


def test_tracepoints(btf: Btf) -> None:
    """Each has a typedef."""
    assert btf.has_tracepoint("mm_page_alloc")
    assert not btf.has_tracepoint("mm_page_free")


def test_kernel_without_btf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is missing."""
    monkeypatch.setattr(module, "PATH", "/sys/kernel/btf/there is none")
    with pytest.raises(Refused, match="built without BTF") as refused:
        Btf()
    assert refused.value.code == "ENOTSUP"


_HIGH_ADDRESSES = """
import threading
from containeragent.host.btf import Btf
found = []
thread = threading.Thread(target=lambda: found.append(Btf().anonymous_enumerator("task_struct")))
thread.start()
thread.join()
assert found == [None]
"""


def test_addresses_above_4_gib() -> None:
    """In a thread, libbpf's memory is where an int cannot point; so it is in a Python that is position-independent."""
    ran = subprocess.run([sys.executable, "-c", _HIGH_ADDRESSES], env={"PYTHONPATH": ":".join(sys.path)}, check=False)
    assert ran.returncode == 0
