# SPDX-License-Identifier: Apache-2.0
"""The API without a server: requests to a container service that only notes what it is asked."""

from __future__ import annotations

import io
import json
from typing import Any, cast

import pytest

from containeragent.api.application import _AT_A_TIME, STATUS, Application, _encoded
from containeragent.api.streams import Handover
from containeragent.containers.caller import Caller
from containeragent.containers.lifecycle import New
from containeragent.containers.ranking import Wanted
from containeragent.containers.service import Containers
from containeragent.errors import Refused

_NOTIFY = "/v1/container/notify"
CALLER = Caller(pid=4711, uid=1000)


class FakeContainers:
    """Every capability of it notes what it is asked and answers with the operation's name, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[Any, ...]] = []

    @property
    def documents(self) -> FakeContainers:
        return self

    lifecycle = membership = settings = subsystems = documents

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            if self.error:
                raise self.error
            return [name]

        return call


class Client:
    """A WSGI application called as cheroot calls it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.containers = FakeContainers(error)
        self.application = Application(cast(Containers, self.containers), lambda: {"checks": []})

    def call(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, Any]:
        """Status and document."""
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "wsgi.input": io.BytesIO(body),
            "X_REMOTE_PID": str(CALLER.pid),
            "X_REMOTE_UID": str(CALLER.uid),
        }
        started: list[Any] = []
        answer = self.application(environ, lambda *arguments: started.extend(arguments))
        assert not isinstance(answer, Handover)
        text = b"".join(answer)
        headers = dict(started[1])
        assert ("Allow" in headers) is started[0].startswith("405")
        assert headers["Content-Type"] == "application/json" and int(headers["Content-Length"]) == len(text)
        return int(started[0].split()[0]), json.loads(text)

    def refused(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, str]:
        """Status and code; the service was not asked."""
        status, document = self.call(method, path, query, body)
        assert self.containers.calls == []
        return status, document["error"]["code"]


@pytest.mark.parametrize(
    "method, path, query, body, call",
    [
        ("GET", "/v1/containers", "", "", ("all", False, False)),
        ("GET", "/v1/containers", "all=true", "", ("all", True, False)),
        ("POST", "/v1/containers", "", '{"name": "/a"}', ("create", "/a", New(), CALLER)),
        ("POST", "/v1/containers", "", '{"name": "/a", "parents": true}', ("create", "/a", New(parents=True), CALLER)),
        (
            "POST",
            "/v1/containers",
            "",
            '{"name": "/a", "task_limit": 5}',
            ("create", "/a", New(limits={"task_limit": 5}), CALLER),
        ),
        ("POST", "/v1/container/limits", "name=/a", '{"dry_run": true}', ("limit", "/a", {"dry_run": True}, CALLER)),
        (
            "POST",
            "/v1/containers",
            "",
            '{"name": "/a", "notify_on_release": false, "remove_on_release": true}',
            ("create", "/a", New(notify=False, remove_on_release=True), CALLER),
        ),
        ("POST", "/v1/container/rename", "name=/a", '{"to": "/b"}', ("rename", "/a", "/b", CALLER)),
        (
            "POST",
            "/v1/container/notify",
            "name=/a",
            '{"notify_on_release": true}',
            ("notify", "/a", True, None, CALLER),
        ),
        (
            "POST",
            "/v1/container/notify",
            "name=/a",
            '{"remove_on_release": false}',
            ("notify", "/a", None, False, CALLER),
        ),
        ("GET", "/v1/container", "name=/a%2Fb", "", ("show", "/a/b")),
        ("GET", "/v1/container", "name=", "", ("show", "")),
        ("GET", "/v1/top", "", "", ("top", Wanted())),
        (
            "GET",
            "/v1/top",
            "sort=forks&limit=7&filter=web%2Fdb&tree=true&all=true",
            "",
            ("top", Wanted("forks", 7, "web/db", True, True)),
        ),
        ("GET", "/v1/names", "", "", ("names", "", False, 100)),
        ("GET", "/v1/names", "prefix=/w&limit=9&all=true", "", ("names", "/w", True, 9)),
        ("DELETE", "/v1/container", "name=/a", "", ("remove", "/a", False, CALLER)),
        ("DELETE", "/v1/container", "name=/a&recursive=true", "", ("remove", "/a", True, CALLER)),
        ("GET", "/v1/container/tasks", "name=/a", "", ("tasks", "/a")),
        ("GET", "/v1/container/tasks", "name=/a&stats=true", "", ("task_stats", "/a")),
        ("POST", "/v1/container/tasks", "name=/a", '{"pids": [0, 7]}', ("attach", "/a", [0, 7], True, CALLER)),
        (
            "POST",
            "/v1/container/tasks",
            "name=/a",
            '{"pids": [7], "move": false}',
            ("attach", "/a", [7], False, CALLER),
        ),
        (
            "POST",
            "/v1/container/attributes",
            "name=/a",
            '{"attributes": {"b.c": "1"}}',
            ("set", "/a", {"b.c": "1"}, CALLER),
        ),
        ("GET", "/v1/subsystems", "", "", ("all",)),
        ("POST", "/v1/container/kill", "name=/a", "", ("kill", "/a", CALLER)),
        ("POST", "/v1/detach", "", '{"pids": [7]}', ("detach", [7], CALLER)),
        ("POST", "/v1/detach", "", '{"pids": [7.0]}', ("detach", [7], CALLER)),  # JSON has one kind of numbers
        ("GET", "/v1/task", "pid=7", "", ("which", 7)),
        ("GET", "/v1/task", "pid=-7", "", ("which", -7)),
    ],
)
def test_routes(method: str, path: str, query: str, body: str, call: tuple[Any, ...]) -> None:
    """Each asks the service for one thing, with the caller where that matters."""
    client = Client()
    status, _ = client.call(method, path, query, body.encode())
    assert client.containers.calls == [call]
    assert status == (201 if call[0] == "create" else 200)


