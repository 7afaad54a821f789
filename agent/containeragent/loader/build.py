# SPDX-License-Identifier: Apache-2.0
"""From host facts to verified programs: the C text of an engine for this kernel, compiled, loaded, not yet attached."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from containeragent import __version__, libbpf, turn
from containeragent.counters.records import BLOCK_PAGES
from containeragent.errors import HostRefused, Refused
from containeragent.host import cpus
from containeragent.host.btf import Btf
from containeragent.loader import denial, frames, kernel_layout, sources
from containeragent.loader.compiler import Module
from containeragent.loader.engines import Engine
from containeragent.stamp import Stamp

# A new set of programs has its own. Indexes are WALK_... of bpf/tasks.c.
TAIL_CALLS = {
    "walk_programs": ("walk_threads", "scan_threads"),
}
_CALIBRATIONS, _CALIBRATION_PAGES = 50, 256


@dataclass(frozen=True)
class Kept:
    """What new programs go on with: the stamp, the folder of the pinned maps, and their number (turn.py)."""

    stamp: Stamp
    maps: Path
    turn: int


@dataclass(frozen=True)
class Built:
    """Verified programs, and what they are."""

    module: Module
    engine: Engine
    stamp: Stamp
    kept: Kept | None


@contextlib.contextmanager
def of_this_host() -> Iterator[None]:
    """What fails inside, fails because this host does not let BPF count."""
    try:
        yield
    except Refused as error:
        raise HostRefused(error.code, error.message) from None
    except OSError as error:
        raise HostRefused.of_errno(error.errno or 5, f"loading failed at {error}") from None


def _task_entries() -> int:
    """Room for as many tasks as the kernel allows (kernel.threads-max), which follows the host's memory."""
    allowed = int(Path("/proc/sys/kernel/threads-max").read_text())
    return 1 << max(14, min(22, (allowed - 1).bit_length()))


def ids_cached(slots: int) -> int:
    """Entries of the map id_cache: so many that few cgroups have the same one."""
    return 1 << max(16, (4 * slots - 1).bit_length())


def _struct_page_base(btf: Btf, folder: Path) -> int:
    """Address of the struct page of frame 0; see bpf/calibrate.c."""
    struct_bytes = kernel_layout.definitions(btf)["PAGE_STRUCT_BYTES"]
    text = kernel_layout.header(btf, LOADER_THREAD=os.getpid()) + sources.text(sources.CALIBRATION)
    module = Module(text, folder)
    module.attach("mm_page_alloc")
    descriptor = module.map_fd("calibration")
    size = libbpf.map_info(descriptor).value_size
    try:
        for _ in range(_CALIBRATIONS):
            fresh = frames.FreshPages(_CALIBRATION_PAGES)
            libbpf.map_update(descriptor, bytes(4), bytes(size))
            fresh.touch()
            seen = np.frombuffer(libbpf.map_lookup(descriptor, bytes(4), size) or b"", dtype=np.uint64).tolist()
            base = frames.struct_page_base(seen[1 : 1 + seen[0]], fresh.frames(), struct_bytes)
            if base is not None:
                return base
    finally:
        module.close()
    raise Refused(
        "ENOTSUP",
        f"could not find where this kernel keeps struct page in {_CALIBRATIONS} attempts: is /proc/self/pagemap "
        "readable with CAP_SYS_ADMIN, and the host not out of memory?",
    )


def _new_stamp(engine: Engine, without_fentry: str, slots: int, kept: Stamp | None) -> Stamp:
    blocks = (frames.host_frames() + BLOCK_PAGES - 1) // BLOCK_PAGES
    return Stamp(
        version=__version__,
        layout=sources.layout(),
        digest=sources.digest(engine.sources),
        engine=engine.name,
        slots=kept.slots if kept else slots,
        cpus=kept.cpus if kept else cpus.possible(),
        blocks=kept.blocks if kept else blocks,
        tasks=kept.tasks if kept else _task_entries(),
        page_size=frames.PAGE_BYTES,
        loaded_at=time.time(),
        seeded=kept.seeded if kept else False,
        without_fentry=without_fentry,
    )


def _compiled(btf: Btf, engine: Engine, stamp: Stamp, kept: Kept | None) -> Module:
    folder = sources.folder()
    header = kernel_layout.header(
        btf,
        VMEMMAP_BASE=_struct_page_base(btf, folder),
        SLOTS=stamp.slots,
        IDS_CACHED=ids_cached(stamp.slots),
        CPUS=stamp.cpus,
        BLOCKS=stamp.blocks,
        TASKS=stamp.tasks,
        TURN=kept.turn if kept else turn.FIRST,
    )
    header += engine.header(btf)
    if kept is not None:
        header += f'#define KEPT_IN "{kept.maps}"\n'
    return Module(header + sources.text(engine.sources), folder)


def _load_programs(module: Module) -> None:
    module.load_all([name for name in module.names() if name not in denial.PROGRAMS])
    for table, names in TAIL_CALLS.items():
        for index, name in enumerate(names):
            key, program = index.to_bytes(4, "little"), module.load(name).to_bytes(4, "little")
            libbpf.map_update(module.map_fd(table), key, program)


@of_this_host()
def built(btf: Btf, engine: Engine, without_fentry: str, slots: int, kept: Kept | None) -> Built:
    """The programs of an engine for this host, loaded and not yet attached; with `kept`, they go on with its maps."""
    stamp = _new_stamp(engine, without_fentry, slots, kept.stamp if kept else None)
    module = _compiled(btf, engine, stamp, kept)
    try:
        _load_programs(module)
        stamp = dataclasses.replace(stamp, without_denial=denial.load(module))
    except BaseException:
        module.close()
        raise
    return Built(module, engine, stamp, kept)
