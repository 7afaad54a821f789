# SPDX-License-Identifier: Apache-2.0
"""Layouts are read from BTF as btf.rst describes it, here from a small one made by hand."""

from __future__ import annotations

import contextlib
import ctypes as C
import functools
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings, strategies as st

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


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Btf | None]:
    """None of what libbpf does not take."""
    lib = library()
    lib.btf__new.restype = C.c_void_p
    lib.btf__new.argtypes = [C.c_char_p, C.c_uint32]
    lib.btf__free.argtypes = [C.c_void_p]
    made = lib.btf__new(data, len(data))
    found = object.__new__(Btf)
    found._lib, found._btf = lib, made
    yield found if made else None
    lib.btf__free(made)


@pytest.fixture
def btf() -> Iterator[Btf]:
    """The sample."""
    with opened(_sample()) as found:
        assert found, "libbpf refused the sample"
        yield found


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


def test_a_kernel_whose_btf_is_new_to_libbpf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not said to be missing."""
    monkeypatch.setattr(module, "PATH", str(tmp_path))
    monkeypatch.setattr(module, "library", lambda: SimpleNamespace(btf__load_vmlinux_btf=lambda: None))
    with pytest.raises(Refused, match="cannot be used, libbpf does not read it") as refused:
        Btf()
    assert refused.value.code == "ENOTSUP"


def _damaged(damage: str) -> bytes:
    builder = Builder()
    builder.integer()  # 1
    if damage == "cycle":
        builder.composite(STRUCT, "page", 8, ("", 3, 0))  # 2
        builder.composite(UNION, "", 8, ("", 2, 0), ("first", 1, 0))  # 3
    elif damage == "doubling":
        for number in range(2, 62):
            name = "page" if number == 2 else ""
            builder.composite(STRUCT, name, 8, ("", number + 1, 0), ("", number + 1, 0))
        builder.composite(STRUCT, "", 8, ("first", 1, 0))
    elif damage == "no such type":
        builder.composite(STRUCT, "page", 8, ("", 99, 0))
    elif damage == "no such name":
        builder.add(STRUCT, "page", 8, struct.pack("<III", 1 << 20, 1, 0), count=1)
        builder.add(ENUM, "pageflags", 4, struct.pack("<Ii", 1 << 20, 1), count=1)
        builder.add(ENUM, "", 4, struct.pack("<Ii", 1 << 20, 1), count=1)
        builder.composite(STRUCT, "none", 8)
    return builder.data()


@pytest.mark.parametrize(
    "damage, why",
    [
        ("cycle", "has no end"),
        ("doubling", "has no end"),
        ("no such type", "there is no type 99"),
        ("no such name", "there is no name at 1048576"),
    ],
)
def test_what_does_not_hold_together(damage: str, why: str) -> None:
    """One error that says what it is; nothing is followed without end."""
    with opened(_damaged(damage)) as found:
        assert found
        calls: list[Callable[[], int | None]] = [lambda: found.offset("page", "none")]
        if damage == "no such name":
            calls += [lambda: found.enumerator("pageflags", "x"), lambda: found.anonymous_enumerator("none")]
        for call in calls:
            with pytest.raises(Refused, match=why) as refused:
                call()
            assert refused.value.code == "ENOTSUP" and module.PATH in refused.value.message


def test_odd_members() -> None:
    """A name that is no UTF-8 is another's; what is unnamed and no struct has no members; counts end with the data."""
    builder = Builder()
    builder.integer()
    builder.strings += b"\xff\0"
    odd = struct.pack("<III", len(builder.strings) - 2, 1, 0) + struct.pack("<III", 0, 1, 32)
    builder.add(STRUCT, "page", 8, odd, count=2)
    with opened(builder.data()) as found:
        assert found and found.offset("page", "flags") is None
    builder.add(STRUCT, "huge", 8, count=65535)
    with opened(builder.data()) as found:
        assert found is None


def _read_or_refused(data: bytes, *, walk: bool = True) -> None:
    """Everything that is asked of BTF."""
    with opened(data) as found:
        if found is None:
            return
        calls: tuple[Callable[[], int | None], ...] = (
            lambda: found.offset("page", "mapping"),
            lambda: found.offset("page", "missing"),
            lambda: found.size("page"),
            lambda: found.enumerator("pageflags", "PG_head"),
            lambda: found.anonymous_enumerator("___GFP_MOVABLE_BIT" if walk else "missing everywhere"),
            lambda: found.has_tracepoint("mm_page_alloc"),
            lambda: found.function("missing"),
        )
        for call in calls:
            with contextlib.suppress(Refused):
                assert isinstance(call(), int | None)


_WORDS = st.sampled_from([0, 1, 3, 4, 5, 0xFFFF, 4 << 24 | 0xFFFF, 1 << 31, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)
_PLACES = st.integers(0, len(_sample()) - 1)


@given(
    st.lists(st.tuples(_PLACES, _WORDS), max_size=4), st.lists(st.tuples(_PLACES, st.binary(max_size=9)), max_size=2)
)
def test_any_damage_is_read_or_refused(words: list[tuple[int, int]], more: list[tuple[int, bytes]]) -> None:
    """Words are overwritten; then bytes come in or, with none, the rest is lost."""
    data = bytearray(_sample())
    for at, word in words:
        data[at & ~3 : (at & ~3) + 4] = struct.pack("<I", word)
    for at, some in more:
        data[at : at if some else None] = some
    _read_or_refused(bytes(data))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Alone, and behind a header that promises everything."""
    _read_or_refused(data)
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(data), 0, len(data))
    _read_or_refused(header + data)


@functools.cache
def _real() -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """This kernel's, with the places of some types in it: where, and how many bytes they have."""
    lib, found, length = library(), Btf(), C.c_uint32()
    start = lib.btf__raw_data(found._btf, C.byref(length))
    places = []
    for name, kind in (("page", STRUCT), ("task_struct", STRUCT), ("pageflags", ENUM)):
        record, address = found._type(found._find(name, kind) or 0)
        places.append((address - 12 - start, 12 + (record.info & 0xFFFF) * (12 if kind == STRUCT else 8)))
    return C.string_at(start, length.value), tuple(places)


@pytest.mark.skipif(not os.path.exists(module.PATH), reason="this kernel has no BTF")
@settings(max_examples=40)
@given(st.integers(0, 2), st.integers(0, 1 << 12), _WORDS)
def test_damage_of_the_real_one(which: int, at: int, word: int) -> None:
    """In the types that are asked for."""
    raw, places = _real()
    start, size = places[which]
    data = bytearray(raw)
    at = start + at * 4 % size
    data[at : at + 4] = struct.pack("<I", word)
    _read_or_refused(bytes(data), walk=False)


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
