# SPDX-License-Identifier: Apache-2.0
"""Memory of the kernel that a program maps: memory.stat counts it in file_mapped, where it is charged, and so do we."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import MakeContainer, engines
from tests.kernel.support.comparing import compare_pages
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.running import Running
from tests.kernel.support.waiting import until
from tests.kernel.workloads.kernel_memory import PAGES


@pytest.mark.one_engine("fentry")
def test_mapped_after_the_load(counting: Counting, container: Container) -> None:
    """Exact as it comes and goes."""
    compare_pages(counting, container, "kernel_memory", "mapped_array")


@pytest.mark.parametrize("engine", engines())
def test_mapped_at_the_load(make_container: MakeContainer, engine: str) -> None:
    """Seen to be mapped by then, and not to be any more."""
    container, seen = make_container("mapped"), list[int]()
    counting: Counting | None = None
    try:
        with Running(container, "kernel_memory", "mapped_array") as running:
            for rest in running.rests():
                if rest.label == "mapped":
                    counting = Counting("mapped", engine=engine)
                if counting:
                    seen.append(_mapped(counting, container))
        assert seen[0] - seen[-1] == PAGES
    finally:
        if counting:
            counting.close()


def _mapped(counting: Counting, container: Container) -> int:
    """By a look, and by engine fentry without one."""
    with counting.looking() as look:

        def figures() -> tuple[int | None, ...]:
            ours = look(container)["mapped"], counting.pages(container).mapped
            return *ours, container.kernel_pages().mapped

        def agree(found: tuple[int | None, ...]) -> bool:
            return len(set(found) - {None}) == 1

        found = until(figures, agree, pause_seconds=0.5)
    assert agree(found), "a look finds {}, counted {}, the kernel says {}".format(*found)
    return found[0] or 0
