# SPDX-License-Identifier: Apache-2.0
"""One call of a subsystem, whatever it does.

In: a subsystem and a request of plain JSON values. Out: a Reply, always: what it refused, raised, or that what it gave
back makes no sense.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from containeragent.errors import Refused, is_errno_name
from containeragent.subsystems.api import Attribute, Container, Task, Value

log = logging.getLogger(__name__)

NAME = re.compile("[a-z][a-z0-9_]{0,30}")  # of subsystems and attributes
MOST_ATTRIBUTES = 64
MOST_CHARACTERS = 4096  # of a value
_SHORT = 300  # of a reason

Request = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """`code` is "" when it was done, an errno name when it was refused, FAILED when the subsystem is at fault."""

    value: Any = None
    code: str = ""
    reason: str = ""


FAILED = "failed"


class Nonsense(Exception):
    """A subsystem gave back something that no caller can use."""


def request(call: str, container: Container, **more: Any) -> Request:
    """Plain values of a call."""
    plain = {key: asdict(value) if isinstance(value, (Container, Task)) else value for key, value in more.items()}
    return {"call": call, "container": asdict(container), **plain}


def perform(subsystem: Any, asked: Request) -> Reply:
    """Do what a request asks for."""
    try:
        return Reply(_CALLS[asked["call"]](subsystem, asked))
    except Refused as error:
        if not is_errno_name(error.code):
            return Reply(code=FAILED, reason=f"it refused with {error.code!r}, which is no errno name")
        return Reply(code=error.code, reason=short(error.message))
    except Nonsense as error:
        return Reply(code=FAILED, reason=short(str(error)))
    except (Exception, SystemExit) as error:
        log.exception("subsystem %s failed at %s", getattr(subsystem, "name", "?"), asked["call"])
        return Reply(code=FAILED, reason=short(f"it raised {type(error).__name__}: {error}"))


def short(text: str) -> str:
    """One line of some length."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 3] + "..."


def _container(asked: Request, key: str = "container") -> Container | None:
    return None if asked[key] is None else Container(**asked[key])


def _hook(*keys: str) -> Callable[[Any, Request], None]:
    """A hook that gives nothing back. What it gives by mistake, such as False for no, is not taken for a yes."""

    def call(subsystem: Any, asked: Request) -> None:
        made = [Task(**asked[key]) if key == "task" else _container(asked, key) for key in keys]
        returned = getattr(subsystem, asked["call"])(*made)
        if returned is not None:
            raise Nonsense(f"it returned {returned!r}; it must return nothing, or raise Refused")

    return call


def _attributes(subsystem: Any, asked: Request) -> list[Attribute]:
    found = list(subsystem.populate(_container(asked)))
    if len(found) > MOST_ATTRIBUTES:
        raise Nonsense(f"it has {len(found)} attributes, {MOST_ATTRIBUTES} are allowed")
    for one in found:
        if not isinstance(one, Attribute) or not isinstance(one.name, str) or not NAME.fullmatch(one.name):
            raise Nonsense(f"{one!r} is no Attribute with a name of a-z, 0-9 and _")
    if len({one.name for one in found}) < len(found):
        raise Nonsense("two of its attributes have the same name")
    return found


def _populate(subsystem: Any, asked: Request) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "help": short(str(one.help)), "shown": one.show is not None, "settable": one.set is not None}
        for one in _attributes(subsystem, asked)
    ]


def _show(subsystem: Any, asked: Request) -> dict[str, Any]:
    """Values by name, and why some are unknown."""
    values: dict[str, Value] = {}
    wrong: list[str] = []
    for one in _attributes(subsystem, asked):
        if one.show is None:
            continue
        try:
            values[one.name] = _checked(one.show())
        except Refused:
            values[one.name] = None
        except (Exception, SystemExit) as error:
            values[one.name] = None
            wrong.append(f"{one.name}: {type(error).__name__}: {error}")
    return {"values": values, "wrong": short("; ".join(wrong))}


def _checked(value: Any) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        raise Nonsense(f"{value} is no number")
    if isinstance(value, int) and abs(value) >= 1 << 64:
        raise Nonsense("the number is too large")
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        raise Nonsense(f"{len(value)} characters, {MOST_CHARACTERS} are allowed")
    if value is not None and type(value) not in (str, int, float, bool):
        raise Nonsense(f"a {type(value).__name__} is neither text, number, yes or no, nor None")
    return value  # type: ignore[no-any-return]


def _set(subsystem: Any, asked: Request) -> None:
    for one in _attributes(subsystem, asked):
        if one.name == asked["name"] and one.set is not None:
            try:
                one.set(asked["value"])
            except ValueError as error:
                raise Refused("EINVAL", str(error) or f"{asked['value']!r} is no good value") from None
            return
    raise Refused("ENOENT", f"there is no {asked['name']} to set any more")


_CALLS: dict[str, Callable[[Any, Request], Any]] = {
    "create": _hook("container"),
    "destroy": _hook("container"),
    "can_attach": _hook("container", "task"),
    "cancel_attach": _hook("container", "task"),
    "attach": _hook("container", "origin", "task"),
    "post_attach": _hook("container", "origin", "task"),
    "populate": _populate,
    "show": _show,
    "set": _set,
}
