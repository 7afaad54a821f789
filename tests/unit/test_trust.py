# SPDX-License-Identifier: Apache-2.0
"""Whose a file is, and all that leads to it. Owners are set, so that these are for root, or only compared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from containeragent import small_file, trust

OTHER = 12345


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMP/a/b/file, below which everything is root's, whoever runs the tests."""
    monkeypatch.setattr(trust, "_ROOT", os.getuid())
    real = trust.way_to

    def way(path: Path) -> Iterator[Path]:
        return (place for place in real(path) if place.is_relative_to(tmp_path))

    monkeypatch.setattr(trust, "way_to", way)
    made = tmp_path / "a" / "b" / "file"
    made.parent.mkdir(parents=True)
    made.write_text("x")
    return made


def why(file: Path, *, or_own: bool = False) -> str | None:
    """Of a file that is opened and then judged."""
    _, found = small_file.read(file, follow=True)
    return trust.distrust(file, found, or_own=or_own)


def chown(path: Path) -> None:
    """To somebody else, where that may be done."""
    if os.getuid():
        pytest.skip("only root gives files away")
    os.chown(path, OTHER, -1, follow_symlinks=False)


@pytest.mark.parametrize("mode, trusted", [(0o644, True), (0o600, True), (0o664, False), (0o646, False)])
def test_who_may_write_it(file: Path, mode: int, trusted: bool) -> None:
    """Its owner, who is root; neither a group nor others."""
    file.chmod(mode)
    assert (why(file) is None) is trusted
    if not trusted:
        assert why(file) == f"others than root may write it; chown root {file} && chmod go-w {file}"


def test_whose_it_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's; our own user's counts only where that is said."""
    monkeypatch.setattr(trust, "_ROOT", OTHER)
    said = why(file)
    assert said and "others than root may write it" in said
    assert why(file, or_own=True) is None
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    assert why(file, or_own=True)


@pytest.mark.parametrize("mode, trusted", [(0o755, True), (0o775, False), (0o757, False), (0o1777, True)])
@pytest.mark.parametrize("above", ["a/b", "a"])
def test_folders_above(file: Path, tmp_path: Path, above: str, mode: int, trusted: bool) -> None:
    """All of them; in a sticky one others cannot take the place of what is root's."""
    folder = tmp_path / above
    folder.chmod(mode)
    assert why(file) == (None if trusted else f"others than root may write {folder}, which it is in")


def test_folders_of_others(file: Path) -> None:
    """Sticky or not."""
    chown(file.parent)
    file.parent.chmod(0o1755)
    assert why(file) == f"others than root may write {file.parent}, which it is in"


def test_a_mount_that_nobody_writes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ConfigMap's folder has mode 0777 and is mounted read-only."""
    file.parent.chmod(0o777)
    assert why(file)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY | os.ST_NODEV))
    assert why(file) is None


@pytest.mark.parametrize(
    "target", ["a/b/file", "./a/../a/b/file", "ABSOLUTE", "second", "folder/file", "folder/../b/file"]
)
def test_links_are_followed(file: Path, tmp_path: Path, target: str) -> None:
    """What they pass counts as if it were named: every folder, however it is reached."""
    (tmp_path / "second").symlink_to("a/b/file")
    (tmp_path / "folder").symlink_to("a/b")
    link = tmp_path / "link"
    link.symlink_to(target.replace("ABSOLUTE", str(file)))
    assert why(link) is None
    file.parent.chmod(0o777)
    assert why(link) == f"others than root may write {file.parent}, which it is in"


def test_a_folder_that_a_link_is_in(file: Path, tmp_path: Path) -> None:
    """Others could have it lead elsewhere, also to another file of root's."""
    open_for_all = tmp_path / "open"
    open_for_all.mkdir()
    open_for_all.chmod(0o777)
    (open_for_all / "link").symlink_to(file)
    assert why(open_for_all / "link") == f"others than root may write {open_for_all}, which it is in"
    (tmp_path / "to-link").symlink_to(open_for_all / "link")
    assert why(tmp_path / "to-link") == f"others than root may write {open_for_all}, which it is in"


def test_a_link_of_others(file: Path, tmp_path: Path) -> None:
    """In a sticky folder it is theirs to change."""
    tmp_path.chmod(0o1777)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert why(link) is None
    chown(link)
    assert why(link) == f"others than root may change the link {link}, which leads to it"


def test_what_is_replaced_after_it_was_opened(file: Path, tmp_path: Path) -> None:
    """What was opened is judged; a way that is gone by then, or has no end, is none."""
    _, found = small_file.read(file, follow=True)
    file.chmod(0o666)
    assert why(file) and trust.distrust(file, found) is None
    file.parent.rename(tmp_path / "c")
    said = trust.distrust(file, found)
    assert said == "the way to it changes at this moment: no such file or directory"
    file.parent.symlink_to("b")
    said = trust.distrust(file, found)
    assert said == "the way to it changes at this moment: too many levels of symbolic links"


def test_the_whole_way(tmp_path: Path) -> None:
    """From / on; the file itself is not on it, a link in its place is."""
    (tmp_path / "b").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "link").symlink_to("../b/file")
    ways = list(trust.way_to(tmp_path / "a" / "link"))
    above = [*reversed(tmp_path.parents), tmp_path]
    assert ways == [
        *above,
        tmp_path / "a",
        *above[1:],
        tmp_path / "b",
        tmp_path / "b" / "link",
        tmp_path,
        tmp_path / "b",
    ]
