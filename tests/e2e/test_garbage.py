# SPDX-License-Identifier: Apache-2.0
"""Clients that send garbage, half of things, far too much, or take nothing: others are answered, and nothing grows."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable

import pytest

from tests.e2e.support.agent import Agent
from tests.e2e.support.footprint import footprint
from tests.e2e.support.http import connect, scrape
from tests.e2e.support.waiting import SLOWER, until

_QUICK_SECONDS = 5.0 * SLOWER
_ROUNDS = 4
_HEAD = b"POST /v1/containers HTTP/1.1\r\nHost: x\r\n"
_GET = b"GET /v1/containers HTTP/1.1\r\nHost: x\r\n\r\n"
_random = random.Random(23)

GARBAGE = {
    "bytes": _random.randbytes(4096),
    "bytes and an end": _random.randbytes(4096) + b"\r\n\r\n",
    "zeros": bytes(64 << 10),
    "half a head": _HEAD + b"Content-Le",
    "lines that end otherwise": b"GET /v1/containers HTTP/1.1\nHost: x\n\n",
    "a long line": b"GET /" + b"a" * (1 << 20),
    "a long header": _HEAD + b"X: " + b"a" * (1 << 20),
    "many headers": _HEAD + b"X: y\r\n" * 100_000,
    "no such length": _HEAD + b"Content-Length: -1\r\n\r\n",
    "another length": _HEAD + b"Content-Length: x\r\n\r\n{}",
    "two lengths": _HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a huge length": _HEAD + b"Content-Length: 999999999999\r\n\r\n" + b" " * (2 << 20),
    "less than it says": _HEAD + b"Content-Length: 100\r\n\r\n{}",
    "no such chunk": _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a negative chunk": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc",
    "a huge chunk": _HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffff\r\n" + b" " * (2 << 20),
    "endless chunks": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 300_000,
    "both": _HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "odd letters": b"GET /v1/container?name=\xff\xfe HTTP/1.1\r\nHost: \xff\r\nX: \x00\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + _random.randbytes(500),
    "many requests": _GET * 100,
}


def _connects(agent: Agent) -> dict[str, Callable[[], socket.socket]]:
    return {
        "API": lambda: _patiently(lambda: connect(agent.socket, _QUICK_SECONDS)),
        "metrics": lambda: socket.create_connection(("127.0.0.1", agent.port), _QUICK_SECONDS),
    }


def _patiently(make: Callable[[], socket.socket]) -> socket.socket:
    """A Unix socket whose queue is full refuses those that do not want to wait."""
    while True:
        try:
            return make()
        except BlockingIOError:
            time.sleep(0.01)


def _throw(connection: socket.socket, garbage: bytes) -> bytes:
    """Everything that comes back until it hangs up, or nothing comes any more."""
    answer = b""
    with contextlib.suppress(OSError):
        connection.sendall(garbage)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(1 << 20):
            answer += more
    return answer


def _others_are_answered(agent: Agent) -> None:
    assert agent.api.call("GET", "/v1/containers", seconds=_QUICK_SECONDS).status == 200
    assert "containeragent_tasks" in scrape(agent.address, seconds=_QUICK_SECONDS)[0]


def test_garbage(agent: Agent) -> None:
    """No 5xx, nothing made, no trace in memory, descriptors and threads."""
    failed: set[tuple[str, str]] = set()
    for number in range(_ROUNDS):
        for door, made in _connects(agent).items():
            for what, garbage in GARBAGE.items():
                with made() as connection:
                    if b"HTTP/1.1 5" in _throw(connection, garbage):
                        failed.add((door, what))
        _others_are_answered(agent)
        if number == 1:
            before = footprint(agent.pid)
    assert not failed, agent.log.read_text()
    assert agent.names() == []
    until(lambda: footprint(agent.pid).descriptors, lambda found: found <= before.descriptors + 2, "closed connections")
    after = footprint(agent.pid)
    assert after.threads <= before.threads and after.anon_kib < before.anon_kib + (6 << 10), (before, after)


@pytest.mark.parametrize("door", ["API", "metrics"])
def test_a_thousand_that_say_half(agent: Agent, door: str) -> None:
    """Those who waited longest are dropped; what is kept of the others is little."""
    before = footprint(agent.pid)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(_connects(agent)[door]()) for _ in range(1000)]
        for connection in slow:
            with contextlib.suppress(OSError):
                connection.sendall(_HEAD)
        begin = time.monotonic()
        for _ in range(20):
            _others_are_answered(agent)
        assert time.monotonic() - begin < 4 * _QUICK_SECONDS
        now = footprint(agent.pid)
        assert now.descriptors < before.descriptors + 300 and now.threads == before.threads
    until(lambda: footprint(agent.pid).descriptors, lambda found: found <= before.descriptors + 2, "closed connections")


@pytest.mark.parametrize("door", ["API", "metrics"])
def test_letter_by_letter(agent: Agent, door: str) -> None:
    """Who goes on slowly has ten seconds, like all, and holds nobody up meanwhile."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(_connects(agent)[door]()) for _ in range(20)]
        begin, ended = time.monotonic(), 0.0
        while not ended:
            for connection in slow:
                try:
                    connection.sendall(b"G")
                except OSError:
                    ended = time.monotonic() - begin
            _others_are_answered(agent)
            time.sleep(0.3)
            assert time.monotonic() - begin < 60 * SLOWER
        assert 8 < ended < 30 * SLOWER
        assert slow[-1].recv(100).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("door", ["API", "metrics"])
def test_who_takes_nothing(agent: Agent, door: str) -> None:
    """Thousands of requests without reading an answer: no worker waits for that, and memory has an end."""
    for number in range(20):
        agent.create(f"some-{number}")
    before = footprint(agent.pid)
    request = _GET if door == "API" else b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(_connects(agent)[door]())
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.sendall(request * 2000)
        for _ in range(5):
            _others_are_answered(agent)
        assert footprint(agent.pid).anon_kib < before.anon_kib + (64 << 10)
    until(lambda: footprint(agent.pid).descriptors, lambda found: found <= before.descriptors + 2, "closed connections")
