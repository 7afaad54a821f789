# SPDX-License-Identifier: Apache-2.0
"""bcc: the only module that imports it.

In: C text. Out: descriptors of programs and maps, and links once attached. bcc is only in the system's Python
(Debian's python3-bpfcc), and what it complains about goes to the process's stderr: it is caught and becomes the error.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from containeragent.errors import Refused
from containeragent.host.distribution import install_bcc

RAW_TRACEPOINT_PREFIX = "raw_tracepoint__"
FUNCTION_PREFIX = "kfunc__"
MODIFY_PREFIX = "kmod_ret__"  # decides what the function returns
ITERATOR_PREFIX = "bpf_iter__"


def _import_bcc() -> Any:
    try:
        import bcc
    except ImportError as error:
        raise Refused(
            "ENOENT",
            f"bcc cannot be imported ({error}): {install_bcc()}, and make the virtual environment with "
            "/usr/bin/python3 -m venv --system-site-packages",
        ) from None
    return bcc


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """What is written to file descriptor 2 inside, as lines."""
    lines: list[str] = []
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.memfd_create("complaints"), "w+b") as file:  # on no disk, which may be full
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


_TELLING = re.compile(r"error:|could not open bpf map|R\d+ |too (large|complex)|invalid|not allowed|denied")


def _reason(lines: list[str], error: Exception) -> str:
    """The line that says most, on one line."""
    telling = [line for line in lines if _TELLING.search(line)]
    return " ".join((telling[-1] if telling else str(error)).split())[:300]


def _not_made(reason: str) -> Refused:
    """bcc makes the maps while it compiles, so it is one failure to it and two to a user."""
    refused = re.search(r"could not open bpf map: (\w+), error: (.*)", reason)
    if refused is None:
        return Refused("EINVAL", f"the BPF programs do not compile: {reason}; install containeragent again")
    hint = "run as root with CAP_BPF, and with memory for the maps (fewer --slots need less)"
    return Refused("ENOMEM", f"the kernel refused the BPF map {refused[1]}: {refused[2].lower()}; {hint}")


def plain_name(name: str) -> str:
    """Of a program, without what says to bcc what it is for."""
    for prefix in (RAW_TRACEPOINT_PREFIX, FUNCTION_PREFIX, MODIFY_PREFIX, ITERATOR_PREFIX):
        name = name.removeprefix(prefix)
    return name


class Module:
    """One compiled C text."""

    def __init__(self, text: str, folder: Path) -> None:
        """`folder` has include/, the small header tree that stands in for the kernel's."""
        bcc = _import_bcc()
        os.environ["BCC_KERNEL_SOURCE"] = str(folder)
        self._lib = bcc.lib
        # Loaded one by one below: what is not attached (test runs, tail calls, iterators) bcc would not load.
        bcc.BPF._trace_autoload = lambda _self: None
        self._bcc = bcc.BPF
        lines: list[str] = []
        try:
            with _complaints() as lines:
                # debug information would take a fifth of the time that it takes to compile
                self._module = bcc.BPF(text=text, cflags=["-w", "-g0", f"-I{folder}"])
        except Exception as error:
            raise _not_made(_reason(lines, error)) from None
        self.links: dict[str, int] = {}

    def names(self) -> list[str]:
        """The programs in the text."""
        module = self._module.module
        return [self._lib.bpf_function_name(module, i).decode() for i in range(self._lib.bpf_num_functions(module))]

    def load(self, name: str) -> int:
        """Have the kernel verify a program; its descriptor."""
        tracing = name.startswith((ITERATOR_PREFIX, FUNCTION_PREFIX, MODIFY_PREFIX))
        kind = self._bcc.TRACING if tracing else self._bcc.RAW_TRACEPOINT
        try:
            return int(self._module.load_func(name, kind).fd)
        except Exception as error:
            raise Refused("EACCES", f"the kernel refused the BPF program {name}: {error}") from None

    def load_all(self, names: Sequence[str]) -> None:
        """Load programs, several at a time: the verifier takes most of the time of a load."""
        lines: list[str] = []
        try:
            with _complaints() as lines, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
                list(pool.map(self.load, names))
        except Refused as error:
            raise Refused(error.code, f"{error.message}: {_reason(lines, error)}; see containerctl doctor") from None

    def events(self) -> list[str]:
        """Tracepoints and kernel functions that programs are for."""
        prefixes = (RAW_TRACEPOINT_PREFIX, FUNCTION_PREFIX)
        return [plain_name(name) for name in self.names() if name.startswith(prefixes)]

    def attach(self, event: str) -> None:
        """Attach the program of a raw tracepoint or kernel function; it counts until its link is closed, not pinned."""
        functions = {FUNCTION_PREFIX + event, MODIFY_PREFIX + event} & set(self.names())
        if functions:
            link = self._lib.bpf_attach_kfunc(self.load(functions.pop()))
        else:
            link = self._lib.bpf_attach_raw_tracepoint(self.load(RAW_TRACEPOINT_PREFIX + event), event.encode())
        if link < 0:
            raise Refused("ENOENT", f"the kernel has no raw tracepoint or function {event}, or refuses to attach to it")
        self.links[event] = int(link)

    def close(self) -> None:
        """From now on pins alone hold it all: in a process that goes on, it would count after the pins are gone."""
        while self.links:
            os.close(self.links.popitem()[1])
        self._module.close()

    def map_fd(self, name: str) -> int:
        """Descriptor of a map."""
        return int(self._lib.bpf_table_fd(self._module.module, name.encode()))

    def programs(self) -> Mapping[str, int]:
        """Descriptors of what was loaded, by name."""
        return {name.decode(): function.fd for name, function in self._module.funcs.items()}
