# SPDX-License-Identifier: Apache-2.0
"""What a limit is, and reading one from what a user wrote.

In: values as a command line or a JSON body has them. Out: Limits, or Refused with one line that says what is wrong.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from containeragent.errors import Refused

T = TypeVar("T")
MOST_TASKS = 1 << 22  # PID_MAX_LIMIT of include/linux/threads.h: more there cannot be
MOST_PAGES = 1 << 50
MOST_SECONDS = 365 * 86400
_DIGITS = 30  # of a number that is far too large, enough to see that
_UNITS = {unit: 1024 ** (power + 1) for power, unit in enumerate("KMGTPE")}


@dataclass(frozen=True)
class Limits:
    """The limits of one container; None is no limit. They hold over the container and everything below it.

    `page_limit` is in pages. `kill_after_seconds` spent above it end the container; None never does. With `dry_run`
    what a page limit would do is logged and counted, and not done.
    """

    task_limit: int | None = None
    page_limit: int | None = None
    kill_after_seconds: float | None = None
    dry_run: bool = False

    @property
    def hard_page_limit(self) -> int | None:
        """112.5 % of the page limit: from here on the container is stopped."""
        return None if self.page_limit is None else self.page_limit + self.page_limit // 8

    def changed(self, asked: Mapping[str, Any], page_size: int) -> Limits:
        """These with what was asked for: any of task_limit, page_limit, kill_after and dry_run."""
        readers = {
            "task_limit": ("task_limit", read_tasks),
            "page_limit": ("page_limit", lambda value: read_pages(value, page_size)),
            "kill_after": ("kill_after_seconds", read_seconds),
            "dry_run": ("dry_run", _read_choice),
        }
        unknown = set(asked) - set(readers)
        if unknown:
            raise Refused("EINVAL", f"there is no limit {min(unknown)!r}; there are {', '.join(readers)}")
        wanted: dict[str, Any] = {readers[key][0]: readers[key][1](value) for key, value in asked.items()}
        return dataclasses.replace(self, **wanted)


@dataclass(frozen=True)
class Hits:
    """How often limits were hit, of tasks and of pages; None is unknown."""

    tasks: int | None = 0
    pages: int | None = 0

    def plus(self, other: Hits) -> Hits:
        """The sum; unknown as soon as one is."""
        return Hits(_sum(self.tasks, other.tasks), _sum(self.pages, other.pages))


@dataclass(frozen=True)
class Spared:
    """So many tasks were there when a task limit was set below them, the last of them started at `until_ticks` after
    the boot: for that limit they are not ended."""

    tasks: int
    until_ticks: int


NO_LIMITS, NO_HITS = Limits(), Hits()


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


@dataclass(frozen=True)
class Kept:
    """What is remembered of a container's limits as long as its cgroup lives.

    The hits are those that only the agent sees: of limits that were set below the use at that time. `hits` covers the
    container and everything below it. `throttled_seconds` is the time that the agent had it stopped. `spared` are None
    where the task limit was not set below what was there.
    """

    limits: Limits = NO_LIMITS
    hits: Hits = NO_HITS
    local_hits: Hits = NO_HITS
    throttled_seconds: float = 0.0
    spared: Spared | None = None

    def encode(self) -> bytes:
        """For an extended attribute."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def decode(cls, value: bytes) -> Kept:
        """What encode made; fields that a later version added are left out. ValueError or TypeError for others."""
        found = json.loads(value)
        return cls(
            _from(Limits, found["limits"]),
            _from(Hits, found["hits"]),
            _from(Hits, found["local_hits"]),
            float(found["throttled_seconds"]),
            _from(Spared, found["spared"]) if found.get("spared") else None,
        )


NOTHING = Kept()


def _from(kind: type[T], fields: dict[str, Any]) -> T:
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: fields[name] for name in known if name in fields})


@dataclass(frozen=True)
class LimitState:
    """What is known of one container's limits.

    A mode is "kernel", "agent", or None where nobody can enforce it. `hits` covers what is below too.
    """

    limits: Limits
    tasks_mode: str | None
    pages_mode: str | None
    hits: Hits
    local_hits: Hits
    throttled_seconds: float = 0.0


def _refuse(what: str, value: object, why: str) -> Refused:
    return Refused("EINVAL", f"{what} {str(value)[:40]!r} {why}")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def read_tasks(value: object) -> int | None:
    """A number of tasks from 0 (no more forks) on, or `max`."""
    if value is None or value == "max":
        return None
    tasks = value
    if isinstance(value, str) and re.fullmatch("[0-9]+", value, re.ASCII):
        tasks = int(value[:_DIGITS])
    if not _is_number(tasks):
        raise _refuse("task limit", value, "is neither a whole number nor max")
    assert isinstance(tasks, int)
    if not 0 <= tasks <= MOST_TASKS:
        raise _refuse("task limit", value, f"is not between 0 and {MOST_TASKS}, which no host exceeds; or write max")
    return tasks


def _bytes_or_pages(value: str, page_size: int) -> int | None:
    """Pages; None when it is no size."""
    found = re.fullmatch(r"([0-9]+)(?:([KMGTPE])(?:iB)?)?", value, re.ASCII)
    if not found:
        return None
    number = int(found[1][:_DIGITS])
    return number * _UNITS[found[2]] // page_size if found[2] else number


def read_pages(value: object, page_size: int) -> int | None:
    """Pages, or bytes with a unit (powers of 1024) rounded down to whole pages, or `max`."""
    if value is None or value == "max":
        return None
    pages = _bytes_or_pages(value, page_size) if isinstance(value, str) else value
    if not _is_number(pages):
        raise _refuse("page limit", value, "is neither pages (25600), bytes with a unit (100M, 1G), nor max")
    assert isinstance(pages, int)
    if pages < 1:
        raise _refuse("page limit", value, f"is less than one page of {page_size} bytes; to end a container, remove it")
    if pages > MOST_PAGES:
        raise _refuse("page limit", value, "is more memory than any host has; write max for no limit")
    return pages


def read_seconds(value: object) -> float | None:
    """Seconds from 0 on, or `never`."""
    if value is None or value == "never":
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value, re.ASCII):
        value = float(value[:30])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refuse("kill-after", value, "is neither seconds (30, 0.5) nor never")
    if not 0 <= value <= MOST_SECONDS:
        raise _refuse("kill-after", value, "is not between 0 seconds and a year; write never for no end")
    return float(value)


def _read_choice(value: object) -> bool:
    if not isinstance(value, bool):
        raise _refuse("dry_run", value, "is neither true nor false")
    return value
