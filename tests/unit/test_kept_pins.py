# SPDX-License-Identifier: Apache-2.0
"""Pins that somebody removed: put back, or said once why not."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from containeragent.counters.kept_pins import KeptPins
from containeragent.errors import Refused
from containeragent.pins import Pins

HELD = {"maps": {"rows": 3}, "programs": {}, "links": {"mm_page_free": 4}}


class Folder(Pins):
    """Pins without a BPF file system; `refused` says why they cannot be put back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.there: dict[str, list[str]] = {}
        self.refused = ""

    def names(self, kind: str) -> list[str]:
        """Of what is there."""
        return self.there.get(kind, [])

    @contextlib.contextmanager
    def loader_lock(self) -> Iterator[None]:
        """Or not."""
        if self.refused:
            raise Refused("EROFS", self.refused)
        yield

    def publish(
        self, objects: Mapping[str, Mapping[str, int]], number: int | None = None, take: Callable[[], None] = print
    ) -> None:
        """Everything."""
        self.there = {kind: list(names) for kind, names in objects.items()}
        self.agent.mkdir(exist_ok=True)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """With what is held."""
    made = Folder(tmp_path)
    made.publish(HELD)
    return made


def test_put_back(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """What is missing, and nothing is said where nothing is."""
    kept = KeptPins(folder, contextlib.ExitStack())
    kept.look_after(HELD)
    assert not caplog.records
    folder.there["links"] = []
    kept.look_after(HELD)
    assert folder.there["links"] == ["mm_page_free"] and kept.not_put_back == ""
    assert [record.levelno for record in caplog.records] == [logging.ERROR] and "are put back" in caplog.text


def test_not_put_back(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """Said once, tried again each time."""
    kept = KeptPins(folder, contextlib.ExitStack())
    folder.there, folder.refused = {}, "read-only file system"
    for _ in range(3):
        kept.look_after(HELD)
    assert kept.not_put_back == "read-only file system"
    assert caplog.text.count("cannot be put back") == 1
    folder.refused = ""
    kept.look_after(HELD)
    assert folder.there["maps"] == ["rows"] and kept.not_put_back == ""


def test_the_lock_goes_with_the_folder(folder: Folder) -> None:
    """It is taken anew."""
    folder.agent.rmdir()
    folder.there = {}
    with contextlib.ExitStack() as locks:
        KeptPins(folder, locks).look_after(HELD)
        with pytest.raises(Refused, match="an agent is running"), folder.agent_lock():
            pass
