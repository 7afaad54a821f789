# SPDX-License-Identifier: Apache-2.0
"""The man pages: groff finds nothing to warn of, and every command and option is on them."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from containeragent.config import Config
from containeragent.definitions.format import KEYS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they are made."""
    made = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, "deploy/man_pages.py", str(made)], check=True, cwd=ROOT)
    return made


@pytest.mark.parametrize(
    "page, verbs", [("man1/containerctl.1", "run top ls"), ("man8/containeragent.8", "load check")]
)
def test_rendered(folder: Path, page: str, verbs: str) -> None:
    """As `man` shows it, without a warning; examples keep their lines."""
    line = ["groff", "-man", "-Tutf8", "-P-cbou", "-ww", "-rLL=100n", str(folder / page)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    text, name = done.stdout, Path(page).stem
    for heading in ("NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "EXIT STATUS", "FILES", "SEE ALSO"):
        assert re.search(f"^{heading}$", text, re.MULTILINE)
    for verb in verbs.split():
        usage = subprocess.run(
            [sys.executable, "-m", name, verb, "--help"], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
        section = re.search(rf"^   {verb}$(.*?)(?=^ {{0,3}}\S)", text, re.MULTILINE | re.DOTALL)
        assert section
        options = set(re.findall(r"--[a-z][a-z-]+", usage))
        assert options and options <= set(re.findall(r"--[a-z][a-z-]+", section[1]))
        examples = [one.strip() for one in usage.splitlines() if one.strip().startswith(f"{name} {verb}")]
        assert examples and all(example in section[1] for example in examples)


@pytest.mark.parametrize(
    "page, words",
    [
        ("containeragent-config", {field.name for field in dataclasses.fields(Config)}),
        ("containeragent-definitions", set(KEYS)),
    ],
)
def test_pages_of_files(folder: Path, page: str, words: set[str]) -> None:
    """Every key is on it, and nothing in it is taken for a request or a hyphen of roff's."""
    line = ["groff", "-man", "-Tutf8", "-P-cbou", "-ww", "-rLL=100n", str(folder / f"man5/{page}.5")]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert words <= set(re.findall(r"^       (\w+)(?: =|$|  )", done.stdout, re.MULTILINE))
    assert page != "containeragent-config" or '       engine = "auto"\n' in done.stdout
