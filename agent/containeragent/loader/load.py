# SPDX-License-Identifier: Apache-2.0
"""Load, attach and pin the programs; or remove them.

Data flow: host facts -> C text -> programs -> attached in the order that loses nothing -> pins. The process that does
this holds the compiler's memory, so it ends afterwards (`containeragent load`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from containeragent import __version__, libbpf, tasks
from containeragent.counters.maps import CounterMaps
from containeragent.errors import HostRefused, Refused
from containeragent.host import cgroup2, cpus, mounts
from containeragent.host.btf import Btf
from containeragent.libbpf import Runnable
from containeragent.loader import adopt, frames, kernel_layout, seed, sources
from containeragent.loader.compiler import ITERATOR_PREFIX, RAW_TRACEPOINT_PREFIX, Module
from containeragent.pins import Pins
from containeragent.stamp import Stamp

BPFFS = Path("/sys/fs/bpf")
TRACEFS = Path("/sys/kernel/tracing")

KEPT_MAPS = (
    "rows",
    "groups",
    "slots",
    "state",
    "owners",
    "id_slots",
    "id_cache",
    "free_slots",
    "task_slots",
    "moves",
    "taken",
    "seed_words",
    "stamp",
)
# A new set of programs has its own. Indexes are WALK_... of bpf/tasks.c.
_TAIL_CALLS = {
    "walk_programs": ("walk_threads", "scan_threads"),
}
_OWN_MAPS = ("walks", *_TAIL_CALLS)
_CGROUP_EVENTS = ("cgroup_mkdir", "cgroup_rmdir")
_TASK_EVENTS = ("sched_process_fork", "sched_process_exit", "cgroup_attach_task")
_RUNNABLE = (
    "adopt_cgroup",
    "forget_cgroup",
    "retire_slot",
    "sweep_block",
    "seed_block",
    "confirm_block",
    "publish_seeded",
    "scan_process",
)

_CALIBRATIONS, _CALIBRATION_PAGES = 50, 256

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """`slots` is the number of containers that can be told apart; the rest is where things are."""

    bpffs: Path
    slots: int = 16384
    engine: str = "auto"


@contextlib.contextmanager
def _of_this_host() -> Iterator[None]:
    """What fails inside, fails because this host does not let BPF count."""
    try:
        yield
    except Refused as error:
        raise HostRefused(error.code, error.message) from None
    except OSError as error:
        raise HostRefused.of_errno(error.errno or 5, f"loading failed at {error}") from None


def prepare_host(options: Options, say: Say) -> None:
    """What must be there before anything is compiled; mounts what is missing."""
    if os.geteuid() != 0:
        raise Refused("EPERM", "loading BPF programs needs root; run it with sudo or as the systemd service")
    if not mounts.is_inside(options.bpffs, "bpf"):
        if not options.bpffs.is_relative_to(BPFFS):
            raise Refused("EINVAL", f"--bpffs {options.bpffs} is not on a BPF file system; mount one there first")
        mounts.mount("bpf", BPFFS)
        say(f"mounted the BPF file system on {BPFFS}")
    if mounts.find("tracefs") is None:
        mounts.mount("tracefs", TRACEFS)
        say(f"mounted tracefs on {TRACEFS}")


def _task_entries() -> int:
    """Room for as many tasks as the kernel allows (kernel.threads-max), which follows the host's memory."""
    allowed = int(Path("/proc/sys/kernel/threads-max").read_text())
    return 1 << max(14, min(22, (allowed - 1).bit_length()))


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
        os.close(module.links["mm_page_alloc"])
    raise Refused(
        "ENOTSUP",
        f"could not find where this kernel keeps struct page in {_CALIBRATIONS} attempts: is /proc/self/pagemap "
        "readable with CAP_SYS_ADMIN, and the host not out of memory?",
    )


@_of_this_host()
def _compile(options: Options, kept: Stamp | None, kept_in: Path | None) -> tuple[Module, Stamp]:
    """The programs for this host; with `kept`, they go on with the maps pinned in `kept_in`."""
    btf, folder = Btf(), sources.folder()
    blocks = (frames.host_frames() + seed.BLOCK_PAGES - 1) // seed.BLOCK_PAGES
    stamp = Stamp(
        version=__version__,
        layout=sources.layout(),
        digest=sources.digest(),
        engine="tracepoint",
        slots=kept.slots if kept else options.slots,
        cpus=kept.cpus if kept else cpus.possible(),
        blocks=kept.blocks if kept else blocks,
        tasks=kept.tasks if kept else _task_entries(),
        page_size=frames.PAGE_BYTES,
        loaded_at=time.time(),
        seeded=kept.seeded if kept else False,
    )
    header = kernel_layout.header(
        btf,
        VMEMMAP_BASE=_struct_page_base(btf, folder),
        SLOTS=stamp.slots,
        CPUS=stamp.cpus,
        BLOCKS=stamp.blocks,
        TASKS=stamp.tasks,
    )
    if kept_in is not None:
        header += f'#define KEPT_IN "{kept_in}"\n'
    return Module(header + sources.text(sources.MAIN), folder), stamp


@_of_this_host()
def _load_programs(module: Module) -> None:
    module.load_all()
    for table, names in _TAIL_CALLS.items():
        for index, name in enumerate(names):
            key, program = index.to_bytes(4, "little"), module.load(name).to_bytes(4, "little")
            libbpf.map_update(module.map_fd(table), key, program)


def _attach(module: Module, names: Iterable[str]) -> None:
    for name in names:
        if name not in module.links:
            module.attach(name)


