# SPDX-License-Identifier: Apache-2.0
"""Files by container, and pages that their files brought, over page frames that are only arrays."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from containeragent.counters.filescan import FileFrames, FileLook, FilesSeen, distinct, files_of_nodes
from containeragent.counters.maps import Array
from containeragent.counters.pagescan import KINDS, found_in
from containeragent.counters.pageview import of_counts
from containeragent.counters.records import BLOCK_PAGES, OWNER_BY_FILE, UNKNOWN
from containeragent.host.page_flags import ANON, LRU, MMAP, SWAPBACKED
from tests.unit.topologies import DB, GONE, ROOT, SLOTS, WEB, tree

A, B, C = (0xFFFF_8880_0000_0000 + at * 64 for at in range(3))


def pairs(*some: tuple[int, int]) -> tuple[Array, Array]:
    """Slots and files."""
    return np.array([slot for slot, _ in some], dtype=np.intp), np.array([file for _, file in some], dtype=np.uint64)


def test_distinct() -> None:
    """Each once, none lost."""
    who, files = distinct(pairs((3, B), (3, A), (4, A), (3, B), (3, A)))
    assert list(zip(who.tolist(), files.tolist(), strict=True)) == [(3, A), (3, B), (4, A)]
    assert [len(part) for part in distinct(pairs())] == [0, 0]


def test_one_file_of_several_is_one_above_them() -> None:
    """With a dead one's at the nearest living ancestor; a slot that nobody has any more counts nowhere."""
    found = pairs((DB, A), (DB, B), (WEB, A), (GONE, A), (GONE, C), (ROOT, C), (12, A))
    total, held = files_of_nodes(tree(ROOT, WEB, DB, GONE), found)
    by_slot = {slot: (int(total[at]), int(held[at])) for at, slot in enumerate(tree(ROOT, WEB, DB, GONE).used.tolist())}
    assert by_slot[ROOT] == (3, 1) and by_slot[WEB] == (3, 2) and by_slot[DB] == (2, 2)


class Frames:
    """Two blocks: the first has a file with every page, the second another with its first 5 only."""

    def of_block(self, block: int) -> Array:
        mappings = np.full(BLOCK_PAGES, A if block == 7 else B, dtype=np.uint64)
        mappings[5 * (block - 7) :] *= block == 7
        return mappings


def look(folder: Path, words: Array, flags: Array, charged: Array | None) -> FilesSeen:
    """At two blocks, from block 7 on. `charged` are memory cgroups by frame."""
    if charged is not None:
        (folder / "kpagecgroup").write_bytes(bytes(7 * BLOCK_PAGES * 8) + charged.tobytes())
    ids = np.zeros(SLOTS, dtype=np.uint64)
    ids[[ROOT, WEB, DB]] = 1, 900, 500
    looking = FileLook(cast(FileFrames, Frames()), ids, len(KINDS), folder)
    looking.see(7, words, found_in(flags, None))
    return looking.result()


def test_a_look(tmp_path: Path) -> None:
    """Only page cache that is somebody's has files; what the kernel charges elsewhere is moved."""
    words, flags = (np.zeros(2 * BLOCK_PAGES, dtype=kind) for kind in (np.uint32, np.uint64))
    charged = np.zeros(2 * BLOCK_PAGES, dtype=np.uint64)
    flags[:] = LRU
    words[:4] = DB | OWNER_BY_FILE
    flags[2:4] = LRU | SWAPBACKED | MMAP
    charged[:4] = 500, 900, 900, 12345
    words[4], flags[4] = WEB, LRU | MMAP | ANON | SWAPBACKED
    words[BLOCK_PAGES : BLOCK_PAGES + 20] = WEB
    seen = look(tmp_path, words, flags, charged)
    assert sorted(zip(*(part.tolist() for part in seen.pairs), strict=True)) == [(DB, A), (WEB, B)]
    assert seen.moved is not None
    assert dict(zip(KINDS, seen.moved[:, DB].tolist(), strict=True)) == {
        "anon": 0,
        "file": 3,
        "shmem": 2,
        "mapped": 2,
        "active": 0,
    }
    assert seen.moved[:, WEB].tolist() == [0, -2, -1, -1, 0] and not seen.moved[:, ROOT].any()
    counts = np.zeros((len(KINDS), SLOTS), dtype=np.int64)
    view = of_counts(0.0, counts, tree(ROOT, WEB, DB, GONE), np.ones(SLOTS, dtype=np.bool_), seen)
    assert view.total["files"].tolist() == [2, 1, 2] and view.local["files"].tolist() == [0, 1, 1]
    assert view.moved_pages(500)["file"] == 3 and view.moved_pages(900)["file"] == 1  # one moved within it
    assert view.moved_pages(77) == {}


def test_a_kernel_that_does_not_say_whom_it_charges(tmp_path: Path) -> None:
    """Unknown, not 0; and nothing is asked where no file is charged."""
    words, flags = np.full(BLOCK_PAGES, WEB, dtype=np.uint32), np.full(BLOCK_PAGES, LRU, dtype=np.uint64)
    assert look(tmp_path, words, flags, None).moved is not None
    words[3] |= OWNER_BY_FILE
    assert look(tmp_path, words, flags, None).moved is None


def test_who_came_during_the_look_is_unknown() -> None:
    """Its slot's files are not counted."""
    kept = np.arange(SLOTS) != DB
    seen = FilesSeen(pairs((DB, A), (WEB, B)), None)
    view = of_counts(0.0, np.zeros((len(KINDS), SLOTS), dtype=np.int64), tree(ROOT, WEB, DB, GONE), kept, seen)
    assert view.ids.tolist() == [1, 900] and view.total["files"].tolist() == [1, 1]
    assert view.moved is None and UNKNOWN not in view.total["files"].tolist()
