# SPDX-License-Identifier: Apache-2.0
"""Load, attach and pin the programs; or remove them.

Data flow: host facts -> C text -> programs -> attached in the order that loses nothing -> pins. The process that does
this holds the compiler's memory, so it ends afterwards (`containeragent load`).
"""

from __future__ import annotations

import dataclasses
import mmap
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from containeragent import libbpf, tasks, turn
from containeragent.counters.maps import CounterMaps
from containeragent.errors import HostRefused, Refused
from containeragent.host import cgroup2, cpus, mounts
from containeragent.host.btf import Btf
from containeragent.loader import adopt, build, denial, engines, replacing, seed
from containeragent.loader.build import Kept, of_this_host
from containeragent.loader.compiler import ITERATOR_PREFIX, Module, plain_name
from containeragent.loader.engines import Engine
from containeragent.pins import Pins
from containeragent.runnable import Runnable
from containeragent.stamp import Stamp

BPFFS = Path("/sys/fs/bpf")
TRACEFS = Path("/sys/kernel/tracing")
_MOST_ROWS = (1 << 31) - 1  # 256 GiB

KEPT_MAPS = (
    "rows",
    "groups",
    "limits",
    "slots",
    "state",
    "owners",
    "id_slots",
    "id_cache",
    "free_slots",
    "task_slots",
    "starting",
    "seed_words",
    "files",
    "file_filter",
    "mapped_file",
    "file_walk",
    "block_files",
    "ends",
    "notices",
)
_OWN_MAPS = ("stamp", "walks", *build.TAIL_CALLS)  # a new set of programs has its own
_CGROUP_EVENTS = ("cgroup_mkdir", "cgroup_rmdir")
_TASK_EVENTS = ("task_newtask", "sched_process_exit", "cgroup_attach_task")
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

Say = replacing.Say


@dataclass(frozen=True)
class Options:
    """`slots` is the number of containers that can be told apart; the rest is where things are."""

    bpffs: Path
    slots: int = 16384
    engine: str = "auto"


def prepare_host(options: Options, say: Say) -> None:
    """What must be there before anything is compiled; mounts what is missing."""
    if os.geteuid() != 0:
        raise Refused("EPERM", "loading BPF programs needs root; use sudo, or systemctl restart containeragent-load")
    if not mounts.is_inside(options.bpffs, "bpf"):
        if not options.bpffs.is_relative_to(BPFFS):
            raise Refused("EINVAL", f"--bpffs {options.bpffs} is not on a BPF file system; mount one there first")
        mounts.mount("bpf", BPFFS)
        say(f"mounted the BPF file system on {BPFFS}")
    if mounts.find("tracefs") is None:
        mounts.mount("tracefs", TRACEFS)
        say(f"mounted tracefs on {TRACEFS}")


def _check_rows(slots: int, cpus: int) -> None:
    """The programs count rows in 32 bits, and the compiler multiplies with a sign."""
    most = _MOST_ROWS // cpus
    if slots > most:
        raise Refused("EINVAL", f"{slots} slots are too many for {cpus} CPUs, which can have {most}: give less --slots")


def _attach(module: Module, names: Iterable[str]) -> None:
    for name in names:
        if name not in module.links:
            module.attach(name)


def _attach_all(module: Module, engine: Engine) -> None:
    """Tasks, then pages in the order that the engine asks for."""
    events = module.events()
    _attach(module, _CGROUP_EVENTS + _TASK_EVENTS)
    _attach(module, [name for name in engine.first if name in events])
    _attach(module, [name for name in events if name not in denial.EVENTS])


def _fill_free_slots(module: Module, slots: int) -> None:
    queue = module.map_fd("free_slots")
    for slot in range(2, slots):
        libbpf.map_update(queue, None, slot.to_bytes(4, "little"))


@of_this_host()
def _begin_counting(module: Module, engine: Engine, stamp: Stamp, say: Say) -> Stamp:
    """First load: cgroups, then what counts, then what was there before."""
    mount = cgroup2.mount_point()
    programs = {name: Runnable(module.load(name)) for name in _RUNNABLE}
    _fill_free_slots(module, stamp.slots)
    _attach(module, _CGROUP_EVENTS)
    count = adopt.adopt_tree(mount, programs["adopt_cgroup"], programs["forget_cgroup"])
    _attach_all(module, engine)
    maps = CounterMaps.from_descriptors(module.map_fd, stamp)
    tasks.scan(module.load(ITERATOR_PREFIX + "task"), programs["scan_process"], maps.all_tasks)
    say(f"counting in {count} cgroup{'s' if count != 1 else ''} under {mount}")
    if not seed.is_meaningful(mount):
        say("pages from before the load are not counted: the memory controller is not on cgroup v2 here")
        return stamp
    _seed_pages(module, programs, stamp, say)
    return dataclasses.replace(stamp, seeded=True)


