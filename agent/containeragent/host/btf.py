# SPDX-License-Identifier: Apache-2.0
"""Layouts of the running kernel, from its BTF (/sys/kernel/btf/vmlinux).

Names go in; byte offsets, sizes and enumerators come out; None for what this kernel does not have, Refused where the
BTF does not hold together: libbpf sees to its sizes, but follows no number of a type or a name.
Format: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import ctypes as C
import os
from collections.abc import Iterator

from containeragent.errors import Refused
from containeragent.libbpf import library

PATH = "/sys/kernel/btf/vmlinux"
_STRUCT, _UNION, _ENUM, _TYPEDEF, _FUNC = 4, 5, 6, 8, 12
_MOST_MEMBERS = 1 << 17  # of one struct with all in it; a type has 65535 at most, and those of Linux have hundreds


class _Type(C.Structure):
    _fields_ = [("name", C.c_uint32), ("info", C.c_uint32), ("size", C.c_uint32)]


class _Member(C.Structure):
    _fields_ = [("name", C.c_uint32), ("type", C.c_uint32), ("offset", C.c_uint32)]


class _Enumerator(C.Structure):
    _fields_ = [("name", C.c_uint32), ("value", C.c_int32)]


class Btf:
    """The kernel's own types."""

    def __init__(self) -> None:
        self._lib = library()
        if not os.path.exists(PATH):
            raise Refused(
                "ENOTSUP",
                f"{PATH} is missing: this kernel was built without BTF; use one with CONFIG_DEBUG_INFO_BTF=y",
            )
        self._btf = self._lib.btf__load_vmlinux_btf()
        if not self._btf:
            raise _damaged("libbpf does not read it")

    def _find(self, name: str, kind: int) -> int | None:
        found = self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind)
        return found if found > 0 else None

    def _name(self, offset: int) -> str:
        name: bytes | None = self._lib.btf__name_by_offset(self._btf, offset)
        if name is None:
            raise _damaged(f"there is no name at {offset}")
        return name.decode("utf-8", "backslashreplace")

    def _type(self, number: int) -> tuple[_Type, int]:
        address = self._lib.btf__type_by_id(self._btf, number)
        if not address:
            raise _damaged(f"there is no type {number}")
        return _Type.from_address(address), address + C.sizeof(_Type)

    def _members(self, number: int) -> Iterator[tuple[str, int]]:
        """Of a struct; members of anonymous structs and unions in it are its own, and come last."""
        left, seen = [(number, 0)], 0
        while left:
            number, base = left.pop()
            record, address = self._type(number)
            if record.info >> 24 & 0x1F not in (_STRUCT, _UNION):
                continue
            seen += record.info & 0xFFFF
            if seen > _MOST_MEMBERS:
                raise _damaged(f"a struct with type {number} in it has no end")
            for i in range(record.info & 0xFFFF):
                member = _Member.from_address(address + i * C.sizeof(_Member))
                bits = member.offset & 0xFFFFFF if record.info >> 31 else member.offset
                name = self._name(member.name)
                if name:
                    yield name, base + bits // 8
                else:
                    left.append((member.type, base + bits // 8))

    def offset(self, struct: str, member: str) -> int | None:
        """Byte offset of a member, anonymous structs and unions looked through."""
        number = self._find(struct, _STRUCT)
        if number is None:
            return None
        return next((at for name, at in self._members(number) if name == member), None)

    def size(self, struct: str) -> int | None:
        """Bytes of a struct."""
        number = self._find(struct, _STRUCT)
        return None if number is None else self._type(number)[0].size

    def enumerator(self, enum: str, name: str) -> int | None:
        """Value of an enumerator of a named enum."""
        number = self._find(enum, _ENUM)
        if number is None:
            return None
        return self._enumerators(number).get(name)

    def _enumerators(self, number: int) -> dict[str, int]:
        record, address = self._type(number)
        size = C.sizeof(_Enumerator)
        entries = (_Enumerator.from_address(address + i * size) for i in range(record.info & 0xFFFF))
        return {self._name(entry.name): entry.value for entry in entries}

    def anonymous_enumerator(self, name: str) -> int | None:
        """Value of an enumerator of some enum without a name. A name that is nowhere is no reason to walk all types."""
        if not self._mentions(name):
            return None
        for number in range(1, int(self._lib.btf__type_cnt(self._btf))):
            record, _ = self._type(number)
            if record.info >> 24 & 0x1F == _ENUM and not record.name:
                found = self._enumerators(number).get(name)
                if found is not None:
                    return found
        return None

    def _mentions(self, name: str) -> bool:
        """Whether anything at all has this name: Python walks 100 000 types in a second, and in 20 where emulated."""
        length = C.c_uint32()
        data = self._lib.btf__raw_data(self._btf, C.byref(length))
        return bool(data) and f"\0{name}\0".encode() in C.string_at(data, length.value)

    def has_tracepoint(self, name: str) -> bool:
        """Whether the kernel has this raw tracepoint (its BTF has one typedef for each)."""
        return self._find(f"btf_trace_{name}", _TYPEDEF) is not None

    def function(self, name: str) -> int | None:
        """Number of the type of a kernel function that programs may be attached to."""
        return self._find(name, _FUNC)


def _damaged(why: str) -> Refused:
    return Refused("ENOTSUP", f"{PATH} cannot be used, {why}: boot another kernel, or use engine netlink")
