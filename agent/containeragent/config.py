# SPDX-License-Identifier: Apache-2.0
"""The agent's configuration: a TOML file, and flags that stand above it.

Every key has the flag of the same name. A missing default file is an empty one; an unknown key is an error.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from containeragent.errors import Refused
from containeragent.metrics import patterns

DEFAULT_FILE = Path("/etc/containeragent/config.toml")
ENGINES = ("auto", "tracepoint", "fentry", "netlink")
_KINDS = {int: "a whole number", float: "a number", str: "a string"}
MOST_SLOTS = 65535  # a slot has 16 bits in an owner word, and 0 is nobody


@dataclass(frozen=True)
class Config:
    """Empty may be `cgroup_root` (found by itself), `socket_group` (root only), `release_agent`, `web_config_file`
    (none).
    """

    bpffs: str = "/sys/fs/bpf/containeragent"
    socket: str = "/run/containeragent/agent.sock"
    socket_group: str = ""
    metrics_address: str = "127.0.0.1:9917"
    web_config_file: str = ""
    cgroup_root: str = ""
    engine: str = "auto"
    slots: int = 16384
    series_cap: int = 50000
    metrics_min_age_seconds: float = 10.0
    metrics_include: str = ""
    metrics_exclude: str = ""
    grace_seconds: int = 300
    throttle_max_seconds: float = 8.0
    rescan_percent: float = 0.25
    drift_seconds: int = 300
    page_containers: int = 2048
    subsystems: str = "all"
    subsystem_seconds: float = 2.0
    release_agent: str = ""


def _check(config: Config, where: str) -> None:
    for key in ("bpffs", "socket"):
        if not getattr(config, key).startswith("/"):
            raise Refused("EINVAL", f"{where}: {key} = {getattr(config, key)!r} is not an absolute path")
    for key in ("cgroup_root", "release_agent", "web_config_file"):
        if getattr(config, key) and not getattr(config, key).startswith("/"):
            raise Refused("EINVAL", f"{where}: {key} = {getattr(config, key)!r} is not an absolute path")
    for key in ("bpffs", "socket", "cgroup_root", "release_agent", "web_config_file"):
        if "\0" in getattr(config, key):
            raise Refused("EINVAL", f"{where}: {key} has a NUL, which no path can have")
    _, colon, port = config.metrics_address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        shown = f"metrics_address = {config.metrics_address!r}"
        raise Refused("EINVAL", f"{where}: {shown} is not HOST:PORT, for example 127.0.0.1:9917")
    if len(os.fsencode(config.socket)) > 107:
        raise Refused("EINVAL", f"{where}: socket is longer than the 107 bytes that a Unix socket's path may have")
    if config.engine not in ENGINES:
        raise Refused("EINVAL", f"{where}: engine = {config.engine!r} is none of {', '.join(ENGINES)}")
    for key in ("metrics_include", "metrics_exclude"):
        try:
            patterns.compiled(getattr(config, key))
        except ValueError as error:
            shown = f"{key} = {getattr(config, key)!r}"
            raise Refused("EINVAL", f"{where}: {shown} is no regular expression (RE2): {error}") from None
    _check_numbers(config, where)


def _check_numbers(config: Config, where: str) -> None:
    if not 16 <= config.slots <= MOST_SLOTS:
        raise Refused("EINVAL", f"{where}: slots = {config.slots} is not between 16 and {MOST_SLOTS}")
    if not 0 <= config.rescan_percent <= 100:
        raise Refused("EINVAL", f"{where}: rescan_percent = {config.rescan_percent} is not between 0 and 100")
    if config.drift_seconds < 0:
        raise Refused("EINVAL", f"{where}: drift_seconds = {config.drift_seconds} is negative; 0 turns it off")
    if not 0 <= config.page_containers <= MOST_SLOTS:
        shown = f"page_containers = {config.page_containers}"
        raise Refused("EINVAL", f"{where}: {shown} is not between 0 (no page) and {MOST_SLOTS}")
    if config.series_cap < 1:
        raise Refused("EINVAL", f"{where}: series_cap = {config.series_cap} is not positive")
    if not 0 <= config.metrics_min_age_seconds <= 86400:
        shown = f"metrics_min_age_seconds = {config.metrics_min_age_seconds}"
        raise Refused("EINVAL", f"{where}: {shown} is not between 0 and 86400 (a day)")
    if not 0.1 <= config.subsystem_seconds <= 60:
        shown = f"subsystem_seconds = {config.subsystem_seconds}"
        raise Refused("EINVAL", f"{where}: {shown} is not between 0.1 and 60")
    if not 1 <= config.throttle_max_seconds <= 3600:
        shown = f"throttle_max_seconds = {config.throttle_max_seconds}"
        raise Refused("EINVAL", f"{where}: {shown} is not between 1 and 3600 (an hour)")
    if not 0 <= config.grace_seconds <= 86400:
        raise Refused("EINVAL", f"{where}: grace_seconds = {config.grace_seconds} is not between 0 and 86400 (a day)")


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Refused("EINVAL", f"{path}: {error}") from None
    known = {field.name: type(field.default) for field in dataclasses.fields(Config)}
    for key, value in values.items():
        if key not in known:
            raise Refused("EINVAL", f"{path}: there is no key {key!r}; known are {', '.join(known)}")
        if type(value) is not known[key] and (known[key], type(value)) != (float, int):
            raise Refused("EINVAL", f"{path}: {key} must be {_KINDS[known[key]]}")
    return values


def read(path: Path | None, flags: dict[str, Any]) -> Config:
    """The file's values under those of the flags that were given (not None)."""
    file = path or DEFAULT_FILE
    try:
        values = _parse(file.read_text(encoding="utf-8"), file)
    except FileNotFoundError:
        if path is not None:
            raise Refused("ENOENT", f"{path} does not exist; name another --config") from None
        values = {}
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("EIO", f"{file} cannot be read: {error}") from None
    given = {key: value for key, value in flags.items() if value is not None}
    config = Config(**(values | given))
    _check(config, str(file) if not given else "configuration")
    return config
