# SPDX-License-Identifier: Apache-2.0
"""Documents of the API come in; JSON for scripts, and escaped text and bytes with units for people go out."""

import datetime
import json
import sys
from collections.abc import Sequence
from typing import Any

import click

UNKNOWN = "-"
PARTIAL_FOOTNOTE = "~ counted only in part: pages from before the agent's counting began are missing"


def emit_json(document: object) -> None:
    """One document on stdout; indented where a person looks at it."""
    # ASCII only (json's default), so a name's bytes neither reach the terminal raw nor depend on the locale.
    click.echo(json.dumps(document, indent=2 if on_terminal() else None))


def on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def escape(text: str) -> str:
    r"""Text that is safe on a terminal: control characters, direction marks, bytes that are not UTF-8 as \xNN."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    try:
        raw = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def size(count_bytes: int) -> str:
    """Bytes with a unit, in powers of 1024."""
    if count_bytes < 1024:
        return f"{count_bytes} B"
    amount, units = count_bytes / 1024, ["PiB", "TiB", "GiB", "MiB", "KiB"]
    # 1023.96 would be shown as 1024.0 of the smaller unit
    while round(amount, 1) >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop()
    return f"{amount:.1f} {units[-1]}"


def pages(document: dict[str, Any], key: str) -> str:
    """A counter of pages as bytes with a unit; `~` in front when the agent knows that it is incomplete."""
    count, page_size = document.get(key), document.get("page_size")
    if not isinstance(count, int) or not isinstance(page_size, int):
        return UNKNOWN
    return ("~" if document.get("partial_pages") else "") + size(count * page_size)


def value(found: object) -> str:
    """Any JSON value for people; null, which is unknown, is `-`."""
    match found:
        case None:
            return UNKNOWN
        case bool():
            return "yes" if found else "no"
        case dict():
            return ", ".join(f"{escape(str(key))} {value(item)}" for key, item in found.items())
    return escape(str(found))


def workload(found: object) -> str:
    """Whose a cgroup is: runtime and name, in a pod NAMESPACE/POD/NAME; the beginning of the id for no name."""
    if not isinstance(found, dict):
        return UNKNOWN
    name = str(found.get("name") or str(found.get("id") or "")[:12])
    pod = str(found.get("pod") or str(found.get("pod_uid") or "")[:12])
    namespace = str(found.get("namespace") or "")
    return escape(" ".join(filter(None, (str(found.get("runtime")), "/".join(filter(None, (namespace, pod, name)))))))


def local_time(text: object) -> str:
    """The agent's UTC as the clock on the wall, to the millisecond; `-` when there is none."""
    try:
        moment = datetime.datetime.fromisoformat(str(text))
    except ValueError:
        return UNKNOWN
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Aligned keys and values, one a line."""
    width = max(len(key) for key, _ in rows)
    return "\n".join(f"{key:<{width}}  {text}" for key, text in rows)
