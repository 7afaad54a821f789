# SPDX-License-Identifier: Apache-2.0
"""Who may do what: the one place that decides.

In: an operation, a container, and a caller by the credentials of the socket (SO_PEERCRED). Out: nothing, or Refused.
Who may use the socket at all, root and the members of one group, may read everything. To change something a user must
own a container. As with delegation of cgroups, what is in it is the owner's, and the container itself is that of
whoever gave it: an owner does not lift its limits. Called under the lock of changes, so names stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from containeragent.cgroups import names
from containeragent.cgroups.tree import Parts
from containeragent.containers.caller import Caller
from containeragent.containers.owners import Owners
from containeragent.errors import Refused
from containeragent.host import users

ROOT = 0


class Who(Enum):
    """Root, always; and besides?"""

    INSIDE = "who owns the container or one that it is in"
    ABOVE = "who owns one that it is in"


@dataclass(frozen=True)
class Rule:
    """Who may do something, and what to call it."""

    who: Who
    verb: str


# Every operation that changes something; all others are for whoever may use the socket.
RULES = {
    "create": Rule(Who.ABOVE, "create"),
    "remove": Rule(Who.ABOVE, "remove"),
    "rename": Rule(Who.ABOVE, "rename"),
    "limit": Rule(Who.ABOVE, "change limits of"),
    "set": Rule(Who.ABOVE, "set attributes of"),
    "notify": Rule(Who.ABOVE, "change what happens at the release of"),
    "own": Rule(Who.ABOVE, "give away"),
    "kill": Rule(Who.INSIDE, "end the tasks of"),
    "attach": Rule(Who.INSIDE, "move tasks into"),
    "charge": Rule(Who.INSIDE, "charge files to"),
    "take out": Rule(Who.INSIDE, "move tasks out of"),
}


class Permissions:
    """Of the containers in one tree."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners

    def demand(self, operation: str, parts: Parts, caller: Caller) -> None:
        """Refused unless the caller may do this with the container; it need not be there."""
        if caller.uid == ROOT:
            return
        rule = RULES[operation]
        allowed = self._allowed(rule.who, parts)
        if caller.uid not in allowed:
            who = " and ".join(["root", *(f"user {users.name_of(uid)}" for uid in allowed if uid != ROOT)])
            message = f"only {who} may {rule.verb} container {names.join(parts)}"
            raise Refused("EACCES", f"{message}; use sudo, or ask root for a container of your own (create --owner)")

    def _allowed(self, who: Who, parts: Parts) -> list[int]:
        if who is Who.INSIDE:
            return self._owners.over(parts)
        return self._owners.over(parts[:-1]) if parts else []

    def demand_way(self, origin: Parts | None, target: Parts, caller: Caller) -> None:
        """Refused unless the caller may move tasks into a container, and out of the one that they are in.

        Who owns nothing there takes no task out of what limits it; `origin` is None for tasks that are in no container.
        """
        self.demand("attach", target, caller)
        if origin is not None and target[: len(origin)] != origin:
            self.demand("take out", origin, caller)
