# SPDX-License-Identifier: Apache-2.0
"""The reference in docs/ is whole: what is made from the code is shown, and has everything. Sphinx checks the rest."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from click import Group

from containeragent.config import Config
from containeragent.main import cli as agent
from containerctl.main import cli as ctl
from docs.from_code import api, commands, configuration, metrics

DOCS = Path(__file__).parents[2] / "docs"
NO_PARTS = {"__init__", "markdown"}


def test_every_part_has_its_page() -> None:
    """And no page asks for one that is not there."""
    pages = "\n".join(page.read_text() for page in DOCS.rglob("*.md"))
    asked = re.findall(r"^<!-- from the code: (\w+) -->$", pages, re.MULTILINE)
    assert sorted(asked) == sorted({part.stem for part in (DOCS / "from_code").glob("*.py")} - NO_PARTS)


def test_every_key_is_explained() -> None:
    """In the words of the default configuration, which has no other keys."""
    assert set(configuration.words()) == {field.name for field in dataclasses.fields(Config)}
    assert all(configuration.words().values())


def test_every_command_is_there() -> None:
    """With its own help."""
    shown = commands.text()
    groups: dict[str, Group] = {"containerctl": ctl, "containeragent": agent}
    for program, group in groups.items():
        for name, command in group.commands.items():
            assert f"### {program} {name}\n" in shown or command.hidden
            assert command.hidden or f"Usage: {program} {name}" in shown


def test_every_metric_has_labels_and_words() -> None:
    """The samples that the pages are made of leave none out."""
    found = metrics.families()
    assert len(found) == len({family.name for family in found}) > 30
    assert all(family.labels and family.help.endswith(".") for family in found)


def test_every_object_of_the_api_has_a_heading() -> None:
    """Links lead there."""
    shown = api.text()
    wanted = set(re.findall(r"\]\(#(\w+)\)", shown))
    assert wanted <= {heading.lower() for heading in re.findall(r"^### (\w+)$", shown, re.MULTILINE)}
