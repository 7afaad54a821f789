# SPDX-License-Identifier: Apache-2.0
"""The few calls of libbpf.so.1 and of bpf(2) that are needed once bcc has done its part.

Descriptors go in and out as plain integers; every failure is an OSError with the kernel's errno. Meanings are those of
bpf(2) and of linux/bpf.h.
"""

from __future__ import annotations

import ctypes as C
import functools
import mmap
import os
from dataclasses import dataclass

BPF_F_MMAPABLE = 1 << 10
BPF_MAP_TYPE_RINGBUF = 27

Argument = int | None


@functools.cache
def library() -> C.CDLL:
    """libbpf.so.1, which comes with Debian's libbpfcc."""
    lib = C.CDLL("libbpf.so.1", use_errno=True)
    for name in (
        "btf__load_vmlinux_btf",
        "btf__type_by_id",
        "btf__raw_data",
        "btf__name_by_offset",
        "btf__resolve_type",
    ):
        getattr(lib, name).restype = C.c_void_p
    lib.btf__name_by_offset.restype = C.c_char_p
    lib.btf__type_by_id.argtypes = [C.c_void_p, C.c_uint32]
    lib.btf__raw_data.argtypes = [C.c_void_p, C.POINTER(C.c_uint32)]
    lib.btf__name_by_offset.argtypes = [C.c_void_p, C.c_uint32]
    lib.btf__find_by_name_kind.argtypes = [C.c_void_p, C.c_char_p, C.c_uint32]
    lib.btf__type_cnt.argtypes = [C.c_void_p]
    lib.libbpf_set_print.argtypes = [C.c_void_p]
    lib.libbpf_set_print(None)
    return lib


def checked(result: int, what: str) -> int:
    """What a call returned; an OSError if that says that it failed."""
    if result < 0:
        number = C.get_errno() or -result
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def obj_get(path: str) -> int:
    """Descriptor of a pinned map, program or link."""
    return checked(library().bpf_obj_get(path.encode()), path)


def obj_pin(fd: int, path: str) -> None:
    """Pin a map, program or link."""
    checked(library().bpf_obj_pin(fd, path.encode()), path)


class _MapInfo(C.Structure):
    _fields_ = [
        ("type", C.c_uint32),
        ("id", C.c_uint32),
        ("key_size", C.c_uint32),
        ("value_size", C.c_uint32),
        ("max_entries", C.c_uint32),
        ("map_flags", C.c_uint32),
        ("name", C.c_char * 16),
        ("rest", C.c_uint8 * 96),
    ]


class _ProgramInfo(C.Structure):
    _fields_ = [
        ("type", C.c_uint32),
        ("id", C.c_uint32),
        ("tag", C.c_uint8 * 8),
        ("jited_prog_len", C.c_uint32),
        ("xlated_prog_len", C.c_uint32),
        ("jited_prog_insns", C.c_uint64),
        ("xlated_prog_insns", C.c_uint64),
        ("load_time", C.c_uint64),
        ("created_by_uid", C.c_uint32),
        ("nr_map_ids", C.c_uint32),
        ("map_ids", C.c_uint64),
        ("name", C.c_char * 16),
        ("ifindex", C.c_uint32),
        ("flags", C.c_uint32),
        ("netns_dev", C.c_uint64),
        ("netns_ino", C.c_uint64),
        ("nr_jited_ksyms", C.c_uint32),
        ("nr_jited_func_lens", C.c_uint32),
        ("jited_ksyms", C.c_uint64),
        ("jited_func_lens", C.c_uint64),
        ("btf_id", C.c_uint32),
        ("func_info_rec_size", C.c_uint32),
        ("func_info", C.c_uint64),
        ("nr_func_info", C.c_uint32),
        ("nr_line_info", C.c_uint32),
        ("line_info", C.c_uint64),
        ("jited_line_info", C.c_uint64),
        ("nr_jited_line_info", C.c_uint32),
        ("line_info_rec_size", C.c_uint32),
        ("jited_line_info_rec_size", C.c_uint32),
        ("nr_prog_tags", C.c_uint32),
        ("prog_tags", C.c_uint64),
        ("run_time_ns", C.c_uint64),
        ("run_cnt", C.c_uint64),
        ("recursion_misses", C.c_uint64),
        ("verified_insns", C.c_uint32),
        ("rest", C.c_uint8 * 60),
    ]


