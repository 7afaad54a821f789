# SPDX-License-Identifier: Apache-2.0
"""The least of io_uring(7) that makes the kernel start workers: requests that block, each in a thread of its own."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

_SETUP, _ENTER = 425, 426  # system calls, the same on every machine
_ENTRIES = 32
_PARAMS_BYTES, _REQUEST_BYTES = 120, 64
_REQUESTS_OFFSET = 0x10000000  # IORING_OFF_SQES
_SPLICE, _IN_A_WORKER = 30, 1 << 4  # IORING_OP_SPLICE, IOSQE_ASYNC
_REQUEST = struct.Struct("BBHiqqIIQHHi")  # struct io_uring_sqe as splice has it; -1: no offset, both are pipes
_TAIL, _ARRAY = 1, 6  # struct io_sqring_offsets, after the 40 bytes of struct io_uring_params


def _call(number: int, *arguments: object) -> int:
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "io_uring")
    return result


def start_workers(count: int) -> None:
    """Ask for so many transfers between empty pipes, which last as long as this process."""
    parameters = ctypes.create_string_buffer(_PARAMS_BYTES)
    ring = _call(_SETUP, _ENTRIES, parameters)
    offsets = struct.unpack_from("10I", parameters, 40)
    head = mmap.mmap(ring, offsets[_ARRAY] + 4 * _ENTRIES)
    requests = mmap.mmap(ring, _ENTRIES * _REQUEST_BYTES, offset=_REQUESTS_OFFSET)
    for at in range(count):
        (source, _), (_, target) = os.pipe(), os.pipe()
        requests.seek(at * _REQUEST_BYTES)
        requests.write(_REQUEST.pack(_SPLICE, _IN_A_WORKER, 0, target, -1, -1, 1, 0, at, 0, 0, source))
        struct.pack_into("I", head, offsets[_ARRAY] + 4 * at, at)
    struct.pack_into("I", head, offsets[_TAIL], count)
    if _call(_ENTER, ring, count, 0, 0, None, 0) != count:
        raise RuntimeError("not every request was taken")
