# SPDX-License-Identifier: Apache-2.0
"""What can happen to a container, and one thing that happened.

In: a kind and its details. Out: an Event with one line for people and one of JSON for programs, each made once however
many read it.
"""

from __future__ import annotations

import datetime
import functools
import json
from dataclasses import dataclass
from typing import Any

CREATED, REMOVED, RELEASED, RENAMED = "created", "removed", "released", "renamed"
ATTACHED, DETACHED = "attached", "detached"
LIMIT_HIT, THROTTLE_BEGIN, THROTTLE_END = "limit_hit", "throttle_begin", "throttle_end"
RECLAIM, KILL, OOM, MODE = "reclaim", "kill", "oom", "mode"
SET, SUBSYSTEM_FAILED = "set", "subsystem_failed"
RELEASE_DONE, RELEASE_FAILED = "release_done", "release_failed"  # what the release agent did
FILE_ADDED, FILE_REMOVED = "file_added", "file_removed"  # whose pages a file's are
LOST = "lost"  # events that a reader missed, and how many

# The details that each kind has at least. A task is {"pid", "comm"} or None; pages are of the host's page size.
DETAILS: dict[str, tuple[str, ...]] = {
    CREATED: (),
    REMOVED: ("reason",),
    RELEASED: ("action",),  # "program", "remove" or "nothing"
    RELEASE_DONE: ("program", "exit_status", "seconds"),
    RELEASE_FAILED: ("program", "exit_status", "error"),
    RENAMED: ("to",),
    ATTACHED: ("task", "origin"),
    DETACHED: ("task",),
    LIMIT_HIT: ("limit", "usage", "limit_value", "task"),  # limit: "tasks" or "pages"
    THROTTLE_BEGIN: ("usage_pages", "limit_pages", "seconds"),
    THROTTLE_END: ("usage_pages", "limit_pages", "seconds"),
    RECLAIM: ("pages_before", "pages_after"),
    KILL: ("reason",),
    OOM: ("victim", "trigger"),
    MODE: ("limit", "mode"),
    SET: ("attribute", "value"),
    SUBSYSTEM_FAILED: ("subsystem", "call", "reason"),
    FILE_ADDED: ("path", "moved_pages"),
    FILE_REMOVED: ("path", "reason"),
    LOST: ("events",),
}

PHRASES = {
    CREATED: "created",
    REMOVED: "removed: {reason}",
    RELEASED: "released: nothing is left in it; to do: {action}",
    RELEASE_DONE: "release agent {program} ended with {exit_status} after {seconds} s",
    RELEASE_FAILED: "release failed: {error}",
    RENAMED: "renamed to {to}",
    ATTACHED: "attached {task}",
    DETACHED: "detached {task}",
    LIMIT_HIT: "limit hit: {usage} of {limit_value} {limit}, by {task}",
    THROTTLE_BEGIN: "stopped for {seconds} s: {usage_pages} of {limit_pages} pages",
    THROTTLE_END: "goes on after {seconds} s: {usage_pages} of {limit_pages} pages",
    RECLAIM: "reclaimed: {pages_before} pages before, {pages_after} after",
    KILL: "killed: {reason}",
    OOM: "out of memory: victim {victim}, trigger {trigger}",
    MODE: "limit of {limit} is held by: {mode}",
    SET: "{attribute} set to {value}",
    SUBSYSTEM_FAILED: "subsystem {subsystem} failed at {call}: {reason}",
    FILE_ADDED: "file {path} is charged to it from now on, {moved_pages} cached pages came",
    FILE_REMOVED: "file {path} is not charged to it any more: {reason}",
    LOST: "{events} events were lost: this reader was too slow, or asked for too old ones",
}


def printable(text: str) -> str:
    r"""One line that no terminal or log takes for more: what is not printable as \x0a."""
    if text.isprintable():
        return text
    raw = [char if char.isprintable() else _bytes(char) for char in text]
    return "".join(part if isinstance(part, str) else "".join(f"\\x{byte:02x}" for byte in part) for part in raw)


def _bytes(char: str) -> bytes:
    """Those that Python's paths have as surrogates (os.fsencode) as they were."""
    try:
        return char.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return char.encode("utf-8", "surrogatepass")


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, dict) and "pid" in value:
        return f"task {value['pid']} ({value.get('comm') or 'unknown'})"
    return str(value)


@dataclass(frozen=True)
class Event:
    """`sequence` counts from 1 in the life of an agent, `time` is seconds since the epoch."""

    sequence: int
    time: float
    kind: str
    container: str
    cgroup: str
    details: dict[str, Any]

    @property
    def message(self) -> str:
        """What happened, for people, on one line."""
        given = dict.fromkeys(DETAILS[self.kind]) | self.details
        text = PHRASES[self.kind].format_map({key: _shown(value) for key, value in given.items()})
        text = text.replace("removed: removed", "removed", 1)
        return printable(f"{text} (dry run)" if self.details.get("dry_run") else text)

    @property
    def document(self) -> dict[str, Any]:
        """As the API gives it."""
        moment = datetime.datetime.fromtimestamp(self.time, datetime.UTC)
        return {
            "sequence": self.sequence,
            "time": moment.isoformat(timespec="microseconds"),
            "kind": self.kind,
            "container": self.container,
            "cgroup": self.cgroup,
            "message": self.message,
            "details": self.details,
        }

    @functools.cached_property
    def line(self) -> bytes:
        """The document as one line of JSON."""
        return json.dumps(self.document).encode() + b"\n"

    def is_of(self, container: str) -> bool:
        """Whether it happened to a container or to one below it."""
        return container in ("/", self.container) or self.container.startswith(container + "/")
