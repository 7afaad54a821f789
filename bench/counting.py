# SPDX-License-Identifier: Apache-2.0
"""The set of programs that is measured, in a folder of pins of its own, and a look for others that would disturb."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace

from containeragent import libbpf
from containeragent.errors import Refused
from containeragent.host import functions
from containeragent.host.btf import Btf
from containeragent.loader import denial, sources
from containeragent.loader.compiler import FUNCTION_PREFIX, RAW_TRACEPOINT_PREFIX, Module, plain_name
from containeragent.loader.load import BPFFS, Options, load, unload
from containeragent.pins import Pins

OPTIONS = Options(BPFFS / f"bench-{os.getpid()}")


def silent(_line: str) -> None:
    """Nobody is told what a loader says."""


def engines() -> list[str]:
    """Those that load here."""
    return ["tracepoint", "fentry"] if functions.probe(Btf()).loads else ["tracepoint"]


@contextlib.contextmanager
def switched_on(engine: str = "auto") -> Iterator[Pins]:
    """Counting inside."""
    try:
        load(replace(OPTIONS, engine=engine), False, silent)
        yield Pins(OPTIONS.bpffs)
    finally:
        unload(OPTIONS.bpffs, silent)


def _empty_programs(names: list[str]) -> dict[str, int]:
    """Programs for the same events that do nothing: what the kernel takes for calling any program at all."""
    prefixes = {name: _prefix(name) for name in names}
    text = "".join(f"int {prefix}{name}(void *ctx) {{ return 0; }}\n" for name, prefix in prefixes.items())
    module = Module("#include <linux/types.h>\n" + text, sources.folder())
    return {name: os.dup(module.load(prefix + name)) for name, prefix in prefixes.items()}


def _prefix(event: str) -> str:
    """What says to bcc what a program of this event is."""
    for program in denial.PROGRAMS:
        if plain_name(program) == event:
            return program.removesuffix(event)
    hooked = {name for names in functions.FUNCTIONS.values() for name in names}
    return FUNCTION_PREFIX if event in hooked else RAW_TRACEPOINT_PREFIX


class Switch:
    """Detaches the loaded programs and attaches them again in an instant, so that runs with and without are close.

    Words of pages that went while nothing counted are stale. Loads go through their frames once before they measure.
    """

    def __init__(self, pins: Pins) -> None:
        names = pins.names("links")
        self._state = "off"
        self._links: list[int] = []
        for name in names:
            (pins.live / "links" / name).unlink()
        self._programs = {"on": {name: pins.get("programs", name) for name in names}, "empty": _empty_programs(names)}

    def set(self, state: str) -> None:
        """`off`, `empty` or `on`. The kernel lets go of a link a moment after it was closed."""
        if state == self._state:
            return
        self._state = state
        while self._links:
            os.close(self._links.pop())
        for name, program in self._programs.get(state, {}).items():
            tracepoint = name.encode() if _prefix(name) == RAW_TRACEPOINT_PREFIX else None
            link = libbpf.library().bpf_raw_tracepoint_open(tracepoint, program)
            if link < 0:
                raise Refused("ENOENT", f"the program {name} cannot be attached again")
            self._links.append(link)

    def close(self) -> None:
        """Detach, and let go of the programs."""
        self.set("off")
        for programs in self._programs.values():
            for program in programs.values():
                os.close(program)


@contextlib.contextmanager
def switch(engine: str) -> Iterator[Switch]:
    """A switch that is off."""
    with switched_on(engine) as pins, contextlib.closing(Switch(pins)) as made:
        yield made


def others() -> list[str]:
    """Folders of other loaded sets: they count during every run, and what is measured comes on top of them."""
    return sorted(str(links.parents[1]) for links in BPFFS.glob("*/live/links") if links.parents[1] != OPTIONS.bpffs)