class _LinkInfo(C.Structure):
    _fields_ = [("type", C.c_uint32), ("id", C.c_uint32), ("program", C.c_uint32), ("rest", C.c_uint8 * 52)]


def _info(fd: int, record: C.Structure) -> None:
    size = C.c_uint32(C.sizeof(record))
    checked(library().bpf_obj_get_info_by_fd(fd, C.byref(record), C.byref(size)), "bpf_obj_get_info_by_fd")


@dataclass(frozen=True)
class MapInfo:
    """Sizes are bytes; `value_size` as declared, before the kernel rounds it up to 8."""

    name: str
    id: int
    type: int
    value_size: int
    max_entries: int
    flags: int


def map_info(fd: int) -> MapInfo:
    """What the kernel knows of a map."""
    info = _MapInfo()
    _info(fd, info)
    return MapInfo(info.name.decode(), info.id, info.type, info.value_size, info.max_entries, info.map_flags)


@dataclass(frozen=True)
class ProgramInfo:
    """`runs` and `run_time_ns` stay 0 unless kernel.bpf_stats_enabled is set; `missed` counts always."""

    name: str
    id: int
    runs: int
    run_time_ns: int
    missed: int
    instructions: int
    verified_instructions: int
    machine_code_bytes: int = 0  # what the kernel made of the instructions


def program_of_link(fd: int) -> int:
    """The id of the program that a link keeps attached."""
    info = _LinkInfo()
    _info(fd, info)
    return int(info.program)


def is_loaded(program: int) -> bool:
    """Whether there is a program of this id: it ends some time after the last that holds it, detached by then."""
    descriptor = int(library().bpf_prog_get_fd_by_id(C.c_uint32(program)))
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


def program_info(fd: int) -> ProgramInfo:
    """What the kernel knows of a program."""
    info = _ProgramInfo()
    _info(fd, info)
    return ProgramInfo(
        info.name.decode(),
        info.id,
        info.run_cnt,
        info.run_time_ns,
        info.recursion_misses,
        info.xlated_prog_len // 8,
        info.verified_insns,
        info.jited_prog_len,
    )


def map_memory(fd: int, writable: bool = False) -> mmap.mmap:
    """The values of a mappable array (BPF_F_MMAPABLE), whole."""
    info = map_info(fd)
    size = -(-info.value_size // 8) * 8 * info.max_entries
    size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return mmap.mmap(fd, size, mmap.MAP_SHARED, protection)


def map_ring(fd: int) -> mmap.mmap:
    """A ring's two pages of positions and its data, which are there twice (BPF_MAP_TYPE_RINGBUF), read-only."""
    return mmap.mmap(fd, 2 * mmap.PAGESIZE + 2 * map_info(fd).max_entries, mmap.MAP_SHARED, mmap.PROT_READ)


def map_update(fd: int, key: bytes | None, value: bytes) -> None:
    """Set one entry; without a key, push on a queue."""
    checked(library().bpf_map_update_elem(fd, key, value, C.c_uint64(0)), "bpf_map_update_elem")


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """One entry, or None."""
    value = C.create_string_buffer(value_size)
    if library().bpf_map_lookup_elem(fd, key, value) < 0:
        return None
    return value.raw


def map_delete(fd: int, key: bytes) -> bool:
    """Take one entry out; False if it is not there."""
    return int(library().bpf_map_delete_elem(fd, key)) >= 0


def map_keys(fd: int, key_size: int) -> list[bytes]:
    """The keys of a hash. While others change it, one may be missing or come twice."""
    found, key, following = [], None, C.create_string_buffer(key_size)
    while library().bpf_map_get_next_key(fd, key, following) >= 0:
        key = following.raw
        found.append(key)
    return found