def test_routes_that_need_no_container() -> None:
    """The doctor and the description."""
    client = Client()
    assert client.call("GET", "/v1/doctor") == (200, {"checks": []})
    assert client.call("GET", "/openapi.json")[1]["openapi"].startswith("3.")
    assert client.containers.calls == []


@pytest.mark.parametrize(
    "code, status",
    [
        ("EINVAL", 400),
        ("EACCES", 403),
        ("EPERM", 403),
        ("ENOENT", 404),
        ("ESRCH", 404),
        ("EEXIST", 409),
        ("EBUSY", 409),
        ("ENOTEMPTY", 409),
        ("ENODATA", 409),
        ("ENOSPC", 507),
        ("EIO", 500),
        ("EPROTO", 500),
    ],
)
def test_codes_and_statuses(code: str, status: int) -> None:
    """What the service refuses."""
    client = Client(Refused(code, "why"))
    assert client.call("GET", "/v1/containers") == (status, {"error": {"code": code, "message": "why"}})


def test_every_status_is_an_error() -> None:
    """With a number that clients know."""
    assert all(400 <= int(text.split()[0]) < 600 for text in STATUS.values())


def test_what_fails_tells_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    """500; the log has it."""
    status, document = Client(KeyError("secret")).call("GET", "/v1/containers")
    assert (status, document["error"]["code"]) == (500, "EIO") and "secret" not in json.dumps(document)
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/v1/container/", "/V1/containers", "/v1/containers\n", "/" + "x" * 9999]
)
def test_unknown_routes(path: str) -> None:
    """404 in a short line."""
    assert Client().refused("GET", path) == (404, "ENOENT")
    assert len(Client().call("GET", path)[1]["error"]["message"]) < 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "x" * 999])
def test_unknown_methods(method: str) -> None:
    """405."""
    assert Client().refused(method, "/v1/containers") == (405, "ENOSYS")


@pytest.mark.parametrize(
    "method, path, query",
    [
        ("GET", "/v1/container", ""),
        ("DELETE", "/v1/container", "recursive=true"),
        ("GET", "/v1/container/tasks", "nam=/a"),
        ("POST", "/v1/container/kill", ""),
        ("GET", "/v1/containers", "all=yes"),
        ("GET", "/v1/containers", "all="),
        ("DELETE", "/v1/container", "name=/a&recursive=1"),
        ("GET", "/v1/container", "name=%ff"),
        ("GET", "/v1/container", "&".join(["name=/a"] * 99)),
        ("GET", "/v1/top", "sort=weight"),
        ("GET", "/v1/top", "limit=0"),
        ("GET", "/v1/names", "limit=100001"),
        ("GET", "/v1/task", ""),
        *(("GET", "/v1/task", f"pid={pid}") for pid in ("", "x", "-", "--5", "1.5", "1e3", "9" * 30, "%C2%B2")),
    ],
)
def test_bad_queries(method: str, path: str, query: str) -> None:
    """400, before anything is done."""
    assert Client().refused(method, path, query) == (400, "EINVAL")


@pytest.mark.parametrize(
    "path, body",
    [
        *(("/v1/containers", body) for body in ("", "{}", "[]", "7", "null", "{", "\xff", '{"name": 7}', "[" * 99999)),
        ("/v1/containers", '{"name": "/a", "parents": "true"}'),
        ("/v1/containers", '{"name": "/a", "parents": null}'),
        *(
            ("/v1/detach", f'{{"pids": {pids}}}')
            for pids in ("[]", "7", '["7"]', "[true]", "[1.5]", "[2147483648]", "null")
        ),
        ("/v1/container/tasks", '{"pids": [7], "move": 1}'),
        *(("/v1/container/attributes", f'{{"attributes": {values}}}') for values in ("null", "{}", '{"a": 1}', "[]")),
    ],
)
def test_bad_bodies(path: str, body: str) -> None:
    """400, before anything is done."""
    assert Client().refused("POST", path, "name=/a", body.encode("latin-1")) == (400, "EINVAL")


@pytest.mark.parametrize("number, pieces", [(0, 1), (1, 2), (_AT_A_TIME, 2), (_AT_A_TIME + 1, 3)])
def test_what_comes_one_by_one_is_encoded_piece_by_piece(number: int, pieces: int) -> None:
    """Of thousands of containers neither the objects nor the text are together in one place."""
    found = _encoded(iter({"number": at} for at in range(number)))
    assert len(found) == pieces
    assert json.loads(b"".join(found)) == [{"number": at} for at in range(number)]
