# SPDX-License-Identifier: Apache-2.0
"""The wheel: what is built from the checkout works without it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands, and the wheel in it as pip installs it; what it needs is that of this Python."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return target


@pytest.fixture
def pins() -> Iterator[Path]:
    """A folder of pins of this test's own."""
    folder = Path(f"/sys/fs/bpf/test-wheel-{os.getpid()}")
    yield folder
    if folder.exists():
        shutil.rmtree(folder)


def run(installed: Path, *line: str) -> subprocess.CompletedProcess[str]:
    """One of its commands, away from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [installed / "bin" / line[0], *line[1:]], capture_output=True, text=True, cwd="/", env=environment, check=False
    )


def test_versions_agree(installed: Path) -> None:
    """Both commands, the wheel's metadata, and the checkout's."""
    (found,) = importlib.metadata.distributions(path=[str(installed)])
    assert found.name == "containeragent"
    assert run(installed, "containeragent", "--version").stdout == f"containeragent {found.version}\n"
    assert run(installed, "containerctl", "--version").stdout == f"containerctl {found.version}\n"
    assert importlib.metadata.version("containeragent") == found.version


def test_it_has_what_is_no_python(installed: Path) -> None:
    """The BPF sources, their headers, and the page."""
    package = installed / "containeragent"
    for folder, kinds in (("bpf", (".c", ".h")), ("page/web", (".html", ".css", ".js"))):
        there = {str(path.relative_to(package / folder)) for path in (package / folder).rglob("*") if path.is_file()}
        source = ROOT / "bpf" if folder == "bpf" else ROOT / "agent/containeragent" / folder
        wanted = {str(path.relative_to(source)) for path in source.rglob("*") if path.suffix in kinds}
        assert wanted and wanted <= there


def test_it_loads(installed: Path, pins: Path) -> None:
    """Its own sources; they count, and go away again."""
    loaded = run(installed, "containeragent", "load", "--bpffs", str(pins))
    assert loaded.returncode == 0, loaded.stderr
    assert "counting in" in loaded.stdout and (pins / "live").is_dir()
    line = [sys.executable, "-c", "from containeragent.loader import sources; print(sources.folder())"]
    environment = {"PYTHONPATH": str(installed)}
    where = subprocess.run(line, capture_output=True, text=True, check=True, cwd="/", env=environment)
    assert where.stdout.strip() == str(installed / "containeragent/bpf")
    assert run(installed, "containeragent", "unload", "--bpffs", str(pins)).returncode == 0
    assert not (pins / "live").exists()
