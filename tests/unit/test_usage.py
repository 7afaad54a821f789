# SPDX-License-Identifier: Apache-2.0
"""What limits are compared with, and what is remembered of hits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from containeragent.cgroups.tree import Tree
from containeragent.counters.snapshot import UNKNOWN
from containeragent.host import process
from containeragent.limits.entry import Entry, fewer, more, set_limits, with_hits, with_lost
from containeragent.limits.holders import Modes
from containeragent.limits.kernel import Counts
from containeragent.limits.model import Hits, Kept, Limits, Spared
from containeragent.limits.usage import Usage
from tests.unit.cgroup_files import CgroupFiles
from tests.unit.snapshots import FakeSource, snapshot


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CgroupFiles:
    """/web with 5 tasks and 300 pages, and /web/db with 2 tasks."""
    made = CgroupFiles(tmp_path, monkeypatch)
    made.make("web", tasks=5, pages=300)
    (made.make("web/db") / "cgroup.threads").write_text("23\n24\n")
    return made


def test_usage(files: CgroupFiles) -> None:
    """Tasks with those below; pages by the kernel where it counts them, else anonymous and file pages."""
    web = files.root / "web"
    source = FakeSource(snapshot((web.stat().st_ino, 7)))
    source.now.total["file"] = np.array([3])
    usage = Usage(Tree(files.root), source.as_source())
    assert usage.tasks(("web",)) == 7
    assert usage.charged_pages(("web",)) == usage.pages(("web",)) == 300
    assert usage.counted_pages(web.stat().st_ino) == 70 + 3
    (web / "memory.current").unlink()
    assert usage.charged_pages(("web",)) is None and usage.pages(("web",)) == 73
    (web / "memory.current").write_text("0\n")
    assert usage.pages(("web",)) == 0


@pytest.mark.parametrize("unknown", ["anon", "file"])
def test_nobody_knows_the_pages(files: CgroupFiles, unknown: str) -> None:
    """Of who has no slot, or where one kind is unknown."""
    source = FakeSource(snapshot((7, 1)))
    usage = Usage(Tree(files.root), source.as_source())
    assert usage.counted_pages(8) is None and usage.counted_pages(7) == 20
    source.now.total[unknown] = np.array([UNKNOWN])
    assert usage.counted_pages(7) is None


def test_hits_of_a_controller_that_vanished() -> None:
    """Fewer of one kind is enough; as many, or unknown ones, are not fewer."""
    now = Hits(3, 5)
    assert fewer(Hits(2, 9), now) and fewer(Hits(9, 4), now) and fewer(Hits(None, 9), now) and fewer(Hits(9, None), now)
    assert fewer(Hits(None, 9), Hits(1, 5)) and fewer(Hits(9, None), Hits(3, 1))
    assert not fewer(now, now) and not fewer(Hits(4, 6), now) and not fewer(Hits(0, 0), Hits(None, None))


@pytest.mark.parametrize("limit", ["tasks", "pages"])
def test_whose_limit_was_hit(limit: str) -> None:
    """Its own, where the kernel tells; else one of it or of what is below."""

    def counts(every: int | None, own: int | None) -> Counts:
        return Counts(Hits(**{limit: every}), Hits(**{limit: own}))

    assert more(counts(3, 1), counts(4, 2), limit)
    assert not more(counts(3, 1), counts(4, 1), limit)
    assert not more(counts(3, 2), counts(4, 1), limit)
    assert more(counts(3, None), counts(4, None), limit) and not more(counts(3, None), counts(3, None), limit)
    assert more(counts(3, None), counts(4, 7), limit) and not more(counts(3, None), counts(3, 7), limit)
    assert more(counts(3, 7), counts(4, None), limit) and not more(counts(3, 7), counts(3, None), limit)
    assert not more(counts(0, None), counts(None, None), limit)
    assert more(counts(None, None), counts(1, None), limit) and not more(counts(1, None), counts(None, None), limit)


@pytest.mark.parametrize(
    "before, after, lost",
    [
        (("kernel", "kernel"), ("agent", "agent"), (1, 1)),
        (("kernel", "kernel"), ("agent", "kernel"), (1, 0)),
        (("kernel", "kernel"), ("kernel", None), (0, 1)),
        (("agent", None), ("kernel", "kernel"), (0, 0)),
        (("agent", None), (None, "agent"), (0, 0)),
        (("kernel", "agent"), ("kernel", "agent"), (0, 0)),
    ],
)
def test_what_went_with_a_controller(
    before: tuple[str | None, str | None], after: tuple[str | None, str | None], lost: tuple[int, int]
) -> None:
    """Its hits are kept from then on: those of which the kernel is the holder no more."""
    counted = Counts(Hits(70, 500), Hits(7, None))
    entry = Entry(("web",), Modes(*before), counts=counted)
    kept = with_lost(Kept(Limits(5), Hits(1, 2), Hits(3, 4)), entry, Modes(*after))
    assert kept.hits == Hits(1 + 70 * lost[0], 2 + 500 * lost[1])
    assert kept.local_hits == Hits(3 + 7 * lost[0], 4) and kept.limits == Limits(5)
    unknown = Entry(("web",), Modes(*before), counts=Counts(Hits(None, None), Hits(None, None)))
    assert with_lost(Kept(hits=Hits(1, 2)), unknown, Modes(*after)) == Kept(hits=Hits(1, 2))


def test_who_is_spared() -> None:
    """Who was there when a task limit was set below them, until another is set; only those who are above."""
    kept = set_limits(Kept(), Limits(4), {"tasks": (9, 4)})
    assert kept.spared and kept.spared.tasks == 9 and 0 <= process.now_ticks() - kept.spared.until_ticks < 100
    assert set_limits(kept, Limits(4, 23), {"tasks": (7, 4), "pages": (50, 23)}).spared == kept.spared
    assert set_limits(kept, Limits(5), {"pages": (50, 23)}).spared is None
    assert set_limits(Kept(spared=Spared(1, 2)), Limits(), {}) == Kept(spared=Spared(1, 2))


def test_hits_that_are_remembered() -> None:
    """Its own count in both."""
    kept = Kept(hits=Hits(1, 2), local_hits=Hits(3, 4))
    assert with_hits(kept, Hits(10, 20), True) == Kept(hits=Hits(11, 22), local_hits=Hits(13, 24))
    assert with_hits(kept, Hits(10, 20), False) == Kept(hits=Hits(11, 22), local_hits=Hits(3, 4))
