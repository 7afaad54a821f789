# SPDX-License-Identifier: Apache-2.0
"""Which containers a live view shows: picked by their counters before anything is made of them for people.

In: snapshots, and what is asked for. Out: the few containers that fit on a screen, so that ten thousand cost no more
documents than these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from containeragent.cgroups.naming import Names
from containeragent.containers.view import Container, with_leaf
from containeragent.counters.snapshot import UNKNOWN, Column, Snapshot
from containeragent.limits.model import LimitState
from containeragent.workloads.patterns import Workload

SORTS = ("memory", "anon", "file", "tasks", "forks", "hits", "throttled", "name")
MOST_ROWS = 100_000  # that can be asked for
_RATE_SECONDS = 1.0  # forks are ranked by what was started since a reading at least so long ago
_STALE_SECONDS = 300.0


@dataclass(frozen=True)
class Wanted:
    """`limit` is the most to pick; with `tree` also those that they are below. `text` is a part of a name.

    `upwards`: the least first, names from z to a.
    """

    sort: str = "memory"
    limit: int = 100
    text: str = ""
    tree: bool = False
    all_cgroups: bool = False
    upwards: bool = False


@dataclass(frozen=True)
class Picked:
    """The first of the order first, of `matched` that have the text, among `total`; with a tree, who is above last."""

    containers: list[Container]
    matched: int
    total: int


Flags = npt.NDArray[np.bool_]


class Listing:
    """The cgroups of a snapshot, as long as none comes, goes or is renamed. By position; `parent` is -1 for none."""

    def __init__(self, ids: tuple[int, ...], paths: Sequence[str | None], names: Names) -> None:
        self.ids = ids
        self.renamings = names.renamings  # before the names are asked for: one that comes meanwhile makes it old
        self.complete = None not in paths
        self.paths = [path or "" for path in paths]
        managed = [None if path is None else names.managed(path) for path in paths]
        own = np.array([path is not None and names.is_leaf(path) for path in paths], dtype=bool)
        self.names = [path if name is None else name for path, name in zip(self.paths, managed, strict=True)]
        self.is_managed: Flags = np.array([name is not None for name in managed], dtype=bool) & ~own
        self.is_shown: Flags = np.array([path is not None for path in paths], dtype=bool) & ~own
        self.rank = np.empty(len(ids), dtype=np.int64)
        self.rank[np.argsort(np.array(self.paths, dtype=object), kind="stable")] = np.arange(len(ids))
        at = {path: position for position, path in enumerate(self.paths) if path}
        self.parent = [_nearest(at, path) for path in self.paths]
        self.leaves: dict[int, list[int]] = {}
        for position in np.flatnonzero(own):
            self.leaves.setdefault(self.parent[position], []).append(int(position))

    def shown(self, all_cgroups: bool) -> Flags:
        """Those to choose from."""
        return self.is_shown if all_cgroups else self.is_managed

    def container(self, snapshot: Snapshot, position: int) -> Container | None:
        """With its counters."""
        reading = snapshot.reading(self.ids[position])
        if reading is None:
            return None
        for leaf in self.leaves.get(position, ()):
            inside = snapshot.reading(self.ids[leaf])
            reading = reading if inside is None else with_leaf(reading, inside)
        return Container(self.names[position], self.paths[position], bool(self.is_managed[position]), reading)


def _nearest(at: dict[str, int], path: str) -> int:
    """The closest one above; some may have no slot of their own."""
    while path not in ("", "/"):
        path = path.rpartition("/")[0] or "/"
        if path in at:
            return at[path]
    return -1


class _ForkRates:
    """Forks in a second, by position in the last snapshot, since an earlier one. Whoever asks, all share these."""

    def __init__(self) -> None:
        self._earlier: list[Snapshot] = []  # oldest first; the first is at least _RATE_SECONDS old, if any is

    def of(self, now: Snapshot) -> Column:
        """-1 where nothing is known; who came meanwhile began at 0."""
        earlier = [one for one in self._earlier if now.taken_at - one.taken_at < _STALE_SECONDS]
        while len(earlier) > 1 and now.taken_at - earlier[1].taken_at >= _RATE_SECONDS:
            earlier.pop(0)
        if not earlier or now.taken_at - earlier[-1].taken_at >= _RATE_SECONDS / 4:
            self._earlier = [*earlier, now]
        base = earlier[0] if earlier else now
        positions = np.array([base.index.get(number, -1) for number in now.cgroup_ids], dtype=np.int64)
        before = np.where(positions >= 0, np.append(base.forks, 0)[positions], 0)
        return np.where((now.forks == UNKNOWN) | (before == UNKNOWN), -1, now.forks - before)


class Ranking:
    """Picks containers. From any thread: at worst a listing is made twice."""

    def __init__(
        self,
        paths_of: Callable[[Sequence[int]], list[str | None]],
        names: Names,
        workload_of: Callable[[str], Workload | None] = lambda _: None,
        states_of: Callable[[Snapshot], Mapping[int, LimitState]] = lambda _: {},
    ) -> None:
        self._paths_of = paths_of
        self._states_of = states_of
        self._names = names
        self._workload_of = workload_of
        self._listing: Listing | None = None
        self._rates = _ForkRates()

    def listing(self, snapshot: Snapshot) -> Listing:
        """Of its cgroups."""
        kept = self._listing
        if (
            kept is not None
            and kept.complete
            and kept.ids is snapshot.cgroup_ids
            and kept.renamings == self._names.renamings
        ):
            return kept
        self._listing = made = Listing(snapshot.cgroup_ids, self._paths_of(snapshot.cgroup_ids), self._names)
        return made

    def pick(self, snapshot: Snapshot, wanted: Wanted) -> Picked:
        """The first `limit` in the order that is wanted: the most first, names from a to z; or the other way round."""
        listing = self.listing(snapshot)
        shown = listing.shown(wanted.all_cgroups)
        chosen = np.flatnonzero(shown)
        total, text = len(chosen), wanted.text.casefold()
        if text:
            chosen = np.array([at for at in chosen if text in self._words(listing, int(at))], dtype=np.int64)
        matched, rank = len(chosen), listing.rank[chosen]
        order = np.lexsort((rank, self._key(snapshot, wanted)[chosen]))
        positions = chosen[order[: wanted.limit]].tolist()
        if wanted.tree:
            positions += _above(listing, positions, shown)
        found = filter(None, (listing.container(snapshot, at) for at in positions))
        return Picked(list(found), matched, total)

    def _words(self, listing: Listing, at: int) -> str:
        """What a text is looked for in."""
        workload = None if listing.is_managed[at] else self._workload_of(listing.paths[at])
        more = () if workload is None else (workload.name, workload.pod, workload.namespace)
        return " ".join((listing.names[at], *more)).casefold()

    def _key(self, snapshot: Snapshot, wanted: Wanted) -> npt.NDArray[np.float64]:
        """The smallest comes first; unknown is last, whichever way."""
        if wanted.sort == "name":
            rank = self.listing(snapshot).rank.astype(np.float64)
            return -rank if wanted.upwards else rank
        column = self._column(snapshot, wanted.sort)
        return np.where(column < 0, np.inf, column if wanted.upwards else -column).astype(np.float64)

    def _column(self, snapshot: Snapshot, sort: str) -> Column | npt.NDArray[np.float64]:
        """Below 0 is unknown."""
        total = snapshot.total
        match sort:
            case "forks":
                return self._rates.of(snapshot)
            case "memory":
                return np.where(total["anon"] == UNKNOWN, UNKNOWN, total["anon"] + total["file"])
            case "hits" | "throttled":
                return self._of_limits(snapshot, sort)
        return total[sort]

    def _of_limits(self, snapshot: Snapshot, sort: str) -> npt.NDArray[np.float64]:
        column = np.zeros(len(snapshot))
        for cgroup_id, state in self._states_of(snapshot).items():
            at = snapshot.index.get(cgroup_id)
            if at is not None:
                hits = (state.hits.tasks or 0) + (state.hits.pages or 0)
                column[at] = hits if sort == "hits" else state.throttled_seconds
        return column

    def whole(self, snapshot: Snapshot, all_cgroups: bool) -> Container | None:
        """The one that all others are below."""
        listing = self.listing(snapshot)
        shown = np.flatnonzero(listing.shown(all_cgroups))
        return listing.container(snapshot, int(shown[np.argmin(listing.rank[shown])])) if len(shown) else None

    def find(self, snapshot: Snapshot, cgroup_id: int) -> Container | None:
        """One that is there, by the id of its cgroup."""
        listing, at = self.listing(snapshot), snapshot.index.get(cgroup_id)
        return listing.container(snapshot, at) if at is not None and listing.is_shown[at] else None

    def matching(self, snapshot: Snapshot, prefix: str, all_cgroups: bool, limit: int) -> list[str]:
        """The first names, in order, that begin so."""
        listing = self.listing(snapshot)
        shown = np.flatnonzero(listing.shown(all_cgroups))
        return sorted({name for at in shown if (name := listing.names[at]).startswith(prefix)})[:limit]


def _above(listing: Listing, positions: Sequence[int], shown: Flags) -> list[int]:
    found, added = set(positions), []
    for position in positions:
        while (position := listing.parent[position]) >= 0 and position not in found:
            found.add(position)
            if shown[position]:
                added.append(position)
    return added
