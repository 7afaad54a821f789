# SPDX-License-Identifier: Apache-2.0
"""The API against clients that are wrong, slow or silent."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any

import pytest

from containeragent.api.openapi import document
from tests.e2e.support.agent import Agent
from tests.e2e.support.http import connect, scrape

QUICK_SECONDS = 5.0


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/containers/", "/v2/containers", "/metrics", "/%2e%2e/etc", "/%ff"])
def test_unknown_route(agent: Agent, path: str) -> None:
    """404, as JSON."""
    answer = agent.api.call("GET", path)
    assert (answer.status, answer.code()) == (404, "ENOENT")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_wrong_method(agent: Agent, method: str) -> None:
    """405, as JSON."""
    answer = agent.api.call(method, "/v1/containers")
    assert answer.status == 405 and method in answer.document["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"text"', b"7", b"null", b"\xff", b"[" * 100_000, b'{"name": ', b"1" * 5000, b'{"a": NaN}']
)
def test_bad_json(agent: Agent, body: bytes) -> None:
    """400, as JSON; nothing is made."""
    for path in ("/v1/containers", "/v1/detach"):
        status, text = agent.api.raw("POST", path, body)
        assert status == 400 and json.loads(text)["error"]["code"] == "EINVAL"
    assert agent.names() == []


def test_a_body_that_is_too_large(agent: Agent) -> None:
    """2 MiB: refused, and the next request is answered."""
    try:
        status, _ = agent.api.raw("POST", "/v1/containers", b" " * (2 << 20))
        assert status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it hung up before we had said everything
    assert agent.names() == []


def test_an_error_is_always_json(agent: Agent) -> None:
    """Also what the HTTP server itself refuses: a body that says that it is too large."""
    with connect(agent.socket) as connection:
        connection.sendall(b"POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n")
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413 ")
        while more := connection.recv(65536):
            answer += more
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]


@pytest.mark.parametrize(
    "request_text", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http(agent: Agent, request_text: bytes) -> None:
    """Answered or hung up, and the next request is answered."""
    with connect(agent.socket) as connection, contextlib.suppress(ConnectionResetError):
        connection.sendall(request_text)
        connection.recv(65536)
    assert agent.names() == []


@pytest.mark.parametrize("query", ["", "name=%ff", "name=/web&recursive=yes", "&".join(f"k{n}=1" for n in range(50))])
def test_bad_query(agent: Agent, query: str) -> None:
    """400; nothing is removed."""
    agent.create("web")
    status, text = agent.api.raw("DELETE", f"/v1/container?{query}")
    assert status == 400 and json.loads(text)["error"]["code"] == "EINVAL"
    assert agent.names() == ["/web"]


def test_openapi(agent: Agent) -> None:
    """The document is served as it is in the code."""
    assert agent.api.call("GET", "/openapi.json").document == document()


def test_container_objects_are_what_openapi_says(agent: Agent) -> None:
    """Each key, with a value of the described type; some only when it is gone."""
    agent.create("web")
    properties = document()["components"]["schemas"]["Container"]["properties"]
    only_dead = {key for key, schema in properties.items() if "only of dead ones" in schema.get("description", "")}
    live = agent.show("/web")
    assert sorted(live) == sorted(set(properties) - only_dead)
    agent.ctl("rm", "web").ok()
    dead = agent.show("/web")
    assert sorted(dead) == sorted(properties) and len(only_dead) == 4
    for key, value in [*live.items(), *dead.items()]:
        assert _fits(value, properties[key]), key


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    names = {"string": str, "integer": int, "number": float, "boolean": bool, "object": dict, "null": type(None)}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return type(value) in [names[kind] for kind in kinds]


def test_half_a_request_and_idle_connections_block_nobody(agent: Agent) -> None:
    """Others are answered within a few seconds, on the API and on /metrics."""
    with contextlib.ExitStack() as stack:
        half = stack.enter_context(connect(agent.socket))
        half.sendall(b"POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Le")
        for _ in range(50):
            stack.enter_context(connect(agent.socket))
        assert agent.api.call("GET", "/v1/containers", seconds=QUICK_SECONDS).status == 200


def test_idle_connections_do_not_block_metrics(agent: Agent) -> None:
    """Whoever is on this host can make them."""
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(socket.create_connection(("127.0.0.1", agent.port)))
        assert "containeragent_tasks" in scrape(agent.address, seconds=QUICK_SECONDS)[0]


def test_a_connection_is_used_again(agent: Agent) -> None:
    """As HTTP/1.1 has it."""
    kept = http.client.HTTPConnection("localhost", timeout=QUICK_SECONDS)
    kept.sock = connect(agent.socket)
    try:
        for _ in range(3):
            kept.request("GET", "/v1/containers")
            assert kept.getresponse().read()
    finally:
        kept.close()
