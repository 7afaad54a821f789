# SPDX-License-Identifier: Apache-2.0
"""Every key of the configuration: defaults from the code, words from deploy/systemd/config.toml."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from containeragent.config import Config
from docs.from_code.markdown import code, table

_ESCAPED = re.compile(r"([\[\]*<>])(?=(?:[^`]*`[^`]*`)*[^`]*$)")  # not within code
_KEY = re.compile(r"#(\w+) = ")
DEFAULT_FILE = Path(__file__).parents[2] / "deploy" / "systemd" / "config.toml"


def words() -> dict[str, str]:
    """What the comment above each key, or each few keys, says."""
    found: dict[str, str] = {}
    for block in DEFAULT_FILE.read_text().split("\n\n"):
        lines = block.strip().splitlines()
        keys = [match[1] for line in lines if (match := _KEY.match(line))]
        comment = _ESCAPED.sub(
            r"\\\1", " ".join(line.removeprefix("#").strip() for line in lines if not _KEY.match(line))
        )
        found |= dict.fromkeys(keys, comment)
    return found


def text() -> str:
    """A table."""
    said = words()
    rows = [
        [code(field.name), code(f"--{field.name.replace('_', '-')}"), code(_shown(field.default)), said[field.name]]
        for field in dataclasses.fields(Config)
    ]
    return table(["key", "flag", "default", "what it is"], rows)


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
