# SPDX-License-Identifier: Apache-2.0
"""The bench's pure parts: QEMU's command line, what an image depends on, how an end is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.vm import build, image, mirrors, payload, suite
from tests.vm.__main__ import ROOT, arguments, parser
from tests.vm.errors import Unusable
from tests.vm.outcome import LOST, TIMED_OUT, Outcome, decode, worst
from tests.vm.qemu import Machine

PANIC = "[    2.1] Kernel panic - not syncing: VFS\r\n[    2.2] ---[ end Kernel panic ]---\r\n"


@pytest.mark.parametrize("status", [0, 1, 7, 124, 125, 139])
def test_the_status_that_the_guest_gave(status: int) -> None:
    """It counts whatever QEMU's own is, and is the command's even where the bench has a meaning of its own for it."""
    assert decode(f"exit {status}\r\n", "", 0, 60) == decode(f"exit {status}\n", PANIC, None, 60) == Outcome(status)


@pytest.mark.parametrize("line", ["", "exit", "exit \n", "exit 1", "exi"])
def test_a_lost_guest(line: str) -> None:
    """No whole line came: not a failed test; the end of the console says why."""
    ended = decode(line, "boring\n" * 100 + PANIC, 0, 60)
    assert ended.status == LOST
    assert "lost" in ended.message and "end Kernel panic" in ended.message and "\r" not in ended.message
    assert ended.message.count("boring") < 80


def test_out_of_time() -> None:
    """QEMU was ended, which is neither the guest's fault nor a test's."""
    ended = decode("", "", None, 1.5)
    assert ended.status == TIMED_OUT
    assert ended.message.startswith("no end within 1.5 s") and ended.message.endswith("(nothing)")


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 1], 1),
        ([2, 1], 2),
        ([1, LOST], LOST),
        ([1, TIMED_OUT], TIMED_OUT),
        ([124, 125], LOST),
    ],
)
def test_one_status_for_several(statuses: list[int], expected: int) -> None:
    """A lost guest is said first, because the others may have passed."""
    assert worst(statuses) == expected


def _machine(kvm: bool = False, disk: str = "/c/root.ext4") -> list[str]:
    kernel, payload_file, console, status = (Path("/w") / name for name in ("kernel", "payload", "console", "status"))
    return Machine(kernel, Path(disk), payload_file, console, status, memory_mib=512, kvm=kvm).command_line()


def test_command_line() -> None:
    """Nothing is written to the disk, and nothing but the three serial lines is there."""
    line = _machine()
    drives = [line[at + 1] for at, word in enumerate(line) if word == "-drive"]
    assert drives == [
        "id=root,if=none,format=raw,file=/c/root.ext4,snapshot=on",
        "id=payload,if=none,format=raw,file=/w/payload,readonly=on",
    ]
    serial = [line[at + 1] for at, word in enumerate(line) if word == "-serial"]
    assert serial == ["file:/w/console", "chardev:output", "file:/w/status"]
    assert "-no-reboot" in line and "-nodefaults" in line and line[line.index("-m") + 1] == "512"


def test_emulated_and_not() -> None:
    """What only helps the emulation is left out with KVM."""
    assert "tcg,thread=single" in _machine() and "clearcpuid=cx16" in " ".join(_machine())
    assert "kvm" in _machine(kvm=True) and "clearcpuid" not in " ".join(_machine(kvm=True))


def test_comma_in_a_path() -> None:
    """It would end the option."""
    assert "file=/a,,b/root.ext4," in " ".join(_machine(disk="/a,b/root.ext4"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What of a checkout goes into an image."""
    for name in build.FROM_TREE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_key_is_of_the_contents(tree: Path) -> None:
    """Not of where they are, or when they were written."""
    assert image.key(tree) == image.key(ROOT)
    os.utime(tree / "pyproject.toml", (1, 1))
    assert image.key(tree) == image.key(ROOT)


@pytest.mark.parametrize("name", build.FROM_TREE)
def test_key_of_a_change(tree: Path, name: str) -> None:
    """Another image."""
    (tree / name).write_text((tree / name).read_text() + "\n")
    assert image.key(tree) != image.key(ROOT)


