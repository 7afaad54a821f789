# SPDX-License-Identifier: Apache-2.0
"""Names of containers: what may be one, and how any cgroup's name is shown."""

from __future__ import annotations

from containeragent.errors import Refused

LEAF = "-tasks"  # holds a container's tasks where cgroup v2 wants them in a leaf; no user's name begins with a dash
AGENT = "-agent"  # holds the agent itself where it runs inside the cgroup root
EXCESS = "-excess"  # holds tasks that are being ended because a task limit was exceeded: limits/ending.py
OWN = (LEAF, AGENT, EXCESS)

COMPONENT_BYTES = 255  # NAME_MAX
_NAME_BYTES = 3072  # so that the path with the mount point and a control file stays below PATH_MAX
# Controllers of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst): their control files begin with these words.
CONTROLLERS = frozenset("cpu cpuset io memory hugetlb pids rdma misc irq perf_event dmem debug devices freezer".split())


def _refuse(name: str, why: str) -> Refused:
    shown = name if len(name) <= 80 else name[:77] + "..."
    escaped = shown.encode("unicode_escape").decode()
    return Refused("EINVAL", f"'{escaped}' is not a container name: {why}")


def _check_component(name: str, part: str) -> None:
    if not part:
        raise _refuse(name, "it has an empty component; write /parent/child with single slashes")
    if part in (".", ".."):
        raise _refuse(name, f"{part} is not allowed in it; write the path from the cgroup root")
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in part):
        raise _refuse(name, "it has control characters")
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        raise _refuse(name, "it is not UTF-8") from None
    if size > COMPONENT_BYTES:
        raise _refuse(name, f"a component has {size} bytes, {COMPONENT_BYTES} are allowed")
    if part.startswith("-"):
        raise _refuse(name, "a component begins with a dash")
    word, dot, _ = part.partition(".")
    if dot and (word == "cgroup" or word in CONTROLLERS):
        raise _refuse(name, f"cgroup v2 reserves names that begin with {word}.")


def parse(name: object) -> tuple[str, ...]:
    """Components of a container's name; () for the cgroup root itself. A missing leading slash is forgiven."""
    if not isinstance(name, str) or not name:
        raise _refuse(str(name or ""), "it is empty")
    if name == "/":
        return ()
    if len(name.encode(errors="surrogatepass")) > _NAME_BYTES:
        raise _refuse(name, f"it has more than {_NAME_BYTES} bytes")
    parts = tuple(name.removeprefix("/").split("/"))
    for part in parts:
        _check_component(name, part)
    return parts


def join(parts: tuple[str, ...]) -> str:
    """The name of components."""
    return "/" + "/".join(parts)
