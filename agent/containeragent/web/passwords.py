# SPDX-License-Identifier: Apache-2.0
"""Passwords of basic authentication, against bcrypt hashes.

A check takes tens of milliseconds, as it should; what was right once is known from then on by a keyed digest that dies
with the process. Only one is checked at a time, so that guessing takes one core at most.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping

import bcrypt

_NOBODY = "$2b$10$" + "." * 53  # of no password: who asks for an unknown user waits as long
_MOST_KNOWN = 100


class Passwords:
    """From any thread."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._known: set[bytes] = set()
        self._checking = threading.Lock()

    def are_right(self, authorization: str, users: Mapping[str, str]) -> bool:
        """Whether the Authorization header is that of one of the users; hashes by name."""
        user, password = _basic(authorization)
        hashed = users.get(user, "") if user is not None else ""
        digest = self._digest(user or "", hashed, password)
        if hashed and digest in self._known:
            return True
        if user is None:
            return False
        with self._checking:
            right = _is_right(password, hashed or next(iter(users.values()), _NOBODY)[:7] + _NOBODY[7:])
        if not (right and hashed):
            return False
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(digest)
        return True

    def _digest(self, user: str, hashed: str, password: bytes) -> bytes:
        parts = [user.encode("utf-8", "surrogateescape"), hashed.encode(), password]
        return hmac.digest(self._secret, b"".join(hashlib.sha256(part).digest() for part in parts), "sha256")


def _is_right(password: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(password, hashed.encode())
    except ValueError:  # longer than the 72 bytes that bcrypt looks at, or with a NUL
        return False


def _basic(authorization: str) -> tuple[str | None, bytes]:
    """User and password of a header (RFC 7617); no user where it is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None, b""
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None, b""
    return (user.decode("utf-8", "surrogateescape"), password) if colon else (None, b"")
