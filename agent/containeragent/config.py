# SPDX-License-Identifier: Apache-2.0
"""The agent's configuration: a TOML file, and flags that stand above it.

Every key has the flag of the same name. A missing default file is an empty one; an unknown key is an error, and so is a
file that others than root, or than who runs the agent, may write. Mistakes are told with their lines.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from containeragent import path_patterns, small_file, toml_file, trust
from containeragent.errors import Refused, reason
from containeragent.toml_file import TomlFile

DEFAULT_FILE = Path("/etc/containeragent/config.toml")
DEFAULT_DEFINITIONS = "/etc/containeragent/containers.d"  # may be missing
DEFAULT_GROUP = "containeragent"  # of deploy/systemd/containeragent.sysusers; where it is missing, root only
ENGINES = ("auto", "tracepoint", "fentry", "netlink")
_KINDS = {int: "a whole number", float: "a number", str: "a string"}
MOST_SLOTS = 1 << 20  # a slot number has 20 bits in an owner word (bpf/records.h)
MOST_CHARTED = 65535


@dataclass(frozen=True)
class Config:
    """Empty may be `cgroup_root` (found by itself), `socket_group` (root only), `release_agent`, `web_config_file`,
    `definitions` (none).
    """

    bpffs: str = "/sys/fs/bpf/containeragent"
    socket: str = "/run/containeragent/agent.sock"
    socket_group: str = DEFAULT_GROUP
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
    definitions: str = DEFAULT_DEFINITIONS


_KEYS = {field.name: type(field.default) for field in dataclasses.fields(Config)}
_MOST_UNKNOWN = 100  # that are told one by one

Mistake = tuple[str, str]  # a key, and what is wrong with it


def _mistakes(config: Config) -> Iterator[Mistake]:
    yield from _mistakes_in_paths(config)
    yield from _mistakes_in_numbers(config)
    _, colon, port = config.metrics_address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        shown = f"metrics_address = {config.metrics_address!r}"
        yield "metrics_address", f"{shown} is not HOST:PORT, for example 127.0.0.1:9917"
    if config.engine not in ENGINES:
        yield "engine", f"engine = {config.engine!r} is none of {', '.join(ENGINES)}"
    for key in ("metrics_include", "metrics_exclude"):
        try:
            path_patterns.compiled(getattr(config, key))
        except ValueError as error:
            yield key, f"{key} = {getattr(config, key)!r} is no regular expression (RE2): {error}"


def _mistakes_in_paths(config: Config) -> Iterator[Mistake]:
    for key in ("bpffs", "socket", "cgroup_root", "release_agent", "web_config_file", "definitions"):
        value = getattr(config, key)
        if not value.startswith("/") and (value or key in ("bpffs", "socket")):
            yield key, f"{key} = {value!r} is not an absolute path"
        if "\0" in value:
            yield key, f"{key} has a NUL, which no path can have"
    if len(os.fsencode(config.socket)) > 107:
        yield "socket", "socket is longer than the 107 bytes that a Unix socket's path may have"


def _mistakes_in_numbers(config: Config) -> Iterator[Mistake]:
    if not 16 <= config.slots <= MOST_SLOTS:
        yield "slots", f"slots = {config.slots} is not between 16 and {MOST_SLOTS}"
    if not 0 <= config.rescan_percent <= 100:
        yield "rescan_percent", f"rescan_percent = {config.rescan_percent} is not between 0 and 100"
    if config.drift_seconds < 0:
        yield "drift_seconds", f"drift_seconds = {config.drift_seconds} is negative; 0 turns it off"
    if not 0 <= config.page_containers <= MOST_CHARTED:
        shown = f"page_containers = {config.page_containers}"
        yield "page_containers", f"{shown} is not between 0 (no page) and {MOST_CHARTED}"
    if config.series_cap < 1:
        yield "series_cap", f"series_cap = {config.series_cap} is not positive"
    if not 0 <= config.metrics_min_age_seconds <= 86400:
        shown = f"metrics_min_age_seconds = {config.metrics_min_age_seconds}"
        yield "metrics_min_age_seconds", f"{shown} is not between 0 and 86400 (a day)"
    if not 0.1 <= config.subsystem_seconds <= 60:
        yield "subsystem_seconds", f"subsystem_seconds = {config.subsystem_seconds} is not between 0.1 and 60"
    if not 1 <= config.throttle_max_seconds <= 3600:
        shown = f"throttle_max_seconds = {config.throttle_max_seconds}"
        yield "throttle_max_seconds", f"{shown} is not between 1 and 3600 (an hour)"
    if not 0 <= config.grace_seconds <= 86400:
        yield "grace_seconds", f"grace_seconds = {config.grace_seconds} is not between 0 and 86400 (a day)"


def _wrong_keys(file: TomlFile) -> Iterator[tuple[str, Refused]]:
    unknown = [key for key in file.values if key not in _KEYS]
    for key in unknown[:_MOST_UNKNOWN]:
        yield key, file.mistake(toml_file.no_such_key(key, _KEYS), key)
    if len(unknown) > _MOST_UNKNOWN:
        more = len(unknown) - _MOST_UNKNOWN
        yield "", small_file.refusal(file.path, f"there are {more} more keys that nobody knows")
    for key, value in file.values.items():
        kind = _KEYS.get(key, type(value))
        if type(value) is not kind and (kind, type(value)) != (float, int):
            yield key, file.mistake(f"{key} must be {_KINDS[kind]}", key)


def _parsed(path: Path | None) -> tuple[TomlFile, str | None]:
    """And why it is not to be trusted."""
    file = path or DEFAULT_FILE
    if str(file) == os.devnull:  # nothing is configured then, wherever one names it
        return TomlFile(file, "", {}), None
    try:
        raw, found = small_file.read(file, follow=True)
    except FileNotFoundError:
        if path is None and not file.is_symlink():
            return TomlFile(file, "", {}), None
        what = "is a link that leads nowhere" if file.is_symlink() else "does not exist"
        raise Refused("ENOENT", f"{file} {what}; name another --config") from None
    except OSError as error:
        raise Refused("EIO", f"{file} cannot be read: {reason(error)}") from None
    return toml_file.parse(file, raw), trust.distrust(file, found, or_own=True)


def examine(path: Path | None, flags: dict[str, Any]) -> tuple[Config, list[Refused]]:
    """The file's values under those of the flags that were given (not None), and all that is wrong with them.

    With mistakes the configuration is only good to go on looking for others. Refused when there is nothing to look at.
    """
    file, why = _parsed(path)
    given = {key: value for key, value in flags.items() if value is not None}
    wrong = dict(_wrong_keys(file))
    good = {key: value for key, value in file.values.items() if key in _KEYS and key not in wrong}
    config = Config(**(good | given))
    mistakes = [small_file.refusal(file.path, why)] if why else []
    mistakes += wrong.values()
    for key, message in _mistakes(config):
        in_file = key in file.values and key not in given
        mistakes.append(file.mistake(message, key) if in_file else Refused("EINVAL", f"configuration: {message}"))
    return config, mistakes


def read(path: Path | None, flags: dict[str, Any]) -> Config:
    """The same; refused for the first mistake."""
    config, mistakes = examine(path, flags)
    if mistakes:
        raise mistakes[0]
    return config
