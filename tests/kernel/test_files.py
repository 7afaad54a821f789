# SPDX-License-Identifier: Apache-2.0
"""Pages of a file that is charged to a container count there, whoever touches them; nothing is counted twice."""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containeragent.counters.charged import ChargedFiles
from containeragent.counters.pinned import PinnedSource
from tests.kernel.conftest import MakeContainer
from tests.kernel.support import own_mounts
from tests.kernel.support.containers import PAGE_BYTES, Container, Pages
from tests.kernel.support.counting import Counting
from tests.kernel.support.waiting import until

PAGES = 2311  # a prime number
# Part of this machine's kernel; in those of the guests it is a module that is not loaded.
HAS_XFS = "\txfs\n" in Path("/proc/filesystems").read_text()
FEW = 200  # what an interpreter in the container may have of others' files

pytestmark = pytest.mark.every_engine


@pytest.fixture
def files(counting: Counting) -> Iterator[ChargedFiles]:
    """Of the session's programs; nothing is charged before and after."""
    source = PinnedSource(counting.pins)
    yield source.files
    for entry in source.files.entries():
        source.files.release(entry.key)
    source.close()


@contextlib.contextmanager
def mounted(folder: Path, script: str) -> Iterator[Path]:
    """What a shell script in a folder mounts on `top`, in a mount namespace of its own."""
    line = own_mounts.within(f"{script}\necho && exec sleep 1000")
    with subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline()
            yield Path(f"/proc/{process.pid}/root{folder}/top")
        finally:
            process.kill()


@pytest.fixture
def xfs_folder(disk_folder: Path) -> Iterator[Path]:
    """On an XFS of its own, in a file."""
    (disk_folder / "top").mkdir()
    script = "truncate -s 320M image && mkfs.xfs -q image && mount -o loop image top"
    with mounted(disk_folder, script) as top:
        yield top


FOLDERS = ["disk_folder", "tmpfs_folder", *(["xfs_folder"] if HAS_XFS else [])]


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    """On each file system."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Path)
    return found


def charge(files: ChargedFiles, path: Path, container: Container) -> int:
    """As the agent does it; pages moved."""
    with path.open("rb") as file, files.found(file.fileno()) as (key, mapping):
        return files.charge(key, mapping, container.id, str(path))


def inside(container: Container, work: Callable[[], None]) -> None:
    """Do something in a container; it has no task afterwards."""
    pid = os.fork()
    if not pid:
        status = 1
        with contextlib.suppress(BaseException):
            container.enter()
            work()
            status = 0
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def write(path: Path, pages: int = PAGES) -> Callable[[], None]:
    """A file anew, or over what it is."""

    def work() -> None:
        with path.open("r+b" if path.exists() else "wb") as file:
            for _ in range(pages):
                file.write(b"x" * PAGE_BYTES)
            file.flush()
            os.fsync(file.fileno())

    return work


def read(path: Path) -> None:
    """All of it."""
    path.read_bytes()


def drop(path: Path) -> None:
    """Out of the page cache, of a disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def counts(counting: Counting, container: Container, file: int, shmem: int = 0) -> None:
    """So many pages of files, give or take what an interpreter reads; at rest."""

    def good(pages: Pages) -> bool:
        return file <= pages.file <= file + FEW and pages.shmem == shmem and pages.anon == 0

    pages = until(lambda: counting.pages(container), good)
    assert good(pages), f"{pages} where {file} pages of files, {shmem} of shmem were expected"


def shmem_of(path: Path, pages: int) -> int:
    """tmpfs is shared memory too."""
    return pages if str(path).startswith("/dev/shm") else 0


def test_from_the_next_page_on(
    counting: Counting, files: ChargedFiles, make_container: MakeContainer, folder: Path
) -> None:
    """Not whoever writes pays."""
    owner, writer, path = make_container("owner"), make_container("writer"), folder / "file"
    path.touch()
    assert charge(files, path, owner) == 0
    inside(writer, write(path))
    counts(counting, owner, PAGES, shmem_of(path, PAGES))
    counts(counting, writer, 0)
    path.unlink()
    counts(counting, owner, 0)


