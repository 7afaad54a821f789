# SPDX-License-Identifier: Apache-2.0
"""When the kernel kills for want of memory, the agent is told of the victim and of who found none."""

from __future__ import annotations

import pytest

from containeragent.counters.hits import OutOfMemory, out_of_memory
from containeragent.counters.records import NOTICE_OOM
from tests.kernel.support.containers import Container
from tests.kernel.support.hearing import Heard
from tests.kernel.support.running import Running
from tests.kernel.support.waiting import until


def test_victim_and_trigger(heard: Heard, container: Container) -> None:
    """The only process of a container is both."""
    told: list[OutOfMemory] = []
    heard.source.listen(NOTICE_OOM, lambda batch: told.extend(map(out_of_memory, batch)))
    container.limit_memory(32 << 20)
    with Running(container, "limits", "waves", 32768, 1) as running:
        with pytest.raises(AssertionError, match="the workload ended with -9"):
            for _ in running.rests():
                pass
        pid = running.process.pid
    until(lambda: told, bool, 5)
    (found,) = told
    assert found.cgroup_id == found.trigger_cgroup_id == container.id
    assert (found.victim.pid, found.trigger.pid) == (pid, pid)
    assert found.victim.comm == found.trigger.comm is not None
