# SPDX-License-Identifier: Apache-2.0
"""Events in the journal: the entries, and that a storm does not flood it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from containeragent.events import event as kinds, journal
from containeragent.events.bus import Bus
from containeragent.events.journal import CONTAINER_BURST, KIND_BURST, Fields, Journal
from containeragent.events.limiter import Limiter


def entries(*names: str, times: int = 1) -> list[Fields]:
    """What is written of limit hits of these containers, to the end."""
    written: list[Fields] = []
    bus = Bus()
    made = Journal(bus, written.append)
    for name in names * times:
        bus.publish(kinds.LIMIT_HIT, name, "/c" + name, limit="tasks", usage=5, limit_value=5, task=None)
    made.stop()
    return written


def test_an_entry_has_the_fields_that_people_search_by() -> None:
    """As journalctl CONTAINERAGENT_CONTAINER=/web does."""
    (entry,) = entries("/web")
    assert entry == {
        "MESSAGE": "/web: limit hit: 5 of 5 tasks, by unknown",
        "PRIORITY": "4",
        "MESSAGE_ID": journal.message_id("limit_hit"),
        "CONTAINERAGENT_EVENT": "limit_hit",
        "CONTAINERAGENT_CONTAINER": "/web",
        "CONTAINERAGENT_CGROUP": "/c/web",
        "CONTAINERAGENT_SEQUENCE": "1",
        "CONTAINERAGENT_LIMIT": "tasks",
        "CONTAINERAGENT_USAGE": "5",
        "CONTAINERAGENT_LIMIT_VALUE": "5",
    }


def test_message_ids_never_change() -> None:
    """Catalogues and scripts hold them."""
    assert journal.message_id("created") == "9e459a80934959ce829efe7c8a28f2ed"
    assert len({journal.message_id(kind) for kind in kinds.DETAILS}) == len(kinds.DETAILS)


def test_a_storm_of_one_container_is_cut_off_and_counted() -> None:
    """Others are written down meanwhile."""
    written = entries("/web", times=1000) + entries("/db")
    hits = [entry for entry in written if "CONTAINERAGENT_HELD_BACK" not in entry]
    assert [entry["CONTAINERAGENT_CONTAINER"] for entry in hits] == ["/web"] * CONTAINER_BURST + ["/db"]
    (said,) = [entry for entry in written if "CONTAINERAGENT_HELD_BACK" in entry]
    assert said["CONTAINERAGENT_HELD_BACK"] == str(1000 - CONTAINER_BURST)
    assert said["MESSAGE"].startswith(f"/web: {1000 - CONTAINER_BURST} more limit_hit events")


def test_a_storm_of_many_containers_is_cut_off_too() -> None:
    """One line says how many, of all together."""
    written = entries(*(f"/c{number}" for number in range(1000)))
    assert len(written) == KIND_BURST + 1
    assert written[-1]["MESSAGE"].startswith(f"{1000 - KIND_BURST} more, of several containers limit_hit")


def test_a_span_ends() -> None:
    """Then the number is given once, and it may be said again."""
    limiter: Limiter[str] = Limiter(2, 10.0)
    assert [limiter.allows("a", 0.0) for _ in range(5)] == [True, True, False, False, False]
    assert limiter.allows("b", 5.0) and limiter.next_end() == 10.0
    assert limiter.over(9.9) == []
    assert limiter.over(10.0) == [("a", 3)]
    assert limiter.over(10.0) == [] and limiter.next_end() == 15.0
    assert limiter.allows("a", 10.0)


def test_odd_values_go_with_their_length() -> None:
    """A name can hold a line's end; it must not become a field of its own."""
    raw = journal.datagram({"MESSAGE": "x", "CONTAINERAGENT_CONTAINER": "/a\nPRIORITY=0"})
    assert raw == (
        b"SYSLOG_IDENTIFIER=containeragent\nMESSAGE=x\n"
        b"CONTAINERAGENT_CONTAINER\n" + (13).to_bytes(8, "little") + b"/a\nPRIORITY=0\n"
    )
    assert "\n" not in entries("/a\nb")[0]["MESSAGE"]


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    """Somebody who listens as the journal does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "socket"))
        yield made


def test_the_journal_only_when_our_stderr_is_its(
    journald: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the log has one line."""
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    journal.writer(tmp_path / "socket")({"MESSAGE": "hello", "PRIORITY": "6"})
    assert journald.recv(4096) == b"SYSLOG_IDENTIFIER=containeragent\nMESSAGE=hello\nPRIORITY=6\n"
    for path, stream in ((tmp_path / "none", f"{found.st_dev}:{found.st_ino}"), (tmp_path / "socket", "1:1")):
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        with caplog.at_level(logging.INFO):
            journal.writer(path)({"MESSAGE": "to the log", "PRIORITY": "4"})
        assert caplog.records[-1].levelname == "WARNING" and caplog.messages[-1] == "to the log"


def test_a_journal_that_is_stuck_stops_nobody(
    journald: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds no room is counted in the next entry that does."""
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    write = journal.writer(tmp_path / "socket")
    for _ in range(2000):
        write({"MESSAGE": "hello", "PRIORITY": "6"})
    journald.setblocking(False)
    arrived = 0
    while True:
        try:
            journald.recv(4096)
        except BlockingIOError:
            break
        arrived += 1
    assert 0 < arrived < 2000
    write({"MESSAGE": "again", "PRIORITY": "6"})
    assert f"CONTAINERAGENT_ENTRIES_LOST={2000 - arrived}\n".encode() in journald.recv(4096)
