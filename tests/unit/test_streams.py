# SPDX-License-Identifier: Apache-2.0
"""Followers of events, over socket pairs."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from containeragent.api.streams import Streams
from containeragent.errors import Refused
from containeragent.events import event as kinds
from containeragent.events.bus import QUEUE_EVENTS, Bus


def until(good: Any) -> None:
    """Wait for it."""
    end = time.monotonic() + 20
    while not good():
        assert time.monotonic() < end
        time.sleep(0.005)


class Client:
    """One follower's end of a connection."""

    def __init__(self, streams: Streams, since: int | None = None, name: str = "/") -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(20)
        streams.follow(lambda event: event.is_of(name), since).take(theirs)
        self.file = self.socket.makefile("rb")
        self.head = [self.file.readline() for _ in range(5)]

    def chunk(self) -> list[Any]:
        """The events of the next chunk; none at the end."""
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        assert self.file.read(2) == b"\r\n"
        return [json.loads(line) for line in data.splitlines()]

    def close(self) -> None:
        """Go away."""
        self.file.close()
        self.socket.close()


@pytest.fixture
def bus() -> Bus:
    """Of the agent."""
    return Bus()


@pytest.fixture
def streams(bus: Bus) -> Iterator[Streams]:
    """For three at most."""
    made = Streams(bus, most=3)
    yield made
    made.close()


def test_events_come_as_they_happen(bus: Bus, streams: Streams) -> None:
    """After a head that comes at once, so that a client knows that it follows."""
    client = Client(streams)
    assert client.head[0] == b"HTTP/1.1 200 OK\r\n" and client.head[-1] == b"\r\n"
    for name in ("/a", "/b"):
        bus.publish(kinds.CREATED, name, "/c" + name)
        assert [event["container"] for event in client.chunk()] == [name]
    client.close()


def test_since_and_filter(bus: Bus, streams: Streams) -> None:
    """What is remembered comes first."""
    for name in ("/a", "/b", "/b/c", "/b"):
        bus.publish(kinds.CREATED, name, "/c" + name)
    client = Client(streams, since=2, name="/b")
    assert [event["sequence"] for event in client.chunk()] == [3, 4]
    client.close()


def test_too_many_are_refused_until_one_goes(bus: Bus, streams: Streams) -> None:
    """A client that hangs up is noticed without an event."""
    clients = [Client(streams) for _ in range(3)]
    with pytest.raises(Refused, match="3 clients follow events already") as refused:
        streams.follow(lambda _: True, None)
    assert refused.value.code == "EBUSY"
    clients.pop().close()
    until(lambda: len(streams) == 2)
    clients.append(Client(streams))
    bus.publish(kinds.CREATED, "/a", "/c/a")
    for client in clients:
        assert [event["container"] for event in client.chunk()] == ["/a"]
        client.close()


def test_who_does_not_read_loses_and_holds_up_nobody(bus: Bus, streams: Streams) -> None:
    """The publisher and the other follower go on; the slow one is told how many it lost."""
    slow, quick = Client(streams), Client(streams)
    seen = 0
    for _ in range(40):
        for _ in range(500):
            bus.publish(kinds.CREATED, "/a", "/c/a", filler="x" * 500)
        while seen < bus.recent(lambda _: True)[-1].sequence:
            seen = quick.chunk()[-1]["sequence"]
    assert bus.lost > 0
    got: list[Any] = []
    while not got or got[-1]["kind"] != kinds.LOST:
        got += slow.chunk()
    lost = sum(event["details"]["events"] for event in got if event["kind"] == kinds.LOST)
    assert lost == bus.lost
    assert lost + sum(event["kind"] == kinds.CREATED for event in got) == 20_000
    assert len(got) >= QUEUE_EVENTS
    slow.close()
    quick.close()


def test_the_end_is_said(bus: Bus) -> None:
    """A stream that ended differs from one that broke off; what was published before it is sent."""
    streams = Streams(bus)
    client = Client(streams)
    bus.publish(kinds.CREATED, "/a", "/c/a")
    streams.close()
    assert [event["container"] for event in client.chunk()] == ["/a"]
    assert client.chunk() == [] and client.file.read() == b""
    client.close()
