# SPDX-License-Identifier: Apache-2.0
"""BPF programs that are run by hand, over something or on nothing.

Every failure is an OSError with the kernel's errno. Meanings are those of bpf(2) and of linux/bpf.h.
"""

from __future__ import annotations

import ctypes as C
import os

from containeragent.libbpf import checked, library

BPF_PROG_TEST_RUN_CMD = 10
BPF_PROG_TYPE_TRACING = 26
BPF_TRACE_FENTRY = 24
BPF_TRACE_ITER = 28
_RETURN_0 = bytes((0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0))  # r0 = 0; exit


class _TestRun(C.Structure):
    _fields_ = [
        ("prog_fd", C.c_uint32),
        ("retval", C.c_uint32),
        ("data_size_in", C.c_uint32),
        ("data_size_out", C.c_uint32),
        ("data_in", C.c_uint64),
        ("data_out", C.c_uint64),
        ("repeat", C.c_uint32),
        ("duration", C.c_uint32),
        ("ctx_size_in", C.c_uint32),
        ("ctx_size_out", C.c_uint32),
        ("ctx_in", C.c_uint64),
        ("ctx_out", C.c_uint64),
        ("flags", C.c_uint32),
        ("cpu", C.c_uint32),
        ("batch_size", C.c_uint32),
        ("pad", C.c_uint8 * 52),
    ]


_SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine, 280)


class Runnable:
    """A raw tracepoint program that is run by hand (BPF_PROG_TEST_RUN) instead of being attached."""

    def __init__(self, fd: int) -> None:
        self._arguments = (C.c_uint64 * 12)()
        self._attributes = _TestRun(prog_fd=fd, ctx_size_in=C.sizeof(self._arguments))
        self._attributes.ctx_in = C.addressof(self._arguments)
        self._syscall = C.CDLL(None, use_errno=True).syscall

    def __call__(self, *arguments: int) -> int:
        """Run it with these ctx->args; its return value."""
        self._arguments[: len(arguments)] = [a & (2**64 - 1) for a in arguments]
        attributes = self._attributes
        attributes.retval = 0
        result = self._syscall(_SYS_BPF, BPF_PROG_TEST_RUN_CMD, C.byref(attributes), C.c_uint32(C.sizeof(attributes)))
        checked(result, "BPF_PROG_TEST_RUN")
        return int(attributes.retval)


class _LoadOptions(C.Structure):
    """struct bpf_prog_load_opts of libbpf 1.0, as far as it is needed; the library goes by `size`."""

    _fields_ = [
        ("size", C.c_size_t),
        ("attempts", C.c_int),
        ("expected_attach_type", C.c_uint32),
        ("prog_btf_fd", C.c_uint32),
        ("prog_flags", C.c_uint32),
        ("prog_ifindex", C.c_uint32),
        ("kern_version", C.c_uint32),
        ("attach_btf_id", C.c_uint32),
        ("attach_prog_fd", C.c_uint32),
    ]


def attach_nothing(function: int) -> None:
    """Load an empty program on a kernel function (its BTF type number), attach it, and let go of it again."""
    lib = library()
    options = _LoadOptions(C.sizeof(_LoadOptions), 1, BPF_TRACE_FENTRY, attach_btf_id=function)
    program = checked(
        lib.bpf_prog_load(BPF_PROG_TYPE_TRACING, None, b"GPL", _RETURN_0, C.c_size_t(2), C.byref(options)), "load"
    )
    try:
        os.close(checked(lib.bpf_raw_tracepoint_open(None, program), "attach"))
    finally:
        os.close(program)


class _LinkOptions(C.Structure):
    """struct bpf_link_create_opts of libbpf 1.0, as far as it is needed, and what it points to."""

    _fields_ = [
        ("size", C.c_size_t),
        ("flags", C.c_uint32),
        ("iterated", C.c_void_p),
        ("iterated_bytes", C.c_uint32),
    ]


def run_iterator(program_fd: int, task: int = 0) -> None:
    """Run an iterator program over everything it iterates, or where the kernel can (since v6.1), over one task's."""
    lib = library()
    iterated = (C.c_uint32 * 4)(task)  # union bpf_iter_link_info, task.tid
    options = _LinkOptions(C.sizeof(_LinkOptions), 0, C.addressof(iterated), C.sizeof(iterated))
    link = checked(
        lib.bpf_link_create(program_fd, 0, BPF_TRACE_ITER, C.byref(options) if task else None), "bpf_link_create"
    )
    try:
        iterator = checked(lib.bpf_iter_create(link), "bpf_iter_create")
        try:
            while os.read(iterator, 65536):
                pass
        finally:
            os.close(iterator)
    finally:
        os.close(link)
