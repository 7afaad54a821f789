# SPDX-License-Identifier: Apache-2.0
"""Events, the bus that carries them, and what readers get who are too slow."""

from __future__ import annotations

import json
import re
import threading

import pytest

from containeragent.events import event as kinds
from containeragent.events.bus import Bus
from containeragent.events.event import DETAILS, Event

TASK = {"pid": 7, "comm": "sh"}


def everything(_: Event) -> bool:
    """All events are wanted."""
    return True


def published(bus: Bus, number: int, container: str = "/web") -> None:
    """So many events."""
    for _ in range(number):
        bus.publish(kinds.CREATED, container, "/containers" + container)


def test_a_document() -> None:
    """Time is UTC, the details are the publisher's."""
    bus = Bus(now=lambda: 1_700_000_000.25)
    event = bus.publish(kinds.LIMIT_HIT, "/web", "/c/web", limit="tasks", usage=5, limit_value=5, task=TASK)
    assert json.loads(event.line) == event.document
    assert event.document == {
        "sequence": 1,
        "time": "2023-11-14T22:13:20.250000+00:00",
        "kind": "limit_hit",
        "container": "/web",
        "cgroup": "/c/web",
        "message": "limit hit: 5 of 5 tasks, by task 7 (sh)",
        "details": {"limit": "tasks", "usage": 5, "limit_value": 5, "task": TASK},
    }


@pytest.mark.parametrize("kind", DETAILS)
def test_every_kind_has_a_message(kind: str) -> None:
    """On one line, with every detail in it, and also when none of them is known."""
    details = dict.fromkeys(DETAILS[kind], "some\nvalue")
    message = Event(1, 0.0, kind, "/web", "/c/web", details).message
    assert message and "\n" not in message
    assert message.count("some\\x0avalue") >= min(1, len(details))
    assert "{" not in Event(1, 0.0, kind, "/web", "/c/web", {}).message


def test_a_dry_run_says_so() -> None:
    """Nothing was done."""
    bus = Bus()
    assert bus.publish(kinds.KILL, "/web", "/c/web", reason="too much", dry_run=True).message.endswith("(dry run)")


def test_an_unknown_kind_is_a_mistake_of_ours() -> None:
    """It would have no message."""
    with pytest.raises(AssertionError, match="exploded"):
        Bus().publish("exploded", "/web", "/c/web")


@pytest.mark.parametrize(
    ("wanted", "found"), [("/", 4), ("/web", 2), ("/web/db", 1), ("/webs", 1), ("/we", 0), ("/nothing", 0)]
)
def test_filter(wanted: str, found: int) -> None:
    """A container's events and those below it; not those of a name that begins alike."""
    bus = Bus()
    for name in ("/web", "/web/db", "/webs", "/other"):
        published(bus, 1, name)
    assert len(bus.recent(lambda event: event.is_of(wanted))) == found


def test_history_is_bounded_and_says_what_is_forgotten() -> None:
    """Only to who asks for it."""
    bus = Bus(history=3)
    published(bus, 5)
    assert [event.sequence for event in bus.recent(everything)] == [3, 4, 5]
    assert [event.sequence for event in bus.recent(everything, since=4)] == [5]
    lost, *rest = bus.recent(everything, since=1)
    assert (lost.kind, lost.details, lost.sequence) == (kinds.LOST, {"events": 1}, 1)
    assert [event.sequence for event in rest] == [3, 4, 5]
    assert bus.recent(everything, since=5) == []


def test_a_slow_reader_is_told_what_it_lost_where_it_lost_it() -> None:
    """Others lose nothing; the bus counts."""
    bus, woken = Bus(), []
    slow = bus.subscribe(everything, lambda: woken.append("slow"), capacity=3)
    quick = bus.subscribe(everything, lambda: woken.append("quick"))
    published(bus, 5)
    assert [event.sequence for event in slow.take(2)] == [1, 2]
    published(bus, 1)
    kinds_then = [(event.kind, event.sequence) for event in slow.take()]
    assert kinds_then == [("created", 3), ("lost", 3), ("created", 6)]
    assert [event.sequence for event in quick.take()] == [1, 2, 3, 4, 5, 6]
    assert bus.lost == 2 and slow.take() == []
    assert woken == ["slow", "quick"]  # once for each, as long as there was something left to take


def test_what_is_lost_is_told_without_a_further_event() -> None:
    """At the end of what was queued."""
    bus = Bus()
    slow = bus.subscribe(everything, lambda: None, capacity=1)
    published(bus, 24)
    assert [(event.kind, event.details) for event in slow.take()] == [("created", {}), ("lost", {"events": 23})]
    assert slow.is_empty()


def test_since_comes_first_and_nothing_twice() -> None:
    """What is remembered, then what comes."""
    bus = Bus()
    published(bus, 3)
    reader = bus.subscribe(everything, lambda: None, since=1)
    only_new = bus.subscribe(everything, lambda: None)
    published(bus, 1)
    assert [event.sequence for event in reader.take()] == [2, 3, 4]
    assert [event.sequence for event in only_new.take()] == [4]


def test_after_unsubscribe_nothing_comes() -> None:
    """And nothing is counted as lost."""
    bus = Bus()
    reader = bus.subscribe(everything, lambda: None, capacity=1)
    bus.unsubscribe(reader)
    published(bus, 5)
    assert reader.is_empty() and bus.lost == 0


def test_publishers_in_parallel() -> None:
    """Every event has its own number, and readers see them in order."""
    bus = Bus()
    reader = bus.subscribe(everything, lambda: None, capacity=10_000)
    threads = [threading.Thread(target=published, args=(bus, 230)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.sequence for event in reader.take(10_000)] == list(range(1, 8 * 230 + 1))


def test_kinds_are_those_of_the_issue() -> None:
    """Programs rely on them."""
    words = "created removed released renamed attached detached limit_hit throttle_begin throttle_end reclaim kill oom"
    words += " mode set subsystem_failed release_done release_failed file_added file_removed lost"
    assert set(DETAILS) == set(words.split())
    assert all(re.fullmatch("[a-z_]+", key) for details in DETAILS.values() for key in details)
