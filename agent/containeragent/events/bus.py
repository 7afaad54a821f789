# SPDX-License-Identifier: Apache-2.0
"""Events go from whoever notices them to whoever wants to know.

In: publish(), from any thread; it takes microseconds and never waits for a reader. Out: the newest events, and
subscriptions with bounded queues. A reader that is too slow loses events, and is told how many.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from containeragent.events.event import DETAILS, LOST, Event

HISTORY_EVENTS = 4096
QUEUE_EVENTS = 4096

Wanted = Callable[[Event], bool]


def lost_event(number: int, since: int) -> Event:
    """The line that says how many are missing before the next; `since` is the sequence of the last one known."""
    return Event(since, time.time(), LOST, "/", "", {"events": number})


class Subscription:
    """What one reader has not read yet. `wake` is called when there is something after there was nothing."""

    def __init__(self, wanted: Wanted, wake: Callable[[], None], capacity: int = QUEUE_EVENTS) -> None:
        self._wanted = wanted
        self._wake = wake
        self._capacity = capacity
        self._queue: deque[Event] = deque()
        self._lost = 0
        self._last = 0
        self._lock = threading.Lock()

    def put(self, event: Event) -> bool:
        """False if it found no room."""
        if not self._wanted(event):
            return True
        with self._lock:
            was_empty = not self._queue
            if len(self._queue) >= self._capacity:
                self._lost += 1
                return False
            if self._lost:
                self._queue.append(self._lost_event())
            self._queue.append(event)
            self._last = event.sequence
        if was_empty:
            self._wake()
        return True

    def take(self, most: int = QUEUE_EVENTS) -> list[Event]:
        """The next events, oldest first; a `lost` event stands where some are missing."""
        with self._lock:
            taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            if self._lost and not self._queue:
                taken.append(self._lost_event())
        return taken

    def _lost_event(self) -> Event:
        number, self._lost = self._lost, 0
        return lost_event(number, self._last)

    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._queue and not self._lost


class Bus:
    """The agent has one."""

    def __init__(self, history: int = HISTORY_EVENTS, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self._history: deque[Event] = deque(maxlen=history)
        self._subscriptions: tuple[Subscription, ...] = ()
        self._lost = 0
        self._lock = threading.Lock()

    @property
    def lost(self) -> int:
        """Events that readers were too slow for, over all readers."""
        return self._lost

    def publish(self, kind: str, container: str, cgroup: str, **details: Any) -> Event:
        """Tell everybody. `details` are plain JSON values; event.DETAILS names those that each kind has."""
        assert kind in DETAILS, kind
        with self._lock:
            event = Event(next(self._numbers), self._now(), kind, container, cgroup, details)
            self._history.append(event)
            for subscription in self._subscriptions:
                self._lost += not subscription.put(event)
        return event

    def recent(self, wanted: Wanted, since: int = 0) -> list[Event]:
        """What is remembered, newest last, after sequence `since`; of what is forgotten already, how many."""
        with self._lock:
            return self._recent(wanted, since)

    def _recent(self, wanted: Wanted, since: int) -> list[Event]:
        oldest = self._history[0].sequence if self._history else 1
        forgotten = oldest - 1 - since if since else 0
        missing = [lost_event(forgotten, since)] if forgotten > 0 else []
        return missing + [event for event in self._history if event.sequence > since and wanted(event)]

    def subscribe(
        self, wanted: Wanted, wake: Callable[[], None], since: int | None = None, capacity: int = QUEUE_EVENTS
    ) -> Subscription:
        """Everything from now on; with `since`, what is remembered after that sequence comes first."""
        made = Subscription(wanted, wake, capacity)
        with self._lock:
            for event in () if since is None else self._recent(lambda _: True, since):
                self._lost += not made.put(event)
            self._subscriptions += (made,)
        return made

    def unsubscribe(self, subscription: Subscription) -> None:
        """Nothing more for this one."""
        with self._lock:
            self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)
