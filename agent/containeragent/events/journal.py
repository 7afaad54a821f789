# SPDX-License-Identifier: Apache-2.0
"""Events as entries of the journal, or as lines of the log where there is none.

In: a subscription of the bus, read in a thread of its own. Out: datagrams of the journal's native protocol
(systemd.io/JOURNAL_NATIVE_PROTOCOL). A storm is cut off: so many entries of a container and kind, and of a kind, in ten
seconds, then one that says how many were left out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from containeragent.events import event as events
from containeragent.events.bus import Bus
from containeragent.events.event import Event, printable
from containeragent.events.limiter import Limiter

log = logging.getLogger(__name__)

SOCKET = Path("/run/systemd/journal/socket")
SPAN_SECONDS = 10.0
CONTAINER_BURST, KIND_BURST = 10, 100

_INFO, _WARNING, _ERROR = 6, 4, 3  # syslog(3)
_PRIORITIES = {
    events.LIMIT_HIT: _WARNING,
    events.THROTTLE_BEGIN: _WARNING,
    events.MODE: _WARNING,
    events.RELEASE_FAILED: _WARNING,
    events.LOST: _WARNING,
    events.KILL: _ERROR,
    events.OOM: _ERROR,
}
_LEVELS = {_INFO: logging.INFO, _WARNING: logging.WARNING, _ERROR: logging.ERROR}
_MESSAGE_IDS = uuid.UUID("1d0c4cf8-79a4-4a5b-9a0e-35b6ba0e8bd1")

Fields = dict[str, str]
Write = Callable[[Fields], None]


def message_id(kind: str) -> str:
    """What `journalctl MESSAGE_ID=` finds all events of a kind by; always the same."""
    return uuid.uuid5(_MESSAGE_IDS, kind).hex


def fields(event: Event) -> Fields:
    """One entry."""
    return {
        "MESSAGE": f"{printable(event.container)}: {event.message}",
        "PRIORITY": str(_PRIORITIES.get(event.kind, _INFO)),
        "MESSAGE_ID": message_id(event.kind),
        "CONTAINERAGENT_EVENT": event.kind,
        "CONTAINERAGENT_CONTAINER": event.container,
        "CONTAINERAGENT_CGROUP": event.cgroup,
        "CONTAINERAGENT_SEQUENCE": str(event.sequence),
    } | {f"CONTAINERAGENT_{key.upper()}": str(value) for key, value in event.details.items() if value is not None}


def datagram(entry: Fields) -> bytes:
    """The native protocol: KEY=value lines; a value with a line's end in it goes with its length in front."""
    parts = []
    for key, value in ({"SYSLOG_IDENTIFIER": "containeragent"} | entry).items():
        raw = value.encode("utf-8", "backslashreplace")
        plain = b"\n" not in raw
        parts.append(key.encode() + (b"=" + raw if plain else b"\n" + len(raw).to_bytes(8, "little") + raw) + b"\n")
    return b"".join(parts)


def _stderr_is_journal() -> bool:
    """systemd says which stream it connected our stderr to (systemd.exec(5), JOURNAL_STREAM)."""
    with contextlib.suppress(OSError):
        found = os.fstat(2)
        return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    return False


class _Socket:
    """Never waits: what the journal has no room for is left out and counted."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._lost = 0

    def __call__(self, entry: Fields) -> None:
        more = {"CONTAINERAGENT_ENTRIES_LOST": str(self._lost)} if self._lost else {}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(datagram(entry | more), self._path)
                self._lost = 0
            except OSError:
                self._lost += 1


def _write_log(entry: Fields) -> None:
    log.log(_LEVELS[int(entry["PRIORITY"])], "%s", entry["MESSAGE"])


def writer(path: Path = SOCKET) -> Write:
    """To the journal if systemd started us with it, else to the log."""
    return _Socket(path) if _stderr_is_journal() and path.is_socket() else _write_log


class Journal:
    """A thread that writes events down until it is stopped."""

    def __init__(self, bus: Bus, write: Write | None = None) -> None:
        self._bus = bus
        self._write = write or writer()
        self._woken = threading.Event()
        self._stopped = False
        self._of_container: Limiter[tuple[str, str]] = Limiter(CONTAINER_BURST, SPAN_SECONDS)
        self._of_kind: Limiter[str] = Limiter(KIND_BURST, SPAN_SECONDS)
        self._subscription = bus.subscribe(lambda _: True, self._woken.set)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write down what is left, and end."""
        self._bus.unsubscribe(self._subscription)
        self._stopped = True
        self._woken.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped:
            now = time.monotonic()
            ends = [end for limiter in (self._of_container, self._of_kind) if (end := limiter.next_end()) is not None]
            self._woken.wait(max(0.0, min(ends) - now) if ends else None)
            self._woken.clear()
            self._write_down(time.monotonic())
        self._write_down(time.monotonic())
        self._say_held_back(time.monotonic(), True)

    def _write_down(self, now: float) -> None:
        self._say_held_back(now, False)
        for event in self._subscription.take():
            if self._of_container.allows((event.container, event.kind), now) and self._of_kind.allows(event.kind, now):
                self._write(fields(event))

    def _say_held_back(self, now: float, at_end: bool) -> None:
        """Entries that were left out: of one container and kind; of a kind by all containers together."""
        for (container, kind), number in self._of_container.over(now, at_end):
            self._write(_held_back(container, kind, number))
        for kind, number in self._of_kind.over(now, at_end):
            self._write(_held_back("", kind, number))


def _held_back(container: str, kind: str, number: int) -> Fields:
    whose = f"{printable(container)}: {number} more" if container else f"{number} more, of several containers"
    return {
        "MESSAGE": f"{whose} {kind} events in {SPAN_SECONDS:g} s are not in this log; see containerctl events",
        "PRIORITY": str(_PRIORITIES.get(kind, _INFO)),
        "MESSAGE_ID": message_id("held_back"),
        "CONTAINERAGENT_EVENT": kind,
        "CONTAINERAGENT_CONTAINER": container,
        "CONTAINERAGENT_HELD_BACK": str(number),
    }
