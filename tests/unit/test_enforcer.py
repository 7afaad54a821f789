# SPDX-License-Identifier: Apache-2.0
"""The steps of the ladder are taken, told and counted; of a dry run only told and counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from containeragent.limits.enforcer import Enforcer
from containeragent.limits.entry import Entry
from containeragent.limits.hands import Hands
from containeragent.limits.holders import Modes
from containeragent.limits.keeper import Keeper
from containeragent.limits.model import Kept, Limits

ID = 7


def until(reached: Callable[[], Any]) -> None:
    """Wait for something."""
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.005)


class Host:
    """One container, /web; it is the keeper, the hands and the freezer."""

    def __init__(self) -> None:
        self.pages = 0
        self.limits = Limits(page_limit=800)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.done: list[str] = []
        self.causes: list[tuple[int, str]] = []
        self.throttled = 0.0
        self.freezer = self
        self.enforcer = Enforcer(cast(Keeper, self), cast(Hands, self), lambda *cause: self.causes.append(cause), 8.0)

    def entry(self, cgroup_id: int) -> Entry:
        return Entry(("web",), Modes("agent", "agent"), Kept(self.limits))

    def publish(self, kind: str, parts: tuple[str, ...], **details: Any) -> None:
        self.told.append((kind, details))

    def add_throttled(self, cgroup_id: int, seconds: float) -> None:
        self.throttled += seconds

    def look(self, *_: Any) -> int:
        return self.pages

    usage = look

    def slack_pages(self, limits: Limits) -> int:
        return 0

    def stop(self, parts: tuple[str, ...], by: object) -> bool:
        self.done.append("stop")
        return True

    def go_on(self, parts: tuple[str, ...], by: object) -> None:
        self.done.append("go on")

    def kill(self, parts: tuple[str, ...]) -> None:
        self.done.append("kill")

    def reclaim(self, parts: tuple[str, ...], pages: int) -> None:
        self.done.append("reclaim")

    def kinds(self) -> list[str]:
        """What was told, in order."""
        return [kind for kind, _ in self.told]


@pytest.fixture
def host() -> Iterator[Host]:
    """At rest."""
    made = Host()
    yield made
    made.enforcer.close()


def test_it_is_stopped_and_goes_on_when_it_is_below(host: Host) -> None:
    """Within its first second."""
    host.pages = 1000
    host.enforcer.wake(ID)
    until(lambda: "stop" in host.done and "reclaim" in host.done)
    host.pages = 700
    until(lambda: "throttle_end" in host.kinds())
    by_kind = dict(host.told)
    begin, end = by_kind["throttle_begin"], by_kind["throttle_end"]
    assert begin == {"usage_pages": 1000, "limit_pages": 800, "seconds": 1.0}
    assert 0 < end["seconds"] < 1 and host.throttled > 0
    assert host.enforcer.steps["throttle_begin", False] == 1


def test_nothing_is_left_stopped_at_the_end() -> None:
    """Of the agent."""
    host = Host()
    host.pages = 1000
    host.enforcer.wake(ID)
    until(lambda: "stop" in host.done)
    host.enforcer.close()
    assert host.done[-1] == "go on"


def test_it_is_ended(host: Host) -> None:
    """With the reason, and is not left stopped for whoever comes next."""
    host.limits, host.pages = Limits(page_limit=800, kill_after_seconds=0.2), 1000
    host.enforcer.wake(ID)
    until(lambda: "kill" in host.kinds())
    assert [step for step in host.done if step != "reclaim"] == ["stop", "kill", "go on"]
    assert host.causes == [(ID, "killed: above its page limit of 800 pages for 0.2 s")]


def test_a_dry_run_does_nothing(host: Host) -> None:
    """But tells all of it."""
    host.limits, host.pages = Limits(page_limit=800, kill_after_seconds=0.2, dry_run=True), 1000
    host.enforcer.wake(ID)
    until(lambda: "kill" in host.kinds() and "reclaim" in host.kinds())
    assert not host.done and not host.causes and not host.throttled
    assert all(details["dry_run"] for _, details in host.told)
    assert host.enforcer.steps["kill", True] == 1


def test_a_dry_run_lets_go_on_what_was_stopped(host: Host) -> None:
    """From then on it is only told."""
    host.pages = 1000
    host.enforcer.wake(ID)
    until(lambda: "stop" in host.done)
    host.limits = Limits(page_limit=800, dry_run=True)
    host.enforcer.wake(ID)
    until(lambda: "go on" in host.done)  # reclaim may come in afterwards, from its own thread
