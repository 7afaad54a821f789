# SPDX-License-Identifier: Apache-2.0
"""Pages from before the load, on a host whose memory controller is on cgroup v2: counted within 1 %, and seen to go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.conftest import MakeContainer, engines
from tests.kernel.support import mountpoints
from tests.kernel.support.containers import Container, Pages, pages_in
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Running
from tests.kernel.support.waiting import until

KINDS = ("anon", "file", "shmem", "mapped")


def _within(ours: Pages, kernel: Pages, share: float) -> bool:
    pairs = [(getattr(ours, kind), getattr(kernel, kind)) for kind in KINDS]
    slack = share * (kernel.anon + kernel.file)
    return all(mine is None or abs(mine - its) <= slack for mine, its in pairs)


def _compare(counting: Counting, container: Container, share: float = 0.01) -> Pages:
    values = until(
        lambda: (counting.pages(container), container.kernel_pages()), lambda pair: _within(pair[0], pair[1], share)
    )
    assert _within(*values, share), "counted {}, the kernel says {}".format(*values)
    return values[1]


@pytest.mark.parametrize("engine", engines())
def test_a_gigabyte_from_before(make_container: MakeContainer, disk_folder: Path, engine: str) -> None:
    """Anonymous memory small and huge, page cache mapped and not, shared memory."""
    container = make_container("seeded")
    counting: Counting | None = None
    with Running(container, "seeded", "everything", disk_folder) as running:
        try:
            for rest in running.rests():
                if rest.label == "allocated":
                    counting = Counting("seeded", engine=engine)
                    assert any(line.startswith("counted ") for line in counting.said)
                    _compare_host(counting)
                if counting:
                    pages = _compare(counting, container)
                    if rest.label == "allocated":
                        assert pages.anon + pages.file >= 1 << 18
            assert counting, "the workload did not allocate"
            left = until(lambda: counting.pages(container), lambda pages: abs(pages.anon) < 2621)
            assert abs(left.anon) < 2621, "more than 1 % of the memory of a process that ended is left"
        finally:
            if counting:
                counting.close()


def _compare_host(counting: Counting) -> None:
    """Everything on the host, from the root's own figures."""
    root = mountpoints.unified()

    def both() -> tuple[Pages, Pages]:
        reading = counting.take().reading(root.stat().st_ino)
        assert reading is not None
        return Pages(*(reading.total[kind] for kind in KINDS)), pages_in(root / "memory.stat")

    values = until(both, lambda pair: _within(*pair, 0.01))
    assert _within(*values, 0.01), "on the whole host: counted {}, the kernel says {}".format(*values)
