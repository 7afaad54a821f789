# SPDX-License-Identifier: Apache-2.0
"""Users of this host, by name and by number (passwd(5), and whatever else nsswitch.conf(5) names)."""

from __future__ import annotations

import functools
import pwd
import time

from containeragent.errors import Refused

User = str | int
MOST = (1 << 32) - 2  # (uid_t) -1 is nobody's
_KNOWN_SECONDS = 60


def uid_of(user: User) -> int:
    """Of a name, or a number, which needs no name."""
    if isinstance(user, str) and not (user.isascii() and user.isdigit()):
        try:
            return pwd.getpwnam(user).pw_uid
        except (KeyError, ValueError):
            raise Refused("ENOENT", f"there is no user {user[:40]!r}; see getent passwd, or give a number") from None
    number = int(str(user)[:20])
    if not 0 <= number <= MOST:
        raise Refused("EINVAL", f"{number} is no user's number: they are from 0 to {MOST}")
    return number


def name_of(uid: int) -> str:
    """The number where it has no name."""
    return _name(uid, int(time.monotonic() // _KNOWN_SECONDS))


@functools.lru_cache(maxsize=1024)
def _name(uid: int, _minute: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