def test_prune(tmp_path: Path) -> None:
    """The latest stay, and what is in use; what an interrupted build left goes."""
    now = time.time()
    for age, name in enumerate(["new", "used", "old", "older"]):
        (tmp_path / name / "inside").mkdir(parents=True)
        os.utime(tmp_path / name, (now - age, now - age))
    (tmp_path / f"gone{build.UNFINISHED}").mkdir()
    with image.locked(tmp_path / "older"):
        image.prune(tmp_path, kept=2)
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["new", "older", "used"]
    image.prune(tmp_path, kept=2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["new", "used"]


TARGETS = """\
bookworm https://one.example/debian/
bookworm https://two.example/debian/
bookworm-security https://one.example/security/
nodistro https://other.example/
"""


def test_sources() -> None:
    """The machine's own addresses, the first of each; suites that it does not use are at Debian 12's."""
    assert mirrors.lines(TARGETS, ["bookworm", "bookworm-backports"]) == [
        "deb https://one.example/debian/ bookworm main",
        "deb https://one.example/debian/ bookworm-updates main",
        "deb https://one.example/security/ bookworm-security main",
        "deb https://one.example/debian/ bookworm-backports main",
    ]


@pytest.mark.parametrize("missing", ["bookworm", "bookworm-security"])
def test_sources_missing(missing: str) -> None:
    """The error says which, and what to do."""
    text = "".join(line for line in TARGETS.splitlines(True) if not line.startswith(f"{missing} "))
    with pytest.raises(Unusable, match=f"no source for {missing}, .*apt-get update"):
        mirrors.lines(text, [])


def test_payload(tmp_path: Path) -> None:
    """What git tracks or would, as root's; the command with its words whole."""
    tree = tmp_path / "tree"
    tree.mkdir()
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    for name in ("tracked", "new", "ignored", "deleted"):
        (tree / name).write_text(name)
    (tree / ".gitignore").write_text("ignored\n")
    subprocess.run(["git", "-C", str(tree), "add", "tracked", "deleted", ".gitignore"], check=True)
    (tree / "deleted").unlink()
    payload.write(tmp_path / "tar", tree, ["echo", "two words", "$HOME"], {"A": "b c"}, interactive=False)
    with tarfile.open(tmp_path / "tar") as tar:
        assert sorted(tar.getnames()) == ["bench/command", "src/.gitignore", "src/new", "src/tracked"]
        command = tar.extractfile("bench/command")
        assert command and command.read() == b"export A='b c'\nexec echo 'two words' '$HOME'\n"
        assert {(member.uid, member.uname) for member in tar.getmembers()} <= {(0, "root"), (0, "")}


def test_payload_of_no_checkout(tmp_path: Path) -> None:
    """Git's own words say what it is not."""
    with pytest.raises(Unusable, match="not a git repository"):
        payload.tree_files(tmp_path)


@pytest.mark.parametrize(
    ("line", "ended", "expected"),
    [
        ("\x1b[32m===== \x1b[1m23 passed\x1b[0m in 5.0s =====\x1b[0m", Outcome(0), "23 passed in 5.0s (exit status 0)"),
        ("", Outcome(4), "no output (exit status 4)"),
        ("tests/e2e ...", Outcome(LOST, "the guest was lost: x\nconsole"), "the guest was lost: x"),
    ],
)
def test_summary(line: str, ended: Outcome, expected: str) -> None:
    """One line for each guest, of pytest's last one or of what happened instead."""
    assert suite.summary(line, ended) == expected


def test_arguments() -> None:
    """The test's own options come after --, and all folders where there are none."""
    options = parser().parse_args(["test", "--kernel", "6.1", "--", "tests/kernel", "-k", "anon"])
    assert (options.kernel, options.arguments) == (["6.1"], ["tests/kernel", "-k", "anon"])
    assert suite.pytest_command([])[-3:] == list(suite.FOLDERS)
    assert suite.pytest_command(options.arguments)[-3:] == ["tests/kernel", "-k", "anon"]


def test_short() -> None:
    """Of every kernel, and of files that are there; what comes after -- is added."""
    options = parser().parse_args(["test", "--short", "--", "-x"])
    assert set(suite.SHORT) == set(build.SUITES)
    for kernel, words in suite.SHORT.items():
        assert arguments(options, kernel) == [*words, "-x"]
        for word in words[2:]:
            assert (ROOT / word.partition("::")[0]).is_file(), word
