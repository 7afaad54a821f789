# SPDX-License-Identifier: Apache-2.0
"""What a live view knows: answers of the API come in with the time, rows with rates and histories go out.

Unknown is None. Sizes are bytes, rates are per second.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from containerctl.client import Document

SORTS = ("memory", "anon", "file", "tasks", "forks", "hits", "throttled", "name")
_FIELDS = {"memory": "memory_bytes", "anon": "anon_bytes", "file": "file_bytes", "forks": "forks_per_second"}
_FIELDS |= {"throttled": "throttled_seconds"}
HIT_SECONDS = 10.0  # so long a row is highlighted after its limit was hit
HISTORY = 120  # samples
_FORGET = 30  # answers without a container, then its history goes


class Sample(NamedTuple):
    """One moment of one container."""

    memory_bytes: int | None
    tasks: int | None
    forks_per_second: float | None
    faults_per_second: float | None


class Row(NamedTuple):
    """One container now."""

    id: int
    name: str
    cgroup: str
    document: Document
    tasks: int | None
    task_limit: int | None
    anon_bytes: int | None
    file_bytes: int | None
    limit_bytes: int | None
    hits: int | None
    peak_tasks: int | None
    peak_bytes: int | None
    forks_per_second: float | None
    faults_per_second: float | None
    just_hit: bool

    @property
    def memory_bytes(self) -> int | None:
        """Anonymous memory and page cache, which is what a page limit limits."""
        return _sum(self.anon_bytes, self.file_bytes)

    @property
    def throttled_seconds(self) -> float | None:
        """Stopped by the page limit, so far."""
        found = self.document.get("throttled_seconds")
        return found if isinstance(found, int | float) else None


class Place(NamedTuple):
    """A row of a tree: `guides` has for each level above whether more follow there; the last is its own."""

    row: Row
    guides: tuple[bool, ...]
    label: str


class _Past:
    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=HISTORY)
        self.seen = 0  # number of the answer it was last in
        self.time = 0.0
        self.forks: int | None = None
        self.faults: int | None = None
        self.hits: int | None = None
        self.hit_at: float | None = None


class Model:
    """Rows of the last answer, in the order that was asked for, and what earlier answers said of them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.matched = 0
        self.total = 0
        self._past: dict[int, _Past] = {}
        self._answers = 0

    def update(self, answer: Document, now: float, sort: str) -> None:
        """Take an answer of /v1/top in; `now` is time.monotonic()."""
        self._answers += 1
        self.matched, self.total = int(answer["matched"]), int(answer["total"])
        self.rows = ordered([self._row(document, now) for document in answer["containers"]], sort)
        self._past = {key: past for key, past in self._past.items() if self._answers - past.seen < _FORGET}

    def observe(self, document: Document, now: float) -> Row:
        """Take one container in, as /v1/container gives it."""
        return self._row(document, now)

    def history(self, container_id: int) -> list[Sample]:
        """Oldest first."""
        past = self._past.get(container_id)
        return list(past.samples) if past else []

    def _row(self, document: Document, now: float) -> Row:
        past = self._past.setdefault(int(document["id"]), _Past())
        seconds = now - past.time if past.seen else 0.0
        forks, faults, hits = _number(document, "forks"), _number(document, "page_faults"), _hits(document)
        if past.hits is not None and hits is not None and hits > past.hits:
            past.hit_at = now
        row = Row(
            id=int(document["id"]),
            name=str(document["name"]),
            cgroup=str(document["cgroup"]),
            document=document,
            tasks=_number(document, "num_tasks"),
            task_limit=_number(document, "task_limit"),
            anon_bytes=_bytes(document, "num_anon_pages"),
            file_bytes=_bytes(document, "num_file_pages"),
            limit_bytes=_bytes(document, "page_limit"),
            hits=hits,
            peak_tasks=_number(document, "peak_tasks"),
            peak_bytes=_bytes(document, "peak_pages"),
            forks_per_second=_rate(past.forks, forks, seconds),
            faults_per_second=_rate(past.faults, faults, seconds),
            just_hit=past.hit_at is not None and now - past.hit_at < HIT_SECONDS,
        )
        past.seen, past.time, past.forks, past.faults, past.hits = self._answers, now, forks, faults, hits
        past.samples.append(Sample(row.memory_bytes, row.tasks, row.forks_per_second, row.faults_per_second))
        return row


def _number(document: Document, key: str) -> int | None:
    found = document.get(key)
    return found if isinstance(found, int) else None


def _bytes(document: Document, key: str) -> int | None:
    count, page_size = document.get(key), document.get("page_size")
    return count * page_size if isinstance(count, int) and isinstance(page_size, int) else None


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _hits(document: Document) -> int | None:
    known = [found for key in ("task_limit_hits", "page_limit_hits") if (found := _number(document, key)) is not None]
    return sum(known) if known else None


def _rate(before: int | None, after: int | None, seconds: float) -> float | None:
    if before is None or after is None or seconds <= 0:
        return None
    return max(0, after - before) / seconds  # below 0: counting began anew


def ordered(rows: Iterable[Row], sort: str) -> list[Row]:
    """The most first, unknown last; names from a to z, also where figures are equal."""
    by_name = sorted(rows, key=lambda row: row.cgroup)
    if sort == "name":
        return by_name
    field = _FIELDS.get(sort, sort)

    def most_first(row: Row) -> float:
        figure = getattr(row, field)
        return 1.0 if figure is None else -figure

    return sorted(by_name, key=most_first)


def flat(rows: Sequence[Row]) -> list[Place]:
    """As they are."""
    return [Place(row, (), row.name) for row in rows]


def tree(rows: Sequence[Row]) -> list[Place]:
    """Each below the closest of the rows that it is in; siblings stay in the order of `rows`."""
    known = {row.cgroup for row in rows}
    below: dict[str | None, list[Row]] = {}
    for row in rows:
        below.setdefault(_parent(row.cgroup, known), []).append(row)
    places: list[Place] = []

    def add(parent: str | None, guides: tuple[bool, ...]) -> None:
        children = below.get(parent, [])
        for number, row in enumerate(children):
            more = number < len(children) - 1
            label = row.name if parent is None else row.cgroup.removeprefix(parent).lstrip("/")
            places.append(Place(row, guides if parent is None else (*guides, more), label))
            add(row.cgroup, () if parent is None else (*guides, more))

    add(None, ())
    return places


def _parent(cgroup: str, known: set[str]) -> str | None:
    while cgroup != "/":
        cgroup = cgroup.rpartition("/")[0] or "/"
        if cgroup in known:
            return cgroup
    return None
