# SPDX-License-Identifier: Apache-2.0
"""The API as a WSGI application: a table of routes over the container service.

In: HTTP requests and who sent them. Out: JSON. Errors are {"error": {"code", "message"}} with a status that fits the
code.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from containeragent.api import openapi
from containeragent.api.query import Query, parsed
from containeragent.api.streams import Handover, Streams
from containeragent.cgroups import names
from containeragent.containers.caller import Caller
from containeragent.containers.lifecycle import New
from containeragent.containers.service import Containers
from containeragent.definitions.export import Exporter
from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.events.event import Event
from containeragent.host.users import User
from containeragent.subsystems.attributes import checked

log = logging.getLogger(__name__)

STATUS = {
    "EINVAL": "400 Bad Request",
    "EAGAIN": "409 Conflict",
    "EACCES": "403 Forbidden",
    "EPERM": "403 Forbidden",
    "ENOENT": "404 Not Found",
    "ESRCH": "404 Not Found",
    "ENOSYS": "405 Method Not Allowed",
    "EEXIST": "409 Conflict",
    "EBUSY": "409 Conflict",
    "ENODATA": "409 Conflict",
    "ENOTSUP": "409 Conflict",
    "ENODEV": "410 Gone",
    "ENOTEMPTY": "409 Conflict",
    "ENOSPC": "507 Insufficient Storage",
}
_NOT_LIMITS = ("name", "parents", "owner", "notify_on_release", "remove_on_release")  # keys of a body
_FAILED = "500 Internal Server Error"
_AT_A_TIME = 200  # containers in one piece of an answer


@dataclass(frozen=True, kw_only=True)
class Request(Query):
    """One request, taken apart."""

    caller: Caller
    body: dict[str, Any] = field(default_factory=dict)
    descriptor: int | None = None  # an open file that came along

    def choice(self, key: str, default: bool) -> bool:
        """A yes-or-no value of the body."""
        value = self.body.get(key, default)
        if not isinstance(value, bool):
            raise Refused("EINVAL", f"{key} in the body is neither true nor false")
        return value

    def maybe(self, key: str) -> bool | None:
        """The same; None when it is missing."""
        return None if self.body.get(key) is None else self.choice(key, False)

    def user(self) -> User | None:
        """A user in the body, by name or number; None for nobody."""
        value = self.body.get("owner")
        if value is not None and type(value) not in (str, int):
            raise Refused("EINVAL", "owner in the body is no user: neither a name nor a number")
        return cast(User | None, value)

    def pids(self) -> list[int]:
        """The list of task ids in the body."""
        value = self.body.get("pids")
        whole = isinstance(value, list) and all(type(pid) is int and abs(pid) < 1 << 31 for pid in value)
        if not whole or not value:
            raise Refused("EINVAL", 'the body has no "pids", a list of task ids such as [1234]')
        return list(value)


Handler = Callable[[Request], Any]


class Application:
    """Callable as WSGI wants it."""

    def __init__(
        self, containers: Containers, doctor: Callable[[], Any], bus: Bus | None = None, streams: Streams | None = None
    ) -> None:
        """Without `streams` events cannot be followed."""
        self._containers = containers
        self._bus = bus or Bus()
        self._streams = streams
        documents, membership, exporter = containers.documents, containers.membership, Exporter(containers.present)
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/v1/containers"): lambda request: documents.all(request.flag("all"), request.flag("dead")),
            ("POST", "/v1/containers"): self._create,
            ("GET", "/v1/top"): lambda request: documents.top(request.wanted()),
            ("GET", "/v1/names"): lambda request: documents.names(
                request.query.get("prefix", ""), request.flag("all"), request.most()
            ),
            ("GET", "/v1/container"): lambda request: documents.show(request.name()),
            ("DELETE", "/v1/container"): self._remove,
            ("GET", "/v1/container/tasks"): self._tasks,
            ("POST", "/v1/container/tasks"): self._attach,
            ("POST", "/v1/container/limits"): lambda request: containers.settings.limit(
                request.name(), request.body, request.caller
            ),
            ("POST", "/v1/container/attributes"): self._set,
            ("GET", "/v1/subsystems"): lambda request: containers.subsystems.all(),
            ("POST", "/v1/container/rename"): self._rename,
            ("POST", "/v1/container/notify"): self._notify,
            ("POST", "/v1/container/owner"): self._own,
            ("POST", "/v1/container/kill"): lambda request: {"killed": membership.kill(request.name(), request.caller)},
            ("GET", "/v1/container/files"): lambda request: containers.files.of(request.name()),
            ("POST", "/v1/container/files"): lambda request: containers.files.add(
                request.name(), request.descriptor, request.caller
            ),
            ("DELETE", "/v1/container/files"): lambda request: containers.files.remove(
                request.name(), request.descriptor, request.query.get("path", ""), request.caller
            ),
            ("POST", "/v1/detach"): lambda request: {"detached": membership.detach(request.pids(), request.caller)},
            ("GET", "/v1/task"): lambda request: membership.which(request.number("pid")),
            ("GET", "/v1/events"): self._events,
            ("GET", "/v1/export"): lambda request: exporter.document(request.query.get("name", "/")),
            ("GET", "/v1/audit"): lambda request: documents.audit(request.query.get("name"), request.flag("all")),
            ("GET", "/v1/doctor"): lambda request: doctor(),
            ("GET", "/openapi.json"): lambda request: openapi.document(),
        }

    def _create(self, request: Request) -> Any:
        if not isinstance(request.body.get("name"), str):
            raise Refused("EINVAL", 'the body has no "name", for example {"name": "/web"}')
        wanted = New(
            request.choice("parents", False),
            {key: value for key, value in request.body.items() if key not in _NOT_LIMITS},
            request.maybe("notify_on_release"),
            bool(request.maybe("remove_on_release")),
            request.user(),
        )
        return self._containers.lifecycle.create(request.body["name"], wanted, request.caller)

    def _rename(self, request: Request) -> Any:
        if not isinstance(request.body.get("to"), str):
            raise Refused("EINVAL", 'the body has no "to", for example {"to": "/web2"}')
        return self._containers.lifecycle.rename(request.name(), request.body["to"], request.caller)

    def _own(self, request: Request) -> Any:
        if "owner" not in request.body:
            raise Refused("EINVAL", 'the body has no "owner", a user such as {"owner": "bob"}, or null for nobody')
        return self._containers.settings.own(request.name(), request.user(), request.caller)

    def _notify(self, request: Request) -> Any:
        notify, remove = request.maybe("notify_on_release"), request.maybe("remove_on_release")
        if notify is None and remove is None:
            raise Refused("EINVAL", 'the body has neither "notify_on_release" nor "remove_on_release"')
        return self._containers.settings.notify(request.name(), notify, remove, request.caller)

    def _remove(self, request: Request) -> Any:
        return {"removed": self._containers.lifecycle.remove(request.name(), request.flag("recursive"), request.caller)}

    def _tasks(self, request: Request) -> Any:
        if request.flag("stats"):
            return self._containers.membership.task_stats(request.name())
        return self._containers.membership.tasks(request.name())

    def _attach(self, request: Request) -> Any:
        move = request.choice("move", True)
        return {"attached": self._containers.membership.attach(request.name(), request.pids(), move, request.caller)}

    def _set(self, request: Request) -> Any:
        return self._containers.settings.set(request.name(), checked(request.body.get("attributes")), request.caller)

    def _events(self, request: Request) -> Any:
        container = names.join(names.parse(request.query.get("container", "/")))
        since = request.number("since") if "since" in request.query else None

        def wanted(event: Event) -> bool:
            return event.is_of(container)

        if request.query.get("follow") != "1" and not request.flag("follow"):
            return (event.document for event in self._bus.recent(wanted, since or 0))
        if self._streams is None:
            raise Refused("ENOTSUP", "events cannot be followed here")
        return self._streams.follow(wanted, since)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes] | Handover:
        status, body = self._answer(environ)
        if isinstance(body, Handover):
            return body
        headers = [("Content-Type", "application/json"), ("Content-Length", str(sum(map(len, body))))]
        if status == STATUS["ENOSYS"]:
            headers.append(("Allow", ", ".join(self._methods(environ["PATH_INFO"]))))  # RFC 9110 asks for it
        start_response(status, headers)
        return body

    def _answer(self, environ: dict[str, Any]) -> tuple[str, list[bytes] | Handover]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        try:
            handler = self._handler(method, path)
            answer = handler(_request(environ))
            body = answer if isinstance(answer, Handover) else _encoded(answer)
        except Refused as error:
            return STATUS.get(error.code, _FAILED), _encoded({"error": {"code": error.code, "message": error.message}})
        except Exception:
            log.exception("%s %s failed", method, path)
            message = "the agent failed at this; its log says how (journalctl -u containeragent)"
            return _FAILED, _encoded({"error": {"code": "EIO", "message": message}})
        return ("201 Created" if (method, path) == ("POST", "/v1/containers") else "200 OK"), body

    def _handler(self, method: str, path: str) -> Handler:
        handler = self._routes.get((method, path))
        if handler:
            return handler
        if self._methods(path):
            raise Refused("ENOSYS", f"{path[:80]} has no method {method[:20]}; see /openapi.json")
        raise Refused("ENOENT", f"{path[:80]!r} is not part of the API; see /openapi.json")

    def _methods(self, path: str) -> list[str]:
        return [method for method, known in self._routes if known == path]


def _encoded(document: Any) -> list[bytes]:
    """As JSON; what comes one by one becomes a list that is never in memory as objects, nor as one piece.

    Its pieces are large enough for the C library to give their memory back to the kernel (host/process.py).
    """
    if not isinstance(document, Iterator):
        return [json.dumps(document).encode() + b"\n"]
    texts = map(json.dumps, document)
    pieces, opening = [], "["
    while batch := list(itertools.islice(texts, _AT_A_TIME)):
        pieces.append((opening + ", ".join(batch)).encode())
        opening = ", "
    return [*pieces, b"]\n" if pieces else b"[]\n"]


def _request(environ: dict[str, Any]) -> Request:
    caller = Caller(int(environ["X_REMOTE_PID"]), int(environ["X_REMOTE_UID"]))
    descriptor = environ.get("containeragent.descriptor")
    return Request(caller=caller, query=parsed(environ), body=_body(environ), descriptor=descriptor)


def _number(text: str) -> float | int:
    """JSON has one kind of numbers: 7.0 is 7."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _body(environ: dict[str, Any]) -> dict[str, Any]:
    if environ["REQUEST_METHOD"] != "POST":
        return {}
    try:
        raw = environ["wsgi.input"].read()
    except (ValueError, OSError):  # chunks that are none, or too many
        raise Refused("EINVAL", "the body cannot be read: it is cut off, malformed or too large") from None
    if not raw:
        return {}
    try:
        body = json.loads(raw, parse_float=_number)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused("EINVAL", "the body is not a JSON object")
    return body
