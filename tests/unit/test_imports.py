# SPDX-License-Identifier: Apache-2.0
"""Data flows one way: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "agent/containeragent"

# Folders and modules that a part must not know: those that come after it in the flow of data.
FORBIDDEN = {
    "events": ("loader", "counters", "containers", "api", "metrics", "agent", "doctor", "cgroups", "host"),
    "counters": ("loader", "containers", "api", "metrics", "agent", "doctor", "cgroups", "events"),
    "host": ("loader", "counters", "containers", "api", "metrics", "agent", "cgroups", "limits"),
    "cgroups": ("loader", "counters", "containers", "api", "metrics", "agent", "limits"),
    "limits": ("loader", "containers", "api", "metrics", "agent"),
    "containers": ("loader", "api", "metrics", "agent", "page", "definitions"),
    "definitions": ("loader", "counters", "api", "metrics", "agent", "page"),
    "subsystems": ("loader", "containers", "api", "metrics", "agent", "definitions"),
    "loader": ("containers", "api", "metrics", "agent", "cgroups"),
    "api": ("loader", "counters", "metrics", "agent", "page"),
    "release": ("loader", "api", "metrics", "agent"),
    "page": ("loader", "metrics", "agent"),
    "metrics": ("loader", "api", "agent"),
    "agent.py": ("loader",),
}


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _sources(part: Path) -> list[Path]:
    return [part] if part.suffix == ".py" else sorted(part.rglob("*.py"))


@pytest.mark.parametrize("part", FORBIDDEN)
def test_no_import_against_the_flow(part: str) -> None:
    """A part knows what comes before it, never what comes after."""
    forbidden = {f"containeragent.{name}" for name in FORBIDDEN[part]}
    sources = _sources(PACKAGE / part)
    assert sources
    for source in sources:
        assert not _imported(source) & forbidden, source


def test_bcc_is_imported_in_one_module() -> None:
    """It brings the compiler's memory along."""
    importers = [path for path in _sources(PACKAGE) if "bcc" in _imported(path)]
    assert importers == [PACKAGE / "loader/compiler.py"]


def test_the_command_line_tool_knows_only_the_api() -> None:
    """It imports nothing of the agent, nor what the agent counts with."""
    for source in _sources(ROOT / "cli/containerctl"):
        tops = {name.split(".")[0] for name in _imported(source)}
        assert not tops & {"containeragent", "numpy", "bcc", "prometheus_client", "cheroot"}, source


@pytest.mark.parametrize("module", ["containeragent.agent", "containerctl.main"])
def test_openssl_is_loaded_for_tls_alone(module: str) -> None:
    """It is 4 MiB of the agent's memory, and a tenth of the time that a command takes; and it can be had afterwards."""
    code = (
        f"import sys; before = set(sys.modules); import {module}; new = set(sys.modules) - before\n"
        "assert not new & {'ssl', '_ssl', 'hashlib', '_hashlib'}, new\n"
        "import ssl; assert ssl.OPENSSL_VERSION"
    )
    environment = {"PYTHONPATH": f"{ROOT / 'agent'}:{ROOT / 'cli'}"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