def _page_events(module: Module) -> list[str]:
    names = [
        name.removeprefix(RAW_TRACEPOINT_PREFIX) for name in module.names() if name.startswith(RAW_TRACEPOINT_PREFIX)
    ]
    return [name for name in names if name not in _CGROUP_EVENTS + _TASK_EVENTS]


def _fill_free_slots(module: Module, slots: int) -> None:
    queue = module.map_fd("free_slots")
    for slot in range(2, slots):
        libbpf.map_update(queue, None, slot.to_bytes(4, "little"))


@_of_this_host()
def _begin_counting(module: Module, stamp: Stamp, say: Say) -> Stamp:
    """First load: cgroups, then what counts, then what was there before."""
    mount = cgroup2.mount_point()
    programs = {name: Runnable(module.load(name)) for name in _RUNNABLE}
    _fill_free_slots(module, stamp.slots)
    _attach(module, _CGROUP_EVENTS)
    count = adopt.adopt_tree(mount, programs["adopt_cgroup"], programs["forget_cgroup"])
    _attach(module, _TASK_EVENTS)
    _attach(module, _page_events(module))
    maps = CounterMaps.from_descriptors(module.map_fd, stamp)
    tasks.scan(module.load(ITERATOR_PREFIX + "task"), programs["scan_process"], maps.all_tasks)
    say(f"counting in {count} cgroup{'s' if count != 1 else ''} under {mount}")
    if not seed.is_meaningful(mount):
        say("pages from before the load are not counted: the memory controller is not on cgroup v2 here")
        return stamp
    _seed_pages(module, programs, stamp, say)
    return dataclasses.replace(stamp, seeded=True)


def _seed_pages(module: Module, programs: dict[str, Runnable], stamp: Stamp, say: Say) -> None:
    maps = CounterMaps.from_descriptors(module.map_fd, stamp, writable=True)
    live = np.flatnonzero(maps.slots["state"])
    slot_of = {int(maps.slots["cgroup_id"][slot]): int(slot) for slot in live} | {0: 1}
    before = maps.rows["adjust_anon"].sum(axis=0) + maps.rows["adjust_file"].sum(axis=0)
    seeder = seed.Seeder(programs["seed_block"], programs["confirm_block"], maps.seed_words, slot_of)
    try:
        seeder.run(stamp.blocks, lambda done, all_: None)
    finally:
        seeder.close()
    after = maps.rows["adjust_anon"].sum(axis=0) + maps.rows["adjust_file"].sum(axis=0)
    for slot in np.flatnonzero(after - before):
        programs["publish_seeded"](int(slot), int((after - before)[slot]))
    maps.slots["partial"][live] = 0
    pages = int((after - before).sum())
    say(f"counted {pages} pages from before the load")


def _objects(module: Module) -> dict[str, dict[str, int]]:
    programs = {
        name.removeprefix(RAW_TRACEPOINT_PREFIX).removeprefix(ITERATOR_PREFIX): descriptor
        for name, descriptor in module.programs().items()
    }
    maps = {name: module.map_fd(name) for name in KEPT_MAPS + _OWN_MAPS}
    return {"maps": maps, "programs": programs, "links": dict(module.links)}


def load(options: Options, replace: bool, say: Say) -> Stamp:
    """Load what counts, unless it is loaded already; the stamp of what is loaded then.

    With `replace`, programs of another version are exchanged: the new ones count before the old ones stop. Where the
    layout of the maps is the same, they go on with the same counters.
    """
    prepare_host(options, say)
    pins = Pins(options.bpffs)
    with pins.loader_lock():
        try:
            return _load_locked(pins, options, replace, say)
        except BaseException:
            if not pins.loaded():
                pins.remove()
            raise


def _load_locked(pins: Pins, options: Options, replace: bool, say: Say) -> Stamp:
    try:
        present = pins.stamp()
    except Refused:
        if not replace:
            raise
        present = None
    if present and not replace:
        _check_present(present)
        differs = "" if present.digest == sources.digest() else "; its programs differ: `load --replace` exchanges them"
        say(f"already loaded by version {present.version}{differs}")
        return present
    same = present is not None and present.layout == sources.layout()
    kept = present if same else None
    if present and not same:
        say(f"layout {present.layout} cannot be carried over: pages from before now are counted as after a first load")
    started = time.monotonic()
    module, stamp = _compile(options, kept, pins.live / "maps" if kept else None)
    _load_programs(module)
    if kept:
        _attach(module, _CGROUP_EVENTS + _TASK_EVENTS)
        _attach(module, _page_events(module))
    else:
        stamp = _begin_counting(module, stamp, say)
    libbpf.map_update(module.map_fd("stamp"), bytes(4), stamp.encode())
    pins.publish(_objects(module))
    say(f"{'replaced' if present else 'loaded'} {len(module.links)} programs in {time.monotonic() - started:.1f} s")
    return stamp


def _check_present(present: Stamp) -> None:
    if present.layout != sources.layout():
        raise Refused(
            "EEXIST",
            f"version {present.version} is loaded with layout {present.layout} of the counters, this one has "
            f"{sources.layout()}; run `containeragent load --replace`",
        )


def unload(bpffs: Path, say: Say) -> None:
    """Remove every pin: counting ends. Refused while an agent runs on them."""
    if os.geteuid() != 0:
        raise Refused("EPERM", "removing the pins needs root; run it with sudo")
    if not bpffs.is_dir():
        say("nothing is loaded")
        return
    pins = Pins(bpffs)
    with pins.loader_lock(), pins.agent_lock():
        pins.remove()
    say(f"removed everything under {bpffs}")
