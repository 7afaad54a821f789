# SPDX-License-Identifier: Apache-2.0
"""What a look at every page frame finds of files: how many have pages with whom, and pages that count elsewhere than
the kernel charges them, because of their files.

In: page frames as pagescan.py goes over them, and the address_space of each (bpf/files.c). Out: figures by slot. A file
is one however many below a container have pages of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from containeragent import libbpf
from containeragent.counters.maps import Array
from containeragent.counters.records import BLOCK_FILES, BLOCK_PAGES, OWNER_BY_FILE, SLOT_MASK
from containeragent.counters.topology import Index, Topology
from containeragent.runnable import Runnable

Pairs = tuple[Index, Array]  # of one length: who (a slot, a node), and the address_space of a file with pages there
Yes = npt.NDArray[np.bool_]
_CACHED = 1  # of KINDS


def distinct(pairs: Pairs) -> Pairs:
    """Each pair once."""
    who, files = pairs
    order = np.lexsort((files, who))
    who, files = who[order], files[order]
    new = np.ones(len(who), dtype=np.bool_)
    new[1:] = (who[1:] != who[:-1]) | (files[1:] != files[:-1])
    return who[new], files[new]


def _joined(some: list[Pairs]) -> Pairs:
    return distinct((np.concatenate([who for who, _ in some]), np.concatenate([files for _, files in some])))


def files_of_nodes(tree: Topology, pairs: Pairs) -> tuple[Array, Array]:
    """Files by node: of each with everything below it, and its own with those of dead ones that it holds."""
    slots, files = pairs
    known = np.isin(slots, tree.used)
    nodes, files = np.searchsorted(tree.used, slots[known]), files[known]
    held, _ = distinct((tree.holder[nodes], files))
    level = distinct((nodes, files))
    levels = [level]
    while len(level[0]):
        above = tree.parent[level[0]]
        level = distinct((above[above >= 0], level[1][above >= 0]))
        levels.append(level)
    total, _ = _joined(levels)
    return np.bincount(total, minlength=len(tree.used)), np.bincount(held, minlength=len(tree.used))


@dataclass(frozen=True)
class FilesSeen:
    """`moved` is (kinds, slots): pages that count with a slot because of their file, less those charged to it that
    count elsewhere. None: the kernel does not say whom it charged.
    """

    pairs: Pairs
    moved: npt.NDArray[np.int64] | None


class FileFrames:
    """The address_space of each page frame of a block. One block at a time."""

    def __init__(self, descriptors: dict[str, dict[str, int]]) -> None:
        """`descriptors` are of what is pinned, by kind (pins.KINDS) and name."""
        self._look_block = Runnable(descriptors["programs"]["look_block"])
        memory = libbpf.map_memory(descriptors["maps"]["block_files"])
        self._mappings: Array = np.frombuffer(memory, dtype=BLOCK_FILES, count=1)["mapping"][0]

    def of_block(self, block: int) -> Array:
        """0 where the page is of no file; until the next call."""
        self._look_block(block)
        return self._mappings


class FileLook:
    """Of one look; made anew for each."""

    def __init__(self, frames: FileFrames, cgroup_ids: Array, kinds: int, proc: Path = Path("/proc")) -> None:
        """`cgroup_ids` are by slot, 0 where there is none; `kinds` how many kinds of pages there are."""
        self._frames = frames
        self._order = np.argsort(cgroup_ids, kind="stable")
        self._ids = cgroup_ids[self._order]
        self._moved = np.zeros((kinds, len(cgroup_ids)), dtype=np.int64)
        self._pairs: list[Pairs] = [(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.uint64))]
        self._charged = proc / "kpagecgroup"
        self._told = True

    def see(self, block: int, words: Array, found: list[Yes]) -> None:
        """Frames from a block on, with owner words; what each is, in the order of KINDS (pagescan.py)."""
        cached = found[_CACHED] & (words != 0)
        if cached.any():
            for at in np.flatnonzero(cached.reshape(-1, BLOCK_PAGES).any(axis=1)).tolist():
                self._see_block(block + at, words, cached, at * BLOCK_PAGES)
            self._pairs = [_joined(self._pairs)]
        by_file = np.flatnonzero((words & OWNER_BY_FILE) != 0)
        if len(by_file) and self._told:
            self._see_moved(block, words, found, by_file)

    def _see_block(self, block: int, words: Array, cached: Array, first: int) -> None:
        files = self._frames.of_block(block)
        chosen = cached[first : first + BLOCK_PAGES] & (files != 0)
        slots = (words[first : first + BLOCK_PAGES][chosen] & SLOT_MASK).astype(np.intp)
        self._pairs.append(distinct((slots, files[chosen])))

    def _see_moved(self, block: int, words: Array, found: list[Yes], by_file: Index) -> None:
        try:
            charged = self._charged_to(block, len(words))[by_file]
        except OSError:
            self._told = False
            return
        slots = words[by_file] & SLOT_MASK
        at = np.minimum(np.searchsorted(self._ids, charged), len(self._ids) - 1)
        theirs, known = self._order[at], (self._ids[at] == charged) & (charged != 0)
        for kind, yes in enumerate(found):
            np.add.at(self._moved[kind], slots[yes[by_file]], 1)
            np.add.at(self._moved[kind], theirs[yes[by_file] & known], -1)

    def _charged_to(self, block: int, frames: int) -> Array:
        """Of each frame the inode of the memory cgroup that it is charged to; 0: none."""
        with self._charged.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), frames * 8, block * BLOCK_PAGES * 8)
        return np.frombuffer(data.ljust(frames * 8, b"\0"), dtype=np.uint64)

    def result(self) -> FilesSeen:
        """What was found."""
        return FilesSeen(self._pairs[0], self._moved if self._told else None)
