# SPDX-License-Identifier: Apache-2.0
"""Passwords, headers and the limit of requests, before an application."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from containeragent.web import passwords
from containeragent.web.guard import Guard
from containeragent.web.passwords import Passwords
from containeragent.web.reading import Web

USERS = {
    user: bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()
    for user, password in (("alice", b"correct horse"), ("bob", b"b:o:b"), ("größe", "schlüssel".encode()))
}


def basic(user: str, password: str) -> str:
    """A header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "header, right",
    [
        (basic("alice", "correct horse"), True),
        (basic("alice", "correct horse").replace("Basic", "bAsIc"), True),
        (basic("bob", "b:o:b"), True),
        (basic("größe", "schlüssel"), True),
        (basic("alice", "b:o:b"), False),
        (basic("alice", ""), False),
        (basic("", ""), False),
        (basic("mallory", "correct horse"), False),
        (basic("alice", "correct horse\0"), False),
        (basic("alice", "x" * 100), False),
        (basic("alice", USERS["alice"]), False),
        ("Basic " + base64.b64encode(b"alice").decode(), False),
        ("Basic \xff", False),
        ("Basic", False),
        ("Bearer x", False),
        ("", False),
    ],
)
def test_who_is_let_in(header: str, right: bool) -> None:
    """The first time and from memory."""
    checked = Passwords()
    assert [checked.are_right(header, USERS) for _ in range(3)] == [right] * 3


def test_what_was_right_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the hash is another; what was wrong is; of a user that is not there the same work is done."""
    calls: list[bytes] = []
    real = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        calls.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    checked = Passwords()
    for _ in range(3):
        assert checked.are_right(basic("alice", "correct horse"), USERS)
    assert len(calls) == 1
    for _ in range(3):
        assert not checked.are_right(basic("mallory", "x"), USERS)
    assert len(calls) == 4 and calls[-1][:7] == b"$2b$04$"
    assert not checked.are_right(basic("alice", "correct horse"), {"alice": USERS["bob"]})


def test_memory_of_passwords_is_bounded() -> None:
    """However often hashes change."""
    checked = Passwords()
    for _ in range(passwords._MOST_KNOWN + 2):
        checked.are_right(basic("a", "x"), {"a": bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()})
    assert len(checked._known) <= passwords._MOST_KNOWN


def guarded(path: Path, text: str) -> Guard:
    """Around an application that says hello."""
    path.write_text(text)

    def hello(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    return Guard(Web(path), hello)


def got(guard: Guard, authorization: str = "") -> tuple[str, dict[str, str], bytes]:
    """Status, headers, body."""
    answer: list[Any] = []
    environ = {"HTTP_AUTHORIZATION": authorization} if authorization else {}
    body = b"".join(guard(environ, lambda status, headers: answer.extend([status, dict(headers)])))
    return answer[0], answer[1], body


def test_passwords_and_headers(tmp_path: Path) -> None:
    """Who has none is asked; all answers have the headers; what is changed holds at once."""
    path = tmp_path / "web.yml"
    text = (
        f"basic_auth_users: {{alice: {USERS['alice']}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"
    )
    guard = guarded(path, text)
    status, headers, body = got(guard)
    assert (status, headers["WWW-Authenticate"]) == ("401 Unauthorized", "Basic") and b"hello" not in body
    assert headers["X-Frame-Options"] == "deny"
    status, headers, body = got(guard, basic("alice", "correct horse"))
    assert (status, headers["X-Frame-Options"], body) == ("200 OK", "deny", b"hello")
    path.write_text(text.replace("alice", "carol"))
    assert got(guard, basic("alice", "correct horse"))[0] == "401 Unauthorized"
    path.write_text("nonsense: 1")
    status, _, body = got(guard, basic("carol", "correct horse"))
    assert status == "500 Internal Server Error" and b"nonsense" not in body


def test_a_limit_of_requests(tmp_path: Path) -> None:
    """So many at once, then one an interval."""
    guard = guarded(tmp_path / "web.yml", "rate_limit: {interval: 200ms, burst: 3}")
    statuses = [got(guard)[0] for _ in range(5)]
    assert statuses[:3] == ["200 OK"] * 3 and statuses[4] == "429 Too Many Requests"
    time.sleep(0.25)
    assert got(guard)[0] == "200 OK"