def test_what_is_cached(counting: Counting, files: ChargedFiles, make_container: MakeContainer, folder: Path) -> None:
    """Pages that somebody else paid move, at once."""
    owner, writer, path = make_container("owner"), make_container("writer"), folder / "file"
    inside(writer, write(path))
    counts(counting, writer, PAGES, shmem_of(path, PAGES))
    assert charge(files, path, owner) == PAGES
    counts(counting, owner, PAGES, shmem_of(path, PAGES))
    counts(counting, writer, 0)
    os.truncate(path, (PAGES // 2) * PAGE_BYTES)
    counts(counting, owner, PAGES // 2, shmem_of(path, PAGES // 2))
    assert charge(files, path, writer) == PAGES // 2
    counts(counting, writer, PAGES // 2, shmem_of(path, PAGES // 2))
    counts(counting, owner, 0)


def test_read_again(counting: Counting, files: ChargedFiles, make_container: MakeContainer, disk_folder: Path) -> None:
    """Dropped from the cache and read by others, it still counts with its container; after release with its reader."""
    owner, reader, path = make_container("owner"), make_container("reader"), disk_folder / "file"
    write(path)()
    charge(files, path, owner)
    for _ in range(3):
        drop(path)
        counts(counting, owner, 0)
        inside(reader, lambda: read(path))
        counts(counting, owner, PAGES)
        counts(counting, reader, 0)
    files.release(files.entries()[0].key)
    counts(counting, owner, PAGES)
    drop(path)
    inside(reader, lambda: read(path))
    counts(counting, reader, PAGES)
    counts(counting, owner, 0)


def mapping(path: Path) -> Callable[[], None]:
    """Touch every page of a mapped file."""

    def work() -> None:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
            assert sum(memory[at] for at in range(0, len(memory), PAGE_BYTES)) > 0

    return work


def test_shared_library(
    counting: Counting, files: ChargedFiles, make_container: MakeContainer, disk_folder: Path
) -> None:
    """Two containers map it, a third one pays."""
    library, one, two = (make_container(name) for name in ("library", "one", "two"))
    path = disk_folder / "lib.so"
    inside(one, write(path))
    inside(one, mapping(path))
    assert charge(files, path, library) == PAGES
    drop(path)
    for container in (one, two, one):
        inside(container, mapping(path))
    counts(counting, library, PAGES)
    for container in (one, two):
        counts(counting, container, 0)


def test_mapped_while_moved(
    counting: Counting, files: ChargedFiles, make_container: MakeContainer, folder: Path
) -> None:
    """Mapped pages move with their pages, and go to nothing when they are unmapped."""
    owner, other, path = make_container("owner"), make_container("other"), folder / "file"
    inside(other, write(path))
    counts(counting, other, PAGES, shmem_of(path, PAGES))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        assert sum(memory[at] for at in range(0, len(memory), PAGE_BYTES)) > 0
        assert charge(files, path, owner) == PAGES
        pages = counting.pages(owner)
        assert pages.mapped in (None, PAGES), pages
        assert counting.pages(other).mapped in (None, 0)
    counts(counting, owner, PAGES, shmem_of(path, PAGES))
    assert counting.pages(owner).mapped in (None, 0)


@pytest.mark.parametrize("cached", [True, False])
def test_removed_and_used_again(
    counting: Counting, files: ChargedFiles, make_container: MakeContainer, folder: Path, cached: bool
) -> None:
    """Removed while open it still counts; with its last user the entry ends, and its number inherits nothing."""
    owner, writer, path = make_container("owner"), make_container("writer"), folder / "file"
    path.touch()
    charge(files, path, owner)
    with path.open("r+b") as file:
        if cached:
            inside(writer, write(path))
        path.unlink()
        if cached:
            counts(counting, owner, PAGES, shmem_of(path, PAGES))
            entry = files.entries()[0]
            known = files.cached(entry)
            assert known and (known.pages, known.links) == (PAGES, 0)
        os.pwrite(file.fileno(), b"x" * PAGE_BYTES, 0)
    counts(counting, owner, 0)
    assert not files.entries()
    again = folder / "file"
    inside(writer, write(again))
    counts(counting, writer, PAGES, shmem_of(again, PAGES))
    counts(counting, owner, 0)


def test_number_used_again(
    counting: Counting, files: ChargedFiles, make_container: MakeContainer, folder: Path
) -> None:
    """An inode with the number of one that was charged, and another generation, inherits nothing."""
    owner, writer, path = make_container("owner"), make_container("writer"), folder / "file"
    path.touch()
    with path.open("rb") as file, files.found(file.fileno()) as (key, mapping):
        before = dataclasses.replace(key, generation=key.generation ^ 1)
        assert files.charge(before, mapping, owner.id, "one before") == 0
    inside(writer, write(path))
    counts(counting, writer, PAGES, shmem_of(path, PAGES))
    counts(counting, owner, 0)
    assert files.cached(files.entries()[0]) is None


def test_container_goes(
    counting: Counting, files: ChargedFiles, make_container: MakeContainer, disk_folder: Path
) -> None:
    """Its files' charges end with it; pages go to the nearest living ancestor, new ones to whoever touches them."""
    parent, reader, path = make_container("parent"), make_container("reader"), disk_folder / "file"
    child = parent.child("child")
    inside(reader, write(path))
    charge(files, path, child)
    counts(counting, child, PAGES)
    child.rmdir()
    counts(counting, parent, PAGES)
    drop(path)
    inside(reader, lambda: read(path))
    counts(counting, reader, PAGES)
    counts(counting, parent, 0)
    files.prune()
    assert not files.entries()


def test_under_way(counting: Counting, files: ChargedFiles, make_container: MakeContainer, disk_folder: Path) -> None:
    """Charged to and fro while others read, drop, write and map it, nothing is lost or counted twice."""
    owner, other, path = make_container("owner"), make_container("other"), disk_folder / "file"
    write(path)()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            other.enter()
            while True:
                mapping(path)()
                drop(path)
                write(path, 64)()
        os._exit(0)
    try:
        for _ in range(20):
            for container in (owner, other):
                charge(files, path, container)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    charge(files, path, owner)
    drop(path)
    inside(other, mapping(path))
    counts(counting, owner, PAGES)
    path.unlink()
    for container in (owner, other):
        counts(counting, container, 0)
        assert counting.pages(container).mapped in (None, 0)


def test_number_of_files(counting: Counting, make_container: MakeContainer, folder: Path) -> None:
    """Those with pages in the cache; one that several below a container have pages of is one.

    A file system may read blocks of its own device meanwhile, which is a file too.
    """
    parent, paths = make_container("parent"), [folder / f"file-{at}" for at in range(23)]
    child, other = parent.child("child"), parent.child("other")

    def half(path: Path, first: int) -> None:
        with path.open("r+b" if path.exists() else "wb") as file:
            os.pwrite(file.fileno(), b"x" * (first + 1) * 64 * PAGE_BYTES, first * 64 * PAGE_BYTES)
            os.fsync(file.fileno())

    def halves(first: int) -> Callable[[], None]:
        def work() -> None:
            for path in paths:
                half(path, first)

        return work

    with counting.looking() as look:
        before = [look(container)["files"] for container in (parent, child, other)]

        def more() -> list[int]:
            now = [look(container)["files"] for container in (parent, child, other)]
            return [files - was for files, was in zip(now, before, strict=True)]

        def assert_more(*wanted: int) -> None:
            found = more()
            assert all(more - few in (0, 1) for more, few in zip(found, wanted, strict=True)), (found, wanted)

        inside(child, halves(0))
        counts(counting, child, 23 * 64, shmem_of(folder, 23 * 64))
        assert_more(23, 23, 0)
        inside(other, halves(1))
        counts(counting, other, 23 * 128, shmem_of(folder, 23 * 128))
        assert_more(23, 23, 23)
        for path in paths[:11]:
            path.unlink()
        assert_more(12, 12, 12)
        for path in paths[11:]:
            path.unlink()
        assert_more(0, 0, 0)


@pytest.fixture
def overlay(disk_folder: Path) -> Iterator[Path]:
    """A file system on top of `lower` on a disk, in a mount namespace of its own."""
    for name in ("lower", "upper", "top"):
        (disk_folder / name).mkdir()
    script = """
        mount -t tmpfs none upper && mkdir upper/files upper/work
        mount -t overlay none -o lowerdir=lower,upperdir=upper/files,workdir=upper/work top
    """
    with mounted(disk_folder, script) as top:
        yield top


def test_overlay(
    counting: Counting, files: ChargedFiles, make_container: MakeContainer, disk_folder: Path, overlay: Path
) -> None:
    """It is the file below; a copy that a writer gets is another one."""
    owner, other, lower, path = (
        make_container("owner"),
        make_container("other"),
        disk_folder / "lower",
        overlay / "file",
    )
    write(lower / "file")()
    drop(lower / "file")
    assert charge(files, path, owner) == 0
    inside(other, lambda: read(path))
    counts(counting, owner, PAGES)
    assert files.entries()[0].key.inode == (lower / "file").stat().st_ino
    inside(other, mapping(path))
    counts(counting, other, 0)
    with path.open("r+b") as file:
        file.write(b"y")
    inside(other, lambda: read(path))
    counts(counting, owner, PAGES)
    counts(counting, other, 0)
    known = files.cached(files.entries()[0])
    assert known and known.pages == PAGES