def _mapped(module: Module) -> list[mmap.mmap]:
    """Every map that the agent will map and keep, so that the look at pages finds it mapped.

    The kernel counts what programs map of its own memory as mapped too, in the cgroup that it charged: here the one
    that loads.
    """
    found = []
    for name in KEPT_MAPS:
        descriptor = module.map_fd(name)
        info = libbpf.map_info(descriptor)
        if info.type == libbpf.BPF_MAP_TYPE_RINGBUF:
            found.append(libbpf.map_ring(descriptor))
        elif info.flags & libbpf.BPF_F_MMAPABLE and name != "owners":
            found.append(libbpf.map_memory(descriptor))
    return found


def _seed_pages(module: Module, programs: dict[str, Runnable], stamp: Stamp, say: Say) -> None:
    maps, _kept = CounterMaps.from_descriptors(module.map_fd, stamp, writable=True), _mapped(module)
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


def _publish(pins: Pins, module: Module, engine: Engine, kept: Kept | None) -> None:
    """Pin them as what is live and, where others counted so far, take over; if that fails, those go on."""
    programs = {plain_name(name): descriptor for name, descriptor in module.programs().items()}
    maps = {name: module.map_fd(name) for name in (*KEPT_MAPS, *engine.maps, *_OWN_MAPS)}
    objects = {"maps": maps, "programs": programs, "links": dict(module.links)}
    if kept is None or "turns" not in engine.maps:
        pins.publish(objects)
        return
    turns, count = module.map_fd("turns"), kept.stamp.cpus
    take_turn = Runnable(module.load("take_turn"))
    try:
        pins.publish(objects, kept.turn, lambda: turn.take(take_turn, turns, count, kept.turn))
    except BaseException:
        turn.give(turns, count, kept.turn - 1)
        raise


def _build(pins: Pins, options: Options, present: Stamp | None, say: Say) -> build.Built:
    """Verified programs of the engine that is wanted; with "auto", of the next one if they are refused."""
    with of_this_host():
        btf = Btf()
    engine, without_fentry = engines.choose(options.engine, replacing.engine_to_keep(present), btf)
    try:
        kept = replacing.kept(pins, present, engine, say)
        say(f"compiling and verifying the programs of engine {engine.name}, which takes some seconds")
        return build.built(btf, engine, without_fentry, options.slots, kept)
    except Refused as error:
        if options.engine != "auto" or engine is engines.TRACEPOINT:
            raise
        say(f"engine {engine.name} does not load, tracepoint takes its place: {error.message}")
        kept = replacing.kept(pins, present, engines.TRACEPOINT, say)
        return build.built(btf, engines.TRACEPOINT, error.message, options.slots, kept)


def load(options: Options, replace: bool, say: Say) -> Stamp:
    """Load what counts, unless it is loaded already; the stamp of what is loaded then.

    With `replace`, programs of another version are exchanged: the new ones count before the old ones stop. Where the
    layout of the maps is the same, they go on with the same counters.
    """
    _check_rows(options.slots, cpus.possible())
    prepare_host(options, say)
    pins = Pins(options.bpffs)
    with pins.loader_lock():
        try:
            return _load_locked(pins, options, replace, say)
        except BaseException as error:
            if not pins.loaded():
                pins.remove()
            elif isinstance(error, HostRefused):
                raise Refused(error.code, error.message) from None  # what is loaded counts here, and goes on
            raise


def _load_locked(pins: Pins, options: Options, replace: bool, say: Say) -> Stamp:
    if pins.finish_interrupted():
        say("finished a replacement that was interrupted")
    try:
        present = pins.stamp()
    except Refused:
        if not replace:
            raise
        present = None
    if present and not replace:
        return replacing.stay(present, options.engine, say)
    started = time.monotonic()
    built = _build(pins, options, present, say)
    try:
        stamp = _count(pins, built, say)
        count, seconds = len(built.module.links), time.monotonic() - started
    finally:
        built.module.close()
    say(f"{'replaced' if present else 'loaded'} {count} programs in {seconds:.1f} s, engine {stamp.engine}")
    return stamp


def _count(pins: Pins, built: build.Built, say: Say) -> Stamp:
    """Attach the programs and pin them."""
    module, engine, stamp, kept = built.module, built.engine, built.stamp, built.kept
    if kept:
        _attach_all(module, engine)  # beside the programs that counted so far
    else:
        stamp = _begin_counting(module, engine, stamp, say)
    if not stamp.without_denial:
        stamp = dataclasses.replace(stamp, without_denial=denial.attach(module))
    libbpf.map_update(module.map_fd("stamp"), bytes(4), stamp.encode())
    _publish(pins, module, engine, kept)
    return stamp


def unload(bpffs: Path, say: Say) -> None:
    """Remove every pin: counting ends. Refused while an agent runs on them."""
    if os.geteuid() != 0:
        raise Refused("EPERM", "removing the pins needs root; use sudo, or systemctl stop containeragent-load")
    if not bpffs.is_dir():
        say("nothing is loaded")
        return
    pins = Pins(bpffs)
    with pins.loader_lock(), pins.agent_lock():
        pins.remove()
    say(f"removed everything under {bpffs}")
