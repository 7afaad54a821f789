# SPDX-License-Identifier: Apache-2.0
"""The dashboard of deploy/grafana, and its queries as Grafana would ask them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "deploy/grafana/containeragent.json").read_text()
)


def filled(expression: str, variables: Mapping[str, str]) -> str:
    """With Grafana's variables filled in; none is left."""
    for variable, value in variables.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression
