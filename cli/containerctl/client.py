# SPDX-License-Identifier: Apache-2.0
"""Requests to the agent go in, JSON answers come out; what is refused or goes wrong on the way becomes a Failure."""

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from containerctl.plain_http import HTTPConnection, HTTPException, IncompleteRead
from containerctl.waiting import waiting

SOCKET = "/run/containeragent/agent.sock"
TIMEOUT_SECONDS = 30.0
START = "start the agent with: systemctl start containeragent, or make run"
JOURNAL = "see journalctl -u containeragent"

Document = dict[str, Any]
Item = TypeVar("Item")


class Failure(Exception):
    """What was refused or failed: an errno name for scripts, one line for people, and the exit status it ends in.

    `answered` is false when the agent itself could not be heard; `shown` is set by who put it into JSON already.
    """

    def __init__(self, code: str, message: str, *, status: int = 1, answered: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.answered = answered
        self.shown = False


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float, descriptor: int | None = None) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self.path = path
        self.descriptor = descriptor
        self.timeout_seconds = timeout_seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Python's own timeout makes the socket non-blocking, and a non-blocking connect fails at once with EAGAIN when
        # the agent's backlog is full (net/unix/af_unix.c); SO_SNDTIMEO lets it wait for its turn.
        timeval = struct.pack("ll", int(self.timeout_seconds), int(self.timeout_seconds % 1 * 1_000_000))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        self.sock.connect(self.path)
        self.sock.settimeout(self.timeout_seconds)

    def send(self, data: Any) -> None:
        """An open file goes along with the first byte (unix(7), SCM_RIGHTS)."""
        if self.sock is None:
            self.connect()
        if self.descriptor is not None:
            socket.send_fds(self.sock, [data[:1]], [self.descriptor])
            self.descriptor, data = None, data[1:]
        super().send(data)


class Client:
    """The agent behind one socket; a connection a call, so an agent that restarts in between is no trouble.

    With `tells`, an answer that takes long is waited for aloud.
    """

    def __init__(self, path: str, timeout_seconds: float = TIMEOUT_SECONDS, tells: bool = False) -> None:
        self.path = path
        self.tells = tells
        self.timeout_seconds = timeout_seconds

    def document(
        self,
        method: str,
        path: str,
        query: Document | None = None,
        body: Document | None = None,
        descriptor: int | None = None,
    ) -> Document:
        """The JSON object that the agent answers with; `descriptor` is of an open file that it gets too."""
        answer = self._call(method, path, query, body, descriptor)
        if not isinstance(answer, dict):
            raise self._strange(f"{method} {path} gave no JSON object")
        return answer

    def array(self, method: str, path: str, query: Document | None, of: type[Item]) -> list[Item]:
        """The JSON list that the agent answers with; every item is `of` this type."""
        answer = self._call(method, path, query, None)
        if not isinstance(answer, list) or not all(isinstance(item, of) for item in answer):
            raise self._strange(f"{method} {path} gave no JSON list of the right kind")
        return answer

    def stream(self, path: str, query: Document) -> Iterator[Document]:
        """JSON objects as the agent sends them, a line each, for as long as it lives; its end is a Failure."""
        connection = _UnixConnection(self.path, self.timeout_seconds)
        try:
            connection.request("GET", _target(path, query))
            sock = connection.sock  # http.client forgets it when the answer says that it is the last
            response = connection.getresponse()
            if response.status >= 400:
                raise self._refused(response.status, self._parsed(response.read(), response.status))
            sock.settimeout(None)
            while line := response.readline():
                event = self._parsed(line, response.status)
                if not isinstance(event, dict):
                    raise self._strange(f"GET {path} gave no JSON objects")
                yield event
        except OSError as error:
            raise self._unreachable(error) from error
        except HTTPException as error:
            raise self._ended() from error
        finally:
            connection.close()
        raise self._ended()

    def _call(
        self, method: str, path: str, query: Document | None, body: Document | None, descriptor: int | None = None
    ) -> Any:
        target = _target(path, query)
        connection = _UnixConnection(self.path, self.timeout_seconds, descriptor)
        try:
            data = None if body is None else json.dumps(body).encode()
            with waiting("waiting for the agent") if self.tells else nullcontext():
                connection.request(method, target, data, {"Content-Type": "application/json"} if data else {})
                response = connection.getresponse()
                text = response.read()
        except OSError as error:
            raise self._unreachable(error) from error
        except IncompleteRead as error:
            raise self._hung_up() from error
        except HTTPException as error:
            raise self._strange("that was no HTTP") from error
        finally:
            connection.close()
        answer = self._parsed(text, response.status)
        if response.status >= 400:
            raise self._refused(response.status, answer)
        return answer

    def _parsed(self, text: bytes, status: int) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise self._strange(f"HTTP status {status} without JSON") from error

    def _refused(self, status: int, answer: Any) -> Failure:
        match answer:
            case {"error": {"code": str(code), "message": str(message)}}:
                return Failure(code, message)
        return self._strange(f"HTTP status {status} without a reason")

    def _strange(self, what: str) -> Failure:
        message = f"strange answer at {self.path}: {what}; is it the agent, and of the same version?"
        return Failure("EPROTO", message, answered=False)

    def _ended(self) -> Failure:
        return Failure("ECONNRESET", f"the agent at {self.path} stopped; {JOURNAL}", answered=False)

    def _hung_up(self) -> Failure:
        message = f"the agent hung up before it answered at {self.path}; {JOURNAL}"
        return Failure("ECONNRESET", message, answered=False)

    def _unreachable(self, error: OSError) -> Failure:
        path = self.path
        match error:
            case FileNotFoundError():
                # Not ENOENT: scripts must be able to tell "no agent" from "no such container".
                code, message = "ECONNREFUSED", f"the agent is not running (no socket {path}); {START}"
            case ConnectionRefusedError():
                code, message = "ECONNREFUSED", f"nobody listens on {path}; {START}"
            case PermissionError():
                code, message = "EACCES", f"no permission to use {path}: {_who_may(path)}"
            case ConnectionResetError() | BrokenPipeError():
                return self._hung_up()
            case TimeoutError() | BlockingIOError():
                code = "ETIMEDOUT"
                message = f"the agent at {path} did not answer within {self.timeout_seconds:g} seconds; {JOURNAL}"
            case _:
                code, message = "EIO", f"cannot reach the agent at {path}: {error.strerror or error}"
        return Failure(code, message, answered=False)


def _target(path: str, query: Document | None) -> str:
    # surrogateescape: a name that is not UTF-8 reaches the agent byte for byte, for it to say what is wrong.
    return path + ("?" + urlencode(query, errors="surrogateescape", quote_via=quote) if query else "")


def _who_may(path: str) -> str:
    """Who may use a socket, from its owner, group and mode (unix(7): connecting asks for write permission)."""
    import grp
    import pwd

    try:
        facts = os.stat(path)
    except OSError:
        return "its folder is closed to you; use sudo, or ask root for the group that socket_group in config.toml names"
    try:
        user, group = pwd.getpwuid(facts.st_uid).pw_name, grp.getgrgid(facts.st_gid).gr_name
    except KeyError:
        user, group = str(facts.st_uid), str(facts.st_gid)
    if facts.st_mode & 0o020:
        return f"it is for {user} and the group {group}; use sudo or join the group"
    return f"it is for {user} alone; use sudo, or set socket_group in config.toml"
