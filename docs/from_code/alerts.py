# SPDX-License-Identifier: Apache-2.0
"""The alerts and recording rules of deploy/prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from docs.from_code.markdown import code, table

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"


def _rules(file: str) -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((FOLDER / file).read_text())["groups"]:
        yield from group["rules"]


def text() -> str:
    """A table each."""
    alerts = [
        [code(rule["alert"]), rule["labels"]["severity"], code(rule["expr"]), str(rule.get("for", "at once"))]
        for rule in _rules("alerts.yml")
    ]
    records = [[code(rule["record"]), code(rule["expr"])] for rule in _rules("rules.yml")]
    return (
        f"## Alerts\n\n{table(['alert', 'severity', 'when', 'for'], alerts)}\n"
        f"## Recording rules\n\n{table(['series', 'from'], records)}"
    )
